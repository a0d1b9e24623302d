"""Takes the states of events out of parts: the bars that held them are made again of what the archive holds now.

    parts of 1m    a [x y]  b [y z]        gone: events of y
    become         a' [x]   b' [z]         the same parts without y
                   c [y]                   y, of the corrected archive; coarser bars of the finer ones

So it costs the parts that hold such a bar and the events of these bars, whatever history is. No sum is taken back: a
minimum cannot be. What is written is checked: the events of the touched bars are as many as before, less those gone.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import duckdb

from batch_layer.compute import part_of
from batch_layer.errors import CorrectionError
from batch_layer.sink import PartWriter, Written, copy_to
from slackwater.core.faults import reach
from slackwater.versions.manifest import ArchiveFile, Part
from slackwater.versions.store import VersionStore
from slackwater.views.compare import states_sql
from slackwater.views.interval import Interval
from slackwater.views.levels import finer_published
from slackwater.views.session import files_sql
from slackwater.views.sql import (
    count_sql,
    events_of_sql,
    events_within_sql,
    merge_sql,
    place_sql,
    slices_sql,
    summarise_sql,
    touched_sql,
    within_sql,
)
from slackwater.views.view import View

_TAIL = re.compile(r"\d+(?:-\d+)?\.parquet$")


class PartCorrector:
    """Corrects the parts of one view in a session. `gone` are the events that were taken out, a table of the session;
    `folder` is the run's, `version` the number of what it makes.
    """

    def __init__(
        self, con: duckdb.DuckDBPyConnection, store: VersionStore, view: View, gone: str, folder: Path, version: int
    ) -> None:
        self._con = con
        self._store = store
        self._view = view
        self._gone = gone
        self._folder = folder
        self._version = version
        self._written = 0

    def correct(self, parts: Sequence[Part], archive: Sequence[ArchiveFile]) -> list[Part]:
        """The view's parts, corrected; `archive` is its stream's, without what is gone.

        Raises:
            CorrectionError: what was written does not hold the events that it must.
            duckdb.IOException: a file cannot be read, or the disk is full.
        """
        found = list(parts)
        for shard in sorted({part.shard for part in parts}):
            mine = f'(SELECT * FROM {self._gone} WHERE "partition" = {shard})'
            self._make("gone_states", summarise_sql(self._view, mine))
            if not self._count("gone_states"):
                continue
            events = [entry for entry in archive if entry.partition == shard]
            for interval in self._view.intervals:
                found = self._correct(interval, shard, found, events)
        return found

    def _correct(self, interval: Interval, shard: int, parts: list[Part], events: Sequence[ArchiveFile]) -> list[Part]:
        view = self._view
        self._make("touched", touched_sql(view, "gone_states", interval))
        own = [part for part in parts if (part.interval, part.shard) == (interval.text, shard)]
        low, high = self._con.execute(f"SELECT * FROM ({_bounds('touched')})").fetchall()[0]
        hit = [part for part in own if part.low <= high and part.high >= low]
        self._make("before", states_sql(view, self._files(hit)) if hit else "SELECT * FROM gone_states WHERE false")
        self._make("before", f"SELECT * FROM before SEMI JOIN touched USING ({place_sql(view)})")
        within = [entry for entry in events if entry.high >= low and entry.low < interval.end(high)]
        self._make("again", self._again(interval, shard, parts, within))
        self._check(interval)
        changed = {part.file.path: self._rest(part, interval) for part in hit}
        touched = [part for part in hit if changed[part.file.path] != part]
        kept = [changed.get(part.file.path, part) for part in parts]
        return [*(part for part in kept if part is not None), *self._made(interval, shard, touched)]

    def _again(self, interval: Interval, shard: int, parts: Sequence[Part], events: Sequence[ArchiveFile]) -> str:
        """One SELECT of the touched bars, made again."""
        view = self._view
        if interval == view.intervals[0]:
            files = [entry.file for entry in events if entry.file.rows]
            if not files:
                return "SELECT * FROM gone_states WHERE false"
            relation = files_sql(file.checked(self._store.data.fetch) for file in files)
            states = summarise_sql(view, f"({events_within_sql(view, relation, 'touched')})")
            return f"SELECT * FROM ({states}) SEMI JOIN touched USING ({place_sql(view)})"
        finer = finer_published(view, interval).text
        below = [part for part in parts if (part.interval, part.shard) == (finer, shard)]
        if not below:
            return "SELECT * FROM gone_states WHERE false"
        return merge_sql(view, f"({within_sql(view, self._files(below), 'touched', interval)})", interval)

    def _check(self, interval: Interval) -> None:
        events = events_of_sql(self._view)
        counted = [
            self._con.execute(f"SELECT {events} FROM {t}").fetchone() for t in ("before", "again", "gone_states")
        ]
        before, after, gone = (tuple(int(each or 0) for each in row or ()) for row in counted)
        if before != tuple(a + b for a, b in zip(after, gone, strict=True)):
            raise CorrectionError(self._view.name, interval.text, before, after, gone)

    def _rest(self, part: Part, interval: Interval) -> Part | None:
        """A part without the touched bars; itself if it holds none, None if it holds no other."""
        states = states_sql(self._view, self._files([part]))
        self._make("rest", f"{states} ANTI JOIN touched USING ({place_sql(self._view)})")
        ((rows,),) = self._con.execute(count_sql("rest")).fetchall()
        if rows == part.file.rows:
            return part
        if not rows:
            return None
        tail = _TAIL.search(part.file.path.rpartition("/")[2])
        name = f"corrected-{self._written}-{tail[0] if tail else f'{part.shard}.parquet'}"
        self._written += 1
        path = self._folder / self._view.name / interval.word / name
        copy_to(self._con, "SELECT * FROM rest", self._view, path)
        reach("correct.part")
        ((_, rows, low, high),) = self._con.execute(slices_sql("rest", None)).fetchall()
        return replace(part, file=self._store.stored(path, rows), low=low, high=high)

    def _made(self, interval: Interval, shard: int, touched: Sequence[Part]) -> list[Part]:
        if not self._count("again"):
            return []
        writer = PartWriter(self._con, self._view, self._folder, shard, prefix="again-")
        first = min((part.made[0] for part in touched), default=self._version)
        since = min((part.since for part in touched), default=self._version)
        written: list[Written] = list(writer.write("again", interval))
        made = first, self._version
        return [part_of(self._store, self._folder, self._view, shard, each, made, since) for each in written]

    def _files(self, parts: Sequence[Part]) -> str:
        return files_sql(part.file.checked(self._store.data.fetch) for part in parts)

    def _count(self, table: str) -> int:
        ((count,),) = self._con.execute(count_sql(table)).fetchall()
        return int(count)

    def _make(self, name: str, select: str) -> None:
        self._con.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS {select}")


def _bounds(places: str) -> str:
    return f"SELECT low, high FROM ({slices_sql(places, None)})"
