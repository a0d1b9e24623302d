"""What both clients tell httpx: URL, headers, time limits; and which of its errors mean a lost connection."""

import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import httpx

from slackwater_client.errors import ArgumentError
from slackwater_client.http import Lost, Reply, Send
from slackwater_client.version import VERSION

LOST = (httpx.TransportError, httpx.DecodingError)
"""A connection that was refused, timed out or broke off, and an answer whose compression does not end as it should."""


def options(url: str, key: str | None, timeout_s: float) -> dict[str, Any]:
    """What a client of httpx is made with.

    Raises:
        ArgumentError: the URL is no http URL or holds a user or a query, or the key holds what no header can.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment or parts.username:
        raise ArgumentError("The URL cannot be used.", "Give http:// or https://, a host, and a path if there is one.")
    headers = {"User-Agent": f"slackwater-python/{VERSION}"}
    if key is not None:
        if not key or not key.isascii() or not key.isprintable() or " " in key:
            raise ArgumentError("The key cannot be used.", "Give it as `slackwater key create` printed it.")
        headers["Authorization"] = f"Bearer {key}"
    made: dict[str, Any] = {"base_url": url.rstrip("/"), "headers": headers, "timeout": timeout_s}
    if parts.scheme == "http":  # certificates take 50 ms to load, and none is looked at; an empty list trusts nobody
        made["verify"] = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return made


def arguments(request: Send, timeout: httpx.Timeout) -> dict[str, Any]:
    """What httpx builds a request from; `timeout` is the client's."""
    if request.silence_s is not None:
        limits = {"connect": timeout.connect, "write": timeout.write, "pool": timeout.pool}
        timeout = httpx.Timeout(read=request.silence_s, **limits)
    return {
        "method": request.method,
        "url": request.path,
        "params": list(request.params) or None,
        "headers": list(request.headers),
        "content": request.body,
        "timeout": timeout,
    }


def reply(response: httpx.Response) -> Reply:
    """A response that was read."""
    return Reply(response.status_code, headers(response), response.content)


def headers(response: httpx.Response) -> Mapping[str, str]:
    """Its headers, the names in lower case."""
    return {name.lower(): value for name, value in response.headers.items()}


def lost(error: Exception) -> Lost:
    """The connection that an error ended."""
    return Lost(f"{type(error).__name__}{f' ({error})' if str(error) else ''}")
