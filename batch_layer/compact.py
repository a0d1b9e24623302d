"""Compacts: merges parts of a version into fewer, and proves each merge by reading again what was written.

    inputs  a b c  --merge-->  table  --lay out, write-->  d e
    proof   d e read again == the table, bar by bar, and the events in it are those of a b c

Which parts, is `slackwater.store.compaction`. What a run made itself, and what is of a version that is not proven yet,
stays as it is: the proof needs it, and a part that was refuted must not be in another.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import duckdb

from batch_layer.compute import part_of
from batch_layer.errors import CompactionError
from batch_layer.sink import PartWriter, Written
from batch_layer.together import NUMBER, numbered, numbered_sql, together
from slackwater.core.faults import reach
from slackwater.store.compaction import Merge, Sized, plan_merges, stacks
from slackwater.versions.manifest import Manifest, Part
from slackwater.versions.store import VersionStore
from slackwater.versions.suspects import suspect
from slackwater.views.compare import differing_sql, repeated_sql
from slackwater.views.interval import Interval, parse_interval
from slackwater.views.limits import Limits
from slackwater.views.session import files_sql
from slackwater.views.sql import count_sql, events_by_sql, merge_sql
from slackwater.views.view import View

BUDGET_BYTES = 64 * 1024 * 1024
"""What a run reads for merges that could wait."""


class Compacted(NamedTuple):
    """The parts of a version after it, and how many parts were merged."""

    parts: tuple[Part, ...]
    merged: int


class _Due(NamedTuple):
    """A merge that is planned: its parts, and what the names of its files begin with."""

    merge: Merge
    inputs: list[Part]
    prefix: str


Plan = Callable[[Interval, Sequence[Sized]], Sequence[Merge]]


def compact_run(
    store: VersionStore, version: Manifest, views: Iterable[View], limits: Limits, budget: int = BUDGET_BYTES
) -> Compacted:
    """What a run compacts of the version that it makes."""
    left = budget

    def plan(interval: Interval, parts: Sequence[Sized]) -> Sequence[Merge]:
        nonlocal left
        merges = plan_merges(interval, parts, lambda each: free(version, own[each.number]), left)
        left -= sum(merge.size for merge in merges)
        return merges

    own = version.parts
    return _compact(store, version, views, limits, plan)


def compact_all(store: VersionStore, version: Manifest, views: Iterable[View], limits: Limits) -> Compacted:
    """All parts of a view, interval and shard as one layout, which is the one that a full run gives."""
    own = version.parts

    def plan(interval: Interval, parts: Sequence[Sized]) -> Sequence[Merge]:
        those = [part for part in parts if free(version, own[part.number])]
        numbers = tuple(part.number for part in those)
        if len(those) < 2 or _is_laid_out(interval, [own[number] for number in numbers]):
            return []
        return [Merge(numbers, sum(part.size for part in those))]

    return _compact(store, version, views, limits, plan)


def free(version: Manifest, part: Part) -> bool:
    """Whether a part may be merged: it is proven, and not of this run."""
    return not any(part.holds(number) for number in (version.version, *version.open))


def _is_laid_out(interval: Interval, parts: Sequence[Part]) -> bool:
    """Whether parts were written together, each slice once."""
    at_once = len({part.file.path.split("/")[1] for part in parts}) == 1
    found = stacks(interval, [_sized(number, part) for number, part in enumerate(parts)])
    return at_once and all(len(stack) == 1 for stack in found.values())


def _compact(store: VersionStore, version: Manifest, views: Iterable[View], limits: Limits, plan: Plan) -> Compacted:
    reach("compact.before")
    folder, by_name = store.data.create(f"states/{version.run_id}"), {view.name: view for view in views}
    parts: list[Part | None] = [*version.parts]
    behind: dict[int, list[Part]] = {}
    due: dict[tuple[str, str], list[_Due]] = {}
    merged = 0

    def place(number: int) -> tuple[str, str, int]:
        return version.parts[number].view, version.parts[number].interval, version.parts[number].shard

    con: duckdb.DuckDBPyConnection | None = None
    try:
        for (name, text, _), numbers in groupby(sorted(range(len(parts)), key=lambda n: (place(n), n)), place):
            sized = [_sized(number, version.parts[number]) for number in numbers]
            view = by_name.get(name)
            if view is None or len(sized) < 2:
                continue
            for count, merge in enumerate(plan(parse_interval(text), sized)):
                inputs = [version.parts[number] for number in merge.parts]
                due.setdefault((name, text), []).append(_Due(merge, inputs, f"merged-{count}-"))
        for (name, text), planned in due.items():
            for some in together(planned, lambda each: sum(part.file.rows for part in each.inputs)):
                con = con or limits.connect(partial(suspect, store))
                made = _merge(con, store, by_name[name], parse_interval(text), folder, some)
                for each, outputs in zip(some, made, strict=True):
                    for number in each.merge.parts:
                        parts[number] = None
                    behind[each.merge.parts[-1]] = outputs
                    merged += len(each.inputs)
    finally:
        if con is not None:
            con.close()
    reach("compact.after")
    kept = [each for n, part in enumerate(parts) for each in (behind.get(n, []) if part is None else [part])]
    return Compacted(tuple(kept), merged)


def _merge(
    con: duckdb.DuckDBPyConnection,
    store: VersionStore,
    view: View,
    interval: Interval,
    folder: Path,
    due: Sequence[_Due],
) -> list[list[Part]]:
    """The parts that become of each merge of a view and interval."""
    source = _states(store, view, [each.inputs for each in due])
    con.execute(f"CREATE OR REPLACE TEMP TABLE merged AS {merge_sql(numbered(view), f'({source})', interval)}")
    written = list[Written]()
    outputs = list[list[Part]]()
    for number, each in enumerate(due):
        shard, rows = each.inputs[0].shard, f"(SELECT * EXCLUDE ({NUMBER}) FROM merged WHERE {NUMBER} = {number})"
        own = list(PartWriter(con, view, folder, shard, prefix=each.prefix).write(rows, interval))
        reach("compact.written")
        made = min(part.made[0] for part in each.inputs), max(part.made[1] for part in each.inputs)
        since = min(part.since for part in each.inputs)
        outputs.append([part_of(store, folder, view, shard, one, made, since) for one in own])
        written += own
    _check(con, view, source, _states(store, view, outputs), written)
    return outputs


def _states(store: VersionStore, view: View, merges: Iterable[Sequence[Part]]) -> str:
    """One SELECT of the states in the parts of some merges, with their numbers."""
    files = (files_sql(part.file.checked(store.data.fetch) for part in parts) for parts in merges)
    return " UNION ALL ".join(numbered_sql(view, number, each) for number, each in enumerate(files))


def _check(con: duckdb.DuckDBPyConnection, view: View, source: str, found: str, written: Sequence[Written]) -> None:
    """Raises CompactionError if what was written is not the table, or the table has not the events of the inputs."""
    con.execute(f"CREATE OR REPLACE TEMP TABLE found AS {found}")
    own = numbered(view)
    wrong = f"({differing_sql(own, 'merged', 'found')} UNION ALL {repeated_sql(own, 'found')})"
    ((differ,),) = con.execute(count_sql(wrong)).fetchall()
    counted = [con.execute(events_by_sql(view, each, NUMBER)).fetchall() for each in (f"({source})", "found")]
    if differ or counted[0] != counted[1]:
        raise CompactionError(view.name, [each.path for each in written], differ, counted)


def _sized(number: int, part: Part) -> Sized:
    return Sized(number, part.file.rows, part.file.size, part.low, part.high)
