"""What a server follows of one stream: its log, and its deltas on their way into the hot store.

Each stream has its own, with threads of their own, so that one that stalls holds up no other.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from serving.watch.feed import Feed
from serving.watch.log_watch import LogWatch
from slackwater.streams.stream import Stream


@dataclass(frozen=True)
class Live:
    """The watch of a stream's log, and the feed of its deltas."""

    stream: Stream
    log_watch: LogWatch
    feed: Feed


Lives = Mapping[str, Live]
"""Stream -> what is followed of it."""


def named(lives: Mapping[str, object], stream: str, reasons: Iterable[str]) -> list[str]:
    """The reasons, each with its stream in front where there are several."""
    return [f"{stream}: {reason}" for reason in reasons] if len(lives) > 1 else list(reasons)
