"""The lines of texts that hold one or several each: where they end is found at once, and they are split only where
somebody asks for one."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

ROOM = 4096
"""Bytes that may be read behind the last line."""

_ZEROS = bytes(ROOM)

_BIT = np.array([max(0, byte.bit_length() - 1) for byte in range(256)])
"""The highest bit that is set."""


class Lines(Sequence[bytes]):
    """The lines of `texts`, parted by one line feed each; an empty text is one empty line. `counts` are how many lines
    each text has, if somebody knows."""

    def __init__(self, texts: Sequence[bytes], counts: Sequence[int] | None = None) -> None:
        self._texts = texts
        self._known = counts

    @cached_property
    def padded(self) -> bytes:
        """All of them as one text, with a line feed and ROOM zeros behind: what looks ahead finds nothing there."""
        return b"\n".join([*self._texts, _ZEROS])

    @property
    def data(self) -> bytes:
        """All of them as one text."""
        return self.padded[: -1 - ROOM]

    @cached_property
    def ends(self) -> Any:
        """Where each line ends in `data`."""
        return _line_feeds(np.frombuffer(self.padded, np.uint8))

    @cached_property
    def counts(self) -> Any:
        """How many lines each text has."""
        if self._known is not None:
            return np.array(self._known, np.int64)
        sizes = np.fromiter(map(len, self._texts), np.int64, len(self._texts))
        last = np.searchsorted(self.ends, np.cumsum(sizes + 1) - 1)
        return np.diff(last, prepend=-1)

    @cached_property
    def _all(self) -> Sequence[bytes]:
        return self._texts if len(self._texts) == len(self) else self.data.split(b"\n")

    @property
    def texts(self) -> int:
        """How many texts they are of."""
        return len(self._texts)

    def __len__(self) -> int:
        return len(self.ends) if self._known is None else sum(self._known)

    def __getitem__(self, i: Any) -> Any:
        return self._texts[0].partition(b"\n")[0] if i == 0 else self._all[i]


def joined(lines: Sequence[bytes]) -> bytes:
    """Lines as one text."""
    return lines.data if isinstance(lines, Lines) else b"\n".join(lines)


def _line_feeds(data: Any) -> Any:
    """Where they are. Lines are long, mostly, so that eight bytes have one at most."""
    bits = np.packbits(data == ord("\n"), bitorder="little")
    at = np.flatnonzero(bits != 0)
    found = bits[at]
    if (found & (found - 1)).any():
        return np.flatnonzero(data == ord("\n"))
    return 8 * at + _BIT[found]
