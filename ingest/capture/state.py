"""What capture knows of one venue while it runs: its symbols' ids, and counts for figures and the screen.

Where ids are not dense, a connection that ends leaves a break behind: what was heard of a symbol by then, until the
venue has shown trades that join it to what is heard now (`mender`). What cannot be joined becomes a suspect.
"""

import logging
from collections import Counter, deque
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from ingest.capture.tracker import Tracker
from ingest.feeds.feed import Feed, Newest, Said, Trade, Void
from slackwater.streams.schema import PRICE_SCALE

logger = logging.getLogger("slackwater.capture")

RECENT = 10_000
"""So many ids of a symbol are remembered where ids are not dense."""

SHAKEN = 3
"""Frames that follow one another may have changed places: when one cannot be read, trust not the last trades heard."""

STATES = ("connecting", "live", "waiting", "denied", "stopped")


@dataclass
class Recent:
    """The last trades of a symbol whose ids are not dense, to see whether an answer reaches back to them."""

    order: deque[tuple[str, int]] = field(default_factory=deque)
    ids: set[str] = field(default_factory=set)
    newest_us: int = 0

    def add(self, trade: Trade) -> None:
        """Remember it."""
        self.newest_us = max(self.newest_us, trade.time_us)
        if trade.identity in self.ids:
            return
        self.ids.add(trade.identity)
        self.order.append((trade.identity, trade.time_us))
        if len(self.order) > RECENT:
            self.ids.discard(self.order.popleft()[0])

    def broke(self, shaken: int = 0) -> "Break":
        """All of them but the last `shaken`, the first in any case."""
        shaken = min(shaken, len(self.order) - 1)
        if shaken <= 0:
            return Break({*self.ids}, self.newest_us)
        last = [self.order[-1 - at][0] for at in range(shaken)]
        return Break(self.ids.difference(last), self.order[-1 - shaken][1])


@dataclass
class Break:
    """After what was `heard` of a symbol, the last of it at `after_us`, something may have been missed.

    Before the first trade nothing is missed.

    Attributes:
        since, since_us: what was heard after it, and the earliest time of that.
        of: the connection, and those after it, whose trades that are.
        times: so often something broke again.
    """

    heard: set[str] = field(default_factory=set)
    after_us: int = 0
    since: set[str] = field(default_factory=set)
    since_us: int | None = None
    of: int = 0
    times: int = 1

    def again(self) -> None:
        """What was heard since is not enough, nor what has been asked for: something was missed after that, too."""
        self.times += 1
        self.since.clear()
        self.since_us = None

    def show(self, trades: Sequence[Trade]) -> None:
        """The venue has shown these, oldest first: from their end on something may still be missed."""
        self.heard |= {trade.identity for trade in trades}
        self.after_us = max(self.after_us, trades[-1].time_us)

    def hear(self, trade: Trade) -> None:
        """The socket says a trade."""
        self.since_us = min(trade.time_us, self.since_us or trade.time_us)
        if len(self.since) < RECENT:
            self.since.add(trade.identity)


@dataclass
class Suspect:
    """Between these times, in microseconds, both in it, trades may be missing: the venue shows too few."""

    symbol: str
    after_us: int
    before_us: int


class VenueState:
    """Of one feed and its symbols. It belongs to the event loop; others read its numbers."""

    def __init__(self, feed: Feed, symbols: Sequence[str]) -> None:
        self.feed = feed
        self._dense = feed.dense
        self.trackers = {symbol: Tracker(symbol) for symbol in symbols}
        self.recent = {symbol: Recent() for symbol in symbols}
        self.breaks: dict[str, Break] = {}
        if not feed.dense:
            self.breaks = {symbol: Break() for symbol in symbols}
        self.doubts: dict[str, float] = {}
        self._serving: Counter[str] = Counter()
        self._too_fine: set[str] = set()
        self.heard_s: dict[str, float] = {}
        self.suspects: list[Suspect] = []
        self.state = "connecting"
        self.why = ""
        self.frames = self.trades = self.bad_frames = self.connections = self.refilled = self.requests = 0
        self.voids: deque[Void] = deque(maxlen=RECENT)
        self.lag_s = 0.0

    def turn(self, state: str, why: str = "") -> bool:
        """Be in a state; whether that is news."""
        news = (state, why) != (self.state, self.why)
        self.state, self.why = state, why
        return news

    def take(self, said: Iterable[Said], now_s: float, connection: int | None = None) -> list[bytes]:
        """Note what a frame of a connection says, or an answer; the lines of its trades. Symbols nobody asked for are
        taken, too.
        """
        lines = []
        for one in said:
            if isinstance(one, Trade):
                self._hear(one, now_s, connection)
                lines.append(one.line)
            elif isinstance(one, Void):
                self.voids.append(one)
                self._tracker(one.symbol).hear(one.number, one.time_us, now_s)
            elif isinstance(one, Newest) and self._dense:
                self._tracker(one.symbol).newest(one.number, now_s)
        self.trades += len(lines)
        return lines

    def begin(self, symbols: Collection[str], connection: int) -> None:
        """One more connection serves these. One that served them before may have been silent for a while."""
        self.broke(symbol for symbol in symbols if self._serving[symbol])
        self._serving.update(symbols)
        for symbol in symbols:
            if symbol in self.breaks:
                self.breaks[symbol].again()
                self.breaks[symbol].of = connection

    def end(self, symbols: Collection[str]) -> None:
        """A connection serves these no more."""
        self._serving.subtract(symbols)
        self.broke(symbol for symbol in symbols if not self._serving[symbol])

    def join(self, symbol: str, known: Break, times: int) -> None:
        """What was heard before a break is joined to what is heard now, unless something broke since `times`."""
        if self.breaks.get(symbol) is known and known.times == times and self._serving[symbol]:
            del self.breaks[symbol]

    def broke(self, symbols: Iterable[str], shaken: int = 0) -> None:
        """From here on something may be missed of these, or from so many trades before."""
        if self._dense:
            return
        for symbol in symbols:
            known = self.breaks.get(symbol)
            if known is None or not known.heard:
                self.breaks[symbol] = self.recent.setdefault(symbol, Recent()).broke(shaken)
            else:
                known.again()

    def doubt(self, symbols: Collection[str], now_s: float) -> None:
        """Something was said that could not be read: it may have been trades of these."""
        self.broke(symbols, SHAKEN)
        if not self._dense:
            self.doubts |= dict.fromkeys(symbols, now_s)

    def replayed(self, trades: Sequence[Trade]) -> None:
        """The venue has shown its newest trades by itself, of one symbol, before it goes on with those that come."""
        known = self.breaks.get(trades[0].symbol)
        if known is not None and any(trade.identity in known.heard for trade in trades):
            del self.breaks[trades[0].symbol]

    def suspect(self, symbol: str, after_us: int, before_us: int) -> None:
        """Something may be missing between these times. Spans that meet are one."""
        for one in self.suspects:
            if one.symbol == symbol and one.before_us >= after_us and before_us >= one.after_us:
                one.after_us, one.before_us = min(one.after_us, after_us), max(one.before_us, before_us)
                return
        self.suspects.append(Suspect(symbol, after_us, before_us))

    def _hear(self, trade: Trade, now_s: float, connection: int | None) -> None:
        if self._dense and trade.number is not None:
            self._tracker(trade.symbol).hear(trade.number, trade.time_us, now_s)
        elif not self._dense:
            self.recent.setdefault(trade.symbol, Recent()).add(trade)
            known = self.breaks.get(trade.symbol)
            if known is not None and connection is not None and connection >= known.of:
                known.hear(trade)
        self.heard_s[trade.symbol] = now_s
        if trade.finest > PRICE_SCALE and trade.symbol not in self._too_fine:
            self._too_fine.add(trade.symbol)
            logger.error(
                "%s %s: a trade has %d digits behind the point, and %d are stored. Such trades are refused: leave this "
                "instrument out.", self.feed.venue, trade.symbol, trade.finest, PRICE_SCALE,
            )  # fmt: skip

    def _tracker(self, symbol: str) -> Tracker:
        if symbol not in self.trackers:
            self.trackers[symbol] = Tracker(symbol)
        return self.trackers[symbol]

    @property
    def missing(self) -> int:
        """Ids that are missing and may still come."""
        return sum(tracker.missing for tracker in self.trackers.values())

    @property
    def lost(self) -> int:
        """Ids that the venue does not have."""
        return sum(one.count for tracker in self.trackers.values() for one in tracker.lost)


def end_us(trade: Trade) -> int:
    """The last microsecond of a trade's time, which may have been measured in seconds."""
    return trade.time_us + trade.unit_us - 1
