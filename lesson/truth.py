"""What was true: every bar at every position of the log, by `verify.oracle`, from the bytes of the trades.

A trade counts from its first arrival on; copies change nothing. A position is how many arrivals of a partition there
were. An instrument lives in one partition, so a bar is a function of one position:

    position   0     1     2     3     4
    10:07      -     a     a     b     b          right at positions 1 to 4: a or b; at 3: b
"""

from bisect import bisect_right
from collections.abc import Iterable

from lesson.stream import INTERVAL, Arrival, Instrument, Stream
from slackwater.views.bars import BARS
from verify.definition import read_view
from verify.oracle import Oracle

OF_BARS = read_view(BARS)
Bar = dict[str, object]


class Truth:
    """The bars of one stream."""

    def __init__(self, stream: Stream) -> None:
        self._bars: dict[tuple[Instrument, int], tuple[list[int], list[Bar]]] = {}
        oracle = Oracle(OF_BARS.stream, [OF_BARS])
        known: set[tuple[Instrument, int]] = set()
        for arrival in stream.arrivals:
            trade = arrival.trade
            if (trade.instrument, trade.trade_id) not in known:
                known.add((trade.instrument, trade.trade_id))
                oracle.record(trade.line, arrival.at_us // 1000)
                self._add(oracle, arrival)

    def _add(self, oracle: Oracle, arrival: Arrival) -> None:
        trade = arrival.trade
        [bar] = oracle.rows(OF_BARS.definition, trade.instrument, INTERVAL.text, trade.start, trade.start + 1)
        del bar["closed"]  # says how far the log was read; no rule is asked for it
        positions, bars = self._bars.setdefault((trade.instrument, trade.start), ([], []))
        positions.append(arrival.place + 1)
        bars.append(bar)

    def starts(self, instrument: Instrument, position: int) -> Iterable[int]:
        """The starts of the bars that there are at a position."""
        return (
            start for (of, start), (positions, _) in self._bars.items() if of == instrument and positions[0] <= position
        )

    def bar(self, instrument: Instrument, start: int, position: int) -> Bar | None:
        """The bar at a position; None where it has no trade."""
        positions, bars = self._bars.get((instrument, start), ([], []))
        count = bisect_right(positions, position)
        return bars[count - 1] if count else None

    def within(self, instrument: Instrument, start: int, low: int, high: int) -> list[Bar | None]:
        """What the bar was at the positions from `low` to `high`, both among them, in order."""
        positions, bars = self._bars.get((instrument, start), ([], []))
        return [self.bar(instrument, start, low), *bars[bisect_right(positions, low) : bisect_right(positions, high)]]
