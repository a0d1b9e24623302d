"""Records of the log -> an Arrow table of events with their positions, and what was refused.

Two paths with one meaning. The strict one (`slackwater.streams.event`) says what is valid. The fast one takes only
lines in the canonical form that ingest writes, which one RE2 pattern checks for a whole block; such lines hold their
values between fixed quotes, so Arrow's CSV reader with `"` as the delimiter reads them:

    {"venue":"x","symbol":"Y","trade_id":7,"time":9,"price":"1.5","quantity":"2","side":"buy"}
     0 1    2 3 4 5     6 7 8 9       10   11   12  13   14 15 ...

Lines that the pattern or a bound refuses take the strict path one by one, so a bad line costs its neighbours nothing.
Measured: 1.5 M lines/s on large blocks; the strict path alone does 0.15 M.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from slackwater.streams.event import (
    DECIMAL,
    EARLIEST_US,
    SYMBOL,
    VENUE,
    Event,
    RefusedError,
    decode_event,
)
from slackwater.streams.lines import joined
from slackwater.streams.stream import Stream
from slackwater.streams.trades import TRADES

SMALL_BLOCK = 48
"""Lines below which the strict path is faster: the fast one has a fixed cost of 0.4 ms."""

_CANONICAL = (
    rf'\A\{{"venue":"{VENUE}","symbol":"{SYMBOL}","trade_id":(?:0|[1-9][0-9]{{0,17}}),"time":[1-9][0-9]{{15}},'
    rf'"price":"{DECIMAL}","quantity":"{DECIMAL}","side":"(?:buy|sell)"\}}\n?\z'
)
_NOTIONAL_BOUND = pa.scalar(Decimal(10**13), pa.decimal128(38, 16))
_ZERO = pa.scalar(Decimal(0), TRADES.schema.field("price").type)
_COLUMNS = {"3": "venue", "7": "symbol", "10": "trade_id", "12": "time", "15": "price", "19": "quantity", "23": "side"}
_READ = pyarrow.csv.ReadOptions(use_threads=False, column_names=[str(i) for i in range(25)], block_size=1 << 28)
_PARSE = pyarrow.csv.ParseOptions(delimiter='"', quote_char=False, double_quote=False, escape_char=False)
_CONVERT = pyarrow.csv.ConvertOptions(
    include_columns=list(_COLUMNS),
    column_types={
        at: TRADES.schema.field(name).type if pa.types.is_decimal(TRADES.schema.field(name).type) else pa.string()
        for at, name in _COLUMNS.items()
    },
    null_values=[],
)


def decode_lines(
    stream: Stream, lines: Sequence[bytes], latest_us: Any
) -> tuple[pa.Table, Any, dict[int, RefusedError]]:
    """Decode lines; `latest_us` is an array with the newest time allowed for each.

    Returns:
        the events (of the stream's schema) in order, the numbers of their lines, and the refusal of every other line.
    """
    if len(lines) < SMALL_BLOCK:
        return _strict(stream, lines, np.arange(len(lines)), latest_us)
    lines = joined(lines)
    canonical = pc.match_substring_regex(lines.array(), _CANONICAL).to_numpy(zero_copy_only=False)
    candidates = np.flatnonzero(canonical)
    if not len(candidates):
        return _strict(stream, lines, np.arange(len(lines)), latest_us)
    chosen = lines if len(candidates) == len(lines) else joined([lines[i] for i in candidates])
    fast = _canonical(stream, chosen.data)
    good = within_bounds(stream, fast, latest_us[candidates])
    symbols = fast.column("symbol")
    if any(".." in symbol or "//" in symbol for symbol in symbols.unique().to_pylist()):  # a block has few of them
        good &= _plain_symbols(symbols)
    if good.all() and len(candidates) == len(lines):
        return fast, candidates, {}
    kept = candidates[good]
    rest = np.setdiff1d(np.arange(len(lines)), kept, assume_unique=True)
    slow, slow_kept, bad = _strict(stream, lines, rest, latest_us)
    numbers = np.concatenate([kept, slow_kept])
    order = np.argsort(numbers, kind="stable")
    events = pa.concat_tables([fast.filter(pa.array(good)), slow]).take(pa.array(order))
    return events.combine_chunks(), numbers[order], bad


def events_table(stream: Stream, events: Sequence[Event]) -> pa.Table:
    """The Arrow table (of the stream's schema) of decoded events."""
    columns = list(zip(*events, strict=True)) if events else [()] * len(stream.schema)
    arrays = []
    for values, field in zip(columns, stream.schema, strict=True):
        if pa.types.is_decimal(field.type):
            data = b"".join(value.to_bytes(16, "little") for value in values)
            arrays.append(pa.Array.from_buffers(field.type, len(values), [None, pa.py_buffer(data)]))
        else:
            arrays.append(pa.array(values, field.type))
    return pa.Table.from_arrays(arrays, schema=stream.schema)


def _strict(
    stream: Stream, lines: Sequence[bytes], numbers: Any, latest_us: Any
) -> tuple[pa.Table, Any, dict[int, RefusedError]]:
    events: list[Event] = []
    kept: list[int] = []
    bad: dict[int, RefusedError] = {}
    for i in numbers.tolist():
        try:
            events.append(decode_event(stream, lines[i], int(latest_us[i])))
            kept.append(i)
        except RefusedError as error:
            bad[i] = error
    return events_table(stream, events), np.asarray(kept, np.int64), bad


def _canonical(stream: Stream, block: bytes) -> pa.Table:
    found = pyarrow.csv.read_csv(pa.BufferReader(pa.py_buffer(block)), _READ, _PARSE, _CONVERT).combine_chunks()
    arrays = []
    for at, name in _COLUMNS.items():
        column = found.column(at)
        if name in {"trade_id", "time"}:  # stands between quotes as `:7,`
            column = pc.utf8_slice_codeunits(column, 1, -1).cast(pa.int64())
        arrays.append(column)
    return pa.Table.from_arrays(arrays, schema=stream.schema)


def within_bounds(stream: Stream, events: pa.Table, latest_us: Any) -> Any:
    """Which events have a time, price and quantity within every bound, as booleans; no column holds a null."""
    time = events.column("time").to_numpy()
    price, quantity = events.column("price"), events.column("quantity")
    checks = [
        pc.greater(price, _ZERO),
        pc.greater(quantity, _ZERO),
        pc.less(pc.multiply(price, quantity), _NOTIONAL_BOUND),
    ]
    good = (time >= EARLIEST_US) & (time <= latest_us)
    for check in checks:
        good &= check.to_numpy()
    return good


def _plain_symbols(symbol: pa.ChunkedArray) -> Any:
    wrong = pc.or_(pc.match_substring(symbol, ".."), pc.match_substring(symbol, "//"))
    return pc.invert(wrong).to_numpy()
