"""How much memory and how many threads a batch run takes, and the folder to which its DuckDB sessions spill the rest.

    SLACKWATER_BATCH_MEMORY   4 GB  =  RESERVED_BYTES, the process without DuckDB  +  what its sessions hold together,
                                       a tenth of which is left for what DuckDB does not count
    <home>/spill/<run id>/    tables, sorts and aggregates that do not fit

Whoever opens a session of the batch layer is handed these and asks them for it. The rows and bytes of a result do not
depend on them. Not here: how the settings are read (`slackwater.core.values`), and who removes the folder
(`batch_layer.spill`).
"""

from dataclasses import dataclass, replace
from pathlib import Path

import duckdb

from slackwater.core.checked_files import OnDamage
from slackwater.core.settings import Settings
from slackwater.views.databases import DATABASES

MB = 1_000_000

RESERVED_BYTES = 384 * MB
"""Of the process: Python, Beam, Arrow, and what DuckDB does not count. Measured: 250 to 310 MB."""

LEAST_SESSION_BYTES = 64 * MB

FEW_ROWS = 120_000
"""Rows that one thread handles: DuckDB hands them out in row groups of so many."""


@dataclass(frozen=True)
class Limits:
    """`memory_bytes` is for the whole process, 0 means DuckDB's own limit; `threads` 0 means one a core. `tasks` are
    the sessions that are open at once. `spill` None: DuckDB's own folder.
    """

    memory_bytes: int = 0
    threads: int = 0
    spill: Path | None = None
    tasks: int = 1

    @property
    def session_bytes(self) -> int:
        """What one session may hold."""
        return max(LEAST_SESSION_BYTES, (self.memory_bytes - RESERVED_BYTES) * 9 // 10 // self.tasks)

    def of(self, rows: int) -> "Limits":
        """Those of work on so many rows: where they are few, a second thread costs more than it saves."""
        return replace(self, threads=1) if rows <= FEW_ROWS else self

    def below(self, name: str) -> "Limits":
        """The same, with a folder of its own to spill to."""
        return self if self.spill is None else replace(self, spill=self.spill.joinpath(name))

    def shared(self, tasks: int) -> "Limits":
        """The same for one of several sessions that are open at once."""
        return replace(self, tasks=tasks)

    def connect(self, on_damage: OnDamage | None = None) -> duckdb.DuckDBPyConnection:
        """A session within them; see `slackwater.views.databases`."""
        if self.spill is not None:
            self.spill.parent.mkdir(parents=True, exist_ok=True)  # DuckDB makes the last folder of it alone
        memory = f"{self.session_bytes}B" if self.memory_bytes else None
        return DATABASES.session(self.threads, memory, on_damage, self.spill)

    @property
    def too_small(self) -> str:
        """What to say of work that does not fit."""
        if not self.memory_bytes:
            return "The machine has too little memory for it; SLACKWATER_BATCH_MEMORY bounds it, and the rest spills."
        shared = f" for {self.tasks} tasks at once" if self.tasks > 1 else ""
        return (
            f"SLACKWATER_BATCH_MEMORY is {self.memory_bytes // MB:,} MB{shared}, of which DuckDB has "
            f"{self.session_bytes // MB:,} MB: raise it, or lower SLACKWATER_BATCH_THREADS."
        )


UNLIMITED = Limits()
"""DuckDB's own: 80 % of the machine, all cores."""


def limits_of(settings: Settings) -> Limits:
    """What the settings say; each run spills to a folder of its own below the home folder."""
    return Limits(settings.batch_memory, settings.batch_threads, settings.home.joinpath("spill"))
