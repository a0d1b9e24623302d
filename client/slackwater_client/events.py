"""What a stream tells, as typed events.

Snapshot       the rows of an interval as they are: what was known of it is replaced
Changes        rows of an interval that changed, whole, with their new revisions
VersionChange  another version is served; rows whose answers changed with it follow
Heartbeat      nothing else happened; how far the service is
Ending         the service closes the stream and says why; the client comes again by itself
Disconnected   the stream was lost; the client comes again by itself
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from slackwater_client.errors import ProblemError, ProtocolError, problem
from slackwater_client.meta import Meta, offsets
from slackwater_client.sse import Message


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The latest rows of an interval, in order of start: `Bar` of the view `bars`, `Row` of others."""

    interval: str
    rows: tuple[Any, ...]
    meta: Meta
    id: str


@dataclass(frozen=True, slots=True)
class Changes:
    """Rows that changed since the event before; corrections of closed ones are among them, and marked."""

    interval: str
    rows: tuple[Any, ...]
    meta: Meta | None
    id: str


@dataclass(frozen=True, slots=True)
class VersionChange:
    """Another version is served."""

    version: int
    cut: Mapping[int, int]
    applied: Mapping[int, int]
    id: str


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """How far the service is. `reason` says why deltas may be missing, where it is not `complete`."""

    version: int
    applied: Mapping[int, int]
    lag: int | None
    complete: bool
    id: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Ending:
    """The service closes the stream; `problem` says why."""

    problem: ProblemError


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The stream is lost; `reason` says why. It is opened again in `wait_s` seconds, where it was left."""

    reason: str
    wait_s: float


Event = Snapshot | Changes | VersionChange | Heartbeat | Ending | Disconnected


_NAMES = frozenset({"snapshot", "version", "heartbeat", "end"})
Made = Callable[[Mapping[str, Any]], Any]


def event_of(message: Message, view: str, made: Made) -> Event | None:
    """The event of a message; None for a name that this client does not know, which a later service may send.

    Raises:
        ProtocolError: the message is not what its name says.
    """
    if message.event not in {*_NAMES, view}:
        return None
    try:
        return _event(message, json.loads(message.data), view, made)
    except (ValueError, KeyError, TypeError, ArithmeticError, AttributeError) as error:
        raise ProtocolError(f"An event {message.event!r} of the stream cannot be read: {error!r}.") from error


def _event(message: Message, found: Mapping[str, Any], view: str, made: Made) -> Event:
    match message.event:
        case "snapshot":
            return Snapshot(found["interval"], tuple(map(made, found[view])), Meta.of(found["meta"]), message.id)
        case "version":
            return VersionChange(found["version"], offsets(found["cut"]), offsets(found["applied"]), message.id)
        case "heartbeat":
            applied, complete = offsets(found["applied"]), bool(found["complete"])
            return Heartbeat(found["version"], applied, found.get("lag"), complete, message.id, found.get("reason", ""))
        case "end":
            return Ending(problem(int(found["status"]), found))
        case _:
            meta = Meta.of(found["meta"]) if found.get("meta") else None
            return Changes(found["interval"], tuple(map(made, found[view])), meta, message.id)
