"""The closed bars that two versions answer differently while both stand at one position of the log.

    states of a version (+) trades of the log that only the other one archived (+) what is beyond both cuts

So what differs is what the log does not tell: another definition, imported history, and versions that are wrong.
"""

from collections.abc import Iterable, Sequence

import duckdb

from slackwater.deltas.tail import Beyond
from slackwater.restatements.restate import (
    NEWEST_COLUMNS,
    NO_PLACES,
    answers_sql,
    causes_sql,
    closed_sql,
    from_offsets_sql,
    newest_sql,
    restated_sql,
)
from slackwater.restatements.restatement import Cause
from slackwater.versions.errors import DamagedFileError
from slackwater.versions.manifest import Manifest, StoredFile
from slackwater.versions.store import VersionStore
from slackwater.views.compare import states_sql
from slackwater.views.interval import PUBLISHED_INTERVALS, Interval
from slackwater.views.rows import table_of
from slackwater.views.session import files_sql
from slackwater.views.sql import merge_sql, summarise_sql
from slackwater.views.view import View


class RestatedBetween:
    """Two versions in a DuckDB session of their own, which is left with the table `restated`.

    Raises:
        DamagedFileError: a file of the archive that is needed.
    """

    def __init__(
        self, con: duckdb.DuckDBPyConnection, store: VersionStore, before: Manifest, after: Manifest, beyond: Beyond
    ) -> None:
        self._con = con
        self._store = store
        self._before = before
        self._after = after
        self._beyond = beyond
        self._damaged = {manifest.version for manifest in (before, after) if self._is_damaged(manifest)}

    def find(self, pairs: Sequence[tuple[View, View]], cause: Cause) -> dict[str, int]:
        """Find the bars, `pairs` being the views of both sides; the cause and how many there are."""
        if not pairs:
            return {}
        self._make_newest(pairs)
        selects = [
            restated_sql(
                new,
                interval,
                cause,
                self._answers(old, interval, self._before, self._after),
                self._answers(new, interval, self._after, self._before),
                NO_PLACES,
            )
            for old, new in pairs
            for interval in PUBLISHED_INTERVALS
        ]
        self._con.execute(f"CREATE OR REPLACE TEMP TABLE restated AS {selects[0]}")
        for select in selects[1:]:
            self._con.execute(f"INSERT INTO restated {select}")
        return dict(self._con.execute(causes_sql("restated")).fetchall())

    def _make_newest(self, pairs: Sequence[tuple[View, View]]) -> None:
        """The newest time of each instrument, to the second, which is all that closing a bar asks for."""
        self._con.execute(f"CREATE OR REPLACE TEMP TABLE known ({NEWEST_COLUMNS})")
        for manifest in (self._before, self._after):
            self._con.register("given", manifest.instruments.table())
            self._con.execute("INSERT INTO known SELECT venue, symbol, first_start, last_start FROM given")
            self._con.unregister("given")
        for view in dict.fromkeys(view for pair in pairs for view in pair):
            self._con.register(_beyond(view), table_of(view, self._beyond.rows.get(view, ())))
            self._con.execute(f"INSERT INTO known SELECT venue, symbol, start, start FROM {_beyond(view)}")
        self._con.execute(f"CREATE OR REPLACE TEMP TABLE newest AS {newest_sql('known')}")

    def _answers(self, view: View, interval: Interval, own: Manifest, other: Manifest) -> str:
        """The closed bars of one side."""
        parts = [states_sql(view, _beyond(view))]
        files = [entry.file for entry in own.files_of(view.name, interval.text)]
        if own.version in self._damaged:
            parts.append(summarise_sql(view, self._files(entry.file for entry in own.archive)))
        elif files:
            parts.append(states_sql(view, self._files(files)))
        further = [
            entry.file
            for entry in other.archive
            if entry.upto is not None and entry.upto > own.cut.get(entry.partition, 0)
        ]
        if further:
            self._store.check(further)
            events = from_offsets_sql(self._files(further), own.cut)
            parts.append(summarise_sql(view, f"({events})"))
        states = merge_sql(view, f"({' UNION ALL '.join(parts)})", interval)
        answers = f"({answers_sql(view, f'({states})')})"
        return f"({closed_sql(answers, 'newest', interval)})"

    def _is_damaged(self, manifest: Manifest) -> bool:
        """Whether its views must be made again of its archive."""
        try:
            self._store.check(entry.file for entry in manifest.views)
        except DamagedFileError:
            self._store.check(entry.file for entry in manifest.archive)
            return True
        return False

    def _files(self, files: Iterable[StoredFile]) -> str:
        return files_sql(file.checked(self._store.home) for file in files)


def _beyond(view: View) -> str:
    return f"beyond_{view.definition}"
