"""The independent oracle of the proof: every bar recomputed from the event log's raw bytes, in plain Python integers.

It is *not* a fast path and shares nothing with one: no room, no package, no decimal type, no merge of states, only the
standard library and the contract (DESIGN.md, sections 2, 4 "Closed" and 5). What the batch view, the speed layer and
the service print has to equal what this file prints; a mistake that both make must be made twice. A test holds its
imports. Reading Kafka, skipping marks and comparing live in the caller.

    bytes --_parse--> trade --_add--> {start: bar} --bars--> {"start": ..., "open": "61000.1", ...}

Prices and quantities are whole numbers of 1e-8, notionals of 1e-16. A trade seen twice is counted twice: dropping
duplicates is the door's work, and this is below the door.
"""

import re
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from json import JSONDecoder
from typing import NoReturn

SECOND_US = 1_000_000
DAY_US = 86_400 * SECOND_US
WEEK_US = 7 * DAY_US
MONDAY_US = 4 * DAY_US  # 1970-01-01 was a Thursday; 1970-01-05, a Monday, starts a bar of every interval
CLOSED_AFTER_US = 2 * SECOND_US
AHEAD_US = 60 * SECOND_US  # how far an event may be ahead of the log's append time
EARLIEST_US = int(datetime(2009, 1, 3, tzinfo=UTC).timestamp()) * SECOND_US
LARGEST_INTEGER = 2**63 - 1
NOTIONAL_LIMIT = 10**13 * 10**16  # 10^13 in units of 1e-16, not reached
MOST_LINES = 64
DEEPEST = 200  # how many JSON values may stand open at once

_VENUE = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
_SYMBOL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_./:-]{0,63}")
_AMOUNT = re.compile(r"[0-9]{1,10}(\.[0-9]{1,8})?")
_SIDE = re.compile(r"buy|sell")

_Trade = tuple[str, str, int, int, int, int, str]  # venue, symbol, trade_id, time, price, quantity, side


class _RefusedError(Exception):
    """A line that does not count; its text is the reason under which `Oracle.refused` counts it."""


class _Pairs(list[tuple[str, object]]):
    """A JSON object as its pairs in order, so that duplicate keys are seen and an array is not taken for one."""


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _whole(digits: str) -> int | None:
    """The number, or None for one too long to be an id or a time: Python reads 4,300 digits, JSON has no limit."""
    return int(digits) if len(digits) <= 30 else None


_JSON = JSONDecoder(object_pairs_hook=_Pairs, parse_int=_whole, parse_constant=_constant)


class _Bar:
    """The running sums of one bar. `first` and `last` are (trade_id, price)."""

    __slots__ = ("buy_volume", "first", "high", "last", "low", "notional", "trades", "volume")

    def __init__(self, ordered: tuple[int, int]) -> None:
        self.first = self.last = ordered
        self.high = self.low = ordered[1]
        self.volume = self.notional = self.buy_volume = self.trades = 0


class Oracle:
    """Bars of every instrument at the given intervals (lengths in microseconds), from the records it is shown.

    Records may come in any order; the answer is about those shown so far. `events` counts the applied trades, `refused`
    the refused lines, and the records refused as a whole (once each), by reason.

    Raises:
        ValueError: an interval neither divides a day nor is a week.
    """

    def __init__(self, intervals: Sequence[int]) -> None:
        for length in intervals:
            if length != WEEK_US and (length <= 0 or DAY_US % length):
                raise ValueError(f"An interval of {length} microseconds neither divides a day nor is a week.")
        self._intervals = list(dict.fromkeys(intervals))
        self._bars: dict[tuple[str, str], list[dict[int, _Bar]]] = {}  # per interval {start: bar}
        self._newest: dict[tuple[str, str], int] = {}
        self.events = 0
        self.refused: Counter[str] = Counter()

    def record(self, value: bytes | None, append_time_ms: int) -> None:
        """Count one record of the event log: its raw value, and when the log appended it. Marks are not shown here."""
        if not value:
            self.refused["empty value"] += 1
            return
        lines = value.split(b"\n")
        if len(lines) > MOST_LINES:
            self.refused["more than 64 lines"] += 1
            return
        latest = min(append_time_ms * 1000 + AHEAD_US, LARGEST_INTEGER)
        for line in lines:
            try:
                self._add(_parse(line, latest))
            except _RefusedError as error:
                self.refused[str(error)] += 1

    def event(self, venue: str, symbol: str, trade_id: int, time: int, price: str, quantity: str, side: str) -> None:
        """Count one valid event that did not come through the log (imported history); nothing is checked again."""
        self._add((venue, symbol, trade_id, time, _units(price), _units(quantity), side))

    def _add(self, trade: _Trade) -> None:
        venue, symbol, trade_id, time, price, quantity, side = trade
        instrument = venue, symbol
        if instrument not in self._bars:
            self._bars[instrument] = [{} for _ in self._intervals]
            self._newest[instrument] = time
        self._newest[instrument] = max(self._newest[instrument], time)
        self.events += 1
        ordered = trade_id, price
        notional = price * quantity
        bought = quantity if side == "buy" else 0
        for length, bars in zip(self._intervals, self._bars[instrument], strict=True):
            start = time - (time - MONDAY_US) % length
            bar = bars.get(start)
            if bar is None:
                bar = bars[start] = _Bar(ordered)
            if ordered < bar.first:
                bar.first = ordered
            elif ordered > bar.last:
                bar.last = ordered
            if price < bar.low:
                bar.low = price
            elif price > bar.high:
                bar.high = price
            bar.volume += quantity
            bar.notional += notional
            bar.buy_volume += bought
            bar.trades += 1

    @property
    def instruments(self) -> list[tuple[str, str]]:
        """Every (venue, symbol) with an applied event, sorted."""
        return sorted(self._bars)

    def bars(
        self, venue: str, symbol: str, interval_us: int, start: int | None = None, end: int | None = None
    ) -> list[dict[str, object]]:
        """The bars with start <= bar start < end (microseconds, None: no bound) as the service prints them, in order.

        Raises:
            ValueError: the interval is not one that the oracle was made with.
        """
        if interval_us not in self._intervals:
            raise ValueError(f"No bars of {interval_us} microseconds are kept; these are: {self._intervals}.")
        if (venue, symbol) not in self._bars:
            return []
        bars = self._bars[venue, symbol][self._intervals.index(interval_us)]
        closed_to = self._newest[venue, symbol] - CLOSED_AFTER_US
        return [
            _finish(at, bars[at], closed=at + interval_us <= closed_to)
            for at in sorted(bars)
            if (start is None or at >= start) and (end is None or at < end)
        ]


def _parse(line: bytes, latest: int) -> _Trade:
    """One line as a trade; `latest` is the last allowed time. Raises _RefusedError."""
    if _nests_too_deep(line):
        raise _RefusedError("too deep")
    try:
        pairs = _JSON.decode(line.decode("utf-8"))
    except UnicodeDecodeError:
        raise _RefusedError("not UTF-8") from None
    except ValueError:
        raise _RefusedError("not JSON") from None
    if not isinstance(pairs, _Pairs):
        raise _RefusedError("not an object")
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise _RefusedError("duplicate key")
    venue = _text(fields, "venue", _VENUE)
    symbol = _text(fields, "symbol", _SYMBOL)
    if ".." in symbol or "//" in symbol:
        raise _RefusedError("symbol")
    trade_id = _integer(fields, "trade_id", 0, LARGEST_INTEGER)
    time = _integer(fields, "time", EARLIEST_US, latest)
    price = _positive(fields, "price")
    quantity = _positive(fields, "quantity")
    if price * quantity >= NOTIONAL_LIMIT:
        raise _RefusedError("notional")
    return venue, symbol, trade_id, time, price, quantity, _text(fields, "side", _SIDE)


def _nests_too_deep(line: bytes) -> bool:
    """Whether more than DEEPEST arrays and objects stand open at once, those spelled inside of strings not counted."""
    if sum(map(line.count, (b"[", b"{"))) <= DEEPEST:
        return False
    level = 0
    quoted = escaped = False
    for char in line.decode("latin-1"):
        if escaped:
            escaped = False
        elif quoted:
            quoted, escaped = char != '"', char == "\\"
        elif char == '"':
            quoted = True
        elif char in "[{":
            level += 1
            if level > DEEPEST:
                return True
        elif char in "]}":
            level -= 1
    return False


def _text(fields: dict[str, object], name: str, pattern: re.Pattern[str]) -> str:
    value = fields.get(name)
    if isinstance(value, str) and pattern.fullmatch(value):
        return value
    raise _RefusedError(name)


def _integer(fields: dict[str, object], name: str, low: int, high: int) -> int:
    value = fields.get(name)
    if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
        return value
    raise _RefusedError(name)


def _positive(fields: dict[str, object], name: str) -> int:
    units = _units(_text(fields, name, _AMOUNT))
    if units > 0:
        return units
    raise _RefusedError(name)


def _units(amount: str) -> int:
    """A decimal text with at most 8 fraction digits in units of 1e-8."""
    whole, _, fraction = amount.partition(".")
    return int(whole + fraction.ljust(8, "0"))


def _decimal(units: int, digits: int) -> str:
    """A number of units of 10^-digits as text, without exponent and without trailing zeros."""
    whole, fraction = divmod(units, 10**digits)
    return f"{whole}.{fraction:0{digits}d}".rstrip("0").rstrip(".")


def _half_even(numerator: int, denominator: int) -> int:
    """The quotient, rounded to the nearest integer, a tie to the even one."""
    quotient, rest = divmod(numerator, denominator)
    return quotient + (2 * rest > denominator or (2 * rest == denominator and quotient % 2 == 1))


def _finish(start: int, bar: _Bar, closed: bool) -> dict[str, object]:
    return {
        "start": start,
        "open": _decimal(bar.first[1], 8),
        "high": _decimal(bar.high, 8),
        "low": _decimal(bar.low, 8),
        "close": _decimal(bar.last[1], 8),
        "volume": _decimal(bar.volume, 8),
        "notional": _decimal(bar.notional, 16),
        "vwap": _decimal(_half_even(bar.notional, bar.volume), 8),  # 1e-16 / 1e-8: units of 1e-8
        "buy_volume": _decimal(bar.buy_volume, 8),
        "trades": bar.trades,
        "first_trade_id": bar.first[0],
        "last_trade_id": bar.last[0],
        "closed": closed,
    }
