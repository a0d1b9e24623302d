"""Closed bars whose answers differ, found in one DuckDB session and written as one ledger.

    find(cause, interval, before, after)    states of both sides  ->  rows of the table `restated`
    write(...)                              `restated`  ->  archive/<run id>/restatements.parquet

A run compares the bars of the table `places` (`slackwater.restatements.of_run`), a move of the pointer all that
`newest` closes (`slackwater.restatements.of_move`).
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import duckdb
import pyarrow as pa

from slackwater.restatements.ledger import Cause
from slackwater.restatements.sql import (
    NO_PLACES,
    RESTATED_COLUMNS,
    answers_sql,
    causes_sql,
    closed_sql,
    imported_at_sql,
    ledger_sql,
    newest_sql,
    restated_sql,
    starts_sql,
    states_at_sql,
)
from slackwater.versions.errors import DamagedFileError
from slackwater.versions.manifest import Ledger, Manifest, Part, StoredFile
from slackwater.versions.store import VersionStore
from slackwater.views.compare import states_sql
from slackwater.views.interval import Interval
from slackwater.views.session import files_sql
from slackwater.views.sql import literal_sql, summarise_sql
from slackwater.views.view import View

Check = Callable[[list[StoredFile]], None]
"""Compares files with what a manifest says of them. Raises DamagedFileError."""


class Side(NamedTuple):
    """What one of two versions holds: states of a view, as a relation with a row a bar."""

    view: View
    states: str


class Finder:
    """Finds them. Not thread safe. All tables are temporary ones of the session. `check` is for the parts of views; by
    itself it reads them whole.

    Raises:
        DamagedFileError: by `states`, a file of the archive that is needed.
        duckdb.IOException, OSError: a file cannot be read, or the disk is full.
    """

    def __init__(self, con: duckdb.DuckDBPyConnection, store: VersionStore, check: Check | None = None) -> None:
        self.con = con
        self._store = store
        self._check = check or store.check
        con.execute(f"CREATE OR REPLACE TEMP TABLE restated ({RESTATED_COLUMNS})")

    def make(self, name: str, select: str) -> None:
        """Make a table, in place of one of its name."""
        self.con.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS {select}")

    def close_bars(self, known: Iterable[pa.Table]) -> None:
        """Make the table `newest`, which closes bars: of tables of entities with their first and last base start."""
        names = []
        for number, table in enumerate(known):
            names.append(f"known_{number}")
            self.con.register(names[-1], table)
        self.make("newest", newest_sql(names))

    def states(self, view: View, interval: Interval, manifest: Manifest, places: bool = False) -> str:
        """One SELECT of a version's states; where their files are damaged, made again of its archive.

        `places`: of the bars in the table of that name alone.
        """
        parts = manifest.parts_of(view.name, interval.text)
        files = [part.file for part in (self.at_places(parts) if places else parts)]
        if not files:
            return states_sql(view, self._nothing(view))
        try:
            self._check(files)
        except DamagedFileError:
            events = self.checked([entry.file for entry in manifest.archive_of(view.stream)])
            return summarise_sql(
                view, f"({imported_at_sql(view.stream, events, 'places', interval)})" if places else events
            )
        relation = self.files(files)
        return states_at_sql(view, relation, "places") if places else states_sql(view, relation)

    def at_places(self, parts: Sequence[Part]) -> list[Part]:
        """The parts that may hold bars in the table `places`: most of history does not."""
        starts = [start for (start,) in self.con.execute(starts_sql("places")).fetchall()]
        return [part for part in parts if bisect_right(starts, part.high) > bisect_left(starts, part.low)]

    def states_at_places(self, view: View, parts: Sequence[Part]) -> str:
        """One SELECT of the states of some parts, of the bars in the table `places`."""
        files = [part.file for part in self.at_places(parts)]
        return states_at_sql(view, self.files(files) if files else self._nothing(view), "places")

    def find(
        self,
        cause: Cause,
        interval: Interval,
        before: Side,
        after: Side,
        added: str = NO_PLACES,
        all_closed: bool = False,
    ) -> None:
        """Add the bars whose answers differ, with what `added` says of them.

        Both sides hold closed bars alone, if `all_closed`; else `newest` says which are.
        """
        was, now = (f"({answers_sql(*side)})" for side in (before, after))
        if not all_closed:
            was, now = (f"({closed_sql(answers, 'newest', interval)})" for answers in (was, now))
        self.con.execute(f"INSERT INTO restated {restated_sql(after.view, interval, cause, was, now, added)}")

    def counts(self) -> dict[str, int]:
        """Cause -> how many were found."""
        return dict(self.con.execute(causes_sql("restated")).fetchall())

    def write(self, epoch: str, number: int, at_us: int, counts: Mapping[str, int]) -> Ledger:
        """Write what was found durably, under the number of the version or move that it came with."""
        path = self._store.data.create(f"archive/{epoch}/restatements.parquet")
        self.con.execute("SET preserve_insertion_order = true")
        self.con.execute(f"COPY ({ledger_sql(number, 'restated')}) TO {literal_sql(str(path))} (FORMAT parquet)")
        return Ledger(self._store.stored(path, sum(counts.values())), number, at_us, counts)

    def _nothing(self, view: View) -> str:
        name = f"nothing_{view.definition}"
        self.con.register(name, view.state_schema.empty_table())
        return name

    def files(self, files: Iterable[StoredFile]) -> str:
        """The rows of files."""
        return files_sql(file.checked(self._store.data.fetch) for file in files)

    def checked(self, files: list[StoredFile]) -> str:
        """The same, after each file was compared with its SHA-256."""
        self._store.check(files)
        return self.files(files)
