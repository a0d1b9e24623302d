"""JSON of others becomes events by the paths of a map; numbers keep their text, records are found where they are.

text --RecordCutter--> records --value_of, at--> texts of fields --Columns--> lines --decoder--> events
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.chunk import Source
from ingest.errors import EmptySourceError, FormatError, UnreadableFileError
from ingest.files.json_records import RecordCutter
from ingest.files.sources import open_source
from slackwater.streams.errors import MappingError, MissingColumnError, TimeUnitError
from slackwater.streams.event import decode_event
from slackwater.streams.json_value import Number, at, paths_of, value_of
from slackwater.streams.mapping import Layout, parse_map, parse_records, parse_words, readings
from slackwater.streams.numbers import MAX_ID
from slackwater.streams.refusal import RefusedError
from slackwater.streams.trades import TRADES
from tests.events import Event
from tests.ingest_kit import T0, event, line, read_all
from tests.profiles import examples

SAID = "venue==x,symbol==BTC-USD"


def layout(maps: str = "", unit: Any = "us", records: str = "", values: str = "") -> Layout:
    words = readings(TRADES, parse_words(TRADES, [values])) if values else {}
    said = SAID if "symbol=" not in maps else SAID.partition(",")[0]
    made = parse_map(TRADES, [f"{said},{maps}" if maps else said])
    return Layout(made, unit, (), words, parse_records(records) if records else ())


def mine(trade_id: int, **fields: Any) -> Event:
    """The event of `line`."""
    return event(trade_id, **{"price": 100_50000000, "quantity": 2 * 10**8, **fields})


def opened(path: Path, text: str | bytes, of: Layout) -> Source:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return open_source(TRADES, str(path), of)


def found(source: Source) -> list[tuple[str, Event | str]]:
    """(place, event or the reason of its refusal) of each."""
    rows: list[tuple[str, Event | str]] = []
    for chunk in read_all(source):
        for i, each in enumerate(chunk.lines):
            if i in chunk.faults:
                rows.append((chunk.position(i), chunk.faults[i].reason))
                continue
            try:
                rows.append((chunk.position(i), decode_event(TRADES, each, MAX_ID)))
            except RefusedError as error:
                rows.append((chunk.position(i), str(error.reason)))
    return rows


def events(source: Source) -> list[Event | str]:
    return [each for _, each in found(source)]


# --------------------------------------------------------------------------------------------------------------- paths


def put(text: str, *parts: Any) -> str:
    """The text with the parts in the place of its @."""
    for part in parts:
        text = text.replace("@", str(part), 1)
    return text


NESTED = put('{"stream":"t","data":{"t":7,"T":@,"p":"100.50","q":2.0,"m":true,"X":{"a":[1,[2,3]]}}}', T0)


@pytest.mark.parametrize(("name", "text"), [("a.jsonl", NESTED + "\n" + NESTED), ("a.json", f"[{NESTED},\n {NESTED}]")])
def test_values_are_found_by_paths_in_lines_and_arrays(name: str, text: str, tmp_path: Path) -> None:
    of = layout("trade_id=data.t,time=data.T,price=data.p,quantity=data.q,side=!data.m")
    noun = "line" if name == "a.jsonl" else "element"
    one = event(7, price=100_50000000, quantity=2 * 10**8, side="sell")
    assert found(opened(tmp_path / name, text, of)) == [(f"{noun} 1", one), (f"{noun} 2", one)]


def test_positions_in_lists_and_lists_as_rows(tmp_path: Path) -> None:
    of = layout("price=0,quantity=1.0,time=2,side=3,trade_id=4")
    text = put('[["100.50",["2"],@,"b",7],["1e2",[2],"@","S","8"]]', T0, T0)
    assert events(opened(tmp_path / "a.json", text, of)) == [
        event(7, price=100_50000000, quantity=2 * 10**8, side="buy"),
        event(8, price=100 * 10**8, quantity=2 * 10**8, side="sell"),
    ]


def test_fields_without_a_map_are_at_their_names_and_optional_ones_may_be_there_or_not(tmp_path: Path) -> None:
    rows = [
        {"venue": "x", "symbol": "BTC-USD", "trade_id": "A", "sequence": 5, "price": 100.5, "quantity": 2},
        {"venue": "x", "symbol": "BTC-USD", "trade_id": 8, "price": "100.5", "quantity": "2", "time_unit": "ms"},
    ]
    text = "\n".join(json.dumps({**row, "time": T0, "side": "buy"}) for row in rows)
    kept = {"price": 100_50000000, "quantity": 2 * 10**8}
    assert events(opened(tmp_path / "a.jsonl", text, Layout(time_unit="us"))) == [
        event("A", sequence=5, **kept),
        event(8, time_unit="ms", **kept),
    ]


def test_numbers_keep_the_text_that_they_are_written_as(tmp_path: Path) -> None:
    base = '{"trade_id":%s,"time":%d,"side":"buy","price":%s,"quantity":%s}'
    texts = [
        base % (9007199254740993, T0, "6e-05", "0.10000000"),  # one more than a double can count to
        base % (2**63 - 1, T0, "9999999999.99999999", "0.00000001"),
        base % (1, T0, "0.30000000000000004", "1"),
    ]
    first, second, third = events(opened(tmp_path / "a.jsonl", "\n".join(texts), layout()))
    assert first == event(9007199254740993, price=6000, quantity=10_000_000)
    assert second == event(2**63 - 1, price=10**18 - 1, quantity=1)
    assert third == "bad-price"


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("price", "true", "wrong-type"),
        ("price", "[1]", "wrong-type"),
        ("price", '{"a":1}', "wrong-type"),
        ("price", "null", "missing-field"),
        ("price", '"NaN"', "bad-price"),
        ("price", "NaN", "not-json"),
        ("trade_id", "1.0", "wrong-type"),
        ("trade_id", "true", "wrong-type"),
        ("trade_id", "1e3", "wrong-type"),
        ("time", "true", "wrong-type"),
        ("time", '"soon"', "wrong-type"),
        ("side", "1", "bad-side"),
        ("side", "null", "missing-field"),
        ("symbol", "7", "wrong-type"),
        ("symbol", '"\\ud800"', "not-utf8"),
    ],
)
def test_values_of_types_that_hold_no_such_field_are_refused_alone(
    field: str, value: str, reason: str, tmp_path: Path
) -> None:
    good = {"trade_id": "1", "time": str(T0), "price": "100.5", "quantity": "2", "side": '"buy"', "symbol": '"BTC-USD"'}

    def row(fields: dict[str, str]) -> str:
        return "{" + ",".join(f'"{name}":{text}' for name, text in fields.items()) + "}"

    text = "\n".join([row(good), row({**good, field: value}), row(good)])
    assert events(opened(tmp_path / "a.jsonl", text, layout("symbol=symbol"))) == [mine(1), reason, mine(1)]


def test_booleans_and_numbers_are_sides_where_it_is_said(tmp_path: Path) -> None:
    rows = [{"trade_id": i, "time": T0, "price": 100.5, "quantity": 2, "side": side} for i, side in enumerate([0, 1])]
    text = "\n".join(map(json.dumps, rows))
    said = layout(values="side:0=buy,side:1=sell")
    assert [getattr(each, "side", each) for each in events(opened(tmp_path / "a.jsonl", text, said))] == ["buy", "sell"]
    flags = text.replace('"side": 0', '"side": false').replace('"side": 1', '"side": true')
    sides = [getattr(each, "side", each) for each in events(opened(tmp_path / "a.jsonl", flags, layout("side=!side")))]
    assert sides == ["buy", "sell"]


def test_lines_that_are_no_values_are_refused_alone(tmp_path: Path) -> None:
    good = line(1).decode()
    bad = ["", "nonsense", "7", '{"a":1,"a":2}', '{"a":{"b":1,"b":2}}', "[" * 300 + "]" * 300, good + good]
    reasons = [
        *("empty-line", "not-json", "not-an-object", "duplicate-key", "duplicate-key", "too-deep", "two-objects"),
    ]
    text = "\n".join([good, *bad, good])
    assert events(opened(tmp_path / "a.jsonl", text, Layout(time_unit="us"))) == [mine(1), *reasons, mine(1)]


def test_a_field_that_no_value_has_is_said_with_the_paths_that_there_are(tmp_path: Path) -> None:
    with pytest.raises(MissingColumnError, match=r"'data.prize'.*stream, data.t, data.T, data.p.*data.X.a"):
        events(opened(tmp_path / "a.jsonl", NESTED, layout("trade_id=data.t,time=data.T,price=data.prize,side=data.m")))


def test_a_time_that_is_a_number_needs_a_unit(tmp_path: Path) -> None:
    with pytest.raises(TimeUnitError):
        events(opened(tmp_path / "a.jsonl", line(1), layout(unit=None)))
    iso = line(1).replace(str(T0).encode(), b'"2025-10-06T00:00:00Z"')
    assert events(opened(tmp_path / "a.jsonl", iso, layout(unit=None))) == [mine(1)]


def test_a_pipe_is_read_as_it_comes(tmp_path: Path) -> None:
    out, into = os.pipe()
    source = open_source(
        TRADES, "-", layout("trade_id=data.t,time=data.T,price=data.p,quantity=data.q,side=!data.m"), None, out
    )
    os.write(into, (NESTED + "\n" + NESTED)[:-20].encode())
    first = source.read(5.0)
    assert first is not None and len(first.lines) == 1
    os.write(into, NESTED[-20:].encode())
    os.close(into)
    assert len(events(source)) == 1


# ------------------------------------------------------------------------------------------------------------- records


def trade(trade_id: int) -> str:
    return line(trade_id).decode()


PAGE = '{"code":0,"time":1,"result":{"skip":{"list":[1,{"x":"]}"}]},"list":[%s],"n":null},"more":["x",{}]}'


@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
def test_records_are_cut_out_of_objects_around_them(name: str, tmp_path: Path) -> None:
    text = PAGE % f"{trade(1)}, {trade(2)}" + "\n" + PAGE % "" + "\n" + PAGE % trade(3) + "\n"
    rows = found(opened(tmp_path / name, text, layout(records="result.list")))
    places = ["element 1", "element 2", "element 3"]
    if name == "a.jsonl":
        places = ["line 1, element 1", "line 1, element 2", "line 3, element 1"]
    assert rows == list(zip(places, [mine(1), mine(2), mine(3)], strict=True))


def test_an_answer_may_be_written_over_many_lines(tmp_path: Path) -> None:
    text = json.dumps(json.loads(PAGE % f"{trade(1)}, {trade(2)}"), indent=2)
    chunks = read_all(opened(tmp_path / "a.json", text, layout(records="result.list")))
    assert [chunk.original(i).count(b"\n") for chunk in chunks for i in range(len(chunk.lines))] == [8, 8]
    assert events(opened(tmp_path / "a.json", text, layout(records="result.list"))) == [mine(1), mine(2)]


def test_a_record_may_stand_alone_and_lists_on_the_way_are_gone_through(tmp_path: Path) -> None:
    alone = put('{"data":@}', trade(1))
    assert events(opened(tmp_path / "a.jsonl", alone, layout(records="data"))) == [mine(1)]
    pages = put('[{"data":[@]},{"other":1},{"data":[[{"trades":1}],@]}]', trade(1), trade(2))
    assert events(opened(tmp_path / "b.json", pages, layout(records="data"))) == [mine(1), "missing-field", mine(2)]


def test_the_key_of_a_star_is_a_field_and_what_is_no_list_is_passed_over(tmp_path: Path) -> None:
    of = layout("symbol=*,trade_id=0,time=1,price=2,quantity=3,side=4", records="result.*")
    row = [put('[@,@,"100.5",2,"b"]', i, T0) for i in (1, 2, 3)]
    text = put('{"result":{"A":[@,@],"last":"17","B":[@]},"error":[]}', *row)
    rows = events(opened(tmp_path / "a.json", text, of))
    assert [(each.symbol, each.sequence) for each in rows if not isinstance(each, str)] == [
        ("A", 1),
        ("A", 2),
        ("B", 3),
    ]


def test_a_line_without_records_or_torn_is_refused_alone(tmp_path: Path) -> None:
    good = put('{"data":[@]}', trade(1))
    text = "\n".join([good, '{"event":"subscribe","arg":{"c":1}}', good[:-5], "", "}", good])
    rows = found(opened(tmp_path / "a.jsonl", text, layout(records="data")))
    assert [each if isinstance(each, str) else "event" for _, each in rows] == [
        *("event", "missing-field", "not-json", "empty-line", "not-json", "event"),
    ]
    chunk, _ = read_all(opened(tmp_path / "a.jsonl", text, layout(records="data")))
    assert chunk.faults[1].error == "nothing is at data; the line has event, arg"
    assert chunk.original(2) == good[:-5].encode()


def test_a_file_without_the_path_says_what_it_has(tmp_path: Path) -> None:
    text = PAGE % trade(1)
    with pytest.raises(FormatError, match=r"nothing at 'result.lists'.*code, time, result, result.skip, result.list"):
        events(opened(tmp_path / "a.json", text, layout(records="result.lists")))
    with pytest.raises(EmptySourceError):
        events(opened(tmp_path / "a.json", PAGE % "", layout(records="result.list")))


@pytest.mark.parametrize(
    "text", ['{"data":[1', '{"data":[1}', '{"data" 1}', '{"a":,"data":[]}', '{"data":[1,,2]}', "]"]
)
def test_damage_ends_a_text_with_what_came_before_it(text: str, tmp_path: Path) -> None:
    with pytest.raises(UnreadableFileError):
        found(opened(tmp_path / "a.json", text, layout(records="data")))


def test_records_and_columns_are_of_their_formats_alone(tmp_path: Path) -> None:
    with pytest.raises(MappingError, match="--records"):
        opened(tmp_path / "a.csv", "a,b\n1,2\n", layout(records="data"))
    with pytest.raises(MappingError, match="--columns"):
        opened(tmp_path / "a.jsonl", line(1), Layout(names=("a",)))
    with pytest.raises(MappingError, match="no `\\*`"):
        opened(tmp_path / "a.jsonl", line(1), layout("symbol=*", records="data"))
    for path in ("", "a..b", "*.*", "."):
        with pytest.raises(MappingError):
            parse_records(path)


keys = st.sampled_from(["a", "b", "data", "x y", 'q"', "é"])
values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-9, 99), st.floats(0, 1), st.text('ab"\\[]{},: \n', max_size=4)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(keys, inner, max_size=3)),
    max_leaves=12,
)


def expected(value: Any, path: tuple[str, ...], key: str = "", inside: bool = False) -> list[tuple[str, Any]]:
    """The records at a path, by the whole value."""
    if isinstance(value, list):
        if not path:
            return [(key, each) for each in value]
        return [record for each in value for record in expected(each, path, key, inside)]
    if not isinstance(value, dict):
        return []
    if not path:
        return [(key, value)]
    return [
        record
        for name, each in value.items()
        if path[0] in (name, "*")
        for record in expected(each, path[1:], name if path[0] == "*" else key)
    ]


@given(
    st.lists(values, max_size=3),
    st.lists(st.sampled_from(["a", "b", "data", "*"]), min_size=1, max_size=3).filter(lambda path: path.count("*") < 2),
    st.integers(1, 30),
    st.sampled_from([None, 1]),
)
@examples(400)
def test_records_cut_in_pieces_of_any_size_are_those_of_the_whole_text(
    documents: list[Any], path: list[str], size: int, indent: int | None
) -> None:
    text = "\n".join(json.dumps(each, indent=indent, ensure_ascii=False) for each in documents).encode() + b"\n"
    cutter, cut = RecordCutter(tuple(path)), []
    for start in range(0, len(text), size):
        cut += cutter.cut(text[start : start + size])
    assert cutter.error is None
    cutter.end()
    wanted = [record for each in documents for record in expected(each, tuple(path))]
    assert [(key, json.loads(data)) for key, data in cut] == wanted
    whole = RecordCutter(tuple(path))
    assert whole.cut(text) == cut


@given(st.lists(st.sampled_from([b'"', b"{", b"}", b"[", b"]", b",", b":", b"a", b"\\", b" ", b"\xff"]), max_size=30))
@examples(300)
def test_text_of_any_kind_is_cut_alike_in_pieces_and_whole_or_refused(pieces: list[bytes]) -> None:
    text = b'{"data":[' + b"".join(pieces)
    whole, bit = RecordCutter(("data",)), RecordCutter(("data",))
    cut = whole.cut(text)
    assert all(data in text for _, data in cut)
    found = []
    for i in range(len(text)):
        if bit.error is None:
            found += bit.cut(text[i : i + 1])
    assert found == cut and (bit.error is None) == (whole.error is None)


def test_paths_are_those_of_the_value() -> None:
    value = value_of(b'{"a":{"b":1.50,"c":[1,{"d":2}]},"e":null}')
    assert paths_of(value) == ["a.b", "a.c", "e"]
    assert (at(value, ("a", "b")), at(value, ("a", "c", "1", "d")), at(value, ("a", "c", "2"))) == ("1.50", "2", None)
    assert type(at(value, ("a", "b"))) is Number
    assert paths_of(value_of(b"[1,[2,3]]")) == ["0", "1"]
