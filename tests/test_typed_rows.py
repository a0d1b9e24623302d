"""Rows with types become events without lines between, and mean what their lines mean.

table --columns judged--> certain rows      the others --lines--> the decoder          together == all lines --decoder
"""

from decimal import Decimal as PythonDecimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.chunk import Chunk
from ingest.decoder import Decoder
from ingest.files.columns import Columns
from ingest.files.parquet_rows import RowLines
from slackwater.streams.compact import plain
from slackwater.streams.mapping import Constant, FromColumn, Layout, Reading, TimeUnit
from slackwater.streams.stream import Choice, Decimal, Identity, Integer, Sequence, Stream, Text, Time, Venue
from slackwater.streams.trades import TRADES
from tests.ingest_kit import T0
from tests.profiles import examples
from tests.toy_stream import FILLS

LATEST = T0 + 10**9
ORDERS = Stream(
    name="orders",
    columns=(
        Text("venue", "[a-z-]{1,9}"),
        Identity("order_id", "[A-Z]{1,4}"),
        Sequence("sequence"),
        Time("time"),
        Integer("level", low=-5, high=9),
        Decimal("price", signed=True),
        Choice("kind", ("limit", "market", "stop")),
        Text("client", "(?:[a-f0-9]{4}-){1,2}[a-f0-9]*+"),
    ),
    entity=("venue",),
    identity="order_id",
    time="time",
    order="sequence",
    venues={"own": Venue(sequence="venue"), "ms": Venue(sequence="time", unit="ms")},
)
"""A pattern that RE2 has no word for (`*+`), every rule of a sequence, bounds below zero, a choice of three."""

ORDERED = Stream(
    name="ordered",
    columns=(Text("venue", "[a-z]{1,9}"), Identity("id"), Integer("number"), Time("time")),
    entity=("venue",),
    identity="id",
    time="time",
    order="number",
)
"""Its order is no sequence."""

STREAMS = (TRADES, FILLS, ORDERS, ORDERED)

_TEXTS = ["x", "ms", "own", "us", "desk-1", "BTC", "S/1", "a..b", "A//B", "", " x", "é", 'q"', "b\\", "X" * 70, "x\n"]
_WORDS = {"x": "ms", "0": "buy", "b": "sell", "true": "sell", "Buy": "stop"}
_CLIENTS = ["abcd-", "abcd-0123-", "abcd-0123-ff", "abcd-0123-ff ", "ABCD-"]
_IDS = ["0", "7", "007", "-1", "+1", "1e3", "0x10", "A", "ABCD", "A-b:1", "9" * 18, "9" * 19, str(2**63 - 1), "x" * 65]
_WHOLE = [0, 1, 2, 7, -1, -6, 9, 10, 127, 10**9, 10**10, 10**18 - 1, 10**18, 2**63 - 1, -(2**63)]
_TIMES = [
    T0,
    T0 + 1,
    T0 // 1000,
    T0 // 10**6,
    LATEST,
    LATEST + 1,
    0,
    -1,
    1_230_940_800_000_000,
    1_230_940_799_999_999,
    2**63 - 1,
]
_NUMBERS = ["1", "0.1", "1.50", "100.25", "0", "-2", "-0.5", "0.00000001", "0.000000001", "9999999999.99999999"]
_TEXT_NUMBERS = [
    *_NUMBERS,
    "1e3",
    "6E-05",
    "1.5e-08",
    "2.50000000000",
    "0.30000000000000004",
    ".5",
    "5.",
    " 1",
    "10000000000",
    "01.5",
    "NaN",
    "-0",
]
_DOUBLES = [0.1, 1.5, 0.0, -0.0, -2.25, 1e-8, 1e-9, 61837.63, 1e10, 9999999.12345678, 1e300, float("nan"), float("inf")]
_SIDES = ["buy", "sell", "Buy", "b", "S", "ask", "limit", "STOP", "", "true", "false", "TRUE", "1", "0"]
_TEXT_TYPES = [pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.dictionary(pa.int8(), pa.string())]


def _texts(values: list[str]) -> st.SearchStrategy[tuple[pa.DataType, list[Any]]]:
    return st.sampled_from(_TEXT_TYPES).map(lambda kind: (kind, values))


def _integers(values: list[int]) -> st.SearchStrategy[tuple[pa.DataType, list[Any]]]:
    def fitting(kind: pa.DataType) -> tuple[pa.DataType, list[Any]]:
        bits, signed = kind.bit_width, pa.types.is_signed_integer(kind)
        low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
        return kind, [value for value in [*values, low, high] if low <= value <= high]

    kinds = [pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint32(), pa.uint64()]
    return st.sampled_from(kinds).map(fitting)


def _decimal(of: tuple[int, int]) -> tuple[pa.DataType, list[Any]]:
    precision, scale = of
    most = PythonDecimal((0, (9,) * precision, -scale))
    values = [PythonDecimal(text) for text in _NUMBERS]
    fitting = [each for each in values if abs(each) <= most and -int(each.as_tuple().exponent) <= scale]
    return pa.decimal128(precision, scale), [most, *fitting]


_DECIMALS = st.sampled_from([(18, 8), (38, 8), (12, 2), (38, 18), (20, 10), (9, 0), (38, 30)]).map(_decimal)
_TYPED_TIMES = [
    (pa.timestamp("s"), [T0 // 10**6, 0, -1]),
    (pa.timestamp("ms", "UTC"), [T0 // 1000, T0 // 1000 + 1, -1]),
    (pa.timestamp("us"), _TIMES),
    (pa.timestamp("ns", "Europe/Berlin"), [T0 * 1000, T0 * 1000 + 999, -1]),
]


def _values(stream: Stream, name: str) -> st.SearchStrategy[tuple[pa.DataType, list[Any]]]:
    """A type that a file may have for a field, and values of that type."""
    column = stream.column(name)
    if isinstance(column, Time):
        text = (pa.string(), [str(T0), "2025-10-06T00:00:00Z", "x"])
        return st.one_of(_integers(_TIMES), st.sampled_from([*_TYPED_TIMES, text, (pa.float64(), [float(T0), 0.5])]))
    if isinstance(column, Identity):
        return st.one_of(_texts(_IDS), _integers(_WHOLE))
    if isinstance(column, Integer):
        return st.one_of(_integers(_WHOLE), _texts(_IDS))
    if isinstance(column, Decimal):
        doubles = (pa.float64(), _DOUBLES), (pa.float32(), [0.5, 0.1, 3.0])
        return st.one_of(_DECIMALS, _integers(_WHOLE), _texts(_TEXT_NUMBERS), st.sampled_from(doubles))
    if isinstance(column, Choice):
        flags = st.just((pa.bool_(), [True, False]))  # whole numbers are for words alone
        return st.one_of(_texts(_SIDES), flags) if len(column.values) == 2 else _texts(_SIDES)
    return _texts([*_TEXTS, *_CLIENTS])


def _array(kind: pa.DataType, values: list[Any]) -> pa.Array:
    if pa.types.is_dictionary(kind):
        return pa.array(values, pa.string()).dictionary_encode().cast(kind)
    if pa.types.is_binary(kind):
        return pa.array([None if v is None else v.encode() for v in values], kind)
    return pa.array(values, kind)


@st.composite
def tables(draw: st.DrawFn) -> tuple[Stream, pa.Table, Layout]:
    stream = draw(st.sampled_from(STREAMS))
    rows = draw(st.integers(1, 12))
    columns, mapped, read = {}, {}, {}
    for name in stream.fields:
        column = stream.column(name)
        if column.optional and draw(st.booleans()):
            continue
        if isinstance(column, Text | Choice | Decimal) and draw(st.integers(0, 5)) == 0:
            mapped[name] = Constant(draw(st.sampled_from(["x", "ms", "buy", "1.5", "us"])))
            continue
        kind, values = draw(_values(stream, name))
        usual = draw(st.sampled_from(values))  # a row is good only if all of its values are
        drawn = st.one_of(st.just(usual), st.just(usual), st.sampled_from(values), st.none())
        columns[name] = _array(kind, draw(st.lists(drawn, min_size=rows, max_size=rows)))
        if isinstance(column, Choice) and len(column.values) == 2 and draw(st.booleans()):
            mapped[name] = FromColumn(name, negated=True)
        elif isinstance(column, Text | Choice) and draw(st.integers(0, 3)) == 0:
            read[name] = Reading(words=_WORDS, lower=draw(st.booleans()))
        elif isinstance(column, Decimal) and draw(st.booleans()):
            read[name] = Reading(digits=draw(st.integers(0, 8)))
    if not columns:
        columns["other"] = pa.nulls(rows, pa.int64())
    time = columns[stream.time].type if stream.time in columns else pa.string()
    number = pa.types.is_integer(time) or pa.types.is_floating(time)
    unit: TimeUnit | None = draw(st.sampled_from(["us", "ms", "digits"])) if number else None
    return stream, pa.table(columns), Layout(mapped, unit, readings=read)


def both(stream: Stream, table: pa.Table, layout: Layout) -> tuple[Any, Any, Chunk]:
    """What the decoder makes of all lines, what it makes of a chunk, and that chunk."""
    (batch,) = table.combine_chunks().to_batches()
    made = Columns(stream, "a file", batch.schema.names, layout, batch.schema)
    certain = made.certain(batch.column, batch.num_rows)
    chunk = Chunk("a file", RowLines(made, batch), str, lambda i: b"", certain=certain)
    latest = np.full(batch.num_rows, LATEST)
    slow = Decoder(stream, names=True).decode(made.lines(batch.column, batch.num_rows), latest)
    return slow, Decoder(stream, names=True).decode_chunk(chunk, latest), chunk


@examples(600)
@given(tables())
def test_a_chunk_with_types_means_what_its_lines_mean(drawn: tuple[Stream, pa.Table, Layout]) -> None:
    stream, table, layout = drawn
    (events, numbers, bad), (found, found_numbers, found_bad), chunk = both(stream, table, layout)
    assert plain(stream, found) == events
    assert found_numbers.tolist() == numbers.tolist()
    assert {i: (e.reason, e.error) for i, e in found_bad.items()} == {i: (e.reason, e.error) for i, e in bad.items()}
    assert chunk.certain is not None
    assert set(chunk.certain.numbers.tolist()) <= {*numbers.tolist(), *(i for i in bad if bad[i].reason == "too-late")}


USUAL: dict[str, tuple[pa.DataType, list[Any]]] = {
    "venue": (pa.string(), ["x", "y", "x"]),
    "symbol": (pa.string(), ["BTCUSDT", "BTCUSDT", "ETH/USD"]),
    "trade_id": (pa.int64(), [7, 8, 9]),
    "time": (pa.int64(), [T0, T0 + 1, T0 + 2]),
    "price": (pa.decimal128(18, 8), [PythonDecimal("100.25"), PythonDecimal("0.5"), PythonDecimal(9999999999)]),
    "quantity": (pa.decimal128(18, 8), [PythonDecimal(1), PythonDecimal("2.00000001"), PythonDecimal(3)]),
    "side": (pa.string(), ["buy", "sell", "buy"]),
}
OTHERS: list[tuple[str, pa.DataType, list[Any]]] = [
    ("venue", pa.dictionary(pa.int32(), pa.string()), ["x", "y", "x"]),
    ("symbol", pa.large_string(), ["A", "B", "A"]),
    ("symbol", pa.binary(), ["A", "B", "A"]),
    ("trade_id", pa.string(), ["7", "8", "9"]),
    ("trade_id", pa.uint64(), [7, 8, 2**63 - 1]),
    ("trade_id", pa.int32(), [7, 8, 9]),
    ("sequence", pa.int32(), [7, None, 9]),
    ("time", pa.timestamp("ns", "UTC"), [T0 * 1000, T0 * 1000 + 999, T0 * 1000 + 1000]),
    ("time", pa.timestamp("ms"), [T0 // 1000] * 3),
    ("time", pa.timestamp("s"), [T0 // 10**6] * 3),
    ("price", pa.decimal128(38, 18), [PythonDecimal("61837.63"), PythonDecimal(1), PythonDecimal(2)]),
    ("price", pa.decimal128(12, 2), [PythonDecimal("61837.63"), PythonDecimal(1), PythonDecimal(2)]),
    ("price", pa.float64(), [61837.63, 0.1, 1e-8]),
    ("price", pa.int32(), [1, 2, 3]),
    ("price", pa.string(), ["61837.63", "0.1", "1"]),
    ("side", pa.bool_(), [True, False, True]),
    ("side", pa.dictionary(pa.int8(), pa.string()), ["buy", "sell", "buy"]),
    ("time_unit", pa.string(), ["ms", None, "s"]),
]


@pytest.mark.parametrize(("name", "kind", "values"), OTHERS, ids=lambda value: str(value)[:40].replace(" ", ""))
def test_the_usual_types_need_no_lines(name: str, kind: pa.DataType, values: list[Any]) -> None:
    columns = {field: _array(*given) for field, given in {**USUAL, name: (kind, values)}.items()}
    layout = Layout({}, None if pa.types.is_timestamp(columns["time"].type) else "us")
    (events, numbers, bad), (found, _, _), chunk = both(TRADES, pa.table(columns), layout)
    assert (numbers.tolist(), bad) == ([0, 1, 2], {})
    assert chunk.certain is not None and chunk.certain.numbers.tolist() == [0, 1, 2]
    assert found is chunk.certain.events and plain(TRADES, found) == events


def test_a_row_that_is_not_certain_costs_the_others_nothing() -> None:
    columns = {field: _array(*given) for field, given in USUAL.items()}
    columns["price"] = _array(pa.decimal128(18, 8), [PythonDecimal("100.25"), PythonDecimal(0), PythonDecimal(2)])
    columns["symbol"] = _array(pa.string(), ["A", "A", None])
    (_, numbers, bad), _, chunk = both(TRADES, pa.table(columns), Layout({}, "us"))
    assert chunk.certain is not None and chunk.certain.numbers.tolist() == numbers.tolist() == [0]
    assert [bad[i].reason for i in (1, 2)] == ["not-positive", "missing-field"]
