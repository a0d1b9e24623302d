"""Lines read as words of eight bytes: which ones are, whatever stands in the same record, and what comes of them.

That no line means anything else than to the strict decoder is the subject of tests/test_decode.py.
"""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slackwater.log.events import decode, positioned
from slackwater.log.log import Record
from slackwater.streams import decode as module
from slackwater.streams.decode import SMALL_BLOCK
from slackwater.streams.event import decode_event, encode_event
from slackwater.streams.lines import Lines
from slackwater.streams.refusal import Reason, RefusedError
from slackwater.streams.scan import HEAD_BYTES, Scan, scan_of
from slackwater.streams.stream import Choice, Decimal, Identity, Integer, Stream, Text, Time, Venue
from slackwater.streams.stream import Sequence as Order
from slackwater.streams.trades import TRADES
from tests.events import Event
from tests.profiles import examples
from tests.test_decode import seeded_lines

T0 = 1_759_708_800_000_000  # 2025-10-06T00:00:00Z
NOW_MS = T0 // 1000

PLAIN = [
    (TRADES.column(name), name in {"venue", "symbol", "price", "quantity", "side", "time_unit"})
    for name in TRADES.fields
]
FORM = [each for each in PLAIN if each[0].name not in {"sequence", "time_unit"}]


def scan() -> Scan:
    found = scan_of(FORM)
    assert found is not None
    return found


def trade(i: int, symbol: str = "BTCUSDT", venue: str = "binance") -> bytes:
    return encode_event(TRADES, Event(venue, symbol, i, T0 + i, 10**i % (10**18 - 1), 1 + i, ("buy", "sell")[i % 2]))


def record(offset: int, *lines: bytes) -> Record:
    return Record(offset, NOW_MS, None, b"\n".join(lines), ())


@examples(60)
@given(st.lists(st.lists(st.sampled_from(["A", "AB", "ABC", "B" * 8, "B" * 9, "C" * 64, "bad one"]), max_size=9)))
def test_a_line_is_read_by_its_own_head_whatever_heads_its_record_has(records: list[list[str]]) -> None:
    symbols = [symbol for some in records for symbol in some]
    texts, at = [], 0
    for some in records:
        texts += [b"\n".join(trade(at + i, symbol) for i, symbol in enumerate(some))] if some else []
        at += len(some)
    if not texts:
        return
    columns, fits = scan().read(Lines(texts))
    there = [i for i, symbol in enumerate(symbols) if symbol != "bad one"]
    assert (fits is True) == (len(there) == len(symbols))
    assert np.flatnonzero(np.broadcast_to(fits, len(symbols))).tolist() == there
    assert columns["symbol"].to_pylist() == [symbols[i] for i in there]
    assert columns["trade_id"].to_pylist() == there


def test_a_line_that_is_cut_off_does_not_take_what_stands_in_the_next_one() -> None:
    whole = trade(12)
    for end in range(len(whole)):
        columns, fits = scan().read(Lines([whole + b"\n" + whole[:end] + b"\n" + whole, whole]))
        assert fits.tolist() == [True, False, True, True], end
        assert columns["trade_id"].to_pylist() == [12, 12, 12]
        for last in (Lines([whole, whole[:end]]), Lines([whole[:end]])):
            assert not np.broadcast_to(scan().read(last)[1], len(last))[-1]


BOUNDS = {Reason.TOO_EARLY, Reason.NOT_POSITIVE, "notional-too-large"}
"""Why a line that fits may be refused: what a form does not say."""


def test_what_fits_is_what_the_strict_decoder_takes_and_means_the_same() -> None:
    lines = [*seeded_lines(11, 20_000), *(trade(i) for i in range(300))]
    met: Counter[str] = Counter()
    for absent in ({"sequence", "time_unit"}, {"sequence"}, {"time_unit"}, set[str]()):
        form = [(column, quoted) for column, quoted in PLAIN if column.name not in absent]
        found = scan_of(form)
        assert found is not None
        columns, fits = found.read(Lines(lines))
        columns["trade_id"] = columns["trade_id"].cast(pa.string())
        rows = zip(*(column.unpack(columns[column.name]) for column, _ in form), strict=True)
        for i, row in zip(np.flatnonzero(fits).tolist(), rows, strict=True):
            try:
                event = decode_event(TRADES, lines[i], 2**63 - 1)
            except RefusedError as error:
                met[error.reason] += 1
                continue
            met["event"] += 1
            assert row == tuple(getattr(event, column.name) for column, _ in form), lines[i]
    assert met.pop("event") > 3_000
    assert met.keys() == BOUNDS


@pytest.mark.parametrize("symbol", ["A", "B" * (HEAD_BYTES - 80), "B" * HEAD_BYTES])
def test_a_head_of_any_length_is_read_or_left_to_the_others(symbol: str) -> None:
    long = Text("symbol", "[A-Z]+")
    found = scan_of([(long if column.name == "symbol" else column, quoted) for column, quoted in FORM])
    assert found is not None
    _, fits = found.read(Lines([trade(1, symbol), trade(2)]))
    assert np.broadcast_to(fits, 2).tolist() == [len(symbol) < HEAD_BYTES, True]


def test_which_forms_are_read() -> None:
    venue, identity, time = (TRADES.column(name) for name in ("venue", "trade_id", "time"))
    forms: list[tuple[bool, Sequence[tuple[object, bool]]]] = [
        (True, [(venue, True), (identity, False), (Order("s"), False), (time, False), (Integer("n"), False)]),
        (True, [(venue, True), (Decimal("p", signed=True), True), (Choice("c", ("x" * 40, "y")), True)]),
        (False, [(venue, True), (identity, True)]),  # an identity that is text
        (False, [(venue, True), (identity, False), (Text("memo", "[a-z]*"), True)]),  # text behind the head
        (False, [(identity, False), (time, False)]),  # no head
        (False, [(venue, True), (Integer("n", low=-5), False)]),
        (False, [(venue, True), (Choice("c", ("x" * 5000,)), True)]),  # further than anything is looked ahead
    ]
    assert [scan_of(form) is not None for _, form in forms] == [read for read, _ in forms]  # type: ignore[arg-type]


def test_the_events_of_a_compact_table_are_those_of_the_plain_one(monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(5)
    lines = [trade(i, chance.choice(["A", "B/C"]), chance.choice("xyz")) for i in range(3 * SMALL_BLOCK)]
    records = [record(at, *lines[at : at + 50]) for at in range(0, len(lines), 50)]
    events = decode(TRADES, records).table
    monkeypatch.setattr(module, "_read", None)  # no CSV
    monkeypatch.setattr(module, "MANY_LINES", len(lines))
    compact = decode(TRADES, records, compact=True).table
    assert compact.schema != events.schema == positioned(TRADES)
    assert compact.cast(positioned(TRADES)) == events
    monkeypatch.undo()
    odd = [*records, record(900, trade(1)[:-1] + b" }")]
    assert decode(TRADES, odd, compact=True).table == decode(TRADES, odd).table


AMOUNTS = Stream(
    name="amounts",
    columns=(
        Text("venue", "[a-z]+"),
        Identity("id"),
        Order("nth"),
        Time("time"),
        Decimal("change", signed=True),
        Integer("size"),
        Choice("kind", ("a", "ab", "abcdefgh", "abcdefghi")),
    ),
    entity=("venue",),
    identity="id",
    time="time",
    order="nth",
)


def test_a_venue_that_stands_in_refused_lines_alone_stops_no_block(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = replace(AMOUNTS, venues={"own": Venue(sequence="venue")})
    monkeypatch.setattr(module, "MANY_LINES", 1)
    good = [encode_event(stream, stream.event("v", str(i), i, T0, 1, 2, "a", "us")) for i in range(SMALL_BLOCK)]
    bad = [good[0].replace(b'"v"', b'"own"'), good[0].replace(b'"v"', b'"w"').replace(b":2,", b":02,")]
    decoded = decode(stream, [record(0, *good[:50]), record(1, *bad, *good[50:90]), record(2, *good[90:])])
    assert [each.reason for each in decoded.refused] == [Reason.MISSING_FIELD, Reason.NOT_JSON]
    assert decoded.table.column("nth").to_pylist() == [*range(SMALL_BLOCK)]


@examples(40)
@given(
    st.lists(
        st.tuples(
            st.integers(4, 10**18 - 1),
            st.integers(-(10**18) + 1, 10**18 - 1),
            st.integers(0, 10**18 - 1),
            st.sampled_from(["a", "ab", "abcdefgh", "abcdefghi"]),
        ),
        min_size=1,
        max_size=30,
    ),
    st.sampled_from(["us", "ms", "s"]),
)
def test_numbers_of_every_size_and_texts_of_every_length_are_those_of_the_event(
    values: list[tuple[int, int, int, str]], unit: str
) -> None:
    events = [AMOUNTS.event("v", str(one), 3, T0, change, n, kind, unit) for one, change, n, kind in values]
    lines = [encode_event(AMOUNTS, event) for event in events]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "SMALL_BLOCK", 1)
        patch.setattr(module, "MANY_LINES", 1)
        patch.setattr(module, "LINES_EACH", 1)
        patch.setattr(module, "_read", None)
        table = decode(AMOUNTS, [record(0, *lines, lines[0])]).table.slice(0, len(lines))
    found = zip(*(column.unpack(table.column(column.name).combine_chunks()) for column in AMOUNTS.wire), strict=True)
    assert [AMOUNTS.event(*row) for row in found] == events


@given(st.lists(st.binary(max_size=30), min_size=1, max_size=20))
def test_lines_are_those_of_a_split(texts: list[bytes]) -> None:
    lines = Lines(texts)
    expected = b"\n".join(texts).split(b"\n")
    assert list(lines) == expected
    assert lines.data == b"\n".join(texts)
    assert lines.counts.tolist() == [text.count(b"\n") + 1 for text in texts]
    assert len(lines) == len(expected)
    assert lines[0] == expected[0]
