"""A bar taken apart: its batch part, each delta's part, and their merge, all finished. The parts merge to the whole."""

from dataclasses import replace
from typing import Any

from serving.query.answer import Bar, ids_json
from serving.query.basis import Basis
from serving.query.read import BatchRows, read
from serving.store.request import Entity, Keys, Range
from slackwater.http.problems import ProblemError
from slackwater.views.interval import Interval
from slackwater.views.kinds import Value
from slackwater.views.merge import Finish, State
from slackwater.views.rows import Row

MOST_PARTS = 20_000


async def explained(
    basis: Basis, interval: Interval, bars: list[Bar], text_ids: bool, rows: BatchRows
) -> list[dict[str, Any]]:
    """For each bar `{"explain": {"batch": ..., "deltas": [...], "merged": ...}}`.

    Raises:
        ProblemError: 422 if there are too many parts to list.
    """
    batch = await _batch_parts(basis, interval, bars, rows)
    finished = basis.view.finish

    def finish(state: State) -> dict[str, Any]:
        return ids_json(basis.view, finished(state), text_ids)

    found = []
    parts = 0
    for bar in bars:
        if not isinstance(bar, Row):
            found.append(_explain(finish, None, [], None))
            continue
        deltas = [
            {"partition": cell.delta_key.partition, "start": cell.start, "upto": cell.upto, "part": finish(state)}
            for cell, state in basis.parts(bar, interval)
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
    basis: Basis, interval: Interval, bars: list[Bar], rows: BatchRows
) -> dict[tuple[tuple[Value, ...], int], State]:
    spans: dict[Entity, list[int]] = {}
    for bar in bars:
        if isinstance(bar, Row):
            spans.setdefault(bar.key[: len(basis.view.entity)], []).append(bar.start)
    found: dict[tuple[tuple[Value, ...], int], State] = {}
    for entity, starts in spans.items() if basis.batch is not None else ():
        of = Range(interval, min(starts), interval.end(max(starts)), len(starts))
        stored = await read(replace(basis, ends={}), Keys((entity,)), of, rows)
        found.update({(row.key, row.start): row.state for row in stored})
    return found
