"""One client of a stream: what it was given, and the bytes of its events.

It holds a number for each channel and nothing else, so a slow client costs no memory, and gets the newest form of each
bar when it can take more. An id names everything that came before it: so all events of one read point but the
last carry the id of the read point before.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from serving.query.basis import Basis
from serving.stream.channel import Event
from serving.stream.query import StreamQuery
from serving.stream.read_point import NOWHERE, decode_place
from slackwater.http.problems import ProblemError

Push = Callable[[Callable[[], bytes]], bool]
"""Writes what the function gives if the connection can take it now; else the function is not called, and it is False.
"""


class Client:
    """Belongs to the event loop. Times are the clock's `elapsed_s`; `sending_s` is when a send began that goes on.

    `given` is the last change that it has of each channel, `read_point` the last one that it has everything of, and
    `after` the place that it resumes from. `abort` ends its connection at once, whatever waits to be sent; `waiting`
    says that its task has nothing to send.
    """

    def __init__(self, query: StreamQuery, abort: Callable[[], None], push: Push | None = None) -> None:
        self.entities = query.keys.entities
        self.limit = query.limit
        self.abort = abort
        self.waiting = False
        self._push = push
        self.given = [-1] * len(query.interval)
        self.read_point: Basis | None = None
        self.ended: ProblemError | None = None
        self.disconnected = False
        self.heartbeat_due = False
        self.sent_s = 0.0
        self.sending_s: float | None = None
        self._fingerprint = query.fingerprint
        self.after = decode_place(query.last_event_id or "", self._fingerprint)
        self._token = NOWHERE
        self._woken = asyncio.Event()

    @property
    def closed(self) -> bool:
        """Whether it is given nothing more."""
        return self.disconnected or self.ended is not None

    @property
    def busy(self) -> bool:
        """Whether it is about to be given something, or cannot take it yet."""
        return self._woken.is_set() or self.sending_s is not None

    def wake(self) -> None:
        """There may be something for it."""
        self._woken.set()

    async def wait(self) -> None:
        """Until there may be."""
        self.waiting = True
        await self._woken.wait()
        self.waiting = False
        self._woken.clear()

    def push(self, take: Callable[[], bytes]) -> bool:
        """Write what `take` gives without its task, which costs three times as much; False if that cannot be now."""
        return self.waiting and self._push is not None and self._push(take)

    @property
    def state(self) -> object:
        """With what it was given it decides the bytes of its next events."""
        return self.limit, self._token, self._fingerprint

    def took(self, read_point: Basis, token: str) -> None:
        """It has everything of a read point; `token` names it."""
        self.read_point, self._token, self.heartbeat_due = read_point, token, False

    def end(self, problem: ProblemError) -> None:
        """Give it the reason, and nothing more."""
        if self.ended is None:
            self.ended = problem
            self.wake()

    def events(self, events: list[Event], read_point: Basis, token: str) -> bytes:
        """Events of one read point, after which the client has everything of it."""
        early = [self.event(*event) for event in events[:-1]]
        self.took(read_point, token)
        return b"".join([*early, self.event(*events[-1])])

    def event(self, name: bytes, data: bytes) -> bytes:
        """An event after which it has what it had before."""
        return b"event: %b\nid: %b.%b\ndata: %b\n\n" % (name, self._token.encode(), self._fingerprint.encode(), data)


def version_event(meta: Mapping[str, Any]) -> Event:
    """That another version is served."""
    names = ("version", "definition", "stream", "cut", "applied", "complete", "reason", "layer", "refusal")
    return b"version", orjson.dumps({name: meta[name] for name in names if name in meta})


def heartbeat_event(meta: Mapping[str, Any], lag: int) -> Event:
    """That the stream is open, how far it is and how many records are not applied yet."""
    fields = {"applied": meta["applied"], "lag": lag}
    return b"heartbeat", orjson.dumps(fields | {n: meta[n] for n in ("version", "complete", "reason") if n in meta})


def end_event(problem: ProblemError) -> bytes:
    """The last event."""
    return b"event: end\ndata: %b\n\n" % problem.body()
