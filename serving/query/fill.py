"""Filling: bars without events get what the view declares for them (`gap` in `slackwater.views.answers`).

    start        first bar                last applied bar      end
      |   nothing   |  bar  gap  bar  gap  gap  bar  |  nothing  |

A gap is known only between two things that are: a bar before it and an applied event behind it. So filling begins at
the first bar there ever was and ends with the last applied one.
"""

from serving.query.answer import Bar, Gap
from serving.store.source import Source
from slackwater.views.interval import Interval
from slackwater.views.merge import finisher
from slackwater.views.rows import Row
from slackwater.views.view import View


def fills(view: View) -> bool:
    """Whether bars of this view can be filled: it declares gaps, and an instrument has one series."""
    return len(view.key) == 2 and any(answer.gap is not None for answer in view.answers.values())


async def filled_bars(
    source: Source,
    instrument: tuple[str, str],
    interval: Interval,
    low: int,
    high: int | None,
    limit: int,
    newest_first: bool,
) -> list[Bar]:
    """The first (or last) `limit` bars and gaps of [low, high), both bar starts, in order."""
    newest = source.newest(instrument)
    if newest is None:
        return []
    behind = interval.end(interval.floor(newest))
    high = behind if high is None else min(high, behind)
    if newest_first:
        low = max(low, interval.floor(high - limit * interval.us))
    before = await source.bars(instrument, interval, 0, low, 1, newest_first=True)
    if not before:
        earliest = await source.bars(instrument, interval, low, high, 1)
        if not earliest:
            return []
        low = earliest[0].start
    high = min(high, low + limit * interval.us)
    rows = await source.bars(instrument, interval, low, high, limit)
    return _with_gaps(source.view, interval, low, high, before, rows)


def _with_gaps(view: View, interval: Interval, low: int, high: int, before: list[Row], rows: list[Row]) -> list[Bar]:
    finish = finisher(view)
    by_start = {row.start: row for row in rows}
    previous: dict[str, str | int | None] = dict(finish(before[0].state)) if before else {}
    key = (before or rows)[0].key
    found: list[Bar] = []
    for start in interval.starts(low, high):
        row = by_start.get(start)
        if row is not None:
            previous = dict(finish(row.state))
            found.append(row)
        else:
            previous = {name: _gap(answer.gap, name, previous) for name, answer in view.answers.items()}
            found.append(Gap(key, start, previous))
    return found


def _gap(gap: str | None, name: str, previous: dict[str, str | int | None]) -> str | int | None:
    if gap is None:
        return None
    if gap == "0":
        return "0" if isinstance(previous[name], str) else 0
    return previous[gap]
