"""Compares the states of a version with its parent's and the cells between them, shard by shard, in DuckDB.

The rows of cells come in as they are read and stay in tables, merged whenever they are many, so that memory follows
the number of bars and not the number of cells.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import duckdb

from slackwater.core.checked_files import OnDamage
from slackwater.deltas.cell import DeltaKey
from slackwater.restatements.of_run import Differing
from slackwater.versions.manifest import ArchiveFile, Part, StoredFile
from slackwater.versions.proof import Difference
from slackwater.views.compare import (
    at_sql,
    differing_sql,
    explain,
    first_sql,
    grown_sql,
    repeated_sql,
    states_sql,
)
from slackwater.views.interval import Interval
from slackwater.views.levels import finer_published
from slackwater.views.limits import Limits
from slackwater.views.rows import Row, rows_of, table_of
from slackwater.views.session import files_sql
from slackwater.views.sql import count_sql, merge_sql, summarise_sql
from slackwater.views.view import View

FIRST = 10
"""Differences that are reported."""

CHUNK_ROWS = 20_000
"""Rows of cells that wait as Python objects."""

MERGE_ROWS = 1_000_000
"""Rows of cells of one delta key from which they are merged."""


class Times(NamedTuple):
    """Times in [low, high), microseconds."""

    low: int
    high: int


@dataclass
class Compared:
    """States compared, how many differ, and the first differences."""

    states: int = 0
    differ: int = 0
    first: list[Difference] = field(default_factory=list)


class Comparison:
    """One comparison. A context manager; not thread safe. `collected` takes all that differs, where it is a list."""

    collected: list[Differing] | None = None

    def __init__(self, home: Path, limits: Limits, on_damage: OnDamage | None = None) -> None:
        self.compared = Compared()
        self._home = home
        self._con: duckdb.DuckDBPyConnection = limits.connect(on_damage)
        self._waiting: dict[DeltaKey, list[Row]] = {}
        self._tables: dict[DeltaKey, tuple[str, int]] = {}

    def __enter__(self) -> "Comparison":
        return self

    def __exit__(self, *_: object) -> None:
        self._con.close()

    def add(self, delta_key: DeltaKey, view: View, rows: Iterable[Row]) -> None:
        """Rows of cells that joined."""
        waiting = self._waiting.setdefault(delta_key, [])
        waiting += rows
        if len(waiting) >= CHUNK_ROWS:
            self._flush(delta_key, view)

    def base(
        self,
        view: View,
        delta_key: DeltaKey,
        parent: Sequence[Part],
        own: Sequence[Part],
        imported: Sequence[ArchiveFile],
    ) -> None:
        """Compare one shard at the base interval. Imported history is in no cell: it is summarised from its files."""
        self._flush(delta_key, view)
        more = states_sql(view, self._tables[delta_key][0])
        if imported:
            more += f" UNION ALL {summarise_sql(view, self._files(entry.file for entry in imported))}"
        self._make("more", merge_sql(view, f"({more})"))  # read twice
        before = self._states(view, parent)
        self._make("before", merge_sql(view, f"({before})") if len(parent) > 1 else before)
        self._make("expected", grown_sql(view, "before", "more"))
        self._make("found", self._states(view, own))  # a bar lies in one of them: the slices of a run share none
        self._compare(view, view.base, delta_key.partition)
        if self.collected is not None:
            self.collected += self._differing(view)

    def coarser(self, view: View, shard: int, files: Sequence[Part]) -> None:
        """Compare a shard's coarser published intervals with the merge of the finer ones."""
        for interval in view.intervals[1:]:
            below = finer_published(view, interval).text
            finer, own = ([file for file in files if file.interval == text] for text in (below, interval.text))
            self._make("expected", merge_sql(view, f"({self._states(view, finer)})", interval))
            self._make("found", self._states(view, own))
            self._compare(view, interval.text, shard)

    def archived(self, view: View, shard: int, parts: Sequence[Part], events: Sequence[ArchiveFile], of: Times) -> None:
        """Compare a shard's bars at the base in a range of time with the events of the archive there."""
        if events:
            times = f"{view.stream.time} >= {of.low} AND {view.stream.time} < {of.high}"
            files = self._files(entry.file for entry in events)
            self._make("expected", summarise_sql(view, f"(SELECT * FROM {files} WHERE {times})"))
        else:
            self._make("expected", self._states(view, ()))
        self._within(view, view.intervals[0], shard, parts, of)

    def merged(
        self, view: View, interval: Interval, shard: int, parts: Sequence[Part], finer: Sequence[Part], of: Times
    ) -> None:
        """Compare a shard's bars at a coarser interval in a range of time with those of a finer one."""
        states = f"(SELECT * FROM ({self._states(view, finer)}) WHERE {_starts(of)})"
        self._make("expected", merge_sql(view, states, interval))
        self._within(view, interval, shard, parts, of)

    def _within(self, view: View, interval: Interval, shard: int, parts: Sequence[Part], of: Times) -> None:
        states = f"(SELECT * FROM ({self._states(view, parts)}) WHERE {_starts(of)})"
        self._make("found", merge_sql(view, states, interval))
        self._compare(view, interval.text, shard)

    def _differing(self, view: View) -> Iterator[Differing]:
        for interval in view.intervals:
            for side in ("expected", "found"):
                self._make(f"{side}_there", merge_sql(view, side, interval))
            self._make("places", differing_sql(view, "expected_there", "found_there"))
            sides = (at_sql(view, f"{side}_there", "places") for side in ("expected", "found"))
            expected, found = (self._con.sql(side).to_arrow_table() for side in sides)
            if expected.num_rows or found.num_rows:
                yield Differing(view, interval, expected, found)

    def _compare(self, view: View, interval: str, shard: int) -> None:
        self._make(
            "places",
            f"{differing_sql(view, 'expected', 'found')} UNION {repeated_sql(view, 'expected')} "
            f"UNION {repeated_sql(view, 'found')}",
        )
        compared = self.compared
        counts = ", ".join(f"({count_sql(name)})" for name in ("expected", "found", "places"))
        ((expected, found_rows, differ),) = self._con.execute(f"SELECT {counts}").fetchall()
        compared.states += max(expected, found_rows)
        compared.differ += differ
        if not differ or len(compared.first) >= FIRST:
            return
        self._make("first_places", first_sql(view, "places", FIRST))
        sides = [
            rows_of(view, self._con.sql(at_sql(view, side, "first_places")).to_arrow_table())
            for side in ("expected", "found")
        ]
        found = [Difference(view.name, interval, shard, *each) for each in explain(view, *sides)]
        compared.first += found[: FIRST - len(compared.first)]

    def _flush(self, delta_key: DeltaKey, view: View) -> None:
        name, rows = self._tables.get(delta_key, ("", 0))
        if not name:
            name = f"cells_{len(self._tables)}"
            self._con.register("chunk", view.state_schema.empty_table())
            self._make(name, "SELECT * FROM chunk")
        waiting = self._waiting.pop(delta_key, [])
        if waiting:
            self._con.register("chunk", table_of(view, waiting))
            self._con.execute(f"INSERT INTO {name} {states_sql(view, 'chunk')}")
            rows += len(waiting)
        if rows >= MERGE_ROWS:
            self._make("merged", merge_sql(view, name))
            self._make(name, "SELECT * FROM merged")
            rows = 0
        self._tables[delta_key] = name, rows

    def _states(self, view: View, files: Sequence[Part]) -> str:
        if files:
            return states_sql(view, self._files(file.file for file in files))
        self._con.register("nothing", view.state_schema.empty_table())
        return "SELECT * FROM nothing"

    def _files(self, files: Iterable[StoredFile]) -> str:
        return files_sql(file.checked(self._home) for file in files)

    def _make(self, name: str, select: str) -> None:
        self._con.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS {select}")


def _starts(of: Times) -> str:
    return f"start >= {of.low} AND start < {of.high}"
