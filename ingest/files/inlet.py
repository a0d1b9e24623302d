"""Bytes as they come, from a file or a pipe: what is there now, waiting only for the first.

One protocol for all of them, so that lines are read alike wherever their bytes are from. Not here: bytes that are
compressed (`ingest.files.unpacked`, `ingest.files.zipped`).
"""

import os
import select

BLOCK_BYTES = 1024 * 1024


class TornError(Exception):
    """What is stored is damaged, or ends before its end; the text says how."""


class Inlet:
    """`done` counts the stored bytes that were read, `total` all of them: None for a pipe, which is waited for."""

    done = 0
    total: int | None = None

    @property
    def more(self) -> bool:
        """Whether there are bytes at once."""
        return self.done < (self.total or 0)

    def read(self, timeout_s: float) -> bytes | None:
        """What is there, about a block at most; b"" if nothing came in time, None at the end.

        Raises:
            TornError: it cannot be read on.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Release."""
        raise NotImplementedError


class Descriptor(Inlet):
    """The bytes of a file descriptor, which it closes."""

    def __init__(self, descriptor: int, total: int | None = None) -> None:
        self._descriptor = descriptor
        self.total = total

    def read(self, timeout_s: float) -> bytes | None:
        ready, _, _ = select.select([self._descriptor], [], [], max(0.0, timeout_s))
        if not ready:
            return b""
        block = os.read(self._descriptor, BLOCK_BYTES)
        self.done += len(block)
        return block or None

    def close(self) -> None:
        os.close(self._descriptor)


class Again(Inlet):
    """The bytes of an inlet of which some were read already."""

    def __init__(self, head: bytes, inner: Inlet) -> None:
        self._head = head
        self._inner = inner
        self.total = inner.total

    def read(self, timeout_s: float) -> bytes | None:
        head, self._head = self._head, b""
        found = head or self._inner.read(timeout_s)
        self.done = self._inner.done
        return found

    def close(self) -> None:
        self._inner.close()
