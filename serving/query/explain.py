"""A bar taken apart: its batch part, each delta's part, and their merge, all finished. The parts merge to the whole."""

from typing import Any

from serving.http.problems import ProblemError
from serving.query.answer import Bar, Gap
from serving.query.ids import ids_json
from serving.store.source import Source
from slackwater.views.interval import Interval
from slackwater.views.kinds import Value
from slackwater.views.merge import Finish, State, finisher
from slackwater.views.rows import Row

MOST_PARTS = 20_000


async def explained(source: Source, interval: Interval, bars: list[Bar], text_ids: bool) -> list[dict[str, Any]]:
    """For each bar `{"explain": {"batch": ..., "deltas": [...], "merged": ...}}`.

    Raises:
        ProblemError: 422 if there are too many parts to list.
    """
    batch = await _batch_parts(source, interval, bars)
    finished = finisher(source.view)

    def finish(state: State) -> dict[str, Any]:
        return ids_json(source.view, finished(state), text_ids)

    found = []
    parts = 0
    for bar in bars:
        if isinstance(bar, Gap):
            found.append(_explain(finish, None, [], None))
            continue
        deltas = [
            {"partition": cell.lane.partition, "start": cell.start, "upto": cell.upto, "part": finish(state)}
            for cell, state in source.parts(bar, interval)
        ]
        parts += len(deltas)
        if parts > MOST_PARTS:
            raise ProblemError(422, "too-many-parts", f"More than {MOST_PARTS} deltas; ask for fewer or shorter bars.")
        found.append(_explain(finish, batch.get((bar.key, bar.start)), deltas, bar.state))
    return found


def _explain(finish: Finish, batch: State | None, deltas: list[dict[str, Any]], merged: State | None) -> dict[str, Any]:
    parts = {"batch": finish(batch) if batch else None, "deltas": deltas, "merged": finish(merged) if merged else None}
    return {"explain": parts}


async def _batch_parts(
    source: Source, interval: Interval, bars: list[Bar]
) -> dict[tuple[tuple[Value, ...], int], State]:
    spans: dict[tuple[str, str], list[int]] = {}
    for bar in bars:
        if isinstance(bar, Row):
            spans.setdefault((str(bar.key[0]), str(bar.key[1])), []).append(bar.start)
    found = {}
    for instrument, starts in spans.items():
        rows = await source.batch_bars(instrument, interval, min(starts), interval.end(max(starts)), len(starts))
        found.update({(row.key, row.start): row.state for row in rows})
    return found
