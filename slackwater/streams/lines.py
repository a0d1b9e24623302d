"""Lines in one buffer: Python sees a line only if somebody asks for it; Arrow sees all of them without a copy."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

NEWLINE = 10


class Lines(Sequence[bytes]):
    """Lines that stand in `data` one after the other, with one newline between two of them."""

    def __init__(self, data: bytes, starts: Any) -> None:
        self.data = data
        self._starts = starts

    def __len__(self) -> int:
        return len(self._starts) - 1

    def __getitem__(self, i: Any) -> Any:
        """A line, without its newline."""
        return self.data[self._starts[i] : self._starts[i + 1] - 1]

    def array(self) -> pa.Array:
        """The lines as binary; each but the last ends with its newline."""
        offsets = self._starts.astype(np.int32)
        offsets[-1] = len(self.data)
        return pa.Array.from_buffers(pa.binary(), len(self), [None, pa.py_buffer(offsets), pa.py_buffer(self.data)])


def lines_of(data: bytes) -> Lines:
    """The lines of a text; an empty text is one empty line."""
    ends = np.flatnonzero(np.frombuffer(data, np.uint8) == NEWLINE)
    return Lines(data, np.concatenate([[0], ends + 1, [len(data) + 1]]))


def joined(lines: Sequence[bytes]) -> Lines:
    """Lines that were apart; one that holds a newline of its own stays one line."""
    if isinstance(lines, Lines):
        return lines
    lengths = np.fromiter(map(len, lines), np.int64, len(lines))
    return Lines(b"\n".join(lines), np.concatenate([[0], np.cumsum(lengths + 1)]))
