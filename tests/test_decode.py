"""One decoder in meaning: the fast path, the strict one and the oracle's own agree on every byte and every split.

    bytes --decode--> events, refusals        fast where the block is large and the line canonical
      |---decode_event, line by line--> ...   the reference here
      |---verify.oracle--> counts, bars        shares no code with either

Lines are made next to the canonical form, where a fast path goes wrong: fields at and beyond their bounds, other
orders, white space, escapes, and then bytes changed, put in or taken out.
"""

import json
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slackwater.core.decimals import decimal_text
from slackwater.log.events import WHOLE_RECORD, Decoded, Refused, decode, decode_each, positioned
from slackwater.log.log import Record
from slackwater.log.mark import MARK_HEADER
from slackwater.streams import decode as module
from slackwater.streams.decode import LARGE_TEXT, SMALL_BLOCK, events_table
from slackwater.streams.event import count_lines, decode_event, encode_event
from slackwater.streams.numbers import decimal_texts
from slackwater.streams.refusal import Reason, RefusedError
from slackwater.streams.stream import Stream
from slackwater.streams.trades import TRADES
from tests.bars_oracle import Oracle
from tests.events import Event
from tests.profiles import examples

T0 = 1_759_708_800_000_000  # 2025-10-06T00:00:00Z
NOW_MS = T0 // 1000
LATEST = T0 + 60_000_000
GENESIS = 1_230_940_800_000_000
LARGEST = 2**63 - 1
MARK = ((MARK_HEADER, b"run-1"),)


class Found(NamedTuple):
    """What decoding gave, in plain Python: (offset, index, event) and the refusals, in log order."""

    events: list[tuple[int, int, Event]]
    refused: list[Refused]


def reference(records: Sequence[Record]) -> Found:
    """Record by record and line by line through the strict decoder."""
    events: list[tuple[int, int, Event]] = []
    refused: list[Refused] = []
    for offset, append_time_ms, _, value, headers in records:
        if not value and MARK_HEADER in dict(headers):
            continue
        try:
            count_lines(value)
        except RefusedError as error:
            refused.append(Refused(offset, WHOLE_RECORD, error.reason, error.error, value or b""))
            continue
        for index, line in enumerate((value or b"").split(b"\n")):
            try:
                events.append((offset, index, decode_event(TRADES, line, append_time_ms * 1000 + 60_000_000)))
            except RefusedError as error:
                refused.append(Refused(offset, index, error.reason, error.error, line))
    return Found(events, refused)


def plain(decoded: Decoded) -> Found:
    table = decoded.table
    table.validate(full=True)
    assert table.schema.equals(positioned(TRADES))
    assert not any(column.null_count for column in table.columns)
    rows = [
        (row["offset"], row["index"], TRADES.event(*(units(row[name]) for name in TRADES.fields)))
        for row in table.to_pylist()
    ]
    return Found(rows, decoded.refused)


def units(value: object) -> object:
    return value if isinstance(value, int | str) else int(value.scaleb(8))  # type: ignore[attr-defined]


def record(offset: int, *lines: bytes, append_time_ms: int = NOW_MS) -> Record:
    return Record(offset, append_time_ms, None, b"\n".join(lines), ())


def trade(i: int) -> bytes:
    return encode_event(
        TRADES, Event("binance", "BTCUSDT", i, T0 + i, 6_100_000_000_000 + i, 10_000 + i, "sb"[i % 2] and "buy")
    )


@contextmanager
def fast_from(lines: int) -> Iterator[None]:
    """Take the fast path from blocks of so many lines on."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "SMALL_BLOCK", lines)
        if lines == 1:
            patch.setattr(module, "MANY_LINES", 1)
            patch.setattr(module, "LINES_EACH", 1)
        patch.setattr(module, "LARGE_TEXT", 0 if lines % 2 else LARGE_TEXT)  # by both engines
        yield


@contextmanager
def strict_calls() -> Iterator[list[bytes]]:
    """The lines that went to the strict decoder."""
    seen: list[bytes] = []

    def counted(stream: Stream, line: bytes, latest_us: int) -> Event:
        seen.append(line)
        return decode_event(stream, line, latest_us)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "decode_event", counted)
        yield seen


# --------------------------------------------------------------------------------------------- lines next to canonical

NAMES = TRADES.fields
_AMOUNTS = (
    *('"1"', '"61000.10"', '"0.00000001"', '"9999999999.99999999"', '"1000"', '"999.99999999"', '"0000000001.5"'),
    *('"0"', '"0.00000000"', '"1.123456789"', '"12345678901"', '"1e3"', '" 1"', '"1 "', '"-1"', '"1."', '".5"', '""'),
    *("1", "1.5", "true", "null", "NaN", '"\\u0031"', '"\uff11"', '"1_0"', '"1000000000"', '"10000"', '"1,5"'),
)
TOKENS: dict[str, tuple[str, ...]] = {
    "venue": ('"binance"', '"0"', '"' + "a" * 32 + '"', '"' + "a" * 33 + '"', '"A"', '"_a"', '"a.b"', '""', "1"),
    "symbol": (
        *('"BTCUSDT"', '"a./:-_"', '"' + "Z" * 64 + '"', '"' + "Z" * 65 + '"', '"A..B"', '"A//B"', '"A./.B"', '"A.."'),
        *('"../x"', '".A"', '"A B"', '"\\u0041"', '"A\\/B"', '""', '"\u00c4"', '"A,B"', '"A:1,"', "null"),
    ),
    "trade_id": (
        *("0", "7", "999999999999999999", "1000000000000000000", str(LARGEST), str(LARGEST + 1), "9" * 20, "9" * 21),
        *("-0", "-1", "00", "07", "7.0", "7e0", '"7"', "true", "null", "9" * 5000, "+7", " 7 "),
        *('"x"', '"07"', '"' + "z" * 64 + '"', '"' + "z" * 65 + '"', '""', '"a:_.-b"', '"a b"', f'"{LARGEST}"', '"-7"'),
    ),
    "sequence": (*("", "", "", "0", "7", "7", str(LARGEST), str(LARGEST + 1), "-1", "07", "7.0", '"7"', "null"),),
    "time": (
        *(str(T0), str(GENESIS), str(GENESIS - 1), str(LATEST), str(LATEST + 1), str(T0 // 1000), str(T0 * 1000)),
        *(str(T0) + ".0", f'"{T0}"', "0" + str(T0), "9999999999999999", "999999999999999", str(LARGEST), "true"),
    ),
    "price": _AMOUNTS,
    "quantity": _AMOUNTS,
    "time_unit": ("", "", "", '"us"', '"ms"', '"s"', '"ns"', '"MS"', "1", "null", '"m\\u0073"'),
    "side": ('"buy"', '"sell"', '"BUY"', '"buy "', '"b\\u0075y"', '"sel"', '"sells"', "true", '""'),
}
MORE = (
    *("", ',"x":1', ',"x":NaN', ',"x":"\\ud800"', ',"x":1e999', ',"price":"1"', ',"x":' + "9" * 5000, ',"x":"\u00e9"'),
    *(f',"x":{"[" * depth}{"]" * depth}' for depth in (150, 199, 200, 201)),
    *(',"x":"' + "[" * 300 + '"', ',"x":[' + "[]," * 300 + "0]", ',"x":[' + "{" * 201, ",", ',"x":{"y":1,"y":2}'),
)
AFTER = ("", "", "", " ", "\t", "\r", "\r\r", "\x0c", "\x00", "{}", "x", ",", "\u00a0", "\ufeff", "}")
BYTES = b'"\\,:{}[]. \t\r\n0189-+eEua_/\x00\x7f\x80\xbf\xc3\xed\xff'


def assembled(tokens: Sequence[str], order: Sequence[int], comma: str, more: str, before: str, after: str) -> bytes:
    fields = comma.join(f'"{NAMES[i]}":{tokens[i]}' for i in order if tokens[i])
    return (before + "{" + fields + more + "}" + after).encode()


def mutated(line: bytes, kind: str, at: int, byte: int) -> bytes:
    """`line` with one change at `at`."""
    at %= len(line) or 1
    before, here, after = line[:at], line[at : at + 1], line[at + 1 :]
    changed = {
        "flip": bytes(found ^ (1 << byte % 8) for found in here),
        "put in": bytes([byte]) + here,
        "take out": b"",
        "replace": bytes([byte]),
        "escape": b"".join(b"\\u%04x" % found for found in here),
        "double": line[at : at + byte] + here,
    }
    return before if kind == "tear" else before + changed[kind] + after


KINDS = ("flip", "put in", "take out", "replace", "escape", "double", "tear")
Pick = Callable[[Sequence[str]], str]


def token(name: str, often: bool) -> st.SearchStrategy[str]:
    return st.just(TOKENS[name][0]) if often else st.sampled_from(TOKENS[name])


@st.composite
def lines(draw: st.DrawFn) -> bytes:
    """A line that is canonical, or next to it."""
    odd = draw(st.sets(st.integers(0, 8), max_size=2))
    tokens = [draw(token(name, i not in odd)) for i, name in enumerate(NAMES)]
    order = draw(st.just(range(9)) | st.permutations(range(9)) | st.lists(st.integers(0, 8), max_size=10))
    comma = draw(st.sampled_from([",", ",", ", ", " ,", ",,"]))
    more = draw(st.just("") | st.sampled_from(MORE))
    before, after = draw(st.sampled_from(AFTER)), draw(st.sampled_from(AFTER))
    line = assembled(tokens, order, comma, more, before, after)
    for change in draw(
        st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 200), st.sampled_from(BYTES)), max_size=2)
    ):
        line = mutated(line, *change)
    return line


NO_OBJECTS = (b"[]", b"17", b"1.5", b"null", b'"x"', b"true", b"[{}]", b"", b" ", b"{}")


def seeded_lines(seed: int, count: int) -> list[bytes]:
    """The same, by the ten thousand: most have one thing wrong, or none."""
    chance = random.Random(seed)
    found = []
    while len(found) < count:
        tokens = [TOKENS[name][0] for name in NAMES]
        for _ in range(chance.choice((0, 0, 1, 1, 1, 2))):
            i = chance.randrange(9)
            tokens[i] = chance.choice(TOKENS[NAMES[i]])
        if chance.random() < 0.03:
            tokens[5:7] = chance.choice((['"1000000000"', '"10000"'], ['"9999999999.99999999"', '"1000.00000001"']))
        order = list(range(9))
        if chance.random() < 0.1:
            chance.shuffle(order)
        comma = ", " if chance.random() < 0.1 else ","
        more = chance.choice(MORE) if chance.random() < 0.15 else ""
        ends = [chance.choice(AFTER) if chance.random() < 0.08 else "" for _ in range(2)]
        line = assembled(tokens, order, comma, more, *ends)
        for _ in range(chance.choice((0, 0, 0, 1, 1, 2))):
            byte = chance.choice(BYTES) if chance.random() < 0.8 else chance.randrange(256)
            line = mutated(line, chance.choice(KINDS), chance.randrange(200), byte)
        found += [chance.choice(NO_OBJECTS)] if chance.random() < 0.01 else line.split(b"\n")
    return found[:count]


@st.composite
def logs(draw: st.DrawFn) -> list[Record]:
    """Records of one partition: gaps between offsets, marks, empty values, records of one and of many lines."""
    found: list[Record] = []
    offset = draw(st.integers(0, 3))
    for kind in draw(st.lists(st.sampled_from(["one", "one", "many", "mark", "empty", "trades", "65"]), max_size=7)):
        value: bytes | None
        value = {
            "one": lambda: draw(lines()),
            "many": lambda: b"\n".join(draw(st.lists(lines(), min_size=2, max_size=5))),
            "mark": lambda: draw(st.sampled_from([None, b""])),
            "empty": lambda: draw(st.sampled_from([None, b""])),
            "trades": lambda: b"\n".join(trade(i) for i in range(draw(st.sampled_from([1, 2, 47, 48, 64])))),
            "65": lambda: b"\n".join(trade(i) for i in range(65)),
        }[kind]()
        headers = MARK if kind == "mark" else draw(st.sampled_from([(), (("other", b"x"),)]))
        at = draw(st.sampled_from([NOW_MS, NOW_MS, NOW_MS - 60_000, NOW_MS - 60_001, NOW_MS + 10**9]))
        found.append(Record(offset, at, None, value, headers))
        offset += draw(st.sampled_from([1, 1, 1, 2, 100]))
    return found


# ----------------------------------------------------------------------------------------------- one decoder in meaning


@examples(100)
@given(st.lists(lines(), min_size=1, max_size=8))
def test_all_three_decoders_say_the_same_of_every_line(some: list[bytes]) -> None:
    records = [Record(i, NOW_MS, None, line, ()) for i, line in enumerate(some)]
    expected = reference(records)
    with fast_from(1):
        assert plain(decode(TRADES, records)) == expected
    events = {offset: ordered(event) for offset, _, event in expected.events}
    for i, line in enumerate(some):
        if b"\n" not in line:  # a change may make two lines of one
            assert by_the_oracle(line) == events.get(i), line


@examples(70)
@given(logs())
def test_a_block_of_records_decodes_as_its_lines_one_by_one(records: list[Record]) -> None:
    expected = reference(records)
    assert plain(decode(TRADES, records)) == expected
    for fast in (1, 10**9):
        with fast_from(fast):
            assert plain(decode(TRADES, records)) == expected


@examples(50)
@given(logs(), st.sampled_from([1, 3, SMALL_BLOCK]))
def test_no_split_into_two_chunks_changes_what_is_decoded(records: list[Record], fast: int) -> None:
    expected = reference(records)
    with fast_from(fast):
        for at in range(len(records) + 1):
            left, right = plain(decode(TRADES, records[:at])), plain(decode(TRADES, records[at:]))
            assert Found(left.events + right.events, left.refused + right.refused) == expected


@examples(40)
@given(logs(), st.lists(st.integers(0, 12), max_size=4))
def test_blocks_that_are_decoded_together_have_the_events_of_each(records: list[Record], cuts: list[int]) -> None:
    edges = [0, *sorted(min(cut, len(records)) for cut in cuts), len(records)]
    blocks = [records[at:end] for at, end in pairwise(edges)]
    assert decode_each(TRADES, blocks) == [decode(TRADES, block).table for block in blocks]


@examples(25)
@given(st.lists(lines(), max_size=6), st.lists(st.integers(0, 140), max_size=6), st.lists(st.integers(0, 140)))
def test_bad_lines_in_a_block_above_the_threshold_harm_no_neighbour(
    some: list[bytes], places: list[int], cuts: list[int]
) -> None:
    #   140 trades, one a record, some of them replaced; split anywhere, so that chunks lie on both sides of SMALL_BLOCK
    values = [trade(i) for i in range(140)]
    for place, line in zip(places, some, strict=False):
        values[place % 140] = line
    records = [Record(i, NOW_MS, None, value, ()) for i, value in enumerate(values)]
    expected = reference(records)
    assert plain(decode(TRADES, records)) == expected
    bounds = [0, *sorted(cuts), len(records)]
    parts = [plain(decode(TRADES, records[a:b])) for a, b in pairwise(bounds)]
    assert [event for part in parts for event in part.events] == expected.events
    assert [refused for part in parts for refused in part.refused] == expected.refused


def test_one_bad_line_at_every_place_of_a_record_and_at_every_split() -> None:
    #   three records of 20 lines: above SMALL_BLOCK together, below it alone
    good = [[trade(20 * r + i) for i in range(20)] for r in range(3)]
    bad = trade(1).replace(b'"price"', b'"price" ')[:-1] + b',"time":1}'
    for place in range(60):
        values = [list(of) for of in good]
        values[place // 20][place % 20] = bad
        records = [record(r, *of) for r, of in enumerate(values)]
        whole = plain(decode(TRADES, records))
        assert [(at, i) for at, i, _ in whole.events] == [divmod(n, 20) for n in range(60) if n != place]
        assert [(one.offset, one.line, one.reason) for one in whole.refused] == [
            (*divmod(place, 20), Reason.DUPLICATE_KEY)
        ]
        for at in (1, 2):
            left, right = plain(decode(TRADES, records[:at])), plain(decode(TRADES, records[at:]))
            assert Found(left.events + right.events, left.refused + right.refused) == whole


def test_ten_thousand_lines_next_to_the_canonical_form_mean_the_same_to_all_three_decoders() -> None:
    reasons: Counter[str] = Counter()
    accepted = by_the_strict_path = 0
    for seed, size in enumerate((4_000, 1_000, 63, SMALL_BLOCK, SMALL_BLOCK - 1, 1, 2_000, 3_000)):
        records = [Record(i, NOW_MS, None, line, ()) for i, line in enumerate(seeded_lines(seed, size))]
        expected = reference(records)
        with strict_calls() as seen:
            found = plain(decode(TRADES, records))
        assert found == expected
        reasons.update(one.reason for one in expected.refused)
        accepted += len(expected.events)
        refused = {one.value for one in expected.refused}
        by_the_strict_path += sum(line not in refused for line in seen)
        events = {offset: ordered(event) for offset, _, event in expected.events}
        for offset, _, _, value, _ in records:
            assert by_the_oracle(value) == events.get(offset), value
    # The lines were worth it: every reason was met, and both paths accepted many.
    bad = {f"bad-{name.replace('_', '-')}" for name in TRADES.fields}
    assert set(reasons) == {*Reason, *bad, "notional-too-large"} - {Reason.TOO_MANY_LINES}
    assert accepted > 2_000
    assert by_the_strict_path > 500
    assert accepted - by_the_strict_path > 1_000


# ---------------------------------------------------------------------------------------------------------- the oracle


def ordered(event: Event) -> Event:
    """An event as a bar shows it: of its identity there is nothing but the order."""
    return event._replace(trade_id="", time_unit="us")


def by_the_oracle(line: bytes | None, append_time_ms: int = NOW_MS) -> Event | None:
    """The event of one line as the oracle's bar of one microsecond shows it, None if it refused the line."""
    oracle = Oracle([1])
    oracle.record(line, append_time_ms)
    assert oracle.events + sum(oracle.refused.values()) == 1
    if not oracle.events:
        assert oracle.instruments == []
        return None
    (instrument,) = oracle.instruments
    (bar,) = oracle.bars(*instrument, 1)
    assert bar["open"] == bar["close"] == bar["high"] == bar["low"] == bar["vwap"]
    price, quantity = scaled(bar["open"], 8), scaled(bar["volume"], 8)
    assert bar["notional"] == decimal_text(price * quantity, 16)
    assert bar["buy_volume"] in {"0", bar["volume"]}
    side = "sell" if bar["buy_volume"] == "0" else "buy"
    sequence, start = bar["first_sequence"], bar["start"]
    assert isinstance(sequence, int)
    assert isinstance(start, int)
    return TRADES.event(*instrument, "", sequence, start, price, quantity, side, "us")


def scaled(text: object, digits: int) -> int:
    whole, _, fraction = str(text).partition(".")
    return int(whole + fraction.ljust(digits, "0"))


@examples(70)
@given(logs())
def test_the_oracle_counts_the_events_and_refusals_of_whole_records(records: list[Record]) -> None:
    oracle = Oracle([1, 1_000_000])
    for one in records:
        if one.headers != MARK:
            oracle.record(one.value, one.append_time_ms)
    decoded = plain(decode(TRADES, records))
    assert oracle.events == len(decoded.events)
    assert sum(oracle.refused.values()) == len(decoded.refused)
    of_instruments: Counter[tuple[str, str]] = Counter(event[:2] for _, _, event in decoded.events)
    assert oracle.instruments == sorted(of_instruments)
    for instrument, count in of_instruments.items():
        counted = [bar["trades"] for bar in oracle.bars(*instrument, 1_000_000)]
        assert sum(int(str(trades)) for trades in counted) == count


# -------------------------------------------------------------------------------------------------- which path is taken


def test_the_strict_path_is_not_called_for_a_canonical_block() -> None:
    records = [record(r, *(trade(64 * r + i) for i in range(64))) for r in range(40)]
    with strict_calls() as seen:
        assert plain(decode(TRADES, records)) == reference(records)
    assert seen == []


@pytest.mark.parametrize(
    "event",
    [
        Event("a", "B", 0, T0, 1, 1, "buy"),
        Event("0" * 32, "Z" * 64, 10**18 - 1, LATEST, 10**18 - 1, 1000 * 10**8, "sell"),
        Event("z_-9", "a./:-_", 1, GENESIS, 10**8, 10**16, "sell"),
        Event("binance", "BTC.USD/T", 5, T0, 150_000_000, 10**17 - 1, "buy"),
        Event("v", "S", "x", T0, 1, 1, "buy", 10**18 - 1),
        Event("v", "S", "z" * 64, T0, 1, 1, "buy", 0, "s"),
        Event("v", "S", 5, T0, 1, 1, "buy", 6),
        Event("v", "S", 5, T0, 1, 1, "buy", 5, "ms"),
    ],
)
def test_a_canonical_line_at_its_bounds_takes_the_fast_path(event: Event) -> None:
    records = [Record(i, NOW_MS, None, encode_event(TRADES, event), ()) for i in range(SMALL_BLOCK)]
    with strict_calls() as seen:
        found = plain(decode(TRADES, records))
    assert seen == []
    assert [one for _, _, one in found.events] == [event] * SMALL_BLOCK


@pytest.mark.parametrize("fast", [1, SMALL_BLOCK])
def test_the_strict_path_sees_only_the_lines_that_are_not_canonical(fast: int) -> None:
    #   ids above 10^18, spaces and further fields; what is canonical and beyond a bound, its columns refuse
    odd = {
        3: trade(3).replace(b'"trade_id":3', b'"trade_id":%d' % LARGEST),
        40: trade(40).replace(b",", b", "),
        70: trade(70).replace(str(T0 + 70).encode(), str(LATEST + 1).encode()),
        71: trade(71).replace(b"BTCUSDT", b"A..B"),
        72: trade(72).replace(b'"price":"', b'"price":"0.0","x":"'),
        99: b"",
    }
    records = [Record(i, NOW_MS, None, odd.get(i, trade(i)), ()) for i in range(100)]
    with strict_calls() as seen, fast_from(fast):
        found = plain(decode(TRADES, records))
    assert seen == [odd[3], odd[40], odd[72]]
    assert [(one.offset, one.reason) for one in found.refused] == [
        (70, Reason.TOO_LATE),
        (71, "bad-symbol"),
        (72, Reason.NOT_POSITIVE),
        (99, Reason.EMPTY_VALUE),
    ]


@pytest.mark.parametrize("count", [1, SMALL_BLOCK - 1])
def test_a_small_block_is_read_line_by_line_and_without_json(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    records = [Record(i, NOW_MS, None, trade(i), ()) for i in range(count)]
    monkeypatch.setattr(module, "_read_shape", None)
    with strict_calls() as seen:
        assert decode(TRADES, records).table.num_rows == count
    assert seen == []


def test_a_block_whose_lines_have_no_shape_tries_none(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [trade(i).replace(b"BTC", rb"BT\u0043") for i in range(2 * SMALL_BLOCK)]
    monkeypatch.setattr(module, "_read_shape", None)
    with strict_calls() as seen:
        assert decode(TRADES, [record(i, line) for i, line in enumerate(lines)]).table.num_rows == len(lines)
    assert seen == lines


def test_a_block_in_another_order_and_with_spaces_is_read_at_once() -> None:
    """As other writers of JSON have it; what is no event is refused for what its own line says."""
    lines = [json.dumps(dict(reversed(json.loads(trade(i)).items()))).encode() for i in range(2 * SMALL_BLOCK)]
    odd = {
        3: trade(3),
        7: lines[7].replace(b'"side"', b'"side": "buy", "side"', 1),
        9: lines[9].replace(b'"price": "', b'"price": "-'),
        11: lines[11] + b" {}",
        13: lines[13].replace(b'"BTCUSDT"', b'"B..C"'),
        15: lines[15].replace(b"}", b', "extra": {"a": 1}}'),
    }
    records = [record(i, odd.get(i, line)) for i, line in enumerate(lines)]
    with strict_calls() as seen:
        found = decode(TRADES, records)
    assert plain(found) == reference(records)
    assert {refused.offset for refused in found.refused} == {7, 9, 11, 13}
    assert [odd[number] for number in (7, 9, 11, 13, 15)] == seen


# ------------------------------------------------------------------------------------------------------------- records


def test_no_records_and_marks_alone_give_an_empty_table() -> None:
    for records in ([], [Record(5, NOW_MS, None, b"", MARK)], [Record(5, NOW_MS, None, None, MARK)]):
        assert plain(decode(TRADES, records)) == Found([], [])


def test_marks_are_passed_over_and_other_empty_values_are_refused() -> None:
    #   offset   0      1     2      3      4             5
    #   value    trade  mark  empty  null   empty, other  trade with the mark's header: no mark, since it has a value
    records = [
        record(0, trade(0)),
        Record(1, NOW_MS, None, b"", (("trace", b"x"), *MARK)),
        Record(2, NOW_MS, b"key", b"", ()),
        Record(3, NOW_MS, b"key", None, ()),
        Record(4, NOW_MS, None, b"", (("slackwater-marks", b"run-1"),)),
        Record(5, NOW_MS, None, trade(5), MARK),
    ]
    found = plain(decode(TRADES, records))
    assert [offset for offset, _, _ in found.events] == [0, 5]
    error = "the record has no value and is no mark"
    assert found.refused == [Refused(at, WHOLE_RECORD, Reason.EMPTY_VALUE, error, b"") for at in (2, 3, 4)]


def test_a_record_of_64_lines_counts_and_one_of_65_is_refused_whole() -> None:
    records = [record(7, *map(trade, range(64))), record(9, *map(trade, range(65))), record(11, trade(1), b"")]
    found = plain(decode(TRADES, records))
    assert [(offset, index) for offset, index, _ in found.events] == [*((7, i) for i in range(64)), (11, 0)]
    assert [(one.offset, one.line, one.reason) for one in found.refused] == [
        (9, WHOLE_RECORD, Reason.TOO_MANY_LINES),
        (11, 1, Reason.EMPTY_LINE),
    ]
    assert found.refused[0].value == records[1].value


def test_refusals_stand_in_log_order_whatever_they_concern() -> None:
    records = [
        record(4, b"x", trade(1), b"y"),
        Record(5, NOW_MS, None, None, ()),
        record(6, b"z"),
        record(8, b"\n" * 70),
    ]
    found = plain(decode(TRADES, records))
    assert [(one.offset, one.line) for one in found.refused] == [(4, 0), (4, 2), (5, -1), (6, 0), (8, -1)]


@pytest.mark.parametrize("fast", [1, 10**9])
def test_time_is_held_to_the_append_time_of_its_own_record(fast: int) -> None:
    #   one minute ahead of record 1 is one minute and a millisecond ahead of record 0
    line = encode_event(TRADES, Event("v", "S", 1, LATEST, 1, 1, "buy"))
    with fast_from(fast):
        found = plain(
            decode(TRADES, [record(0, line, append_time_ms=NOW_MS - 1), record(1, line, append_time_ms=NOW_MS)])
        )
    assert [offset for offset, _, _ in found.events] == [1]
    assert [(one.offset, one.reason) for one in found.refused] == [(0, Reason.TOO_LATE)]


@pytest.mark.parametrize("fast", [1, 10**9])
@pytest.mark.parametrize("append_time_ms", [LARGEST, LARGEST // 1000, LARGEST // 1000 - 60_000, -1])
def test_no_append_time_wraps_around(append_time_ms: int, fast: int) -> None:
    line = trade(1)
    largest = line.replace(str(T0 + 1).encode(), str(LARGEST).encode())
    records = [record(0, line, largest, append_time_ms=append_time_ms)]
    with fast_from(fast):
        found = plain(decode(TRADES, records))
    assert found == reference(records)
    assert by_the_oracle(line, append_time_ms) == (ordered(found.events[0][2]) if found.events else None)


def test_a_line_of_a_megabyte_stands_among_its_neighbours() -> None:
    long = trade(50)[:-1] + b',"x":"' + b"[{\\u0000" * 130_000 + b'"}'
    records = [Record(i, NOW_MS, None, long if i == 50 else trade(i), ()) for i in range(100)]
    found = plain(decode(TRADES, records))
    assert [event.sequence for _, _, event in found.events] == list(range(100))
    assert found.refused == []


def test_the_table_of_events_has_the_schema_even_when_empty() -> None:
    assert events_table(TRADES, []).schema.equals(TRADES.schema)
    table = events_table(TRADES, [Event("v", "S", LARGEST, T0, 10**18 - 1, 1, "sell")])
    assert table.schema.equals(TRADES.schema)
    assert str(table.column("price")[0].as_py()) == "9999999999.99999999"
    assert pa.types.is_decimal128(table.column("quantity").type)


@given(st.lists(st.integers(-(10**18) + 1, 10**18 - 1), max_size=40))
def test_many_decimals_have_the_texts_of_one(values: list[int]) -> None:
    texts = decimal_texts(np.array([*values, 0, -1, 10**8, -15 * 10**7], np.int64)).to_pylist()
    assert texts == [*(decimal_text(value, 8) for value in values), "0", "-0.00000001", "1", "-1.5"]
