"""How much the service takes for itself: a value for each part. Times in seconds."""

from dataclasses import dataclass, field
from typing import Literal

from slackwater.http.options import GuardOptions, Limits, ObservedOptions

Incomplete = Literal["answer", "refuse"]


@dataclass(frozen=True)
class StreamOptions:
    """How many streams at once, and in seconds: the longest silence, and how long a client may take nothing."""

    most: int = 2_000
    heartbeat_s: float = 10.0
    stuck_s: float = 15.0
    tick_s: float = 1.0


@dataclass(frozen=True)
class SqlOptions:
    """How much queries take. `memory_bytes` is for each that runs, beside about 100 MB of its process."""

    running: int = 2
    waiting: int = 4
    deadline_s: float = 10.0
    memory_bytes: int = 512 * 1024 * 1024
    threads: int = 1


@dataclass(frozen=True)
class ServingOptions:
    """All of them. A scrub of 0 bytes a second reads nothing again; without `sql` there is no `POST /v1/sql`.

    `cached_row_bytes` and `cached_reply_bytes` bound the caches of batch rows and of replies. `incomplete` says what
    becomes of an answer that may miss deltas: it is given and says so, or it is refused with 503.
    """

    workers: int = 2
    waiting: int = 64
    deadline_s: float = 10.0
    cached_row_bytes: int = 96 * 1024 * 1024
    cached_reply_bytes: int = 64 * 1024 * 1024
    exports: int = 4
    poll_s: float = 0.2
    watch_every_s: float = 0.1
    scrub_bytes_per_s: int = 16_000_000
    guard: GuardOptions = field(default_factory=GuardOptions)
    streams: StreamOptions = field(default_factory=StreamOptions)
    observed: ObservedOptions = field(default_factory=ObservedOptions)
    limits: Limits = field(default_factory=Limits)
    sql: SqlOptions | None = None
    incomplete: Incomplete = "answer"
