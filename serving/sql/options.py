"""How much `POST /v1/sql` may take. Apart from what uses it, since the service's own options hold it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class SqlOptions:
    """How much queries take. `memory_bytes` is for each that runs, beside about 100 MB of its process."""

    running: int = 2
    waiting: int = 4
    deadline_s: float = 10.0
    memory_bytes: int = 512 * 1024 * 1024
    threads: int = 1
