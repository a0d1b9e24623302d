"""The slow obvious oracle of restatements: the whole log replayed record by record in Python lists; no SQL, no merge.

A record is applied whole. An event is late for a bar if an earlier record of its instrument held an event with a time
of 2 s or more behind the bar's end. `before` is the bar before the first late record of a version, `after` at its cut.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from slackwater.views.view import View
from tests.naive import SECOND_US, Event, finish, floor, summarise

INTERVALS = {"1s": SECOND_US, "1m": 60 * SECOND_US, "1h": 3600 * SECOND_US}


class Placed(NamedTuple):
    """A record: where it is, and its events."""

    partition: int
    offset: int
    events: Sequence[Event]


def restatements(
    view: View, records: Sequence[Placed], cuts: Sequence[Mapping[int, int]]
) -> list[list[dict[str, Any]]]:
    """For each version, by its cut, the bars that it restates; records of a partition stand in order."""
    found = []
    below: Mapping[int, int] = {}
    for cut in cuts:
        rows = []
        for name, interval_us in INTERVALS.items():
            rows += _restated(view, name, interval_us, [r for r in records if r.offset < cut[r.partition]], below)
        found.append(sorted(rows, key=str))
        below = cut
    return found


def _restated(
    view: View, interval: str, interval_us: int, records: Sequence[Placed], below: Mapping[int, int]
) -> list[dict[str, Any]]:
    newest: dict[tuple[str, str], int] = {}
    bars: dict[Any, list[Event]] = {}
    first: dict[Any, tuple[Placed, list[Event]]] = {}
    late: dict[Any, int] = {}
    for record in records:
        before = dict(newest)
        bars_before = {at: list(events) for at, events in bars.items()}
        for event in record.events:
            instrument, start = (event.venue, event.symbol), floor(event.time, interval_us)
            at = tuple(getattr(event, k) for k in view.key), start
            closed = instrument in before and before[instrument] >= start + interval_us + 2 * SECOND_US
            if closed and record.offset >= below.get(record.partition, 0):
                first.setdefault(at, (record, bars_before.get(at, [])))
                late[at] = late.get(at, 0) + 1
            newest[instrument] = max(newest.get(instrument, 0), event.time)
            bars.setdefault(at, []).append(event)
    found = []
    for at, (record, was) in first.items():
        (key, start), answers = at, (_answer(view, was, interval_us), _answer(view, bars[at], interval_us))
        if answers[0] != answers[1]:
            found.append(
                {
                    "view": view.name,
                    "venue": key[0],
                    "symbol": key[1],
                    "key": list(key[2:]),
                    "interval": interval,
                    "start": start,
                    "cause": "late_trade",
                    "partition": record.partition,
                    "offset": record.offset,
                    "trades": late[at],
                    "before": answers[0],
                    "after": answers[1],
                }
            )
    return found


def _answer(view: View, events: Sequence[Event], interval_us: int) -> dict[str, Any] | None:
    if not events:
        return None
    (bar,) = summarise(view, events, interval_us)
    return finish(view, bar.state)


def between(
    views: tuple[View, View], cause: str, before: Sequence[Event], after: Sequence[Event]
) -> list[dict[str, Any]]:
    """The bars that are closed by any of the events of two sides, and that the sides answer differently."""
    newest: dict[tuple[str, str], int] = {}
    for event in (*before, *after):
        newest[event.venue, event.symbol] = max(newest.get((event.venue, event.symbol), 0), event.time)
    found = []
    for interval, interval_us in INTERVALS.items():
        sides = []
        for view, events in zip(views, (before, after), strict=True):
            bars: dict[Any, list[Event]] = {}
            for event in events:
                key = tuple(getattr(event, k) for k in view.key)
                bars.setdefault((key, floor(event.time, interval_us)), []).append(event)
            sides.append({at: _answer(view, of, interval_us) for at, of in bars.items()})
        for key, start in {**sides[0], **sides[1]}:
            answers = [side.get((key, start)) for side in sides]
            closed = start + interval_us + 2 * SECOND_US <= newest[key[:2]]
            if closed and answers[0] != answers[1]:
                place = {"interval": interval, "start": start, "cause": cause, "key": list(key[2:])}
                names = {"view": views[1].name, "venue": key[0], "symbol": key[1]}
                nothing = {"partition": None, "offset": None, "trades": None}
                found.append({**names, **place, **nothing, "before": answers[0], "after": answers[1]})
    return sorted(found, key=str)
