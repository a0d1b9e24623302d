"""Kept results of batch reads. A version never changes, so they never go stale; the least recently used go first."""

from collections import OrderedDict
from threading import Lock

from serving.batch import Want
from views.rows import Row


class RowCache:
    """(version, want) -> rows, at most `most_rows` of them in all. Thread safe."""

    def __init__(self, most_rows: int = 200_000) -> None:
        self._most_rows = most_rows
        self._rows = 0
        self.hits = 0
        self.misses = 0
        self._kept: OrderedDict[tuple[int, Want], list[Row]] = OrderedDict()
        self._lock = Lock()

    def get(self, version: int, want: Want) -> list[Row] | None:
        """The rows, None if they are not kept."""
        with self._lock:
            found = self._kept.get((version, want))
            if found is not None:
                self._kept.move_to_end((version, want))
                self.hits += 1
            else:
                self.misses += 1
            return found

    def put(self, version: int, want: Want, rows: list[Row]) -> None:
        """Keep rows; nobody changes them afterwards."""
        with self._lock:
            if (version, want) in self._kept:
                return
            self._kept[version, want] = rows
            self._rows += len(rows) + 1
            while self._rows > self._most_rows:
                _, dropped = self._kept.popitem(last=False)
                self._rows -= len(dropped) + 1

    @property
    def rows(self) -> int:
        """How many rows are kept; an entry without rows counts as one."""
        return self._rows

    def recent(self, version: int, most: int) -> list[Want]:
        """What was asked of a version lately, newest first."""
        with self._lock:
            return [want for of, want in reversed(self._kept) if of == version][:most]
