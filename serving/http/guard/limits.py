"""What one client may take: sizes in bytes, times in seconds. Settings hold the two that depend on the machine."""

from dataclasses import dataclass


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
    """How long a connection is kept for another request."""
    linger_s: float = 1.0
    """How long a refused client, which may still be sending, has to read why."""
    pause_s: float = 0.04
    """How long a connection that was refused for load is not read, doubled each time it is refused again."""
    longest_pause_s: float = 1.0
    """Where that ends: at what `Retry-After` says, so that a client who does as it is told is never read late."""
    sweep_s: float = 0.5
    """How often connections are looked at; every time above may be longer by this."""
