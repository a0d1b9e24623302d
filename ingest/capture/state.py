"""What capture knows of one venue while it runs: its symbols' ids, and counts for figures and the screen."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from ingest.capture.tracker import Tracker
from ingest.feeds.feed import Feed, Newest, Said, Trade, Void

RECENT = 5_000
"""So many ids of a symbol are remembered where ids are not dense."""

STATES = ("connecting", "live", "waiting", "denied", "stopped")


@dataclass
class Recent:
    """The last ids of a symbol whose ids are not dense, to see whether an answer reaches back to them."""

    order: deque[str] = field(default_factory=deque)
    ids: set[str] = field(default_factory=set)

    def add(self, identity: str) -> bool:
        """Remember it; whether it is new."""
        if identity in self.ids:
            return False
        self.ids.add(identity)
        self.order.append(identity)
        if len(self.order) > RECENT:
            self.ids.discard(self.order.popleft())
        return True


@dataclass
class Suspect:
    """Between these times, in microseconds, trades may be missing: the venue shows too few of its newest."""

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
        self.heard_s: dict[str, float] = {}
        self.heard_us: dict[str, int] = {}
        self.suspects: list[Suspect] = []
        self.state = "connecting"
        self.why = ""
        self.frames = self.trades = self.bad_frames = self.connections = self.refilled = self.requests = 0
        self.voids: deque[Void] = deque()
        self.lag_s = 0.0

    def turn(self, state: str, why: str = "") -> bool:
        """Be in a state; whether that is news."""
        news = (state, why) != (self.state, self.why)
        self.state, self.why = state, why
        return news

    def take(self, said: Sequence[Said], now_s: float) -> list[bytes]:
        """Note what a frame or an answer says; the lines of its trades. Symbols nobody asked for are taken, too."""
        lines = []
        for one in said:
            if isinstance(one, Trade):
                self._hear(one, now_s)
                lines.append(one.line)
            elif isinstance(one, Void):
                self.voids.append(one)
                self._tracker(one.symbol).hear(one.number, one.time_us, now_s)
            elif isinstance(one, Newest) and self._dense:
                self._tracker(one.symbol).newest(one.number, now_s)
        self.trades += len(lines)
        return lines

    def _hear(self, trade: Trade, now_s: float) -> None:
        if self._dense and trade.number is not None:
            self._tracker(trade.symbol).hear(trade.number, trade.time_us, now_s)
        elif not self._dense:
            self.recent.setdefault(trade.symbol, Recent()).add(trade.identity)
        self.heard_s[trade.symbol] = now_s
        self.heard_us[trade.symbol] = max(trade.time_us, self.heard_us.get(trade.symbol, 0))

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
