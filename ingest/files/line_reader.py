"""Lines from a file or a pipe: what is there now, waiting only for the first; a line has a limit.

One reader for both: a file always has something to give at once, a pipe is waited for. Not here: what a line means.
"""

import hashlib

from ingest.chunk import CHUNK_LINES, LINE_TOO_LONG, Chunk, Fault, Source, nothing
from ingest.errors import EmptySourceError, UnreadableFileError
from ingest.files.inlet import Inlet, TornError

MAX_LINE_BYTES = 1024 * 1024
"""A longer line is refused; its first bytes are kept for the dead letter."""


class LongLine(bytes):
    """The first bytes of a line that was too long; `length` and `sha256` are those of the whole line."""

    length: int
    sha256: str


def too_long(line: LongLine) -> Fault:
    """The fault of a line beyond the limit."""
    kept = f"at most {MAX_LINE_BYTES} are allowed; the first {len(line)} are kept"
    return Fault(LINE_TOO_LONG, f"the line has {line.length} bytes, {kept}")


class LineReader:
    """Reads lines from an inlet, which it closes. `given` counts them."""

    def __init__(self, inlet: Inlet) -> None:
        self._inlet = inlet
        self._waiting: list[bytes] = []
        self.given = 0
        self._rest = b""
        self._dropped = 0
        self._hash = hashlib.sha256()
        self._ended = False

    @property
    def more(self) -> bool:
        """Whether there are lines at once."""
        return bool(self._waiting) or self._inlet.more

    def read(self, timeout_s: float, most: int = 0) -> list[bytes] | None:
        """The lines that are there, at most `most`, without line feeds; [] if none came in time, None at the end.

        Raises:
            TornError: the rest cannot be read. What stands before it was given, but for a line that it cuts.
        """
        if not self._waiting:
            found = self._block(timeout_s)
            if found is None:
                return None
            self._waiting = found
        most = most or CHUNK_LINES
        lines, self._waiting = self._waiting[:most], self._waiting[most:]
        self.given += len(lines)
        return lines

    def put_back(self, line: bytes) -> None:
        """Give the line that was given last again."""
        self._waiting.insert(0, line)
        self.given -= 1

    def _block(self, timeout_s: float) -> list[bytes] | None:
        if self._ended:
            return None
        block = self._inlet.read(timeout_s)
        if block == b"":
            return []
        if block is None:
            self._ended = True
            return [self._last()] if self._rest else None
        lines = (self._rest + block).split(b"\n")
        self._rest = lines.pop()
        if lines and self._dropped:
            lines[0] = self._long(lines[0])
        lines = [line if len(line) <= MAX_LINE_BYTES else self._long(line) for line in lines]
        if len(self._rest) > MAX_LINE_BYTES:
            self._rest = self._drop(self._rest)
        return lines

    def close(self) -> None:
        """Close the inlet."""
        self._inlet.close()

    def _last(self) -> bytes:
        last, self._rest = self._rest, b""
        return self._long(last) if self._dropped else last

    def _drop(self, line: bytes) -> bytes:
        """The beginning of a line whose first bytes, if any were dropped before, are counted already."""
        self._hash.update(line[MAX_LINE_BYTES:] if self._dropped else line)
        self._dropped += len(line) - MAX_LINE_BYTES
        return line[:MAX_LINE_BYTES]

    def _long(self, line: bytes) -> bytes:
        if isinstance(line, LongLine):
            return line
        found = LongLine(self._drop(line))
        found.length, found.sha256 = len(found) + self._dropped, self._hash.hexdigest()
        self._dropped, self._hash = 0, hashlib.sha256()
        return found


def torn(name: str, place: str, error: TornError) -> UnreadableFileError:
    """The error of a file whose rest cannot be read."""
    hint = "Get the file again and give the whole of it: what was taken of it counts once."
    return UnreadableFileError(name, place, error, hint)


class LineSource(Source):
    """A source that is read line by line: JSON lines, which are judged as they stand. It closes the inlet."""

    unit = "bytes"

    def __init__(self, name: str, inlet: Inlet) -> None:
        self.name = name
        self.total = inlet.total
        self._inlet = inlet
        self._reader = LineReader(inlet)

    def read(self, timeout_s: float) -> Chunk | None:
        """What is there now.

        Raises:
            EmptySourceError: a file has no line.
            UnreadableFileError: it is damaged from here on.
        """
        first = self._reader.given + 1
        lines = self.lines(timeout_s)
        if not lines:
            return None if lines is None else nothing(self.name)
        faults, judged = self.judged(lines)
        return Chunk(self.name, judged, lambda i: f"line {first + i}", lambda i: lines[i], faults, self._reader.more)

    def judged(self, lines: list[bytes]) -> tuple[dict[int, Fault], list[bytes]]:
        """What is wrong with some lines, and for each the line to judge, b"" for those: here, the lines themselves."""
        faults = {i: too_long(line) for i, line in enumerate(lines) if isinstance(line, LongLine)}
        return faults, [b"" if i in faults else line for i, line in enumerate(lines)] if faults else lines

    def lines(self, timeout_s: float, most: int = 0) -> list[bytes] | None:
        """See `LineReader.read` and `read`."""
        try:
            found = self._reader.read(timeout_s, most)
        except TornError as error:
            raise torn(self.name, f"after line {self._reader.given}", error) from error
        self.done = self._inlet.done
        if found is None and not self._reader.given and self.total is not None:
            raise EmptySourceError(self.name)
        return found

    def close(self) -> None:
        self._reader.close()
