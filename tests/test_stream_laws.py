"""What holds of every stream, made from its declaration: the registered ones, and one that only this test knows.

event --encode--> line --strict--> event            every event, every venue's rule
line --fast--> event   only where   line --strict--> the same event
a value that a column refuses: a refusal with that column's reason, whatever stands beside it
"""

import json
import pickle
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slackwater.core.settings import from_environ
from slackwater.streams import decode as fast_path
from slackwater.streams.columns import EARLIEST_US
from slackwater.streams.content import contents_of, same
from slackwater.streams.decode import decode_lines, events_table
from slackwater.streams.entities import by_entity
from slackwater.streams.errors import StreamDeclarationError, StreamError, UnknownStreamError
from slackwater.streams.event import decode_event, encode_event
from slackwater.streams.lines import Lines
from slackwater.streams.numbers import as_integer
from slackwater.streams.refusal import RefusedError
from slackwater.streams.registry import GROUP, STREAMS, registered, stream_named
from slackwater.streams.rows import event_lines
from slackwater.streams.scan import Scan
from slackwater.streams.stream import (
    APPENDED,
    Choice,
    Column,
    Decimal,
    Identity,
    Integer,
    ProductBelow,
    Sequence,
    Stream,
    Text,
    Time,
    Venue,
)
from slackwater.streams.trades import TRADES
from slackwater.streams.words import SQL
from tests.profiles import examples

T0 = 1_759_708_800_000_000  # 2025-10-06T00:00:00Z
LATEST = T0 + 60_000_000
LARGEST = 2**63 - 1

FILLS = Stream(
    name="fills",
    columns=(
        Text("desk", "[a-z]{1,8}"),
        Text("book", "[A-Z-]{1,8}", without=("--",)),
        Identity("fill_id"),
        Integer("lots", low=-500, high=500),
        Sequence("turn"),
        Time("seen"),
        Decimal("paid", signed=True),
        Decimal("held"),
        Choice("kind", ("open", "close", "roll")),
    ),
    entity=("desk", "book"),
    identity="fill_id",
    time="seen",
    order="turn",
    checks=(ProductBelow("paid", "held", 9, "too-dear", "paid x held is 10^9 or more"),),
    venues={"own": Venue("venue"), "slow": Venue("time", "none", "s"), "fast": Venue("time", "sparse", "us")},
)
NOTES = Stream(
    name="notes",
    columns=(
        Text("desk", "[a-z]{1,8}"),
        Identity("note_id", "[a-f]{1,4}"),
        Time("seen"),
        Choice("kind", ("up", "down")),
    ),
    entity=("desk",),
    identity="note_id",
    time="seen",
    order="seen",
)
OWN = replace(
    TRADES,
    columns=(*TRADES.columns[:-1], Decimal("change", signed=True)),
    checks=(),
    venues={"own": Venue(sequence="venue")},
)
TIMED = replace(OWN, venues={**OWN.venues, "slow": Venue(sequence="time", unit="ms")})
ALL = [*STREAMS, FILLS, NOTES]
each_stream = pytest.mark.parametrize("stream", ALL, ids=[stream.name for stream in ALL])


@contextmanager
def fast_from(lines: int) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fast_path, "SMALL_BLOCK", lines)
        patch.setattr(fast_path, "MANY_LINES", lines)
        yield


def venues_of(stream: Stream) -> st.SearchStrategy[str]:
    return st.sampled_from([*stream.venues, "other"])


def value_of(stream: Stream, column: Column) -> st.SearchStrategy[Any]:  # noqa: PLR0911 - a kind, a strategy
    """Any valid value of a column."""
    if column.name == stream.entity[0]:
        return venues_of(stream)
    if isinstance(column, Text):
        texts = st.from_regex(column.pattern, fullmatch=True)
        return texts.filter(lambda text: not any(part in text for part in column.without))
    if isinstance(column, Choice):
        return st.sampled_from(column.values)
    if isinstance(column, Identity):
        whole = st.integers(0, 20) | st.integers(0, LARGEST) | st.just(LARGEST)
        return whole.map(str) | st.from_regex(column.pattern, fullmatch=True)
    if isinstance(column, Time):
        return st.integers(T0 - 3_000_000, T0) | st.integers(EARLIEST_US, LATEST)
    if isinstance(column, Decimal):
        units = st.integers(1, 10**8) | st.sampled_from([1, 10**8])
        return units | units.map(lambda n: -n) | st.just(0) if column.signed else units
    assert isinstance(column, Integer)
    return st.integers(column.low, column.high) | st.sampled_from([column.low, column.high])


@st.composite
def events(draw: st.DrawFn, stream: Stream) -> Any:
    """Any valid event; its sequence is its own where its venue's rule leaves it open."""
    values = {column.name: draw(value_of(stream, column)) for column in stream.wire}
    if stream.sequenced:
        rule = stream.venue(values[stream.entity[0]])
        whole = as_integer(values[stream.identity])
        if rule.sequence == "time" or (rule.sequence == "id" and whole is not None and draw(st.booleans())):
            fields = {name: json.loads(stream.column(name).text(value)) for name, value in values.items()}
            del fields[stream.order]
            return decode_event(stream, json.dumps(fields).encode(), LATEST)
    return stream.event(**values)


# --------------------------------------------------------------------------------------------------------------- lines


@each_stream
@examples(60)
@given(st.data())
def test_a_canonical_line_is_its_event_and_an_event_its_line(stream: Stream, data: st.DataObject) -> None:
    found = data.draw(st.lists(events(stream), min_size=1, max_size=6))
    lines = [encode_event(stream, event) for event in found]
    assert [decode_event(stream, line, LATEST) for line in lines] == found
    table = events_table(stream, found)
    assert event_lines(stream, table) == lines, "for a whole table at once, byte for byte"
    assert table.schema.equals(stream.schema)
    assert table.column(APPENDED).null_count == len(found)
    with fast_from(1):
        fast, kept, bad = decode_lines(stream, lines, np.full(len(lines), LATEST))
    assert (fast, kept.tolist(), bad) == (table, list(range(len(lines))), {})


@each_stream
def test_a_canonical_line_takes_the_fast_path(stream: Stream, monkeypatch: pytest.MonkeyPatch) -> None:
    @examples(1)
    @given(st.lists(events(stream), min_size=80, max_size=80))
    def draw(found: list[Any]) -> None:
        # Integers beyond 10^18 take the other path, by a choice that keeps every cast within int64.
        small = [event for event in found if all(not isinstance(v, int) or v < 10**18 for v in event)]
        small = [event for event in small if (as_integer(getattr(event, stream.identity)) or 0) < 10**18]
        lines = [encode_event(stream, event) for event in small]
        monkeypatch.setattr(fast_path, "decode_event", None)
        with fast_from(1):
            table, _, bad = decode_lines(stream, lines, np.full(len(lines), LATEST))
        assert not bad
        assert table.equals(events_table(stream, small))

    draw()


TOKENS = (
    *('"x"', '""', '"A-B"', '"--"', '"A--B"', '"other"', '"slow"', '"own"', '"open"', '"up"', '"buy"', '"us"', '"ms"'),
    *('"1.5"', '"-1.5"', '"0"', '"1e3"', '"-0"', '"1.123456789"', '"99999999999"', '"abc"', '"7"', '"07"', '"\\u0061"'),
    *("0", "7", "-7", "501", "-501", "07", "7.0", "true", "null", "[]", "{}", "NaN", str(T0), str(LATEST + 1)),
    *(str(EARLIEST_US - 1), str(LARGEST), str(LARGEST + 1), "1000000000000000000", f'"{LARGEST}"', f'"{LARGEST + 1}"'),
)


LONG = re.compile(rb":[0-9]{19}")
"""A number that the fast path leaves to the strict one."""


def one_text(lines: list[bytes]) -> Lines:
    """Lines as those of one record."""
    return Lines([b"\n".join(lines)])


@contextmanager
def scans() -> Iterator[list[Lines]]:
    """What was read as words."""
    read, found = Scan.read, []

    def seen(scan: Scan, lines: Lines) -> Any:
        found.append(lines)
        return read(scan, lines)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Scan, "read", seen)
        yield found


def strict_lines(stream: Stream, lines: list[bytes]) -> tuple[Any, Any, dict[int, RefusedError]]:
    """`decode_lines` by the strict decoder alone, line by line."""
    found: dict[int, Any] = {}
    bad: dict[int, RefusedError] = {}
    for i, line in enumerate(lines):
        try:
            found[i] = decode_event(stream, line, LATEST)
        except RefusedError as error:
            bad[i] = error
    return events_table(stream, list(found.values())), np.array([*found]), bad


@pytest.mark.parametrize(
    "stream", [*ALL, OWN, TIMED], ids=[*(stream.name for stream in ALL), "own order", "order of time"]
)
@pytest.mark.parametrize(
    ("from_lines", "texts"), [(1, list), (1, one_text), (10**9, list)], ids=["pattern", "words", "one by one"]
)
def test_the_fast_path_takes_what_the_strict_one_takes_with_equal_values(
    stream: Stream, from_lines: int, texts: Callable[[list[bytes]], Any]
) -> None:
    random = Random(stream.name)
    pool: list[Any] = []

    @examples(1)
    @given(st.lists(events(stream), min_size=60, max_size=60))
    def draw(found: list[Any]) -> None:
        pool.extend(found)

    draw()
    # The first line says of which form the others are taken to be: one that is read as words, if the stream has one.
    numbered = (event for event in pool if as_integer(getattr(event, stream.identity)) is not None)
    lines = [next(line for line in (encode_event(stream, event) for event in numbered) if not LONG.search(line))]
    for _ in range(3_000):
        fields = json.loads(encode_event(stream, random.choice(pool)))
        tokens = {name: json.dumps(value) for name, value in fields.items()}
        for _ in range(random.choice([0, 1, 1, 1, 2])):
            name = random.choice(stream.fields)
            tokens[name] = random.choice(TOKENS)
        if random.random() < 0.1:
            tokens.pop(random.choice(list(tokens)))
        order = [name for name in stream.fields if name in tokens]
        if random.random() < 0.05:
            random.shuffle(order)
        comma = random.choice([",", ",", ",", ", "])
        lines.append(("{" + comma.join(f'"{name}":{tokens[name]}' for name in order) + "}").encode())
    latest = np.full(len(lines), LATEST)
    strict, strict_kept, strict_bad = strict_lines(stream, lines)
    with fast_from(from_lines), scans() as read:
        fast, kept, bad = decode_lines(stream, texts(lines), latest)
    assert len(read) == (texts is one_text and stream is not FILLS), "integers below 0 are not read so"
    assert kept.tolist() == strict_kept.tolist()
    assert {i: error.args for i, error in bad.items()} == {i: error.args for i, error in strict_bad.items()}
    assert fast.equals(strict)
    assert event_lines(stream, fast) == [encode_event(stream, decode_event(stream, lines[i], LATEST)) for i in kept]
    assert len(kept) > 300 and len(bad) > 300, "the lines were worth it"


def test_a_venue_of_trades_takes_its_rule_from_one_line_of_data() -> None:
    rules = {"own": Venue(sequence="venue"), "slow": Venue(sequence="time", unit="ms")}
    trades = replace(TRADES, venues={**TRADES.venues, **rules})

    def sequence(venue: str, trade_id: str, more: str = "") -> int:
        line = f'{{"venue":"{venue}","symbol":"S","trade_id":{trade_id},"time":{T0 + 7},"price":"1","quantity":"1"'
        line += f',"side":"buy"{more}}}'
        found: int = decode_event(trades, line.encode(), LATEST).sequence
        return found

    assert sequence("other", "5") == 5
    assert sequence("other", '"x"', ',"sequence":9') == sequence("own", "5", ',"sequence":9') == 9
    assert sequence("slow", '"x"') // 1024 == T0
    for venue, trade_id in (("other", '"x"'), ("own", "5")):
        with pytest.raises(RefusedError, match="missing-field: sequence is missing"):
            sequence(venue, trade_id)
    assert trades.definition != TRADES.definition
    assert replace(TRADES, venues={**TRADES.venues, "dense": Venue(ids="dense")}).definition == TRADES.definition


@each_stream
def test_few_rows_are_told_apart_as_many_are(stream: Stream) -> None:
    #   a table of 90 rows by dictionaries of texts, its slices of 7 row by row: equal contents, entities and lines
    @examples(3)
    @given(st.lists(events(stream), min_size=90, max_size=90))
    def draw(found: list[Any]) -> None:
        table = events_table(stream, found)
        pieces = [table.slice(at, 7) for at in range(0, 90, 7)]
        assert contents_of(stream, table).tolist() == [one for p in pieces for one in contents_of(stream, p).tolist()]
        assert event_lines(stream, table) == [line for piece in pieces for line in event_lines(stream, piece)]
        apart: dict[Any, list[int]] = {}
        for number, piece in enumerate(pieces):
            for entity, rows in by_entity(stream, piece):
                apart.setdefault(entity, []).extend((rows + 7 * number).tolist())
        assert {entity: rows.tolist() for entity, rows in by_entity(stream, table)} == apart

    draw()


# ------------------------------------------------------------------------------------------------------------ refusals

WRONG: dict[type[Column], list[tuple[str, str]]] = {
    Text: [("7", "wrong-type"), ('"\\u0000"', "bad"), ("null", "wrong-type")],
    Choice: [("7", "wrong-type"), ('"neither"', "bad")],
    Identity: [("true", "wrong-type"), ("-1", "bad"), ("1.0", "wrong-type"), ('"a b"', "bad"), (str(2**63), "bad")],
    Integer: [('"7"', "wrong-type"), (str(2**63), "bad"), ("7.0", "wrong-type")],
    Sequence: [('"7"', "wrong-type"), ("-1", "bad"), (str(2**63), "bad")],
    Time: [
        (f'"{T0}"', "wrong-type"),
        ("0", "too-early"),
        (str(T0 // 1000), "too-early"),
        (str(LATEST + 1), "too-late"),
    ],
    Decimal: [("1.5", "wrong-type"), ('"1e3"', "bad"), ('"1.123456789"', "bad"), ('"12345678901"', "bad")],
}


@each_stream
def test_what_a_column_refuses_has_that_columns_reason(stream: Stream) -> None:
    plain = {column.name: _plain(column) for column in stream.columns}
    line = ("{" + ",".join(f'"{name}":{token}' for name, token in plain.items()) + "}").encode()
    decode_event(stream, line, LATEST)
    for column in stream.columns:
        wrong = list(WRONG[type(column)])
        if isinstance(column, Decimal) and not column.signed:
            wrong += [('"0"', "not-positive"), ('"-1"', "bad")]
        for token, reason in wrong:
            fields = {**plain, column.name: token}
            bad = ("{" + ",".join(f'"{name}":{text}' for name, text in fields.items()) + "}").encode()
            with pytest.raises(RefusedError) as caught:
                decode_event(stream, bad, LATEST)
            assert caught.value.reason == (column.reason if reason == "bad" else reason), (column.name, token)
            assert column.name in caught.value.error
        if not column.optional:
            less = {name: token for name, token in plain.items() if name != column.name}
            with pytest.raises(RefusedError, match=f"missing-field: {column.name} is missing"):
                decode_event(stream, json.dumps({n: json.loads(t) for n, t in less.items()}).encode(), LATEST)


def _plain(column: Column) -> str:
    """A valid token of a column."""
    texts = {"venue": "x", "symbol": "A", "desk": "x", "book": "A"}
    if isinstance(column, Time):
        return str(T0)
    if isinstance(column, Identity):
        return "7"
    if isinstance(column, Integer):
        return "5"
    return {Choice: '"' + getattr(column, "values", ("",))[0] + '"', Decimal: '"2"'}.get(
        type(column), f'"{texts.get(column.name)}"'
    )


def test_a_check_over_columns_means_the_same_in_python_in_arrow_and_in_sql() -> None:
    from slackwater.views.session import connect

    check = FILLS.checks[0]
    bounds = [(10**17, 10**8), (10**17 - 1, 10**8), (-(10**17), 10**8), (1 - 10**17, 10**8), (0, 1), (10**13, 10**12)]
    base = FILLS.event("x", "A", "1", 0, 1, T0, 1, 1, "open", "us")
    some = [base._replace(paid=paid, held=held) for paid, held in bounds]
    table = events_table(FILLS, some)
    with connect(1) as con:
        con.register("events", table)
        by_sql = [value for (value,) in con.execute(f"SELECT {check.sql} FROM events").fetchall()]
    assert [check.holds(event.paid, event.held) for event in some] == [False, True, False, True, True, False]
    arrays = {name: table.column(name) for name in ("paid", "held")}
    assert (
        np.broadcast_to(check.within(arrays), len(some)).tolist()
        == by_sql
        == [check.holds(event.paid, event.held) for event in some]
    )
    line = encode_event(FILLS, some[0])
    with pytest.raises(RefusedError, match="too-dear: paid x held is 10"):
        decode_event(FILLS, line, LATEST)


# --------------------------------------------------------------------------------------------------------------- order


def fill(desk: str, fill_id: object, at: int = T0, **more: object) -> bytes:
    fields = {"desk": desk, "book": "A", "fill_id": fill_id, "lots": 1, **more}
    return json.dumps({**fields, "seen": at, "paid": "1", "held": "1", "kind": "open"}).encode()


@pytest.mark.parametrize(
    ("line", "turn"),
    [
        (fill("x", 7), 7),  # the identity
        (fill("x", "7"), 7),
        (fill("x", 7, turn=3), 3),
        (fill("x", "a", turn=3), 3),
        (fill("own", 7, turn=3), 3),
        # time: floored at the venue's coarsest unit, x 1024, and ten bits of CRC-32("a") = 0xe8b7be43
        (fill("slow", "a", T0 + 999_999), T0 * 1024 + 0x243),
        (fill("fast", "a", T0 + 999_999), (T0 + 999_999) * 1024 + 0x243),
        (fill("fast", "a", T0, turn=T0 * 1024 + 0x243), T0 * 1024 + 0x243),
    ],
)
def test_a_venue_says_how_its_order_is_made(line: bytes, turn: int) -> None:
    assert decode_event(FILLS, line, LATEST).turn == turn
    with fast_from(1):
        table, _, _ = decode_lines(FILLS, [encode_event(FILLS, decode_event(FILLS, line, LATEST))], np.array([LATEST]))
    assert table.column("turn").to_pylist() == [turn]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (fill("x", "a"), "missing-field: turn is missing, and fill_id is no integer"),
        (fill("own", 7), "missing-field: turn is missing, and own has one of its own"),
        (fill("slow", "a", turn=1), "bad-turn: turn is 1, not [0-9]+: slow is ordered by seen, so leave it out"),
        (fill("fast", "a", 2**60), "missing-field: turn is missing, and seen [0-9]+ is too large"),
    ],
)
def test_an_order_that_cannot_be_made_or_is_another_is_refused(line: bytes, message: str) -> None:
    with pytest.raises(RefusedError, match=message):
        decode_event(FILLS, line, LARGEST)


def test_two_events_are_the_same_where_their_times_agree_in_the_coarser_unit() -> None:
    def trade(time: int, unit: str, **more: Any) -> Any:
        event = TRADES.event("v", "S", "1", 1, time, 10**8, 10**8, "buy", unit)
        return event._replace(**more)

    def alike(one: Any, other: Any, stream: Stream = TRADES) -> bool:
        found = contents_of(stream, events_table(stream, [one, other]))
        return bool(same(found[:1], found[1:])[0])

    at = T0 + 123_456
    assert alike(trade(at, "us"), trade(at, "us"))
    assert not alike(trade(at, "us"), trade(at + 1, "us"))
    assert alike(trade(at, "us"), trade(T0 + 123_000, "ms")) and alike(trade(T0 + 123_000, "ms"), trade(at, "us"))
    assert not alike(trade(at, "us"), trade(T0 + 124_000, "ms"))
    assert alike(trade(T0 + 123_000, "ms"), trade(T0, "s"))
    assert not alike(trade(at, "us"), trade(T0 + 1_000_000, "s"))
    for more in ({"price": 1}, {"quantity": 1}, {"side": "sell"}, {"sequence": 2}):
        assert not alike(trade(at, "us"), trade(at, "us", **more))
    by_time = [decode_event(FILLS, fill("fast", "a", at), LATEST), decode_event(FILLS, fill("fast", "a", T0), LATEST)]
    assert by_time[0].turn != by_time[1].turn
    assert alike(by_time[0], by_time[1]._replace(time_unit="s"), FILLS), "an order made of the time is no content"


# --------------------------------------------------------------------------------------------------------- declaration


def test_every_part_of_the_meaning_changes_the_definition() -> None:
    others = [
        replace(FILLS, name="other"),
        replace(FILLS, columns=(*FILLS.columns[:-1], Choice("kind", ("open", "close")))),
        replace(FILLS, columns=(Text("desk", "[a-z]{1,9}"), *FILLS.columns[1:])),
        replace(FILLS, entity=("desk",)),
        replace(FILLS, order="seen", columns=tuple(one for one in FILLS.columns if one.name != "turn")),
        replace(FILLS, checks=()),
        replace(FILLS, venues={}),
        replace(FILLS, venues={**FILLS.venues, "slow": Venue("time", "none", "ms")}),
    ]
    assert len({FILLS.definition, *(other.definition for other in others)}) == len(others) + 1
    assert all(other != FILLS for other in others)
    named = {**FILLS.venues, "new": Venue("id", "dense", "ms")}
    assert replace(FILLS, venues=named) == FILLS, (
        "a venue whose order is the ordinary one gives no event another meaning"
    )
    assert pickle.loads(pickle.dumps(FILLS)) == FILLS


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "Fills"}, "'Fills'. cannot be names"),
        ({"columns": (*FILLS.columns, Text("note", ".{1,80}"))}, "'note'. may hold what JSON escapes"),
        ({"columns": (*FILLS.columns, Text("note", "[!-~]+"))}, "'note'. may hold what JSON escapes"),
        ({"columns": (*FILLS.columns, Text("note", "[^,]+"))}, "'note'. may hold what JSON escapes"),
        ({"columns": (*FILLS.columns, Text("note", r"\\w+|\\S"))}, "'note'. may hold what JSON escapes"),
        ({"columns": (Text("desk", "[a-z,]{1,8}"), *FILLS.columns[1:])}, "'desk'. of the entity may hold a comma"),
        ({"columns": (*FILLS.columns, Text("note", "(a)"))}, "'note'. may hold what JSON escapes"),
        ({"columns": (*FILLS.columns, Text("note", 'a"b'))}, "'note'. may hold what JSON escapes"),
        ({"columns": (*FILLS.columns, Choice("note", ("a\\", "b")))}, "'note'. may hold what JSON escapes"),
        ({"columns": (*FILLS.columns, Text("Desk", "x"))}, "'Desk'. cannot be names"),
        ({"columns": (*FILLS.columns, Text("order", "x"), Text("class", "x"))}, "'order', 'class'. cannot be columns"),
        ({"columns": (*FILLS.columns, Text("desk", "x"))}, "duplicate columns .'desk'"),
        ({"columns": (*FILLS.columns, Text("offset", "x"))}, "'offset'. cannot be columns"),
        ({"columns": (*FILLS.columns, Text("time_unit", "x"))}, "'time_unit'. cannot be columns"),
        ({"entity": ("desk", "paid")}, "no column 'paid' of the kind Text"),
        ({"entity": ()}, "no entity"),
        ({"identity": "lots"}, "no column 'lots' of the kind Identity"),
        ({"time": "when"}, "no column 'when' of the kind Time"),
        ({"order": "kind"}, "no column 'kind' of the kind Integer"),
        ({"order": "seen"}, "Sequence .'turn'. beside 'seen'"),
        ({"columns": (*FILLS.columns, Time("later"))}, "Time .'later'. beside 'seen'"),
        ({"checks": (ProductBelow("paid", "lots", 9, "x", "x"),)}, "a check is over .'lots'."),
    ],
)
def test_a_declaration_that_contradicts_itself_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(StreamDeclarationError, match=message):
        replace(FILLS, **change)


# ------------------------------------------------------------------------------------------------------------ registry


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "desk_streams.py").write_text(
        "from dataclasses import replace\nfrom slackwater.streams.trades import TRADES\n"
        "QUOTES = replace(TRADES, name='quotes')\nSEVERAL = (QUOTES, TRADES)\n"
        "OTHER = replace(TRADES, checks=())\nNOTHING = 7\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", ["QUOTES", "SEVERAL"])
def test_a_stream_outside_the_package_is_named_by_a_setting(outside: Path, name: str) -> None:
    settings = from_environ({"SLACKWATER_STREAMS": f"desk_streams:{name}"})
    streams = registered(settings.streams)
    assert [stream.name for stream in streams] == [*(stream.name for stream in STREAMS), "quotes"]
    assert stream_named("quotes", streams).fields == TRADES.fields


def test_a_stream_of_another_distribution_is_found_by_its_entry_point(outside: Path) -> None:
    folder = outside / "desk-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: desk\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text(f"[{GROUP}]\ndesk = desk_streams:QUOTES\n")
    assert [stream.name for stream in registered()] == [*(stream.name for stream in STREAMS), "quotes"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("desk_streams:MISSING", "There are no streams 'desk_streams:MISSING'"),
        ("no_such_module:X", "There are no streams 'no_such_module:X'.*SLACKWATER_STREAMS"),
        ("desk_streams:NOTHING", "holds int, no streams"),
        ("desk_streams:OTHER", "Duplicate streams"),
    ],
)
def test_what_is_no_stream_is_refused(outside: Path, text: str, message: str) -> None:
    with pytest.raises(StreamError, match=message):
        registered([text])


def test_a_stream_that_there_is_not_is_refused() -> None:
    with pytest.raises(UnknownStreamError, match=r"No stream 'quotes'\. There are trades"):
        stream_named("quotes")


def test_a_stream_file_is_short() -> None:
    source = Path(__file__).parents[1] / "slackwater" / "streams" / "trades.py"
    assert len(source.read_text(encoding="utf-8").splitlines()) <= 60
    assert pa.types.is_string(TRADES.schema.field("trade_id").type)


@pytest.mark.parametrize("count", [3, 300])
def test_a_pattern_of_alternatives_takes_no_part_of_a_line(count: int) -> None:
    stream = replace(NOTES, columns=(Text("desk", "a|b"), *NOTES.columns[1:]))
    rest = b'","note_id":"a","seen":%d,"kind":"up"}' % T0
    latest = np.full(count, LATEST)
    for value in (b"a", b"b"):
        events, _, refused = decode_lines(stream, [b'{"desk":"' + value + rest] * count, latest)
        assert events.num_rows == count and not refused
    for line in (b"b" + rest, b'{"desk":"a'):
        events, _, refused = decode_lines(stream, [line] * count, latest)
        assert not events.num_rows and len(refused) == count


def test_what_no_column_is_named_is_what_duckdb_does_not_take_as_one() -> None:
    refused = set()
    for (word,) in duckdb.execute("SELECT DISTINCT keyword_name FROM duckdb_keywords()").fetchall():
        try:
            found = duckdb.execute(f'SELECT max({word}) FROM (SELECT 7 AS "{word}") GROUP BY {word}').fetchall()
        except duckdb.Error:
            found = []
        if found != [(7,)]:
            refused.add(word)
    assert refused == SQL
