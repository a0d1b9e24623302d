"""Closed bars whose answers differ, found in one DuckDB session and written as one ledger.

    find(cause, intervals, before, after)   states of both sides  ->  rows of the table `restated`
    write(...)                              `restated`  ->  archive/<run id>/restatements.parquet

A run compares the bars of the table `places` (`slackwater.restatements.of_run`), a move of the pointer all that
`newest` closes (`slackwater.restatements.of_move`). States and places of several intervals are told apart by their
level (`slackwater.restatements.sql`).
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import duckdb
import pyarrow as pa

from slackwater.restatements.ledger import Cause
from slackwater.restatements.sql import (
    NO_PLACES,
    RESTATED_COLUMNS,
    answers_sql,
    at_level_sql,
    causes_sql,
    closed_sql,
    imported_at_sql,
    ledger_sql,
    leveled,
    newest_sql,
    restated_sql,
    starts_sql,
    states_at_sql,
    summed_sql,
    with_level_sql,
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
    """What one of two versions holds: states of a view with their level, as a relation with a row a bar."""

    view: View
    states: str


def one_level(view: View, states: str) -> Side:
    """States of one interval."""
    return Side(view, f"({with_level_sql(states, 0)})")


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
        self._starts: Mapping[int, list[int]] = {}
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

    def states(self, view: View, interval: Interval, manifest: Manifest) -> str:
        """One SELECT of a version's states; where their files are damaged, made again of its archive."""
        files = [part.file for part in manifest.parts_of(view.name, interval.text)]
        if not files:
            return states_sql(view, self._nothing(view))
        if not self._sound(files):
            return summarise_sql(view, self.checked([entry.file for entry in manifest.archive_of(view.stream)]))
        return states_sql(view, self.files(files))

    def hold_places(self) -> list[int]:
        """Know the starts in the table `places`, which was made; the levels that it holds."""
        self._starts = defaultdict[int, list[int]](list)
        for level, start in self.con.execute(starts_sql("places")).fetchall():
            self._starts[level].append(start)
        return list(self._starts)

    def states_at_places(
        self, view: View, parts: Sequence[Part], intervals: Sequence[Interval], manifest: Manifest | None = None
    ) -> str:
        """One SELECT of the states of some parts with their level, of the bars in the table `places`; a bar may stand
        in several rows. Of what files of the version `manifest` are damaged, states are made again of its archive.
        """
        own = leveled(view)
        found = []
        for level, starts in self._starts.items():
            text = intervals[level].text
            files = [
                part.file
                for part in parts
                if (part.view, part.interval) == (view.name, text)
                and bisect_right(starts, part.high) > bisect_left(starts, part.low)
            ]
            if not files:
                continue
            places = f"({at_level_sql('places', level)})"
            if manifest is not None and not self._sound(files):
                events = self.checked([entry.file for entry in manifest.archive_of(view.stream)])
                of_places = imported_at_sql(view.stream, events, places, intervals[level])
                self.make("again", with_level_sql(f"({of_places})", level))
                self.make(f"again_{level}", summed_sql(view, "again", intervals))
                found.append(states_sql(own, f"again_{level}"))
            else:
                held = f"({states_at_sql(view, self.files(files), places)})"
                found.append(states_sql(own, f"({with_level_sql(held, level)})"))
        nothing = states_sql(own, f"({with_level_sql(self._nothing(view), 0)})")
        return " UNION ALL ".join(found or [nothing])

    def find(
        self,
        cause: Cause,
        intervals: Sequence[Interval],
        before: Side,
        after: Side,
        added: str = NO_PLACES,
        all_closed: bool = False,
    ) -> None:
        """Add the bars whose answers differ, with what `added` says of them.

        Both sides hold closed bars alone, if `all_closed`; else `newest` says which are.
        """
        answers = answers_sql(before, after)
        if not all_closed:
            answers = closed_sql(answers, "newest", intervals)
        self.con.execute(f"INSERT INTO restated {restated_sql(after.view, intervals, cause, answers, added)}")

    def counts(self) -> dict[str, int]:
        """Cause -> how many were found."""
        return dict(self.con.execute(causes_sql("restated")).fetchall())

    def write(self, epoch: str, number: int, at_us: int, counts: Mapping[str, int]) -> Ledger:
        """Write what was found durably, under the number of the version or move that it came with."""
        path = self._store.data.create(f"archive/{epoch}/restatements.parquet")
        self.con.execute("SET preserve_insertion_order = true")
        self.con.execute(f"COPY ({ledger_sql(number, 'restated')}) TO {literal_sql(str(path))} (FORMAT parquet)")
        return Ledger(self._store.stored(path, sum(counts.values())), number, at_us, counts)

    def _sound(self, files: list[StoredFile]) -> bool:
        try:
            self._check(files)
        except DamagedFileError:
            return False
        return True

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
