"""Recorded frames as a source: the same functions read them as live ones, so the same events come out."""

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from ingest.capture.recording import frames_of
from ingest.capture.state import VenueState
from ingest.chunk import CHUNK_LINES, Chunk, Fault, Source
from ingest.feeds.feed import Feed, FrameError
from slackwater.core.clock import Clock


class Replayed(Source):
    """The frames of some files, one file after the other. Frames of books and the like say nothing here."""

    unit = "frames"

    def __init__(self, files: Sequence[tuple[Feed, Path]], clock: Clock) -> None:
        self.name = "capture replay"
        self.states: dict[str, VenueState] = {}
        self._clock = clock
        self._files = [*files]
        self._feed, self._path = self._files.pop(0)
        self._frames = enumerate(frames_of(self._path), 1)

    @property
    def part(self) -> str:
        """The file that is read now."""
        return str(self._path)

    def read(self, timeout_s: float) -> Chunk | None:
        """The next frames. Raises UnreadableFileError."""
        del timeout_s
        while True:
            some = list(islice(self._frames, CHUNK_LINES))
            if some:
                return self._chunk(some)
            if not self._files:
                return None
            self._feed, self._path = self._files.pop(0)
            self._frames = enumerate(frames_of(self._path), 1)

    def _chunk(self, frames: Sequence[tuple[int, object]]) -> Chunk:
        feed, path = self._feed, self._path
        state = self.states.setdefault(feed.venue, VenueState(feed, ()))
        lines: list[bytes] = []
        of: list[tuple[int, bytes]] = []
        faults = {}
        for number, frame in frames:
            data = frame.data  # type: ignore[attr-defined]
            state.frames += 1
            try:
                found = state.take(feed.parse(data), self._clock.elapsed_s())
            except FrameError as error:
                state.bad_frames += 1
                faults[len(lines)] = Fault(error.reason, error.fact)
                found = [b""]
            lines += found
            of += [(number, data)] * len(found)
        self.done += len(frames)
        return Chunk(str(path), lines, lambda i: f"frame {of[i][0]}", lambda i: of[i][1], faults, True)
