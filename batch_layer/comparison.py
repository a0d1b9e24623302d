"""Compares the states of a version with its parent's and the cells between them, each shard by itself, in DuckDB.

Small shards are compared by one statement, under their numbers (`batch_layer.together`), large ones in ranges of time
(`batch_layer.ranges`).

The rows of cells come in as they are read and stay in tables, merged whenever they are many, so that memory follows
the number of bars and not the number of cells.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import NamedTuple, TypeVar

import duckdb
import pyarrow as pa

from batch_layer.ranges import EVERYTHING, Spread, Times, ranges
from batch_layer.together import NUMBER, numbered, numbered_sql, together
from slackwater.core.checked_files import OnDamage
from slackwater.deltas.cell import DeltaKey
from slackwater.restatements.of_run import Differing
from slackwater.store.files import Locate
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


_E = TypeVar("_E", Part, ArchiveFile)


class Side(NamedTuple):
    """What a shard's bars at the base are compared by: the parent's parts and the cells of a delta key, with the
    `imported` history that no cell holds, and the version's `own` parts.
    """

    delta_key: DeltaKey
    parent: Sequence[Part]
    own: Sequence[Part]
    imported: Sequence[ArchiveFile]

    @property
    def rows(self) -> int:
        """Rows of all of its files."""
        return sum(rows for _, _, rows in self.spread)

    @property
    def spread(self) -> list[Spread]:
        """When they are."""
        entries: list[Part | ArchiveFile] = [*self.parent, *self.own, *self.imported]
        return [Spread(entry.low, entry.high, entry.file.rows) for entry in entries]

    def touching(self, of: Times) -> "Side":
        """What of it may have bars in a range."""
        return self._replace(
            parent=touching(self.parent, of), own=touching(self.own, of), imported=touching(self.imported, of)
        )


@dataclass
class Compared:
    """States compared, how many differ, and the first differences."""

    states: int = 0
    differ: int = 0
    first: list[Difference] = field(default_factory=list)


class Comparison:
    """One comparison. A context manager; not thread safe. `collected` takes all that differs, where it is a list."""

    collected: list[Differing] | None = None

    def __init__(self, fetch: Locate, limits: Limits, on_damage: OnDamage | None = None) -> None:
        self.compared = Compared()
        self._fetch = fetch
        self._connect = partial(limits.connect, on_damage)
        self._waiting: dict[DeltaKey, list[Row]] = {}
        self._tables: dict[DeltaKey, tuple[str, int]] = {}

    def __enter__(self) -> "Comparison":
        return self

    def __exit__(self, *_: object) -> None:
        if "_con" in self.__dict__:
            self._con.close()

    @cached_property
    def _con(self) -> duckdb.DuckDBPyConnection:
        """The session, opened by the first statement: a version that waits for cells compares nothing, each time."""
        return self._connect()

    def add(self, delta_key: DeltaKey, view: View, rows: Iterable[Row]) -> None:
        """Rows of cells that joined."""
        waiting = self._waiting.setdefault(delta_key, [])
        waiting += rows
        if len(waiting) >= CHUNK_ROWS:
            self._flush(delta_key, view)

    def base(self, view: View, sides: Sequence[Side]) -> None:
        """Compare shards at the base interval. Imported history is in no cell: it is summarised from its files."""
        for some in together(sides, lambda side: side.rows):
            for of in self._ranges(view.intervals[0], [each for side in some for each in side.spread]):
                self._base(view, [side.touching(of) for side in some], of)

    def coarser(self, view: View, parts: Iterable[Part]) -> None:
        """Compare the coarser published intervals of each shard with the merge of the finer ones."""
        for some in together(_by_shard(parts), lambda of: sum(part.file.rows for part in of)):
            for interval in view.intervals[1:]:
                below = finer_published(view, interval).text
                finer, own = ([p for of in some for p in of if p.interval == text] for text in (below, interval.text))
                apart = numbered(view)
                for of in self._ranges(interval, [Spread(p.low, p.high, p.file.rows) for p in finer]):
                    states = self._states(view, touching(finer, of), of)
                    self._make("expected", merge_sql(apart, f"({states})", interval))
                    self._make("found", self._states(view, touching(own, of), of))
                    self._compare(view, interval.text)

    def archived(self, view: View, shard: int, parts: Sequence[Part], events: Sequence[ArchiveFile], of: Times) -> None:
        """Compare a shard's bars at the base in a range of time with the events of the archive there."""
        if events:
            files = self._files(entry.file for entry in events)
            states = summarise_sql(view, f"({_events_within(view, files, of)})")
            self._make("expected", numbered_sql(view, shard, f"({states})"))
        else:
            self._make("expected", self._states(view, ()))
        self._within(view, view.intervals[0], parts, of)

    def merged(self, view: View, interval: Interval, parts: Sequence[Part], finer: Sequence[Part], of: Times) -> None:
        """Compare a shard's bars at a coarser interval in a range of time with those of a finer one."""
        states = self._states(view, finer, of)
        self._make("expected", merge_sql(numbered(view), f"({states})", interval))
        self._within(view, interval, parts, of)

    def _ranges(self, interval: Interval, spread: Iterable[Spread]) -> list[Times]:
        # What differs is merged to coarser bars, which may lie in two ranges.
        return ranges(spread, interval) if self.collected is None else [EVERYTHING]

    def _base(self, view: View, sides: Sequence[Side], of: Times) -> None:
        apart = numbered(view)
        more = [self._waiting_cells(view, sides, of)]
        for side in sides:
            shard = side.delta_key.partition
            if side.delta_key in self._tables:
                cells = self._tables[side.delta_key][0]
                more.append(numbered_sql(view, shard, cells if of == EVERYTHING else f"({_within(cells, of)})"))
            if side.imported:
                files = self._files(entry.file for entry in side.imported)
                if of != EVERYTHING:
                    files = f"({_events_within(view, files, of)})"
                more.append(numbered_sql(view, shard, f"({summarise_sql(view, files)})"))
        merged = merge_sql(apart, f"({' UNION ALL '.join(more)})")
        parent = [part for side in sides for part in side.parent]
        if parent:
            self._make("more", merged)  # read twice
            many = len(parent) > len({part.shard for part in parent})
            before = self._states(view, parent, of)
            self._make("before", merge_sql(apart, f"({before})") if many else before)
            self._make("expected", grown_sql(apart, "before", "more"))
        else:
            self._make("expected", merged)
        # A bar lies in one of them: the slices of a run share none.
        self._make("found", self._states(view, [part for side in sides for part in side.own], of))
        self._compare(view, view.base)
        if self.collected is not None:
            self.collected += self._differing(view)

    def _within(self, view: View, interval: Interval, parts: Sequence[Part], of: Times) -> None:
        self._make("found", merge_sql(numbered(view), f"({self._states(view, parts, of)})", interval))
        self._compare(view, interval.text)

    def _differing(self, view: View) -> Iterator[Differing]:
        for interval in view.intervals:
            for side in ("expected", "found"):
                self._make(f"{side}_there", merge_sql(view, side, interval))
            self._make("places", differing_sql(view, "expected_there", "found_there"))
            sides = (at_sql(view, f"{side}_there", "places") for side in ("expected", "found"))
            expected, found = (self._con.sql(side).to_arrow_table() for side in sides)
            if expected.num_rows or found.num_rows:
                yield Differing(view, interval, expected, found)

    def _compare(self, view: View, interval: str) -> None:
        apart = numbered(view)
        self._make(
            "places",
            f"{differing_sql(apart, 'expected', 'found')} UNION {repeated_sql(apart, 'expected')} "
            f"UNION {repeated_sql(apart, 'found')}",
        )
        compared = self.compared
        counts = ", ".join(f"({count_sql(name)})" for name in ("expected", "found", "places"))
        ((expected, found_rows, differ),) = self._con.execute(f"SELECT {counts}").fetchall()
        compared.states += max(expected, found_rows)
        compared.differ += differ
        if not differ or len(compared.first) >= FIRST:
            return
        self._make("first_places", first_sql(apart, "places", FIRST))
        sides = [
            rows_of(apart, self._con.sql(at_sql(apart, side, "first_places")).to_arrow_table())
            for side in ("expected", "found")
        ]
        for each in explain(apart, *sides)[: FIRST - len(compared.first)]:
            *key, shard = each.key
            compared.first.append(Difference(view.name, interval, int(shard), *each._replace(key=tuple(key))))

    def _flush(self, delta_key: DeltaKey, view: View) -> None:
        """Move cells that wait into a table: they are many."""
        name, rows = self._tables.get(delta_key, (f"cells_{len(self._tables)}", 0))
        waiting = self._waiting.pop(delta_key)
        self._con.register("chunk", table_of(view, waiting))
        chunk = states_sql(view, "chunk")
        if delta_key in self._tables:
            self._con.execute(f"INSERT INTO {name} {chunk}")
        else:
            self._make(name, chunk)
        rows += len(waiting)
        if rows >= MERGE_ROWS:
            self._make("merged", merge_sql(view, name))
            self._make(name, "SELECT * FROM merged")
            rows = 0
        self._tables[delta_key] = name, rows

    def _waiting_cells(self, view: View, sides: Iterable[Side], of: Times) -> str:
        """One SELECT of the cells that wait, with the shards that they are of; of one range among several, none: they
        are needed again.
        """
        apart = numbered(view)
        if of != EVERYTHING:
            for delta_key in {side.delta_key for side in sides} & self._waiting.keys():
                self._flush(delta_key, view)
        tables = [apart.state_schema.empty_table()]
        for delta_key in (side.delta_key for side in sides):
            states = table_of(view, self._waiting.pop(delta_key, ()))
            shards = pa.repeat(pa.scalar(delta_key.partition, pa.int64()), states.num_rows)
            columns = dict(zip(states.column_names, states.columns, strict=True)) | {NUMBER: shards}
            tables.append(pa.table(columns, schema=apart.state_schema))
        self._con.register("waiting", pa.concat_tables(tables))
        return states_sql(apart, "waiting")

    def _states(self, view: View, parts: Iterable[Part], within: Times = EVERYTHING) -> str:
        """One SELECT of the states of parts in a range, with their shards."""
        found = [numbered_sql(view, of[0].shard, self._files(part.file for part in of)) for of in _by_shard(parts)]
        if found:
            together = " UNION ALL ".join(found)
            return together if within == EVERYTHING else _within(f"({together})", within)
        self._con.register("nothing", numbered(view).state_schema.empty_table())
        return "SELECT * FROM nothing"

    def _files(self, files: Iterable[StoredFile]) -> str:
        return files_sql(file.checked(self._fetch) for file in files)

    def _make(self, name: str, select: str) -> None:
        self._con.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS {select}")


def touching(entries: Iterable[_E], of: Times) -> list[_E]:
    """Those that may have bars or events in a range of time."""
    return [entry for entry in entries if entry.low < of.high and entry.high >= of.low]


def _by_shard(parts: Iterable[Part]) -> list[list[Part]]:
    found: dict[int, list[Part]] = {}
    for part in parts:
        found.setdefault(part.shard, []).append(part)
    return [of for _, of in sorted(found.items())]


def _within(states: str, of: Times) -> str:
    return f"SELECT * FROM {states} WHERE start >= {of.low} AND start < {of.high}"


def _events_within(view: View, events: str, of: Times) -> str:
    return f"SELECT * FROM {events} WHERE {view.stream.time} >= {of.low} AND {view.stream.time} < {of.high}"
