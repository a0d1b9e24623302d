"""A venue's REST interface: who asks it, how a request is put, and what an answer means.

Not here: how long to wait before another try; each who asks has a patience of its own.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

import httpx

from ingest.capture.options import CaptureOptions
from ingest.errors import IngestError
from ingest.feeds.feed import Feed, FinalError, FrameError, Request, TooMuchError

MOST_PAGES = 1_000
"""Answers that one question may take."""

TOO_MUCH = frozenset({403, 408, 418, 425, 429})
"""What passes by itself; a venue's firewall says 403."""

T = TypeVar("T")
Client = TypeVar("Client", httpx.Client, httpx.AsyncClient)


class NotNowError(IngestError):
    """The venue cannot answer at this moment."""


def client_of(feed: Feed, options: CaptureOptions) -> httpx.AsyncClient:
    """Who asks, on an event loop."""
    return httpx.AsyncClient(
        base_url=options.rest_of(feed),
        timeout=options.timing.open_s,
        headers=options.headers_of(feed),
        verify=options.tls or True,
    )


def put(client: httpx.Client | httpx.AsyncClient, request: Request, history: str = "") -> httpx.Request:
    """A request as the client sends it. `history` is the base of the venue's interface for old trades."""
    path = history + request.path if request.old else request.path
    if request.body is None:
        return client.build_request("GET", path, params=request.params)
    headers = {"Content-Type": "application/json"}
    return client.build_request("POST", path, params=request.params, content=request.body, headers=headers)


def said(answer: httpx.Response, read: Callable[[bytes], T]) -> T:
    """What an answer holds, by a function of its body.

    Raises:
        NotNowError, TooMuchError: it may be asked again, later.
        FinalError: it will not answer this, however often it is asked.
        FrameError: the body is none of the venue's.
    """
    if answer.is_success:
        return read(answer.content)
    fact = f"it answers {answer.status_code}: {answer.text[:200]}"
    if answer.status_code in TOO_MUCH:
        raise TooMuchError(fact)
    if answer.is_server_error:
        raise NotNowError(fact)
    with suppress(FrameError):  # some say in the body of a refusal that it is one of load
        read(answer.content)
    raise FinalError(fact)


def retry_after_s(answer: httpx.Response, otherwise: float) -> float:
    """How long the venue asks to be left in peace, in seconds."""
    asked = answer.headers.get("Retry-After", "")
    return float(asked) if asked.isdecimal() else otherwise
