"""What a server follows of each stream, its log and its deltas on their way into the hot store, and whether an answer
may say that nothing is missing from it, and if not, why.

    partition   delta topic    [.......... read .........][.. not read yet ..]  ends here when the feed began to read
    0           all is read    nothing is known to be missing
    1           not yet        a chain ends somewhere, and what comes after it is not known: no answer is complete

Each stream has threads of its own, so that one that stalls holds up no other. The same as of partition 1 holds of every
partition while the log is not seen: what came since is not known. Elsewhere: a cell that is known and cannot be joined
yet (`slackwater.deltas.chain`), and a log that does not fit the version (`serving.watch.standings`).
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


UNREAD = "The delta topic is not read yet to where it ended when this server began to read it."
STUCK = "A batch of the delta topic cannot be read; /health/ready says where."
HIDDEN = "An open transaction hides deltas; /health/ready says where."
APART = "A later part of the log is known and cannot be joined yet."
REFUSED = "The speed layer's part may not be added; the refusal says why."
FIRST_PAGE = "The first page of this cursor was not complete."


class Completeness:
    """Asked by every answer that takes from the chains of a stream, before it takes their ends. For any thread.

    `hidden` are a stream's delta partitions of which a transaction of a foreign writer hides the end;
    `serving.watch.log_probe` finds them.
    """

    def __init__(self, lives: Lives) -> None:
        self._lives = lives
        self.hidden: dict[str, frozenset[int]] = {}

    def lacking(self, stream: str, partitions: Iterable[int]) -> str | None:
        """Why answers from these partitions of a stream may miss deltas now; None where they do not.

        The text stays the same while the reason does: answers hold it, and it is part of their ETags.
        """
        live = self._lives[stream]
        if unread := self.unread(stream, partitions):
            return unread
        if not live.feed.stuck.isdisjoint(partitions):
            return STUCK
        if not self.hidden.get(stream, frozenset()).isdisjoint(partitions):
            return HIDDEN
        return live.log_watch.unseen()

    def unread(self, stream: str, partitions: Iterable[int]) -> str | None:
        """The same while this server still reads what was there before it; a log that is not seen is passed over."""
        lacking = self._lives[stream].feed.lacking
        return UNREAD if lacking is None or not lacking.isdisjoint(partitions) else None

    def lag(self, stream: str, applied: Mapping[int, int]) -> int:
        """Records between what is applied of a stream and its log's end at the last look, hidden ones among them."""
        return self._lives[stream].log_watch.lag(applied)
