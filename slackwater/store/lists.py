"""Lists of a manifest in files of their own, immutable and named by hash, so that a manifest is small and shares them.

    version 8    archive   [ lists/run-5/archive: 512 ]  [ lists/run-8/archive: 90 ]
    version 9    archive   [ lists/run-5/archive: 512 ]  [ lists/run-8/archive: 90 ]  + 4 in the manifest itself

A file of a list is read when somebody asks for its entries, and compared with its hash then. A list that only grows
keeps its files by size, each at least twice as long as the next, so each entry is written again as often as the list
doubles.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, overload

from slackwater.store.id_keys import mergeable

T = TypeVar("T")

INLINE = 64
"""Entries of a kind that a manifest holds itself."""


@dataclass(frozen=True)
class ListFile:
    """A file of entries. `path` is relative to the home folder."""

    path: str
    size: int
    sha256: str
    entries: int


Load = Callable[[ListFile], tuple[Any, ...]]
"""Reads the entries of a file. Raises OSError or an error of the versions."""


class Listed(Sequence[T], Generic[T]):
    """Entries in order: those of some files, then `own`, which are in no file yet. Immutable."""

    __slots__ = ("_load", "files", "own")

    def __init__(self, files: Iterable[ListFile] = (), own: Iterable[T] = (), load: Load | None = None) -> None:
        self.files = tuple(files)
        self.own = tuple(own)
        self._load = load

    def plus(self, more: Iterable[T]) -> "Listed[T]":
        """These and more."""
        return Listed(self.files, (*self.own, *more), self._load)

    def split(self) -> tuple[tuple[ListFile, ...], tuple[T, ...]]:
        """The files that stay, and the entries that one new file is to hold, if they are too many to hold otherwise."""
        if len(self.own) <= INLINE:
            return self.files, ()
        count = max(0, mergeable([*(file.entries for file in self.files), len(self.own)]) - 1)
        kept, again = self.files[: len(self.files) - count], self.files[len(self.files) - count :]
        return kept, (*(entry for file in again for entry in self._of(file)), *self.own)

    def backwards(self) -> Iterator[T]:
        """The newest first: who needs the newest alone reads no older file."""
        yield from reversed(self.own)
        for file in reversed(self.files):
            yield from reversed(self._of(file))

    def __len__(self) -> int:
        return sum(file.entries for file in self.files) + len(self.own)

    def __iter__(self) -> Iterator[T]:
        for file in self.files:
            yield from self._of(file)
        yield from self.own

    @overload
    def __getitem__(self, at: int) -> T: ...

    @overload
    def __getitem__(self, at: slice) -> tuple[T, ...]: ...

    def __getitem__(self, at: int | slice) -> T | tuple[T, ...]:
        return tuple(self)[at]

    def __add__(self, more: Iterable[T]) -> tuple[T, ...]:
        return (*self, *more)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Listed) and (self.files, self.own) == (other.files, other.own):
            return True
        return isinstance(other, (Listed, tuple)) and len(self) == len(other) and tuple(self) == tuple(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Listed({len(self)})"

    def _of(self, file: ListFile) -> tuple[T, ...]:
        if self._load is None:
            raise TypeError(f"Nobody reads {file.path} here.")
        return self._load(file)


def listed(entries: Sequence[T]) -> Listed[T]:
    """The same as such a list."""
    return entries if isinstance(entries, Listed) else Listed(own=entries)
