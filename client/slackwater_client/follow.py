"""A stream that goes on: opened, read, and opened again where it was left, by `Last-Event-ID`. No I/O is done here.

What ends it for good is the caller, a refusal that another try does not change, or too many failures in a row.
"""

from collections.abc import Generator
from dataclasses import dataclass, replace

from slackwater_client.errors import ConnectionFailedError, ProblemError, ProtocolError, refusal
from slackwater_client.events import Disconnected, Ending, Event, Made, event_of
from slackwater_client.http import Lost, Open, Opened, Pause, Piece, Read, Reply, Send, Shut
from slackwater_client.retry import STATUSES, Retry
from slackwater_client.sse import Parser

MEDIA_TYPE = "text/event-stream"
LAST_ID = "Last-Event-ID"


@dataclass(frozen=True)
class Emit:
    """Give the caller an event."""

    event: Event


Follow = Generator[Open | Read | Shut | Pause | Emit, Opened | Reply | Piece | Lost | None, None]


@dataclass
class _State:
    """What is remembered from one connection to the next."""

    id: str = ""
    failures: int = 0
    retry_ms: int | None = None
    asked_s: float | None = None
    reason: str = ""


def follow(request: Send, view: str, made: Made, retry: Retry, last_id: str = "") -> Follow:
    """Events of a view without end, behind the one of `last_id` if it is given. `made` makes a row of an item.

    Raises:
        ProblemError: the service refuses, or ended the stream, for a reason that stays.
        ConnectionFailedError: it failed `retry.attempts` times in a row.
        ProtocolError: what came is no stream of this service.
    """
    state = _State(last_id)
    while True:
        came = yield Open(_resumed(request, state.id))
        error: ProblemError | None = None
        match came:
            case Opened(headers):
                if not headers.get("content-type", "").startswith(MEDIA_TYPE):
                    raise ProtocolError(f"The stream is {headers.get('content-type')!r}.", "Is this the service's URL?")
                error = yield from _read(state, view, made)
                yield Shut()
            case Reply():
                error = refusal(came)
                state.asked_s = error.retry_after_s
            case Lost(reason):
                state.reason = reason
        if error is not None and error.status not in STATUSES:
            raise error
        state.failures += 1
        wait_s = retry.wait_s(state.failures, state.asked_s)
        if wait_s is None:
            raise error or ConnectionFailedError(
                f"The stream was lost {state.failures} times in a row: {state.reason}."
            )
        wait_s = max(wait_s, (state.retry_ms or 0) / 1000)
        yield Emit(Disconnected(error.detail if error else state.reason, wait_s))
        yield Pause(wait_s)
        state.asked_s = None


def _read(
    state: _State, view: str, made: Made
) -> Generator[Read | Emit, Opened | Reply | Piece | Lost | None, ProblemError | None]:
    """Read until the connection ends; the problem that the service ended it with, if it did."""
    parser = Parser(state.id, state.retry_ms)
    ended: ProblemError | None = None
    while True:
        came = yield Read()
        if not isinstance(came, Piece) or not came.data:
            state.reason = came.reason if isinstance(came, Lost) else "the service ended it"
            return ended
        for message in parser.feed(came.data):
            event = event_of(message, view, made)
            state.id, state.retry_ms = message.id, parser.retry_ms
            if isinstance(event, Ending):
                ended = event.problem
            elif event is not None:
                state.failures = 0
            if event is not None:
                yield Emit(event)


def _resumed(request: Send, last_id: str) -> Send:
    return replace(request, headers=(*request.headers, (LAST_ID, last_id))) if last_id else request
