"""Databases that wait for their next session: to open one costs DuckDB 20 ms, more than most steps of a small run.

    session   a cursor of a database that no other session has; its temporary tables and names go with it
    after it  the database waits, and keeps no byte of a file that it read; one that spilled is given up

Not here: databases that stay open, or whose settings are locked (`slackwater.views.session.connect`).
"""

import weakref
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

import duckdb

from slackwater.core.checked_files import PROTOCOL, CheckedFiles, OnDamage
from slackwater.views.session import connect

MOST_WAITING = 4
"""Databases of the same settings that wait: about what the steps of a run have open at once."""


class Databases:
    """Databases of one process. Thread safe: what waits is taken from a list and put back in one step each."""

    def __init__(self) -> None:
        self._waiting: defaultdict[tuple[int, str | None, bool], list[duckdb.DuckDBPyConnection]] = defaultdict(list)

    def session(
        self,
        threads: int = 0,
        memory_limit: str | None = None,
        on_damage: OnDamage | None = None,
        spill: Path | None = None,
    ) -> duckdb.DuckDBPyConnection:
        """A session as of `slackwater.views.session.connect`, to be closed and let go of."""
        kind = (threads, memory_limit, spill is None)
        database = self._known(kind, on_damage, spill)
        if database is None:
            database = connect(threads, memory_limit, on_damage, spill)
            database.execute("SET enable_external_file_cache = false")  # the next session reads from the disk again
        session = database.cursor()
        weakref.finalize(session, self._ended, kind, database, spill).atexit = False
        return session

    def _known(
        self, kind: tuple[int, str | None, bool], on_damage: OnDamage | None, spill: Path | None
    ) -> duckdb.DuckDBPyConnection | None:
        with suppress(IndexError):
            database = self._waiting[kind].pop()
            try:
                if spill is not None:
                    database.execute("SET temp_directory = ?", [str(spill)])
            except duckdb.Error:  # it spilled, and its folder went before its session did
                database.close()
                return None
            database.execute("SET preserve_insertion_order = false")  # a session may have set it otherwise
            database.register_filesystem(CheckedFiles(on_damage))
            return database
        return None

    def _ended(
        self, kind: tuple[int, str | None, bool], database: duckdb.DuckDBPyConnection, spill: Path | None
    ) -> None:
        """Its session is gone. DuckDB keeps to a folder that it has spilled to, so such a database is given up."""
        if len(self._waiting[kind]) >= MOST_WAITING or (spill is not None and spill.exists()):
            database.close()
            return
        database.unregister_filesystem(PROTOCOL)
        self._waiting[kind].append(database)


DATABASES = Databases()
"""Those of this process."""
