"""One client of a stream: what it was given, and the bytes that it is given next.

It holds a turn for each channel and nothing else, so a client that is slow costs no memory, and gets the newest form
of each bar when it can take more. An id stands for everything that came before it: so all events of one moment but the
last carry the id of the moment before.
"""

import asyncio

import orjson

from serving.http.problems import ProblemError
from serving.stream.channel import Channel
from serving.stream.place import NOWHERE, Place
from serving.stream.read_point import ReadPoint
from serving.watch.completeness import UNREAD

Part = tuple[bytes, bytes]
"""An event's name and its data."""


class Client:
    """Belongs to the event loop. Times are the clock's `elapsed_s`; `sending_s` is when a send began that goes on."""

    def __init__(self, channels: tuple[Channel, ...], limit: int, fingerprint: str, after: Place | None) -> None:
        self.channels = channels
        self.limit = limit
        self.after = after
        self.read_point: ReadPoint | None = None
        self.ended: ProblemError | None = None
        self.gone = False
        self.beat = False
        self.sent_s = 0.0
        self.sending_s: float | None = None
        self._fingerprint = fingerprint
        self._token = NOWHERE
        self._turns = [-1] * len(channels)
        self._awake = asyncio.Event()

    @property
    def over(self) -> bool:
        """Whether it is given nothing more."""
        return self.gone or self.ended is not None

    @property
    def awake(self) -> bool:
        """Whether it is about to be given something, or cannot take it yet."""
        return self._awake.is_set() or self.sending_s is not None

    def settled(self, read_point: ReadPoint) -> bool:
        """Whether all its channels are."""
        return all(channel.settled(read_point) for channel in self.channels)

    def wake(self) -> None:
        """There may be something for it."""
        self._awake.set()

    async def wait(self) -> None:
        """Until there may be."""
        await self._awake.wait()
        self._awake.clear()

    def end(self, problem: ProblemError) -> None:
        """Give it the reason, and nothing more."""
        if self.ended is None:
            self.ended = problem
            self.wake()

    def resume(self, version: int, parts: list[Part], read_point: ReadPoint) -> bytes:
        """What it missed since a place on `version`; the channels are settled. Empty if that is nothing."""
        self._turns = [channel.turn for channel in self.channels]
        if version != read_point.snapshot.version:
            parts = [(b"version", self._version(read_point)), *parts]
        return self._events(parts, read_point) if parts else b""

    def next(self, read_point: ReadPoint) -> bytes:
        """What it does not have yet; the channels are settled. Empty if there is nothing."""
        parts: list[Part] = []
        if self.read_point is not None and self.read_point.snapshot.version != read_point.snapshot.version:
            parts.append((b"version", self._version(read_point)))
        for i, channel in enumerate(self.channels):
            if not channel.has(self._turns[i]):
                parts.append((b"snapshot", channel.snapshot(self.limit, read_point)))
            elif channel.turn > self._turns[i]:
                parts.append((read_point.view.name.encode(), channel.since(self._turns[i], read_point)))
            self._turns[i] = channel.turn
        return self._events(parts, read_point) if parts else b""

    def heartbeat(self, read_point: ReadPoint, lag: int, current: bool) -> bytes:
        """That nothing changed, or that what did is not there yet (not `current`)."""
        meta = read_point.meta(self.partitions(read_point))
        fields = {"applied": meta["applied"], "lag": lag}
        fields |= {name: meta[name] for name in ("version", "complete", "reason") if name in meta}
        if current:
            return self._events([(b"heartbeat", orjson.dumps(fields))], read_point)
        return self._event(b"heartbeat", orjson.dumps(fields))

    def waiting(self, version: int, lag: int) -> bytes:
        """That the service is still reading what it answers from."""
        return self._event(
            b"heartbeat",
            orjson.dumps({"applied": {}, "lag": lag, "version": version, "complete": False, "reason": UNREAD}),
        )

    def partitions(self, read_point: ReadPoint) -> set[int]:
        """The partitions that hold what it asks for."""
        return set().union(*(channel.partitions(read_point) for channel in self.channels))

    def _events(self, parts: list[Part], read_point: ReadPoint) -> bytes:
        """Events of one moment, after which the client has everything of it."""
        early = [self._event(*part) for part in parts[:-1]]
        self.read_point, self._token, self.beat = read_point, read_point.token, False
        return b"".join([*early, self._event(*parts[-1])])

    def _event(self, name: bytes, data: bytes) -> bytes:
        return b"event: %b\nid: %b.%b\ndata: %b\n\n" % (name, self._token.encode(), self._fingerprint.encode(), data)

    def _version(self, read_point: ReadPoint) -> bytes:
        meta = read_point.meta(self.partitions(read_point))
        fields = ("version", "definition", "stream", "cut", "applied", "complete", "reason", "layer", "refusal")
        return orjson.dumps({name: meta[name] for name in fields if name in meta})


def end_event(problem: ProblemError) -> bytes:
    """The last event."""
    return b"event: end\ndata: %b\n\n" % problem.body()
