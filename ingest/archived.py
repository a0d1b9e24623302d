"""What the master dataset knows of trade ids: which there are (sorted runs), and the contents of those asked for.

Ids come from the id files and stay in memory; contents stay on disk and are read by id, since only an id that comes
again asks for one. Not here: what is known since the cut (`slackwater.streams.digests`), who asks (`ingest.known`).
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from ingest.errors import ArchiveGapError
from slackwater.core.checked_files import damage_in
from slackwater.store.id_runs import IdRuns, Instrument
from slackwater.streams.digests import content_digests
from slackwater.streams.trades import TRADES
from slackwater.versions.inspector import Inspector
from slackwater.versions.manifest import StoredFile
from slackwater.views.session import connect, files_sql


class RunIndex:
    """The runs of ids, for many ids at once. A run holds both its ends; runs do not touch."""

    def __init__(self, runs: IdRuns) -> None:
        table = runs.table()
        self._runs: dict[Instrument, tuple[Any, Any]] = {}
        names = list(zip(table.column("venue").to_pylist(), table.column("symbol").to_pylist(), strict=True))
        firsts, lasts = table.column("first").to_numpy(), table.column("last").to_numpy()
        start = 0
        for at in range(1, len(names) + 1):
            if at == len(names) or names[at] != names[start]:
                self._runs[names[start]] = (firsts[start:at], lasts[start:at])
                start = at

    @property
    def instruments(self) -> Collection[Instrument]:
        """The instruments that have a run."""
        return self._runs.keys()

    def contains(self, instrument: Instrument, ids: Any) -> Any:
        """Which of `ids` are in a run."""
        if instrument not in self._runs:
            return np.zeros(len(ids), bool)
        firsts, lasts = self._runs[instrument]
        at = np.searchsorted(firsts, ids, side="right") - 1
        return (at >= 0) & (ids <= lasts[at])


class Contents:
    """Events of archive files by id. `files` are (partition, file) pairs; each is inspected before it is read."""

    def __init__(self, files: Iterable[tuple[int, StoredFile]], inspector: Inspector) -> None:
        self._files = list(files)
        self._inspector = inspector
        self._con: duckdb.DuckDBPyConnection | None = None

    def same(self, partition: int, instrument: Instrument, ids: Any, digests: Any) -> Any:
        """Which of `ids`, each of which the archive has, have an archived content of that digest.

        The partition's own files are asked first; the others only for what those lack (partitions were added since).

        Raises:
            ArchiveGapError: no file holds one of the ids.
            DamagedFileError: a file is gone, or not what the manifest says.
        """
        own = [file for of, file in self._files if of == partition]
        others = [file for of, file in self._files if of != partition]
        known = self._pairs(own, instrument, ids)
        missing = np.setdiff1d(ids, known[0])
        if len(missing):
            known_ids, known_digests = self._pairs(others, instrument, missing)
            missing = np.setdiff1d(missing, known_ids)
            if len(missing):
                raise ArchiveGapError(instrument, len(missing), int(missing[0]))
            known = np.concatenate([known[0], known_ids]), np.concatenate([known[1], known_digests])
        pairs = set(zip(known[0].tolist(), known[1].tolist(), strict=True))
        return np.fromiter((pair in pairs for pair in zip(ids.tolist(), digests.tolist(), strict=True)), bool, len(ids))

    def close(self) -> None:
        """Release the session."""
        if self._con is not None:
            self._con.close()

    def _pairs(self, files: Sequence[StoredFile], instrument: Instrument, ids: Any) -> tuple[Any, Any]:
        if not files:
            return np.zeros(0, np.int64), np.zeros(0, np.uint64)
        self._inspector.check(files)
        names = [self._inspector.name(file) for file in files]
        if self._con is None:
            self._con = connect(threads=1, memory_limit="512MB")
        self._con.register("wanted", pa.table({"trade_id": np.unique(ids)}))
        columns = ", ".join(TRADES.schema.names)
        # The bounds let row groups be passed over by their statistics.
        query = (
            f"SELECT {columns} FROM {files_sql(names)} SEMI JOIN wanted USING (trade_id) "
            "WHERE venue = ? AND symbol = ? AND trade_id BETWEEN ? AND ?"
        )
        try:
            found = self._con.sql(query, params=[*instrument, int(ids.min()), int(ids.max())]).to_arrow_table()
        except duckdb.IOException as error:
            raise OSError(str(error)) from error
        except duckdb.Error as error:
            if damage_in(error) is None:
                raise
            raise OSError(": ".join(damage_in(error) or ())) from error
        finally:
            self._con.unregister("wanted")
        return found.column("trade_id").to_numpy(), content_digests(TRADES, found.cast(TRADES.schema))
