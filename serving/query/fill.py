"""Filling: bars without events get what the view declares for them (`gap` in `slackwater.views.answers`).

    start        first bar                last applied bar      end
      |   nothing   |  bar  gap  bar  gap  gap  bar  |  nothing  |

A gap is known only between two things that are: a bar before it and an applied event behind it. So filling begins at
the first bar there ever was and ends with the last applied one.
"""

from serving.query.answer import Bar, Gap
from serving.query.basis import Basis
from serving.query.read import BatchRows, place_of, read
from serving.store.request import Keys, Range
from slackwater.views.interval import Interval
from slackwater.views.rows import Row
from slackwater.views.view import View


def fills(view: View) -> bool:
    """Whether bars of this view can be filled: it declares gaps, and an entity has one series."""
    return not view.rest and any(answer.gap is not None for answer in view.answers.values())


async def filled(basis: Basis, keys: Keys, of: Range, batch: BatchRows) -> list[Bar]:
    """The first (or last) bars and gaps of a range with a limit, in order."""
    found: list[Bar] = []
    for one in keys.each():
        found += await _filled(basis, one, of, batch)
    return sorted(found, key=place_of) if len(keys.entities) > 1 else found


async def _filled(basis: Basis, one: Keys, of: Range, batch: BatchRows) -> list[Bar]:
    interval, low, limit, (entity,) = of.interval, of.low, of.limit or 0, one.entities
    if of.after:
        low = interval.floor(int(of.after[0]))
        low = max(of.low, interval.end(low) if (low, *entity) <= of.after else low)
    newest = basis.newest(entity)
    if newest is None:
        return []
    behind = interval.end(interval.floor(newest))
    high = behind if of.high is None else min(of.high, behind)
    if of.newest_first:
        low = max(low, interval.floor(high - limit * interval.us))
    before = await read(basis, one, Range(interval, 0, low, 1, newest_first=True), batch)
    if not before:
        earliest = await read(basis, one, Range(interval, low, high, 1), batch)
        if not earliest:
            return []
        low = earliest[0].start
    high = min(high, interval.floor(low + limit * interval.us))
    rows = await read(basis, one, Range(interval, low, high, limit), batch)
    return _with_gaps(basis.view, interval, low, high, before, rows)


def _with_gaps(view: View, interval: Interval, low: int, high: int, before: list[Row], rows: list[Row]) -> list[Bar]:
    finish = view.finish
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
