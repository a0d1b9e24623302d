"""Cached replies: an answer is encoded once and sent until something that it depends on changes.

    what is asked, as it came (path, query string, Accept, Accept-Encoding) -> the question, read once
                                                                            -> its reply, with the basis it holds for

Bounded by bytes; the least recently asked go first. What was read of a question stays when its answer is too old.
"""

from dataclasses import dataclass
from threading import Lock
from typing import Generic, TypeVar

from cachetools import LRUCache

from serving.http.reply import Reply
from serving.query.basis import BasisId
from serving.store.fold import Ends

_Q = TypeVar("_Q")

_ENTRY_BYTES = 4_000
"""What an entry takes besides its bytes and its question's text, about: the question as read, basis and headers."""

_TEXTS = 3
"""The question's text is the key, and its parts stand in the question as read, as wider text where it is not ASCII."""


@dataclass(slots=True)
class CachedReply:
    """A reply and what it needs to be sent again.

    `basis_id` is None where it is not to be cached. `applied` is what its lag is counted from, None where it has none.
    `named` are the ends that its cursor names.
    """

    reply: Reply
    basis_id: BasisId | None
    applied: dict[int, int] | None
    named: tuple[Ends, ...]


@dataclass(slots=True)
class Asking(Generic[_Q]):
    """A question that was asked, and its newest reply."""

    question: _Q
    cached: CachedReply
    size: int


Key = tuple[str, bytes, str | None, str | None]
"""Path, query string, Accept and Accept-Encoding, as they came."""


class CachedReplies(Generic[_Q]):
    """What was asked. Thread safe; the library has no lock of its own. `bytes` is what they take, about."""

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self._asked: LRUCache[Key, Asking[_Q]] = LRUCache(most_bytes, lambda asking: asking.size)
        self._lock = Lock()

    @property
    def bytes(self) -> int:
        """What they take, about."""
        return int(self._asked.currsize)

    def get(self, key: Key) -> Asking[_Q] | None:
        """What is cached of a question."""
        with self._lock:
            return self._asked.get(key)

    def put(self, key: Key, question: _Q, cached: CachedReply) -> None:
        """Cache a reply instead of the one before; one that is too large for all the others is not cached."""
        texts = sum(len(part) for part in key[1:] if part is not None)
        found = Asking(question, cached, _ENTRY_BYTES + _TEXTS * texts + len(cached.reply.body))
        with self._lock:
            if found.size > self.most_bytes // 8:
                self._asked.pop(key, None)
            else:
                self._asked[key] = found

    def __len__(self) -> int:
        return len(self._asked)
