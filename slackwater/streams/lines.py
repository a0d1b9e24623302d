"""The lines of one text, which are split only where somebody asks for one: a large block is read whole."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any


class Lines(Sequence[bytes]):
    """The lines of `data`, `count` of them, parted by one line feed each; an empty text is one empty line."""

    def __init__(self, data: bytes, count: int) -> None:
        self.data = data
        self._count = count

    @cached_property
    def _all(self) -> list[bytes]:
        return self.data.split(b"\n")

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, i: Any) -> Any:
        if i != 0:
            return self._all[i]
        end = self.data.find(b"\n")
        return self.data if end < 0 else self.data[:end]


def joined(lines: Sequence[bytes]) -> bytes:
    """Lines as one text."""
    return lines.data if isinstance(lines, Lines) else b"\n".join(lines)
