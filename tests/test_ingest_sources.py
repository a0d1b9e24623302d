"""Files become lines for the decoder: positions, originals, mapping, and errors that say what to do.

csv, parquet, jsonl --source--> chunks of lines --decode_event--> events, or a reason of the decoder's own
"""

import bz2
import hashlib
import json
import os
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.chunk import BAD_ROW, LINE_TOO_LONG
from ingest.errors import EmptySourceError, FileMissingError, FormatError, UnreadableFileError
from ingest.files.inlet import Descriptor
from ingest.files.line_reader import MAX_LINE_BYTES, LineReader, LongLine
from ingest.files.sources import open_source
from ingest.sample_data import FOLDER, open_sample
from slackwater.streams.decode import events_table
from slackwater.streams.errors import (
    ColumnTypeError,
    MappingError,
    MissingColumnError,
    TimeUnitError,
    UnknownFieldError,
)
from slackwater.streams.event import decode_event, encode_event
from slackwater.streams.mapping import Constant, FromColumn, Layout, parse_map, parse_names, parse_time_unit
from slackwater.streams.numbers import MAX_ID
from slackwater.streams.refusal import RefusedError
from slackwater.streams.rows import event_lines
from slackwater.streams.trades import TRADES
from tests.events import Event
from tests.ingest_kit import T0, all_lines, event, line, read_all
from tests.profiles import examples

HEADER = "venue,symbol,trade_id,time,price,quantity,side\n"
ROW = f"x,BTC-USD,1,{T0},100.5,2,buy\n"
US = Layout(time_unit="us")


def judged(data: bytes) -> str | Event:
    """What the decoder says of a line."""
    try:
        return decode_event(TRADES, data, MAX_ID)
    except RefusedError as error:
        return str(error.reason)


def csv(tmp_path: Path, text: str | bytes, layout: Layout = US) -> list[Any]:
    path = tmp_path / "some.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_all(open_source(TRADES, str(path), layout))


def parquet(tmp_path: Path, columns: dict[str, Any], layout: Layout = US) -> list[bytes]:
    base = {"venue": ["x"], "symbol": ["BTC-USD"], "trade_id": [1], "time": [T0], "price": [100.5], "quantity": [2.0]}
    table = pa.table({**base, "side": ["buy"], **columns})
    path = tmp_path / "some.parquet"
    pq.write_table(table, path)
    return all_lines(open_source(TRADES, str(path), layout))


# ------------------------------------------------------------------------------------------------------------ the map


def test_a_map_names_columns_constants_and_the_negated_side() -> None:
    assert parse_map(TRADES, ["price=p,quantity=q", "side=!buyer_is_maker", "venue==binance"]) == {
        "price": FromColumn("p"),
        "quantity": FromColumn("q"),
        "side": FromColumn("buyer_is_maker", negated=True),
        "venue": Constant("binance"),
    }


@pytest.mark.parametrize("text", ["price", "price=", "price=p,,", "price=p,price=q", "price=!p"])
def test_a_map_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(MappingError):
        parse_map(TRADES, [text])


def test_a_field_that_no_event_has_is_refused_with_those_it_has() -> None:
    with pytest.raises(
        UnknownFieldError, match=r"'prize'.*venue, symbol, trade_id, sequence, time, price, quantity, side, time_unit"
    ):
        parse_map(TRADES, ["prize=p"])


def test_a_time_unit_is_one_of_five() -> None:
    assert parse_time_unit("ms") == "ms"
    with pytest.raises(TimeUnitError, match="s, ms, us, ns, digits"):
        parse_time_unit("minutes")


# ---------------------------------------------------------------------------------------------------------- the errors


def test_a_missing_file_says_so() -> None:
    with pytest.raises(FileMissingError, match=r"nowhere\.csv"):
        open_source(TRADES, "nowhere.csv")


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.parquet"])
def test_an_empty_file_holds_no_events(name: str, tmp_path: Path) -> None:
    (tmp_path / name).touch()
    with pytest.raises(EmptySourceError, match="holds no events"):
        open_source(TRADES, str(tmp_path / name))


def test_a_header_alone_holds_no_events(tmp_path: Path) -> None:
    with pytest.raises(EmptySourceError):
        csv(tmp_path, HEADER)
    with pytest.raises(EmptySourceError):
        parquet(tmp_path, {name: pa.array([], pa.int64()) for name in HEADER.strip().split(",")})


def test_a_missing_column_is_named_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(MissingColumnError, match=r"'price'.*Its columns are venue, symbol, trade_id, time, p,"):
        csv(tmp_path, HEADER.replace("price", "p") + ROW)


def test_ids_may_lack_where_the_venue_may_give_none(tmp_path: Path) -> None:
    text = "time,price,quantity,side,symbol\n1759708800000000,1,1,buy,BTC-USD\n"
    with pytest.raises(MissingColumnError, match="'trade_id'"):
        csv(tmp_path, text, Layout({"venue": Constant("x")}, "us"))
    (chunk,) = csv(tmp_path, text, Layout({"venue": Constant("kraken_history")}, "us"))
    assert b"trade_id" not in chunk.lines[0] and not chunk.faults


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MappingError, match="more than one column 'price'"):
        csv(tmp_path, HEADER.replace("quantity", "price") + ROW)


def test_a_time_that_is_a_number_needs_a_unit(tmp_path: Path) -> None:
    for take in (
        lambda: csv(tmp_path, HEADER + ROW, Layout()),
        lambda: parquet(tmp_path, {}, Layout()),
        lambda: parquet(tmp_path, {"time": [str(T0)]}, Layout()),
        lambda: parquet(tmp_path, {"time": [1.5e9]}, Layout()),
    ):
        with pytest.raises(TimeUnitError, match=r"--time-unit s\|ms\|us\|ns"):
            take()


def test_a_unit_for_timestamps_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TimeUnitError, match="not a number"):
        parquet(tmp_path, {"time": pa.array([T0], pa.timestamp("us"))})


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("price", [True]),
        ("trade_id", [1.0]),
        ("venue", [1]),
        ("side", [1]),
        ("time", [True]),
        ("quantity", [datetime(2025, 1, 1, tzinfo=UTC)]),
        ("price", [[1]]),
    ],
)
def test_a_column_of_a_type_that_cannot_hold_the_field_is_refused(
    field: str, values: list[Any], tmp_path: Path
) -> None:
    with pytest.raises(ColumnTypeError, match=f"no {field}"):
        parquet(tmp_path, {field: values})


def test_a_file_of_another_format_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1]}), tmp_path / "really.parquet")
    (tmp_path / "fake.csv").write_bytes((tmp_path / "really.parquet").read_bytes())
    (tmp_path / "fake.parquet").write_text(HEADER + ROW)
    (tmp_path / "packed.csv").write_bytes(bz2.compress(b"rest"))
    (tmp_path / "notes.txt").write_text("x")
    for name, said in {
        "fake.csv": "is Parquet, not csv",
        "fake.parquet": "is not Parquet",
        "packed.csv": "compressed with bzip2",
        "notes.txt": r"ends in '\.txt'",
        ".": "is a folder",
    }.items():
        with pytest.raises(FormatError, match=said):
            open_source(TRADES, str(tmp_path / name))
    with pytest.raises(FormatError, match="'xml'"):
        open_source(TRADES, str(tmp_path / "notes.txt"), file_format="xml")


def test_torn_parquet_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": list(range(1000))}), tmp_path / "a.parquet")
    whole = (tmp_path / "a.parquet").read_bytes()
    (tmp_path / "torn.parquet").write_bytes(whole[:-100])
    with pytest.raises(UnreadableFileError, match=r"torn\.parquet"):
        open_source(TRADES, str(tmp_path / "torn.parquet"))


# ---------------------------------------------------------------------------------------------------------- json lines


def test_json_lines_are_judged_as_they_stand_with_their_numbers(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(line(1) + b"\n\n" + line(3) + b"\r\nnonsense")
    (chunk,) = [one for one in [open_source(TRADES, str(path))] for one in _joined(read_all(one))]
    assert chunk == [
        ("line 1", line(1), line(1)),
        ("line 2", b"", b""),
        ("line 3", line(3) + b"\r", line(3) + b"\r"),
        ("line 4", b"nonsense", b"nonsense"),
    ]


def _joined(chunks: list[Any]) -> list[list[tuple[str, bytes, bytes]]]:
    return [[(c.position(i), c.lines[i], c.original(i)) for c in chunks for i in range(len(c.lines))]]


def test_standard_input_gives_what_is_there_and_waits_for_no_more() -> None:
    out, into = os.pipe()
    source = open_source(TRADES, "-", stdin=out)
    os.write(into, line(1) + b"\n" + line(2)[:10])
    first = source.read(5.0)
    assert first is not None and first.lines == [line(1)]
    second = source.read(0.0)
    assert second is not None and second.lines == []
    os.write(into, line(2)[10:] + b"\n" + line(3))
    os.close(into)
    rest = read_all(source)
    assert [(c.position(i), one) for c in rest for i, one in enumerate(c.lines)] == [
        ("line 2", line(2)),
        ("line 3", line(3)),
    ]


@pytest.mark.parametrize("ending", [b"\n" + line(2), b""])
def test_a_line_beyond_the_limit_is_a_fault_and_keeps_its_first_bytes(ending: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(line(1) + b"\n" + b"x" * (3 * MAX_LINE_BYTES) + ending)
    found = [
        (chunk.position(i), chunk.faults.get(i), chunk.original(i))
        for chunk in read_all(open_source(TRADES, str(path)))
        for i in range(len(chunk.lines))
    ]
    assert [place for place, _, _ in found] == ["line 1", "line 2", "line 3"][: len(found)]
    assert len(found) == (3 if ending else 2)
    fault, kept = found[1][1:]
    assert fault is not None and fault.reason == LINE_TOO_LONG and f"{3 * MAX_LINE_BYTES} bytes" in fault.error
    assert len(kept) == MAX_LINE_BYTES and isinstance(kept, LongLine)
    whole = b"x" * (3 * MAX_LINE_BYTES)
    assert (kept.length, kept.sha256) == (len(whole), hashlib.sha256(whole).hexdigest())
    assert found[0][1] is None and found[-1][1] is (None if ending else fault)


@given(st.lists(st.integers(0, 30), max_size=12), st.integers(1, 9), st.booleans())
@examples(200)
def test_lines_of_any_length_read_in_blocks_of_any_length_are_whole_or_say_what_they_were(
    lengths: list[int], block: int, ended: bool
) -> None:
    given_lines = [bytes([97 + i % 26]) * length for i, length in enumerate(lengths)]
    text = b"\n".join(given_lines) + (b"\n" if ended and given_lines else b"")
    *expected, last = text.split(b"\n")
    expected += [last] if last else []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ingest.files.line_reader.MAX_LINE_BYTES", 8)
        patch.setattr("ingest.files.inlet.BLOCK_BYTES", block)
        source, into = os.pipe()
        os.write(into, text)
        os.close(into)
        reader, found = LineReader(Descriptor(source)), []
        while (lines := reader.read(1.0)) is not None:
            found += lines
        reader.close()
    assert found == [whole[:8] for whole in expected]
    for one, whole in zip(found, expected, strict=True):
        assert isinstance(one, LongLine) == (len(whole) > 8)
        if isinstance(one, LongLine):
            assert (one.length, one.sha256) == (len(whole), hashlib.sha256(whole).hexdigest())


# ----------------------------------------------------------------------------------------------------------------- csv


def test_csv_is_mapped_and_nothing_is_guessed(tmp_path: Path) -> None:
    layout = Layout(parse_map(TRADES, ["price=p", "side=!maker", "venue==x"]), "ms")
    text = "\ufeffsymbol,trade_id,time,p,quantity,maker\r\nBTC-USD,7,1759708800000,00100.50,2,True\r\n"
    (chunk,) = csv(tmp_path, text, layout)
    assert [judged(one) for one in chunk.lines] == [
        event(7, price=100_50000000, quantity=2 * 10**8, side="sell", time_unit="ms")
    ]
    assert b'"price":"00100.50"' in chunk.lines[0]
    assert (chunk.position(0), chunk.original(0)) == ("line 2", b"BTC-USD,7,1759708800000,00100.50,2,True\r")


DUMP = b"3,100.50,2.000,201.00,1759708800000,True,True\n4,101,1,101,1759708800001,False,True\n"
"""As Binance publishes trades of its spot market: no header."""

DUMPED = Layout(
    parse_map(TRADES, ["venue==binance_spot,symbol==BTCUSDT,side=!maker"]),
    "ms",
    parse_names("trade_id,price,quantity,quote,time, maker ,best"),
)


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_columns_are_named_where_there_is_no_header(mark: bytes, tmp_path: Path) -> None:
    (chunk,) = csv(tmp_path, mark + DUMP, DUMPED)
    base = {"venue": "binance_spot", "symbol": "BTCUSDT", "time_unit": "ms"}
    assert [judged(one) for one in chunk.lines] == [
        event(3, price=100_50000000, quantity=2 * 10**8, side="sell", **base),
        event(4, price=101 * 10**8, quantity=10**8, side="buy", time=T0 + 1000, **base),
    ]
    assert (chunk.position(0), chunk.original(1)) == ("line 1", DUMP.splitlines()[1])


def test_a_header_in_spite_of_named_columns_is_a_bad_row_alone(tmp_path: Path) -> None:
    (chunk,) = csv(tmp_path, b"id,price,qty,quote,time,maker,best\n" + DUMP, DUMPED)
    assert [isinstance(judged(one), tuple) for one in chunk.lines] == [False, True, True]
    (chunk,) = csv(tmp_path, b"1,2\n" + DUMP, DUMPED)
    assert "the row has 2 values, --columns names 7 columns" in chunk.faults[0].error


def test_columns_are_named_for_csv_alone_and_each_of_them(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1]}), tmp_path / "a.parquet")
    (tmp_path / "a.jsonl").write_bytes(line())
    for name in ("a.parquet", "a.jsonl"):
        with pytest.raises(MappingError, match="--columns out"):
            open_source(TRADES, str(tmp_path / name), Layout(names=("a",)))
    with pytest.raises(MappingError, match="column 2 of 'a,,b' has no name"):
        parse_names("a,,b")
    with pytest.raises(MappingError, match="more than one column 'price'"):
        csv(tmp_path, DUMP, Layout(names=("price", "price")))
    with pytest.raises(MissingColumnError, match="venue"):
        csv(tmp_path, DUMP, Layout(names=("price", "time")))
    with pytest.raises(EmptySourceError):
        csv(tmp_path, "", DUMPED)


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("trade_id", "1.0", "missing-field"),
        ("trade_id", "007", "missing-field"),
        ("trade_id", "", "bad-trade-id"),
        ("trade_id", "-1", "missing-field"),
        ("trade_id", str(2**63), "missing-field"),
        ("trade_id", "\uff11", "bad-trade-id"),
        ("time", "soon", "wrong-type"),
        ("time", "4102444800000000000", "bad-time"),
        ("time", "1759708800", "too-early"),
        ("price", "NaN", "bad-price"),
        ("price", "true", "bad-price"),
        ("price", "1e-9", "bad-price"),
        ("price", "1e99", "bad-price"),
        ("price", "1e", "bad-price"),
        ("price", " 1", "bad-price"),
        ("price", "1.123456789", "bad-price"),
        ("price", "\uff11\uff10", "bad-price"),
        ("price", "", "bad-price"),
        ("price", "0", "not-positive"),
        ("quantity", "-1", "bad-quantity"),
        ("symbol", "../../etc", "bad-symbol"),
        ("symbol", '"a""b"', "bad-symbol"),
        ("symbol", "\\", "bad-symbol"),
        ("side", "BUYER", "bad-side"),
        ("side", "1", "bad-side"),
        ("venue", "caf\xe9", "bad-venue"),
    ],
)
def test_a_bad_value_of_csv_gets_the_reason_of_the_decoder(
    column: str, value: str, reason: str, tmp_path: Path
) -> None:
    fields = dict(zip(HEADER.strip().split(","), ROW.strip().split(","), strict=True)) | {column: value}
    bad = ",".join(fields.values()) + "\n"
    (chunk,) = csv(tmp_path, HEADER + ROW + bad + ROW, Layout(time_unit="ms" if value[:1] == "4" else "us"))
    if value[:1] != "4":
        assert isinstance(judged(chunk.lines[0]), tuple) and isinstance(judged(chunk.lines[2]), tuple)
    assert judged(chunk.lines[1]) == reason
    assert chunk.original(1) == bad.encode().removesuffix(b"\n")


def test_csv_that_is_no_utf8_is_refused_alone(tmp_path: Path) -> None:
    bad = ROW.encode().replace(b"BTC", b"B\xffC")
    (chunk,) = csv(tmp_path, (HEADER + ROW).encode() + bad)
    assert [judged(one) if i else "good" for i, one in enumerate(chunk.lines)] == ["good", "not-utf8"]
    assert chunk.original(1) == bad.removesuffix(b"\n")


def test_rows_of_another_width_and_torn_quotes_are_refused_alone(tmp_path: Path) -> None:
    torn = ROW.replace("BTC-USD", '"BTC')
    (chunk,) = csv(tmp_path, HEADER + ROW + "x,1\n" + ROW + torn + "\n" + ROW.replace("\n", ",more\n") + ROW)
    assert {i: fault.reason for i, fault in chunk.faults.items()} == {1: BAD_ROW, 3: BAD_ROW, 4: BAD_ROW, 5: BAD_ROW}
    assert "2 values, the header 7 columns" in chunk.faults[1].error
    assert [i for i, one in enumerate(chunk.lines) if isinstance(judged(one), tuple)] == [0, 2, 6]


def test_csv_times_are_scaled_exactly_or_read_as_iso(tmp_path: Path) -> None:
    def time(text: str, layout: Layout) -> int:
        (chunk,) = csv(tmp_path, HEADER + ROW.replace(str(T0), text), layout)
        return int(json.loads(chunk.lines[0])["time"])

    assert time("1759708800", Layout(time_unit="s")) == T0
    assert time("1759708800.123456789", Layout(time_unit="s")) == T0 + 123_456
    assert time("1759708800000123456", Layout(time_unit="ns")) == T0 + 123
    assert time("2025-10-06T00:00:00.5Z", Layout()) == T0 + 500_000
    assert time("2025-10-06 02:00:00+02:00", Layout()) == T0
    assert time("2025-10-06T00:00:00", Layout()) == T0


# ------------------------------------------------------------------------------------------------------------- parquet


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (pa.array([0.1]), "0.1"),
        (pa.array([1e-8]), "0.00000001"),
        (pa.array([61804.8]), "61804.8"),
        (pa.array([4.0]), "4"),
        (pa.array([1e22]), "10000000000000000000000"),
        (pa.array([0.1], pa.float32()), "0.1"),
        (pa.array([float("nan")]), "nan"),
        (pa.array([7], pa.uint8()), "7"),
        (pa.array([Decimal("1.5")], pa.decimal128(38, 18)), "1.5"),
        (pa.array([Decimal(100)], pa.decimal128(5, 0)), "100"),
        (pa.array([Decimal("1E-8")], pa.decimal128(18, 8)), "0.00000001"),
        (pa.array(["1.50"]), "1.50"),
        (pa.array(["1.50"], pa.large_string()), "1.50"),
        (pa.array(["1.50"]).dictionary_encode(), "1.50"),
    ],
)
def test_a_number_is_its_shortest_exact_decimal(values: Any, text: str, tmp_path: Path) -> None:
    (found,) = parquet(tmp_path, {"price": values})
    assert json.loads(found)["price"] == text


@pytest.mark.parametrize(
    ("values", "unit", "time"),
    [
        (pa.array([1759708800], pa.int32()), "s", T0),
        (pa.array([1759708800123]), "ms", T0 + 123_000),
        (pa.array([1759708800000123999]), "ns", T0 + 123),
        (pa.array([2**64 - 1], pa.uint64()), "us", 2**64 - 1),
        (pa.array([2**62]), "s", 2**62 * 10**6),
        (pa.array([1759708800.25]), "s", T0 + 250_000),
        (pa.array([Decimal("1759708800.000001")]), "s", T0 + 1),
        (pa.array([datetime(2025, 10, 6, tzinfo=UTC)]), None, T0),
        (pa.array([datetime(2025, 10, 6)], pa.timestamp("ms")), None, T0),  # noqa: DTZ001 - without a zone is UTC
        (
            pa.array([datetime(2025, 10, 6, 2, tzinfo=timezone(timedelta(hours=2)))], pa.timestamp("ns", "+02:00")),
            None,
            T0,
        ),
        (pa.array([str(T0)]), "us", T0),
    ],
)
def test_times_become_microseconds(values: Any, unit: Any, time: int, tmp_path: Path) -> None:
    (found,) = parquet(tmp_path, {"time": values}, Layout(time_unit=unit))
    assert json.loads(found)["time"] == time


def test_a_null_is_a_missing_field_and_its_row_is_kept_as_json(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    columns = {**{name: ["x", "y"] for name in ("venue", "symbol")}, "trade_id": [1, 2], "time": [T0, T0]}
    pq.write_table(
        pa.table({**columns, "price": [1.5, None], "quantity": [1, 1], "side": [True, False], "note": ["a", "b"]}), path
    )
    (chunk,) = read_all(open_source(TRADES, str(path), US))
    good, bad = map(judged, chunk.lines)
    assert isinstance(good, tuple) and good.side == "buy"
    assert bad == "missing-field"
    assert chunk.position(1) == "row 2"
    assert json.loads(chunk.original(1)) == {
        **{"venue": "y", "symbol": "y", "trade_id": 2, "time": T0, "price": None, "quantity": 1},
        **{"side": False, "note": "b"},
    }


# ---------------------------------------------------------------------------------------------------- lines and sample


events = st.builds(
    Event,
    venue=st.from_regex(r"[a-z0-9][a-z0-9_-]{0,31}", fullmatch=True),
    symbol=st.sampled_from(["A", "BTC-USD", "a.b/c:d_e-f"]),
    trade_id=st.integers(0, MAX_ID),
    time=st.integers(1_230_940_800_000_000, MAX_ID),
    price=st.integers(1, 10**18 - 1),
    quantity=st.integers(1, 10**11),
    side=st.sampled_from(["buy", "sell"]),
)


@given(st.lists(events, min_size=1, max_size=20), st.integers(0, 3))
@examples(200)
def test_lines_of_a_table_are_those_of_its_events(drawn: list[Event], skip: int) -> None:
    table = events_table(TRADES, drawn).slice(skip)
    assert (event_lines(TRADES, table) if table.num_rows else []) == [encode_event(TRADES, one) for one in drawn[skip:]]


def test_every_trade_of_the_sample_is_valid() -> None:
    lines = all_lines(open_sample())
    assert len(lines) == 78_638
    assert not [one for one in lines if not isinstance(judged(one), tuple)]


def test_a_sample_that_was_changed_is_not_used(tmp_path: Path) -> None:
    for path in FOLDER.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (damaged,) = tmp_path.glob("*.parquet")
    data = np.frombuffer(damaged.read_bytes(), np.uint8).copy()
    data[1000] ^= 1
    damaged.write_bytes(data.tobytes())
    with pytest.raises(UnreadableFileError, match="SHA-256"):
        open_sample(tmp_path)
