"""Values as people have them in files become events' values, exactly; what could mean two things is refused.

a text of a file --Reading--> token --decoder--> value        in CSV, and in Parquet with and without lines between
"""

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from ingest.files.sources import open_source
from ingest.hints import hint_of
from ops.cli import main
from slackwater.streams.errors import MappingError, UnknownFieldError
from slackwater.streams.event import decode_event
from slackwater.streams.mapping import Layout, Reading, parse_map, parse_words, readings
from slackwater.streams.numbers import MAX_ID
from slackwater.streams.refusal import RefusedError
from slackwater.streams.stream import Choice
from slackwater.streams.trades import TRADES
from slackwater.streams.written import decimal_written, finest, time_written
from tests.ingest_kit import T0, all_lines, read_all
from tests.profiles import examples

GOOD = {
    "venue": "x",
    "symbol": "BTC-USD",
    "trade_id": "1",
    "time": str(T0),
    "price": "100.5",
    "quantity": "2",
    "side": "buy",
}


def value(tmp_path: Path, field: str, text: str, layout: Layout) -> Any:
    """What a field is in the event of a row of CSV, the same of Parquet; or the reason and the error of its refusal."""
    row = {**GOOD, field: text}
    (tmp_path / "a.csv").write_text(",".join(row) + "\n" + ",".join(f'"{each}"' for each in row.values()) + "\n")
    pq.write_table(pa.table({name: [each] for name, each in row.items()}), tmp_path / "a.parquet")
    found = []
    for name in ("a.csv", "a.parquet"):
        (line,) = all_lines(open_source(TRADES, str(tmp_path / name), layout))
        try:
            found.append(getattr(decode_event(TRADES, line, MAX_ID), field))
        except RefusedError as error:
            found.append((error.reason, error.error))
    assert found[0] == found[1]
    return found[0]


def layout(time_unit: Any = "us", maps: str = "", **options: Any) -> Layout:
    """As the options of the command line make it."""
    words = parse_words(TRADES, [options.pop("values")]) if "values" in options else None
    return Layout(parse_map(TRADES, [maps] if maps else []), time_unit, (), readings(TRADES, words, **options))


# --------------------------------------------------------------------------------------------------------------- sides


@pytest.mark.parametrize(
    ("text", "maps", "side"),
    [
        ("Buy", "", "buy"),
        ("BUY", "", "buy"),
        ("b", "", "buy"),
        ("B", "", "buy"),
        ("Sell", "", "sell"),
        ("SELL", "", "sell"),
        ("s", "", "sell"),
        ("true", "", "buy"),
        ("False", "", "sell"),
        ("true", "side=!side", "sell"),
        ("FALSE", "side=!side", "buy"),
        ("1", "side=!side", "sell"),
        ("0", "side=!side", "buy"),
        ("Buy", "side=!side", "sell"),
        ("s", "side=!side", "buy"),
    ],
)
def test_sides_are_read_as_files_say_them(text: str, maps: str, side: str, tmp_path: Path) -> None:
    assert value(tmp_path, "side", text, layout(maps=maps)) == side


@pytest.mark.parametrize("text", ["1", "0", "2", "-1", "bid", "ASK", "A"])
def test_what_is_a_buy_to_some_and_a_sell_to_others_is_refused_until_it_is_said(text: str, tmp_path: Path) -> None:
    reason, error = value(tmp_path, "side", text, layout())
    assert reason == "bad-side" and "one to some and another to others" in error
    assert "--values side:...=buy,side:...=sell" in hint_of(TRADES, reason, error)
    assert value(tmp_path, "side", text, layout(values=f"side:{text}=sell,side:x=buy")) == "sell"


def test_a_text_that_means_nothing_is_refused_without_a_hint(tmp_path: Path) -> None:
    reason, error = value(tmp_path, "side", "unknown", layout())
    assert (reason, error) == ("bad-side", "side is 'unknown', not buy or sell")
    assert hint_of(TRADES, reason, error) == ""


def test_words_are_those_of_the_declaration_and_capitals_that_tell_values_apart_stay() -> None:
    kind = Choice("kind", ("limit", "market", "IOC", "ioc"), {"lmt": "limit", "l": None})
    assert [kind.said(text) for text in ("LIMIT", "Lmt", "IOC", "ioc", "Ioc", "l")] == [
        *("limit", "limit", "IOC", "ioc"),
        None,
        None,
    ]
    assert repr(kind) == repr(Choice("kind", kind.values)) and kind == Choice("kind", kind.values)


def test_whole_numbers_of_parquet_stand_for_sides_where_it_is_said(tmp_path: Path) -> None:
    table = pa.table({**{name: [text] * 2 for name, text in GOOD.items()}, "side": pa.array([1, -1], pa.int8())})
    pq.write_table(table, tmp_path / "a.parquet")
    source = open_source(TRADES, str(tmp_path / "a.parquet"), layout(values="side:1=buy,side:-1=sell"))
    assert [json.loads(line)["side"] for line in all_lines(source)] == ["buy", "sell"]


# ------------------------------------------------------------------------------------------------------------ decimals


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("6e-05", 6000),
        ("1E3", 1000 * 10**8),
        ("1.25e+2", 125 * 10**8),
        ("1.50e1", 15 * 10**8),
        ("12345678901e-3", 1234567890100000),
        ("61837.6300000000", 6183763000000),
        ("00100.50", 10050000000),
    ],
)
def test_decimals_are_read_from_text_to_text(text: str, units: int, tmp_path: Path) -> None:
    assert value(tmp_path, "price", text, layout()) == units


@pytest.mark.parametrize("text", ["0.30000000000000004", "1e-9", "3.0000000000000004e-1"])
def test_too_many_digits_are_refused_with_the_option_that_rounds_them(text: str, tmp_path: Path) -> None:
    for field in ("price", "quantity"):
        reason, error = value(tmp_path, field, text, layout())
        assert reason == f"bad-{field}" and "digits behind the point, of which at most 8" in error
        assert f"--round-{field} 8" in hint_of(TRADES, reason, error)


@pytest.mark.parametrize(
    ("text", "digits", "units"),
    [
        ("0.30000000000000004", 8, 30000000),
        ("0.1000000050000000", 8, 10000000),  # half to even
        ("0.1000000150000000", 8, 10000002),
        ("0.10000000500000001", 8, 10000001),
        ("1.000000015e0", 8, 100000002),
        ("0.125", 2, 12000000),
        ("0.135", 2, 14000000),
        ("2.5", 0, 2 * 10**8),
        ("7", 8, 7 * 10**8),
    ],
)
def test_noise_is_rounded_half_even_where_somebody_asks(text: str, digits: int, units: int, tmp_path: Path) -> None:
    assert value(tmp_path, "quantity", text, layout(digits={"quantity": digits})) == units


def test_what_is_rounded_to_nothing_is_no_quantity(tmp_path: Path) -> None:
    reason, _ = value(tmp_path, "quantity", "1e-17", layout(digits={"quantity": 8}))
    assert reason == "not-positive"


@given(
    st.from_regex(r"-?(0|[1-9][0-9]{0,8})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,2})?", fullmatch=True),
    st.one_of(st.none(), st.integers(0, 8)),
)
@examples(300)
def test_a_decimal_keeps_its_value_or_is_the_nearest_with_so_many_digits(text: str, digits: int | None) -> None:
    found = decimal_written(text.encode(), digits).decode()
    assert "e" not in found.lower()
    exact, mine = Fraction(text), Fraction(found)
    if digits is None or (exact * 10**digits).denominator == 1:
        assert mine == exact
    else:
        assert mine == Fraction(round(exact * 10**digits), 10**digits)  # Fraction rounds half to even


# --------------------------------------------------------------------------------------------------------------- times


@pytest.mark.parametrize(
    ("text", "unit", "time", "said"),
    [
        ("2024-01-14T03:00:01.123456Z", None, 1705201201123456, "us"),
        ("2024-01-14T03:00:01.123456789+00:00", None, 1705201201123456, "us"),
        ("2024-01-14 04:00:01+01:00", None, 1705201201000000, "us"),
        ("1705190401.123456", "s", 1705190401123456, "us"),
        ("1705190401.12", "s", 1705190401120000, "ms"),
        ("1705190401", "s", 1705190401000000, "s"),
        ("1705190401123", "ms", 1705190401123000, "ms"),
        ("1705190401123.5", "ms", 1705190401123500, "us"),
        ("1705190401", "digits", 1705190401000000, "s"),
        ("1705190401.123456", "digits", 1705190401123456, "us"),
        ("1705190401123", "digits", 1705190401123000, "ms"),
        ("1705190401123456", "digits", 1705190401123456, "us"),
        ("1705190401123456789", "digits", 1705190401123456, "us"),
        ("2024-01-14T03:00:01Z", "digits", 1705201201000000, "us"),
    ],
)
def test_times_are_read_exactly_and_say_their_unit(text: str, unit: Any, time: int, said: str, tmp_path: Path) -> None:
    assert value(tmp_path, "time", text, layout(unit)) == time
    (tmp_path / "b.csv").write_text(",".join(GOOD) + "\n" + ",".join({**GOOD, "time": text}.values()) + "\n")
    (line,) = all_lines(open_source(TRADES, str(tmp_path / "b.csv"), layout(unit)))
    assert json.loads(line).get("time_unit", "us") == said


def test_the_unit_may_change_within_a_file(tmp_path: Path) -> None:
    texts = ["1735689599999", "1735689600000000", "1735689600"]
    rows = [",".join({**GOOD, "time": text}.values()) for text in texts]
    (tmp_path / "a.csv").write_text("\n".join([",".join(GOOD), *rows]) + "\n")
    table = pa.table({**{name: [text] * 3 for name, text in GOOD.items()}, "time": [int(text) for text in texts]})
    pq.write_table(table, tmp_path / "a.parquet")
    for name in ("a.csv", "a.parquet"):
        source = open_source(TRADES, str(tmp_path / name), layout("digits"))
        if name == "a.parquet":
            source.in_bulk()
        (chunk,) = read_all(source)
        found = [json.loads(line) for line in chunk.lines]
        assert [each["time"] for each in found] == [1735689599999000, 1735689600000000, 1735689600000000]
        assert [each.get("time_unit", "us") for each in found] == ["ms", "us", "s"]
        if chunk.certain is not None:
            assert not len(chunk.certain.numbers)


def test_whole_numbers_of_one_unit_need_no_lines(tmp_path: Path) -> None:
    table = pa.table({**{name: [text] for name, text in GOOD.items()}, "time": [T0 // 1000]})
    pq.write_table(table, tmp_path / "a.parquet")
    source = open_source(TRADES, str(tmp_path / "a.parquet"), layout("digits"))
    source.in_bulk()
    (chunk,) = read_all(source)
    assert chunk.certain is not None
    (row,) = chunk.certain.events.to_pylist()
    assert (row["time"], row["time_unit"]) == (T0, "ms")


def test_a_text_that_is_no_time_is_none() -> None:
    assert [time_written(text, "digits") for text in (b"soon", b"1e9", b"")] == [None] * 3
    assert finest(b"soon", "digits") == "us"


# ------------------------------------------------------------------------------------------------------ texts, options


def test_capitals_in_venues_are_refused_with_a_hint_or_made_small(tmp_path: Path) -> None:
    reason, error = value(tmp_path, "venue", "Binance", layout())
    assert reason == "bad-venue" and "--lower-venue" in hint_of(TRADES, reason, error)
    assert value(tmp_path, "venue", "Binance", layout(lower_venue=True)) == "binance"
    assert value(tmp_path, "venue", "x", layout(maps="venue==Kraken", lower_venue=True)) == "kraken"
    both = layout(lower_venue=True, values="venue:Binance=binance_spot")
    assert [value(tmp_path, "venue", text, both) for text in ("Binance", "OKX")] == ["binance_spot", "okx"]
    assert value(tmp_path, "symbol", "XBT/USD", layout(values="symbol:XBT/USD=BTC/USD")) == "BTC/USD"


def test_seconds_that_are_taken_for_microseconds_get_a_hint(tmp_path: Path) -> None:
    reason, error = value(tmp_path, "time", "1705190401", layout("us"))
    assert reason == "too-early" and "--time-unit" in hint_of(TRADES, reason, error)


@pytest.mark.parametrize("text", ["side", "side:0", "side:=buy", "side:0=", "side:0=buy,side:0=sell", "price:1=2", ""])
def test_values_that_say_nothing_are_refused(text: str) -> None:
    with pytest.raises(MappingError):
        parse_words(TRADES, [text])


def test_readings_are_of_fields_that_can_be_read_so() -> None:
    with pytest.raises(UnknownFieldError):
        parse_words(TRADES, ["sides:0=buy"])
    with pytest.raises(MappingError, match="no decimal"):
        readings(TRADES, digits={"side": 8})
    with pytest.raises(MappingError, match="at most 8"):
        readings(TRADES, digits={"price": 9})
    assert readings(TRADES, {"venue": {"A": "b"}}, {"price": 2}, True) == {
        "venue": Reading({"A": "b"}, lower=True),
        "price": Reading(digits=2),
    }


def test_an_opposite_and_words_at_once_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MappingError, match="leave `!` out"):
        value(tmp_path, "side", "0", layout(maps="side=!side", values="side:0=buy"))


def test_the_command_line_reads_them_and_says_what_would_help(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(
        "venue,symbol,trade_id,time,price,quantity,side\n"
        "Kraken,BTC/USD,1,1705190401.123456,6e4,0.30000000000000004,Buy\n"
        "Kraken,BTC/USD,2,1705190401.123456,6e4,0.3,0\n"
    )

    def rehearsed(*options: str) -> Any:
        words = ["ingest", str(path), "--time-unit", "digits", "--dry-run", "--json", *options]
        return json.loads(CliRunner().invoke(main, words).stdout)

    assert rehearsed()["examples"]["bad-venue"]["hint"] == "--lower-venue makes small letters of capitals."
    hints = {reason: each["hint"] for reason, each in rehearsed("--lower-venue")["examples"].items()}
    assert "--round-quantity 8" in hints["bad-quantity"] and "--values" in hints["bad-side"]
    found = rehearsed("--lower-venue", "--round-quantity", "8", "--values", "side:0=buy,side:1=sell")
    assert found["refused"] == {}
    assert [each["event"] for each in found["events"]] == [
        {
            **{"venue": "kraken", "symbol": "BTC/USD", "trade_id": i, "time": 1705190401123456},
            **{"price": "60000", "quantity": "0.3", "side": "buy"},
        }
        for i in (1, 2)
    ]
    text = CliRunner().invoke(main, ["ingest", str(path), "--time-unit", "digits", "--dry-run"]).stdout
    assert "hint  --lower-venue" in text
