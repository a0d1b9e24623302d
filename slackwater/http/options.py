"""What a service lets in, and what it logs of it: a value for each part. Times in seconds."""

from dataclasses import dataclass

from slackwater.core.rate import Rate


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
