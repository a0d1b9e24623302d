"""How capture runs, as values: no socket is needed to know it."""

import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from ingest.capture.timing import TIMING, Timing
from ingest.feeds.feed import Feed


class Address(NamedTuple):
    """Where a venue is found instead: the bases of its socket and REST interface; "" for its own."""

    socket: str = ""
    rest: str = ""


class KnownIds(NamedTuple):
    """What is known of a symbol from before: its newest id, and the holes below that, both ends in them."""

    last: int
    holes: Sequence[tuple[int, int]] = ()


Known = Callable[[str], Mapping[str, KnownIds]]
"""Venue -> what is known of its symbols."""


@dataclass(frozen=True)
class CaptureOptions:
    """How capture runs. `record` is the folder for raw frames; `tls` is for sockets and REST at other addresses."""

    addresses: Mapping[str, Address] = field(default_factory=dict)
    headers: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    record: Path | None = None
    timing: Timing = TIMING
    tls: ssl.SSLContext | None = None

    def rest_of(self, feed: Feed) -> str:
        """The base of a venue's REST interface."""
        return self.addresses.get(feed.venue, Address()).rest or feed.url

    def headers_of(self, feed: Feed) -> dict[str, str]:
        """The headers of requests to it."""
        return {"User-Agent": "slackwater", **self.headers.get(feed.venue, {})}
