"""The ledger of what was declared of instruments. It only grows, outside the versions.

    <home>/instruments/3.json     some rows, by whom, when and why; a later one counts where both name one time

Files are written whole under the publish lock, as corrections are, so that a backup has all of them or the ones before.
What was replaced stays readable here. Not here: what a row would add (`slackwater.instruments.judged`).
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

from slackwater.core.faults import reach
from slackwater.instruments.errors import FactsError
from slackwater.instruments.facts import Facts
from slackwater.instruments.given import facts_of
from slackwater.instruments.judged import Judged, judge
from slackwater.instruments.table import NOTHING_DECLARED, Table
from slackwater.store.files import FileState
from slackwater.versions.errors import RecordError
from slackwater.versions.record import decode_record, encode_record
from slackwater.versions.store import VersionStore


@dataclass(frozen=True)
class Declared:
    """One file: rows that were added together. Time in microseconds since the epoch, UTC."""

    number: int
    rows: tuple[Facts, ...]
    at_us: int
    by: str
    reason: str


class InstrumentsLedger:
    """The ledger of one home. Thread safe; any number of processes may read and write."""

    def __init__(self, store: VersionStore) -> None:
        self._store = store
        self._folder = store.home / "instruments"
        self._lock = Lock()
        self._known, self._table = 0, NOTHING_DECLARED
        self._seen: FileState | None = None

    def table(self) -> Table:
        """All that is declared. Files are read once; the folder is looked at again once it changed.

        Raises:
            RecordError: a file is missing or cannot be read.
        """
        with self._lock:
            state = self._state()
            if state is None or state != self._seen or not state.settled:
                more = self._after(self._known)
                self._table = self._table.with_rows(row for one in more for row in one.rows)
                self._known += len(more)
                self._seen = state
            return self._table

    def all(self) -> list[Declared]:
        """Every file, in order. Raises RecordError."""
        return self._after(0)

    def declare(
        self,
        rows: Sequence[Facts],
        at_us: int,
        by: str,
        reason: str = "",
        replace: bool = False,
        whole: bool = False,
    ) -> Judged:
        """Add what is new of some rows; durable when it returns. Where it is `whole`, a conflict keeps all of it out.

        Raises:
            RecordError: what was declared cannot be read, so it is not known what is new.
        """
        if not rows:
            return judge(NOTHING_DECLARED, ())
        with self._store.locked():
            found = judge(self.table(), rows, replace)
            if found.new and not (whole and found.conflicts):
                self._record(found.new, at_us, by, reason)
            elif self._known:  # whoever wrote it may have been killed before it was durable
                self._store.files.sync(self._path(self._known))
        return found

    def _record(self, rows: Sequence[Facts], at_us: int, by: str, reason: str) -> None:
        """Write the next file: whole or not at all. Under the publish lock."""
        with suppress(FileExistsError):
            self._store.files.make_folder(self._folder)
        reach("instruments.before")
        body = {"rows": [row.given() for row in rows], "at_us": at_us, "by": by, "reason": reason}
        self._store.files.replace(self._path(self._known + 1), encode_record(body))
        reach("instruments.after")

    def _state(self) -> FileState | None:
        try:
            return self._store.files.state(self._folder)
        except OSError:
            return None

    def _last(self) -> int:
        names = (name.removesuffix(".json") for name in self._store.files.names(self._folder))
        return max((int(name) for name in names if name.isdigit()), default=0)

    def _path(self, number: int) -> Path:
        return self._folder / f"{number}.json"

    def _after(self, number: int) -> list[Declared]:
        return [self._read(each) for each in range(number + 1, self._last() + 1)]

    def _read(self, number: int) -> Declared:
        path = self._path(number)
        try:
            body: dict[str, Any] = decode_record(self._store.files.read(path), path)
            rows = tuple(map(facts_of, body["rows"]))
            return Declared(number, rows, body["at_us"], body["by"], body["reason"])
        except (OSError, TypeError, KeyError, AttributeError, FactsError) as error:
            raise RecordError(path, str(error)) from error
