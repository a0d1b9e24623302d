"""Raw frames on disk: `<time of receipt, ns since 1970> <frame>`, one a line, gzip; rolled by size and age.

    DIR/binance_spot-20261201T083000Z-0001.gz

A file that a dead process left without its end is read up to there: what was written is flushed once a second. Where
the disk takes no more, frames are left out and capture goes on; a new file is tried once a minute.
"""

import gzip
import logging
import zlib
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, NamedTuple

from ingest.errors import SourceError, UnreadableFileError
from slackwater.core.clock import Clock

ROLL_BYTES = 64 * 1024 * 1024
ROLL_S = 3600.0
FLUSH_S = 1.0
AGAIN_S = 60.0
"""So long after the disk took nothing a new file is tried."""

logger = logging.getLogger("slackwater.capture")


class Frame(NamedTuple):
    """A frame as it was received; `at_ns` since 1970."""

    at_ns: int
    data: bytes


class Recorder:
    """Of one venue. `left_out` counts frames that the disk did not take."""

    def __init__(self, folder: Path, venue: str, clock: Clock) -> None:
        self._folder = folder
        self._venue = venue
        self._clock = clock
        self._file: BinaryIO | None = None
        self._pack = zlib.compressobj(wbits=31)
        self._number = 0
        self._size = 0
        self._began_s = 0.0
        self._unflushed = False
        self.left_out = 0
        self._again_s = float("-inf")
        folder.mkdir(parents=True, exist_ok=True)

    def write(self, at_ns: int, frame: bytes) -> None:
        """Add a frame, or leave it out where the disk does not take it."""
        now_s = self._clock.elapsed_s()
        if now_s < self._again_s:
            self.left_out += 1
            return
        try:
            self._write(at_ns, frame, now_s)
        except OSError as error:
            self.left_out += 1
            self._fail(error)

    def _write(self, at_ns: int, frame: bytes, now_s: float) -> None:
        if self._file is None or self._size >= ROLL_BYTES or now_s - self._began_s >= ROLL_S:
            self._roll(now_s)
        # A line break in JSON text is white space between values: inside of strings it is escaped.
        data = b"%d %s\n" % (at_ns, frame.replace(b"\r", b" ").replace(b"\n", b" "))
        self._size += len(data)
        self._put(self._pack.compress(data))
        self._unflushed = True

    def flush(self) -> None:
        """Let all that was written be readable, whatever becomes of this process. Call it every FLUSH_S."""
        if self._unflushed:
            self._unflushed = False
            try:
                self._put(self._pack.flush(zlib.Z_SYNC_FLUSH))
            except OSError as error:
                self._fail(error)

    def close(self) -> None:
        """End the file."""
        try:
            self._end()
        except OSError as error:
            self._fail(error)

    def _end(self) -> None:
        if self._file is not None:
            self._put(self._pack.flush())
            self._file.close()
            self._file = None

    def _fail(self, error: OSError) -> None:
        """Leave the file as it is, which is read up to its last whole part, and try another one later."""
        logger.error("%s: frames are not recorded: %s; tried again in %g s.", self._venue, error, AGAIN_S)
        self._again_s = self._clock.elapsed_s() + AGAIN_S
        file, self._file = self._file, None
        if file is not None:
            with suppress(OSError):  # it says again what was said above
                file.close()

    def _put(self, data: bytes) -> None:
        if self._file is not None:
            self._file.write(data)
            self._file.flush()

    def _roll(self, now_s: float) -> None:
        self._end()
        self._number += 1
        at = datetime.fromtimestamp(self._clock.now_us() / 1e6, UTC)
        name = f"{self._venue}-{at:%Y%m%dT%H%M%SZ}-{self._number:04d}.gz"
        self._file = (self._folder / name).open("xb")
        self._pack = zlib.compressobj(wbits=31)
        self._size, self._began_s, self._unflushed = 0, now_s, False


def venue_of(path: Path) -> str:
    """The venue that a recording's name begins with; "" where it is not named so."""
    return path.name.partition("-")[0] if "-" in path.name else ""


def recordings(given: Path) -> list[Path]:
    """The files of a folder in order, or the one file. Raises SourceError."""
    if given.is_file():
        return [given]
    found = sorted(given.glob("*.gz"))
    if not found:
        raise SourceError(f"There is no recording at {given}.", "Name a folder of `slackwater capture --record`.")
    return found


def frames_of(path: Path) -> Iterator[Frame]:
    """The frames of a file, to its end or to where it was cut off.

    Raises:
        UnreadableFileError: it is no recording.
    """
    try:
        with gzip.open(path) as file:
            for number, line in enumerate(file, 1):
                at, _, data = line.rstrip(b"\r\n").partition(b" ")
                if not at.isdigit():
                    raise UnreadableFileError(str(path), f"at line {number}", ValueError("no time before the frame"))
                yield Frame(int(at), data)
    except EOFError:
        return  # its end is missing: whoever wrote it was killed
    except (OSError, zlib.error) as error:
        raise UnreadableFileError(str(path), "as a recording", error) from error
