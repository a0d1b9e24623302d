"""Bars that were encoded lately, since the bars of two answers are mostly the same: bounded by bytes, over all forms.

    young | old       a bar that is asked for comes to the young ones; where they are half of the bound, they are the
                      old ones, and what was old is forgotten

Two dicts a form instead of one list of all by their last use: a look-up is one of a dict, which hundreds of bars in
each answer feel. Not here: what the bytes of a bar are (`serving.query.answer`).
"""

from collections.abc import Callable, Mapping, Sequence
from threading import Lock
from typing import Any

from serving.store.row_cache import row_bytes
from slackwater.views.rows import Row

ENCODED_BYTES = 48 * 1024 * 1024
_AT_ONCE = 64
_FULL = 0.45  # of the bound: with what comes in at once, a half
_SLOT_BYTES = 150  # of a dict, about, and the head of a bytes object


class EncodedBars:
    """The encoded bars of every view and form. Thread safe."""

    def __init__(self, most_bytes: int = ENCODED_BYTES) -> None:
        self.most_bytes = most_bytes
        self._lock = Lock()
        self._young: dict[Any, dict[Row, bytes]] = {}
        self._old: Mapping[Any, Mapping[Row, bytes]] = {}
        self._young_bytes = self._old_bytes = 0

    @property
    def size(self) -> int:
        """What the bars and their encodings take, about, in bytes."""
        return self._young_bytes + self._old_bytes

    def of(self, form: Any, rows: Sequence[Row], encode: Callable[[Row], bytes]) -> list[bytes]:
        """The encodings of rows in a form; `encode` makes those that are not kept."""
        found: list[bytes] = []
        for low in range(0, len(rows), _AT_ONCE):
            found += self._some(form, rows[low : low + _AT_ONCE], encode)
        return found

    def _some(self, form: Any, rows: Sequence[Row], encode: Callable[[Row], bytes]) -> list[bytes]:
        with self._lock:
            young = self._young.setdefault(form, {})
            old = self._old.get(form, {})
        found: list[bytes] = []
        added = 0
        for row in rows:
            known = young.get(row)
            if known is None:
                known = old.get(row)
                if known is None:
                    known = encode(row)
                young[row] = known
                added += row_bytes(row) + len(known) + _SLOT_BYTES
            found.append(known)
        if added:
            self._grown(young, form, added)
        return found

    def _grown(self, young: dict[Row, bytes], form: Any, added: int) -> None:
        with self._lock:
            if self._young.get(form) is not young:  # they are the old ones by now
                self._old_bytes += added
                return
            self._young_bytes += added
            if self._young_bytes > self.most_bytes * _FULL:
                self._old, self._old_bytes = self._young, self._young_bytes
                self._young, self._young_bytes = {}, 0
