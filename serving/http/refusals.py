"""The answers of a connection that is refused before there is a request, each made once."""

from typing import NamedTuple

from serving.http.edge import ANSWER_HEADERS
from serving.http.problems import MEDIA_TYPE, ProblemError
from serving.options import Limits


class Refusal(NamedTuple):
    """Why a connection is refused, and the whole answer as bytes."""

    reason: str
    answer: bytes


def _refusal(reason: str, problem: ProblemError, close: bool = True) -> Refusal:
    body = problem.body()
    headers = [
        *ANSWER_HEADERS,
        (b"content-type", MEDIA_TYPE.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
    ]
    if problem.retry_after_s is not None:
        headers.append((b"retry-after", str(problem.retry_after_s).encode()))
    if close:
        headers.append((b"connection", b"close"))
    phrase = problem.title.encode()
    lines = [b"HTTP/1.1 %d %s" % (problem.status, phrase), *(name + b": " + value for name, value in headers)]
    return Refusal(reason, b"\r\n".join([*lines, b"", body]))


class Refusals:
    """All answers of this level, made once."""

    def __init__(self, limits: Limits) -> None:
        many = ProblemError(503, "overloaded", "Too many requests are in work. Come again.", retry_after_s=1)
        self.overload = _refusal("overload", many, close=False)
        self.overload_head = self.overload.answer.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
        self.overload_close = _refusal("overload", many)
        text = "Too many connections are open. Come again."
        self.connections = _refusal("connections", ProblemError(503, "overloaded", text, retry_after_s=1))
        self.bad = _refusal("bad-request", ProblemError(400, "bad-request", "This is no HTTP/1.1 request."))
        text = f"The URL has more than {limits.url} bytes."
        self.url = _refusal("url-too-long", ProblemError(414, "url-too-long", text))
        text = f"The headers are more than {limits.headers}, or have more than {limits.head} bytes."
        self.head = _refusal("headers-too-large", ProblemError(431, "headers-too-large", text))
        text = f"The body has more than {limits.body} bytes."
        self.body = _refusal("body-too-large", ProblemError(413, "too-large", text))
        text = f"The request was not there within {limits.head_s:g} s."
        self.slow = _refusal("slow-request", ProblemError(408, "slow-request", text))
        text = f"Not answered within {limits.answer_s:g} s."
        self.no_answer = _refusal("no-answer", ProblemError(504, "deadline", text))
