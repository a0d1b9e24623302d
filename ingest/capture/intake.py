"""What sockets and REST answers said, waiting to be written: the one source that a writer reads.

    event loop    put(venue, position, original, lines)   waits while too much waits here: the sockets are not read on
    writer        read(timeout)                           a chunk of one venue, in the order in which it was said

Nothing is dropped: a writer that is told to wait (429) makes the venue wait. Not here: what is missing (`tracker`).
"""

import asyncio
import threading
from collections import OrderedDict, deque
from collections.abc import Sequence
from typing import NamedTuple

from ingest.chunk import CHUNK_LINES, Chunk, Fault, Source, nothing

MOST_BYTES = 64 * 1024 * 1024
"""Of frames and their lines that wait to be written."""

MOST_ORIGINALS = 256 * 1024
"""A frame is the original of each of its lines up to so many bytes of all of them; beyond, a line is its own: else a
frame of a thousand trades would be handed over a thousand times."""


class _Entry(NamedTuple):
    position: str
    original: bytes
    lines: Sequence[bytes]
    fault: Fault | None

    @property
    def size(self) -> int:
        """Its bytes."""
        return len(self.original) + sum(map(len, self.lines))


class Intake(Source):
    """Both sides may run in different threads. `loop` is that of the side that puts."""

    unit = "lines"

    def __init__(self, loop: asyncio.AbstractEventLoop, most_bytes: int = MOST_BYTES) -> None:
        self.name = "capture"
        self._loop = loop
        self._most = most_bytes
        self._waiting: OrderedDict[str, deque[_Entry]] = OrderedDict()
        self._bytes = 0
        self._changed = threading.Condition()
        self._room = asyncio.Event()
        self._room.set()
        self._ended = False

    async def put(
        self, venue: str, position: str, original: bytes, lines: Sequence[bytes], fault: Fault | None = None
    ) -> None:
        """Hand over what a frame or an answer holds: lines, or why it is none. Waits while there is no room."""
        while self._bytes >= self._most and not self._ended:
            self._room.clear()
            if self._bytes >= self._most:
                await self._room.wait()
        entry = _Entry(position, original, lines, fault)
        with self._changed:
            self._waiting.setdefault(venue, deque()).append(entry)
            self._bytes += entry.size
            self._changed.notify()

    def end(self) -> None:
        """Nothing more will be put; the source ends when all was read."""
        with self._changed:
            if self._ended:
                return
            self._ended = True
            self._changed.notify()
        self._loop.call_soon_threadsafe(self._room.set)

    @property
    def waiting_bytes(self) -> int:
        """How much waits."""
        return self._bytes

    def read(self, timeout_s: float) -> Chunk | None:
        """See `Source.read`."""
        with self._changed:
            if not self._waiting and not self._ended:
                self._changed.wait(timeout_s)
            if not self._waiting:
                return None if self._ended else nothing(self.name)
            venue, entries = self._waiting.popitem(last=False)
            taken, rows, freed = [], 0, 0
            while entries and rows < CHUNK_LINES:
                taken.append(entries.popleft())
                rows += max(1, len(taken[-1].lines))
                freed += taken[-1].size
            if entries:
                self._waiting[venue] = entries  # behind the other venues
            self._bytes -= freed
            more = bool(self._waiting)
            if not self._room.is_set() and not self._ended:  # the loop is there until it has ended
                self._loop.call_soon_threadsafe(self._room.set)
        self.done += rows
        return _chunk(venue, taken, more)

    def close(self) -> None:
        """Let whoever puts go on."""
        self.end()


def _chunk(venue: str, entries: Sequence[_Entry], more: bool) -> Chunk:
    lines: list[bytes] = []
    of: list[_Entry] = []
    faults = {}
    for entry in entries:
        if entry.fault is not None:
            faults[len(lines)] = entry.fault
            lines.append(b"")
            of.append(entry)
        else:
            lines += entry.lines
            of += [entry] * len(entry.lines)

    def original(i: int) -> bytes:
        entry = of[i]
        whole = len(entry.original) * len(entry.lines) <= MOST_ORIGINALS
        return entry.original if entry.original and whole else lines[i]

    return Chunk(f"capture {venue}", lines, lambda i: of[i].position, original, faults, more)
