"""The list of instruments, in order of venue, symbol and partition: the version's and those of the chains, as one.

    version     x:A/0   x:B/0           x:D/1         columns in order, found by bisection
    chains              x:B/0   x:C/1                 a directory in order; a span where an event is below the end
    list        x:A/0   x:B/0   x:C/1   x:D/1         portions of both are joined until there are enough

So a page costs what it holds, not what there is, but for conditions that must look at everything.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from serving.store.ends import Ends
from serving.store.hot import HotStore
from serving.store.snapshot import Snapshot
from slackwater.store.instruments import Instrument, Instruments, behind
from slackwater.views.view import View

Name = tuple[str, str]
PORTION = 1_024
"""Instruments that are looked at together."""

_LAST = "\U0010ffff"

CONTRACT_VENUES = frozenset({"binance_coinm"})
"""Venues whose quantities are contracts; everywhere else they are units of the base currency."""


class Place(NamedTuple):
    """An instrument in one partition."""

    venue: str
    symbol: str
    partition: int


Spans = dict[Place, tuple[int, int]]
"""Place -> the first and the last base start with an event."""


@dataclass(frozen=True)
class Wanted:
    """Which instruments: all conditions hold. `words` stand in the symbol or the venue, in small letters."""

    venue: str | None = None
    symbols: frozenset[str] = frozenset()
    prefix: str = ""
    words: tuple[str, ...] = ()
    active_since: int | None = None
    after: Place | None = None
    _low: Name = field(init=False)
    _high: Name = field(init=False)

    def __post_init__(self) -> None:
        venues = ("", _LAST) if self.venue is None else (self.venue, self.venue)
        begin = self.prefix if self.venue is not None else ""
        after = ("", "") if self.after is None else self.after[:2]
        object.__setattr__(self, "_low", max((venues[0], begin), after))
        object.__setattr__(self, "_high", (venues[1], begin + _LAST))

    @property
    def range(self) -> tuple[Name, Name]:
        """Every name that is wanted is in [low, high)."""
        return self._low, self._high

    @property
    def facts(self) -> tuple[object, ...]:
        """The conditions, without where a page begins."""
        return self.venue, sorted(self.symbols), self.prefix, self.words, self.active_since

    @property
    def picks(self) -> bool:
        """Whether some in the range may not be wanted."""
        return self.by_name or self.active_since is not None

    @property
    def by_name(self) -> bool:
        """Whether some names in the range may not be wanted."""
        return bool(self.symbols or self.prefix or self.words)

    def names(self, found: Iterable[Name]) -> list[Name]:
        """Those that are wanted."""
        return [name for name in found if self.fits(*name)] if self.by_name else list(found)

    def fits(self, venue: str, symbol: str) -> bool:
        """Whether a name in the range is wanted."""
        if (self.symbols and symbol not in self.symbols) or not symbol.startswith(self.prefix):
            return False
        text = f"{symbol} {venue}".lower() if self.words else ""
        return all(word in text for word in self.words)

    def place(self, place: Place, span: tuple[int, int]) -> bool:
        """Whether a place of a name that is wanted is wanted."""
        is_late = self.active_since is None or span[1] >= self.active_since
        return is_late and (self.after is None or place > self.after)


def listed(
    snapshot: Snapshot, hot: HotStore, view: View, ends: Mapping[int, Ends], wanted: Wanted, most: int | None = None
) -> Spans:
    """The first `most` places that are wanted, in order, with their spans below `ends`, which may be empty."""
    low, high = wanted.range
    portion = PORTION if most is None or wanted.picks else min(PORTION, most)
    found: Spans = {}
    while most is None or len(found) < most:
        known, known_to = _of_version(snapshot.batch.instruments(view), wanted, low, high, portion)
        there, there_to = _of_chains(hot, view, low, high, portion) if ends else ({}, high)
        upto = min(known_to, there_to)
        spans = known if upto == known_to else {place: span for place, span in known.items() if place[:2] < upto}
        names = wanted.names(name for name in there if name < upto)
        _add_chains(spans, {name: there[name] for name in names}, ends)
        here = [place for place, span in spans.items() if wanted.place(place, span)]
        found |= {place: spans[place] for place in sorted(here)}
        if upto == high:
            break
        low = upto
    return found if most is None else dict(list(found.items())[:most])


def _of_version(known: Instruments, wanted: Wanted, low: Name, high: Name, portion: int) -> tuple[Spans, Name]:
    """A portion of a version's places in [low, high) that may be wanted, and the name up to which it is whole."""
    first, last = known.place(*low), known.place(*high)
    upto = high
    if last - first > portion:
        cut = known[first + portion]
        upto = cut.venue, behind(cut.symbol)
        last = known.place(*upto)
    entries: Iterable[Instrument] = known.entries(first, last)
    if wanted.by_name:
        entries = [each for each in entries if wanted.fits(each.venue, each.symbol)]
    return {Place(e.venue, e.symbol, e.partition): (e.first_start, e.last_start) for e in entries}, upto


def _of_chains(
    hot: HotStore, view: View, low: Name, high: Name, portion: int
) -> tuple[dict[Name, frozenset[int]], Name]:
    """A portion of the chains' names in [low, high), and the name up to which it is whole."""
    found = {(str(venue), str(symbol)): p for (venue, symbol), p in hot.instruments(view, low, high, portion).items()}
    if len(found) < portion:
        return found, high
    venue, symbol = next(reversed(found))
    return found, (venue, behind(symbol))


def _add_chains(spans: Spans, names: Mapping[Name, frozenset[int]], ends: Mapping[int, Ends]) -> None:
    for partition, end in ends.items():
        here = [name for name, partitions in names.items() if partition in partitions]
        for (venue, symbol), (first, last) in end.spans(here).items():
            place = Place(str(venue), str(symbol), partition)
            known = spans.get(place, (first, last))
            spans[place] = min(first, known[0]), max(last, known[1])


def quantity_unit(venue: str) -> str:
    """`contracts` or `base`."""
    return "contracts" if venue in CONTRACT_VENUES else "base"
