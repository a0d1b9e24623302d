"""What crosses the border between a call and the socket, as values: requests, replies, pauses. No I/O is done here.

A call is a generator. It yields what it wants done, is sent what came of it, and returns its answer:

    call                                    shell (`blocking`, `asynchronous`)
      yield Send(GET /v1/bars)       ->       sends it with httpx
      <- Reply(503, Retry-After: 1)
      yield Pause(1.08)              ->       sleeps
      yield Send(GET /v1/bars)       ->
      <- Reply(200, ...)
      return Bars

So retries, pages, events and errors are written once, and are tested without a socket where that is easier.
"""

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Send:
    """A request. `silence_s` without a byte break it off; None: as the client was told. `repeatable`: what comes twice
    counts once, though it is no question.
    """

    path: str
    params: tuple[tuple[str, str], ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    method: str = "GET"
    body: bytes | None = None
    silence_s: float | None = None
    repeatable: bool = False

    @property
    def is_safe(self) -> bool:
        """Whether it may be sent again without knowing what came of it (RFC 9110, 9.2.1)."""
        return self.repeatable or self.method in {"GET", "HEAD", "OPTIONS"}


@dataclass(frozen=True)
class Pause:
    """Wait."""

    seconds: float


@dataclass(frozen=True)
class Open:
    """A request whose answer is read piece by piece."""

    request: Send


@dataclass(frozen=True)
class Read:
    """The next piece of what was opened."""


@dataclass(frozen=True)
class Shut:
    """Let go of what was opened."""


class Reply(NamedTuple):
    """A whole answer. The names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Opened(NamedTuple):
    """An answer of status 200 has begun."""

    headers: Mapping[str, str]


class Piece(NamedTuple):
    """Some bytes; none means that the service ended the answer."""

    data: bytes


class Lost(NamedTuple):
    """The connection could not be made, or broke."""

    reason: str


Call = Generator[Send | Pause, Reply | Lost | None, T]
