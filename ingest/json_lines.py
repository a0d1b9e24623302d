"""Canonical events as JSON lines, from a file or from standard input. The lines are judged as they stand."""

import os
from pathlib import Path

from ingest.chunk import LINE_TOO_LONG, Chunk, Fault, nothing
from ingest.errors import EmptySourceError
from ingest.line_reader import MAX_LINE_BYTES, LineSource, LongLine


class JsonLines(LineSource):
    """A line's original is the line."""

    def read(self, timeout_s: float) -> Chunk | None:
        first = self._reader.given + 1
        lines = self.lines(timeout_s)
        if not lines:
            return None if lines is None else nothing(self.name)
        faults = {i: too_long(line) for i, line in enumerate(lines) if isinstance(line, LongLine)}
        judged = [b"" if i in faults else line for i, line in enumerate(lines)] if faults else lines
        return Chunk(self.name, judged, lambda i: f"line {first + i}", lambda i: lines[i], faults, self._reader.more)


def too_long(line: LongLine) -> Fault:
    """The fault of a line beyond the limit."""
    kept = f"at most {MAX_LINE_BYTES} are allowed; the first {len(line)} are kept"
    return Fault(LINE_TOO_LONG, f"the line has {line.length} bytes, {kept}")


def open_json_lines(name: str, path: Path) -> JsonLines:
    """JSON lines of a file.

    Raises:
        EmptySourceError: it holds none.
    """
    size = path.stat().st_size
    if not size and path.is_file():
        raise EmptySourceError(name)
    return JsonLines(name, os.open(path, os.O_RDONLY), size if path.is_file() else None)
