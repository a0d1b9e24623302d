"""How much a server takes for itself, and whom it lets in: a value for each part. Times in seconds."""

from dataclasses import dataclass, field
from typing import Literal

from slackwater.core.rate import Rate

Incomplete = Literal["answer", "refuse"]


@dataclass(frozen=True)
class Limits:
    """Where a connection ends or a request is refused. Every time is of one connection, by the event loop's clock."""

    requests: int = 80
    """In work and waiting at once, over all connections; streams, health and figures are not counted."""
    connections: int = 4_000
    url: int = 8_192
    headers: int = 100
    head: int = 32_768
    """Request line and headers together."""
    body: int = 65_536
    head_s: float = 10.0
    """From the first byte of a request (of a new connection: from its beginning) to the end of its headers."""
    body_s: float = 10.0
    answer_s: float = 300.0
    """From the end of the headers to the first byte of the answer. Reads have a deadline of their own, far below; a
    rollback reads every file of a version first."""
    stalled_s: float = 30.0
    """How long a client may read nothing of what waits for it."""
    idle_s: float = 20.0
    """How long a connection stays open for another request."""
    linger_s: float = 1.0
    """How long a refused client, which may still be sending, has to read why."""
    pause_s: float = 0.04
    """How long a connection that was refused for load is not read, doubled each time it is refused again."""
    longest_pause_s: float = 1.0
    """Where that ends: at what `Retry-After` says, so that a client that waits as long is never read late."""
    sweep_s: float = 0.5
    """How often connections are looked at; every time above may be longer by this."""


@dataclass(frozen=True)
class GuardOptions:
    """What the guard asks for. `hosts` None: any Host; else those names, beside localhost and plain addresses."""

    require_key: bool = False
    hosts: frozenset[str] | None = None
    rate: Rate | None = None
    cors_origins: tuple[str, ...] = ()


@dataclass(frozen=True)
class ObservedOptions:
    """What is logged: every request, and those that take `slow_s` seconds; 0: none."""

    access_log: bool = False
    slow_s: float = 1.0


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
