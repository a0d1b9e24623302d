"""Admission: how many requests are in progress, whether one more may begin, and what was refused.

    request --> in progress < most? --yes--> a task: hot answers at once, cold ones wait for the pool (its own bound)
                     |no
                     +--> 503 with Retry-After, written before anything is made for the request

A request that waits costs memory and makes all behind it late; one that is refused is tried elsewhere or later. So the
bound is small: `Limits.requests` is about what a worker answers within its promised latency. Not here: where this is
asked (`slackwater.http.connection`), the bound of cold reads (`serving.query.pool`), of streams (their own).
"""

from collections.abc import Sequence
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter

from slackwater.http.edge import ANSWER_HEADERS
from slackwater.http.options import Limits
from slackwater.http.problems import MEDIA_TYPE, ProblemError

FREE = (b"/health/", b"/metrics")
"""What is never counted: it must answer under load."""

REASONS = (
    *("overload", "connections", "bad-request", "url-too-long", "headers-too-large", "body-too-large"),
    *("slow-request", "no-answer", "slow-reader"),
)


class Admission:
    """Counts; refusals in `registry`, under a name that begins with `prefix`. Belongs to the event loop's thread.

    `lasting` are beginnings of paths that are not counted either: they last as long as their client likes and have a
    bound of their own.
    """

    def __init__(
        self, most: int, registry: CollectorRegistry, prefix: str = "slackwater", lasting: tuple[bytes, ...] = ()
    ) -> None:
        self.most = most
        self.in_work = 0
        self._free = (*FREE, *lasting)
        text = "Requests and connections that were refused before they were read."
        refused = Counter(f"{prefix}_refused", text, ["reason"], registry=registry)
        self._refused = {reason: refused.labels(reason) for reason in REASONS}

    def full(self, url: bytes) -> bool:
        """Whether a request for `url` is one too many."""
        return self.in_work >= self.most and not url.startswith(self._free)

    def enter(self, url: bytes) -> "Place | None":
        """Count a request in; None if such are not counted."""
        return None if url.startswith(self._free) else Place(self)

    def refuse(self, reason: str) -> None:
        """Count a refusal."""
        self._refused[reason].inc()


class Place:
    """A request's place among those in progress, from when it is made until it is left."""

    __slots__ = ("_admission", "_held")

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._held = True
        admission.in_work += 1

    def leave(self, _: object = None) -> None:
        """Leave it, once."""
        if self._held:
            self._held = False
            self._admission.in_work -= 1


class Refusal(NamedTuple):
    """Why a connection is refused, and the whole answer as bytes."""

    reason: str
    answer: bytes


class Refusals:
    """The answers to connections that are refused before there is a request, each made once."""

    def __init__(self, limits: Limits) -> None:
        self.overload = _overload("overload", "Too many requests are in work. Come again.", close=False)
        self.overload_head = self.overload.answer.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
        self.overload_close = _overload("overload", "Too many requests are in work. Come again.")
        self.connections = _overload("connections", "Too many connections are open. Come again.")
        self.bad = _refusal("bad-request", 400, "bad-request", "This is no HTTP/1.1 request.")
        self.url = _refusal("url-too-long", 414, "url-too-long", f"The URL has more than {limits.url} bytes.")
        text = f"The headers are more than {limits.headers}, or have more than {limits.head} bytes."
        self.head = _refusal("headers-too-large", 431, "headers-too-large", text)
        self.body = _refusal("body-too-large", 413, "too-large", f"The body has more than {limits.body} bytes.")
        text = f"The request was not there within {limits.head_s:g} s."
        self.slow = _refusal("slow-request", 408, "slow-request", text)
        self.no_answer = _refusal("no-answer", 504, "deadline", f"Not answered within {limits.answer_s:g} s.")


def _overload(reason: str, detail: str, close: bool = True) -> Refusal:
    return _refusal(reason, 503, "overloaded", detail, ((b"retry-after", b"1"),), close)


def _refusal(
    reason: str, status: int, kind: str, detail: str, more: Sequence[tuple[bytes, bytes]] = (), close: bool = True
) -> Refusal:
    problem = ProblemError(status, kind, detail)
    body = problem.body()
    headers = [
        *ANSWER_HEADERS,
        (b"content-type", MEDIA_TYPE.encode()),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
        *more,
        *([(b"connection", b"close")] if close else []),
    ]
    lines = [b"HTTP/1.1 %d %s" % (status, problem.title.encode()), *(b"%b: %b" % header for header in headers)]
    return Refusal(reason, b"\r\n".join([*lines, b"", body]))
