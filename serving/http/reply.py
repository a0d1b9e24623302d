"""The reply: bytes with a strong ETag over them and all headers made once, and 304 where the client has them already.
Hot routes cache theirs: an answer is encoded once and sent until something that it depends on changes.

    what is asked, as it came (path, query string, Accept, Accept-Encoding) -> the question, read once
                                                                            -> its reply, with the basis it holds for

The lag is a header of each sending, outside the ETag, since it changes while the answer does not. The cache is bounded
by bytes; the least recently asked go first. What was read of a question stays when its answer is too old.

Not here: which of an answer's representations is sent (`serving.http.formats.negotiation`).
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from threading import Lock
from typing import Generic, NamedTuple, TypeVar

from cachetools import LRUCache
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from serving.http.formats.negotiation import IDENTITY, SMALL_BYTES, choose_coding, compress
from serving.query.basis import BasisId
from serving.store.fold import Ends

IMMUTABLE = "public, max-age=31536000, immutable"
JSON = "application/json"
LAG_HEADER = "Slackwater-Lag-Records"
VARY = "Accept, Accept-Encoding"

Header = tuple[bytes, bytes]


class RequestHeaders(NamedTuple):
    """The headers of a request that choose and save sending a representation; several of a name are one list."""

    accept: str | None
    accept_encoding: str | None
    if_none_match: str | None


def read_headers(scope: Scope) -> RequestHeaders:
    """These headers of an ASGI request."""
    accept = coding = match = None
    for name, value in scope["headers"]:
        if name == b"accept":
            accept = _joined(accept, value)
        elif name == b"accept-encoding":
            coding = _joined(coding, value)
        elif name == b"if-none-match":
            match = _joined(match, value)
    return RequestHeaders(accept, coding, match)


@dataclass(frozen=True, slots=True)
class Reply:
    """One representation of an answer, encoded: it can be sent any number of times.

    `again` are the headers of a 304, `headers` those of a 200.
    """

    body: bytes
    etag: str
    again: tuple[Header, ...]
    headers: tuple[Header, ...]

    def response(self, request_headers: RequestHeaders, head: bool, more: Iterable[Header] = ()) -> "Sent":
        """What is sent for one request."""
        if request_headers.if_none_match is not None and matches(request_headers.if_none_match, self.etag):
            return Sent(304, [*self.again, *more], b"")
        return Sent(200, [*self.headers, *more], b"" if head else self.body)


class Sent(Response):
    """An answer on its way; nothing of it is made anew."""

    def __init__(self, status: int, headers: list[Header], body: bytes) -> None:
        self.status_code = status
        self.raw_headers = headers
        self.body = body
        self.background = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body})


def encode(
    body: bytes,
    media_type: str = JSON,
    coding: str = IDENTITY,
    immutable: bool = False,
    more: Iterable[tuple[str, str]] = (),
) -> Reply:
    """A representation of an answer whose plain bytes are `body`; each coding has an ETag of its own."""
    digest = hashlib.blake2b(body, digest_size=16).hexdigest()
    etag = f'"{digest}"' if coding == IDENTITY else f'"{digest}-{coding}"'
    again = [("etag", etag), ("cache-control", IMMUTABLE if immutable else "no-cache"), ("vary", VARY), *more]
    packed = body if coding == IDENTITY else compress(body, coding)
    headers = [*again, ("content-type", media_type), ("content-length", str(len(packed)))]
    if coding != IDENTITY:
        headers.append(("content-encoding", coding))
    return Reply(packed, etag, raw(again), raw(headers))


def lag_header(lag_records: int) -> Header:
    """The header that tells the lag."""
    return LAG_HEADER.lower().encode(), b"%d" % lag_records


def reply(request: Request, body: bytes, lag_records: int | None = None, immutable: bool = False) -> Response:
    """A JSON document as the answer to a request, in the coding that it prefers."""
    request_headers = read_headers(request.scope)
    coding = choose_coding(request_headers.accept_encoding, len(body) > SMALL_BYTES)
    more = [] if lag_records is None else [lag_header(lag_records)]
    return encode(body, coding=coding, immutable=immutable).response(request_headers, request.method == "HEAD", more)


def raw(headers: Iterable[tuple[str, str]]) -> tuple[Header, ...]:
    """Headers as ASGI takes them; of a name the last."""
    return tuple(Headers(dict(headers)).raw)


def _joined(before: str | None, value: bytes) -> str:
    text = value.decode("latin-1")
    return text if before is None else f"{before},{text}"


def matches(header: str, etag: str) -> bool:
    """Weakly, as RFC 9110 says for this header."""
    return any(tag.strip().removeprefix("W/") in {etag, "*"} for tag in header.split(","))


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
