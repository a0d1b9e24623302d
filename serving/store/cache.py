"""A cache bounded by bytes: the least recently used go first (`cachetools`), under a lock, since that has none."""

from collections.abc import Callable, Hashable
from threading import Lock
from typing import Generic, TypeVar

from cachetools import LRUCache

_K = TypeVar("_K", bound=Hashable)
_V = TypeVar("_V")


class Cache(Generic[_K, _V]):
    """Thread safe. `size` says what a value takes with its key, in bytes; it is asked once, when it is put."""

    def __init__(self, most_bytes: int, size: Callable[[_V], int]) -> None:
        self.most_bytes = most_bytes
        self._size = size
        self._values: LRUCache[_K, _V] = LRUCache(most_bytes, size)
        self._lock = Lock()

    @property
    def bytes(self) -> int:
        """What all values take, about."""
        return int(self._values.currsize)

    def get(self, key: _K) -> _V | None:
        """The value, which is the most recently used from now on."""
        with self._lock:
            return self._values.get(key)

    def put(self, key: _K, value: _V) -> None:
        """Take a value instead of the one before; none where it alone would be too large."""
        with self._lock:
            if self._size(value) > self.most_bytes:
                self._values.pop(key, None)
            else:
                self._values[key] = value

    def drop(self, key: _K) -> None:
        """Forget a value."""
        with self._lock:
            self._values.pop(key, None)

    def __len__(self) -> int:
        return len(self._values)
