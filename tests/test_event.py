"""The strict decoder: what one line of bytes must be to count, and the reason and the fact where it does not.

Not here: blocks of lines and the fast path (`test_decode`).
"""

import json
import re
import time as clock

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tests.profiles  # noqa: F401 - loads the profile
from slackwater.streams.event import count_lines, decode_event, encode_event
from slackwater.streams.json_object import fields_of, plain_fields
from slackwater.streams.lines import Lines, joined
from slackwater.streams.numbers import decimal_units
from slackwater.streams.refusal import Reason, RefusedError
from slackwater.streams.trades import TRADES
from tests.events import Event

T0 = 1_759_708_800_000_000  # 2025-10-06T00:00:00Z
LATEST = T0 + 60_000_000
GENESIS = 1_230_940_800_000_000  # 2009-01-03T00:00:00Z
LARGEST = 9_223_372_036_854_775_807  # 2^63 - 1

FIELDS = ("venue", "symbol", "trade_id", "time", "price", "quantity", "side")
PLAIN = {
    "venue": '"binance"',
    "symbol": '"BTCUSDT"',
    "trade_id": "5",
    "time": str(T0),
    "price": '"61000.1"',
    "quantity": '"0.25"',
    "side": '"buy"',
}
EVENT = Event("binance", "BTCUSDT", 5, T0, 6_100_010_000_000, 25_000_000, "buy")


def line(more: str = "", **raw: str) -> bytes:
    """A line of JSON; `raw` replaces fields by JSON as it stands, `more` is put behind the last field."""
    return ("{" + ",".join(f'"{name}":{text}' for name, text in {**PLAIN, **raw}.items()) + more + "}").encode()


def refusal(bad: bytes, latest: int = LATEST) -> tuple[Reason, str]:
    with pytest.raises(RefusedError) as caught:
        decode_event(TRADES, bad, latest)
    assert str(caught.value) == f"{caught.value.reason}: {caught.value.error}"
    return caught.value.reason, caught.value.error


def quoted(text: str) -> str:
    return json.dumps(text)


def nested(depth: int) -> str:
    """A value of `depth` levels, arrays and objects by turns."""
    return '[{"x":' * (depth // 2) + "[]" * (depth % 2) + ("" if depth % 2 else "1") + "}]" * (depth // 2)


# name -> (the reason, a part of the error that carries the fact, the line)
REFUSED: dict[str, tuple[Reason, str, bytes]] = {
    "nothing": (Reason.EMPTY_LINE, "empty", b""),
    "white space": (Reason.EMPTY_LINE, "empty", b" \t\r"),
    "a byte-order mark": (Reason.BYTE_ORDER_MARK, "byte-order mark", b"\xef\xbb\xbf" + line()),
    "a byte-order mark alone": (Reason.BYTE_ORDER_MARK, "byte-order mark", b"\xef\xbb\xbf"),
    # UTF-8
    "a byte that is no UTF-8": (Reason.NOT_UTF8, "0xff in position 129", line(',"x":"?"').replace(b"?", b"\xff")),
    "overlong UTF-8": (Reason.NOT_UTF8, "0xc0", line(',"x":"?"').replace(b"?", b"\xc0\xaf")),
    "an encoded surrogate": (Reason.NOT_UTF8, "0xed", line(',"x":"?"').replace(b"?", b"\xed\xa0\x80")),
    "torn UTF-8": (Reason.NOT_UTF8, "unexpected end of data", line() + b"\xe2\x82"),
    "UTF-16": (Reason.NOT_UTF8, "0xff", line().decode().encode("utf-16")),
    # JSON
    "UTF-16 without a mark": (Reason.NOT_JSON, "property name", line().decode().encode("utf-16-le")),
    "torn": (Reason.NOT_JSON, "column 124", line()[:-1]),
    "NaN in an unknown field": (Reason.NOT_JSON, "NaN", line(',"x":NaN')),
    "NaN deep in an unknown field": (Reason.NOT_JSON, "NaN", line(',"x":[{"y":[NaN]}]')),
    "Infinity in an unknown field": (Reason.NOT_JSON, "Infinity", line(',"x":Infinity')),
    "-Infinity as a price": (Reason.NOT_JSON, "-Infinity", line(price="-Infinity")),
    "NaN as a price": (Reason.NOT_JSON, "NaN", line(price="NaN")),
    "True": (Reason.NOT_JSON, "Expecting value", line(price="True")),
    "a price with a leading zero": (Reason.NOT_JSON, "delimiter", line(price="01")),
    "+1": (Reason.NOT_JSON, "Expecting value", line(trade_id="+1")),
    "digits of another script": (Reason.NOT_JSON, "Expecting value", line(trade_id="\uff15")),
    "single quotes": (Reason.NOT_JSON, "double quotes", line().replace(b'"', b"'")),
    "a trailing comma": (Reason.NOT_JSON, "column 12", line(",")),
    "a tab in a string": (Reason.NOT_JSON, "control character", line(',"x":"\t"')),
    "a comment": (Reason.NOT_JSON, "more after the value, at character 124", line() + b"//"),
    "a zero byte behind": (Reason.NOT_JSON, "more after the value, at character 124", line() + b"\0"),
    "a mark behind": (Reason.NOT_JSON, "more after the value", line() + b"\xef\xbb\xbf"),
    "a mark behind a space": (Reason.NOT_JSON, "Expecting value", b" \xef\xbb\xbf" + line()),
    "a no-break space": (Reason.NOT_JSON, "Expecting value", b"\xc2\xa0" + line()),
    "a form feed": (Reason.NOT_JSON, "Expecting value", b"\x0c" + line()),
    "two objects": (Reason.TWO_OBJECTS, "at character 124", line() + line()),
    "two objects, spaced": (Reason.TWO_OBJECTS, "at character 124", line() + b" \t" + line()),
    "an object and a half": (Reason.TWO_OBJECTS, "at character 124", line() + b"{"),
    "two numbers": (Reason.NOT_JSON, "at character 1", b"1 2"),
    # nesting
    "201 levels": (Reason.TOO_DEEP, "deeper than 200", line(f',"x":{nested(200)}')),
    "201 levels behind closed ones": (Reason.TOO_DEEP, "200", line(f',"y":{nested(199)},"x":{nested(200)}')),
    "201 levels behind strings": (Reason.TOO_DEEP, "200", line(f',"]":"]}}\\"]\\\\","x":{nested(200)}')),
    "half a million levels": (Reason.TOO_DEEP, "200", line(f',"x":{"[" * 500_000}')),
    "half a million levels of objects": (Reason.TOO_DEEP, "200", b'{"x":' * 500_000),
    # kinds of values
    "an array": (Reason.NOT_AN_OBJECT, "[", b"[" + line() + b"]"),
    "an empty array": (Reason.NOT_AN_OBJECT, "[]", b"[]"),
    "a string": (Reason.NOT_AN_OBJECT, '"binance"', b'"binance"'),
    "an integer": (Reason.NOT_AN_OBJECT, "17", b"17"),
    "a float": (Reason.NOT_AN_OBJECT, "the number 1.5", b"1.5"),
    "null": (Reason.NOT_AN_OBJECT, "null", b"null"),
    "true": (Reason.NOT_AN_OBJECT, "true", b"true"),
    # keys
    "a key twice": (Reason.DUPLICATE_KEY, "'price'", line(',"price":"61000.1"')),
    "an unknown key twice": (Reason.DUPLICATE_KEY, "'x'", line(',"x":1,"x":1')),
    "a key twice, once escaped": (Reason.DUPLICATE_KEY, "'price'", line(',"pric\\u0065":"1"')),
    "two keys twice": (Reason.DUPLICATE_KEY, "'a', 'b'", line(',"b":1,"a":1,"b":1,"a":1')),
    "a key of a surrogate twice": (Reason.DUPLICATE_KEY, r"'\ud800'", line(r',"\ud800":1,"\ud800":1')),
    "no field at all": (Reason.MISSING_FIELD, "venue is missing", b"{}"),
    "a key in capitals": (Reason.MISSING_FIELD, "side is missing", line().replace(b"side", b"Side")),
    # venue and symbol
    **{
        f"venue {venue!r}": ("bad-venue", repr(venue[:80]), line(venue=quoted(venue)))
        for venue in (
            *("", "Binance", "_a", "-a", "a b", " a", "a.b", "a/b", "a" * 33, "a" * 999, "a\n"),
            *("a\u0663", "\u017f", "\uff41", "../x", "\ud800"),
        )
    },
    **{
        f"symbol {symbol!r}": ("bad-symbol", repr(symbol[:80]), line(symbol=quoted(symbol)))
        for symbol in (
            *("", "../x", "A/../B", "A..", "A..B", "//A", "A//B", "A//", "/A", ".A", "_A", "-A", ":A"),
            *("A" * 65, "A" * 999, " A", "A ", "A B", "A\n", "A\0", "A\\B", "A\u0663", "\uff22", "\ud800"),
        )
    },
    # trade_id and time
    **{
        f"{name} {text[:30]} is out of range": (reason, f"{name} is {text[:80]},", line(**{name: text}))
        for name, reason in (("trade_id", "bad-trade-id"), ("sequence", "bad-sequence"), ("time", "bad-time"))
        for text in ("-1", str(2**63), str(2**64), str(-(2**63)), "9" * 20, "9" * 21, "9" * 5000, "-" + "9" * 5000)
    },
    **{
        f"{name} {text} is no integer": (
            Reason.WRONG_TYPE,
            f"{name} is {shown}, not an integer",
            line(**{name: text}),
        )
        for name in ("trade_id", "sequence", "time")
        for text, shown in (
            *(("true", "true"), ("false", "false"), ("null", "null"), ("[5]", "[5]")),
            *(("{}", "an object"), ("5.0", "the number 5.0"), ("5e0", "the number 5e0"), ("-0.0", "the number -0.0")),
            *(("1E18", "the number 1E18"), ("1e999", "the number 1e999")),
        )
    },
    **{
        f"{name} as text": (Reason.WRONG_TYPE, f'{name} is "5", not an integer', line(**{name: '"5"'}))
        for name in ("sequence", "time")
    },
    **{
        f"trade id {text!r}": ("bad-trade-id", f"trade_id is {text[:80]!r}, not", line(trade_id=quoted(text)))
        for text in ("", "a b", "a/b", "a" * 65, "a" * 999, "a\n", "\u00e9", "\u0665", "\ud800")
    },
    **{
        f"trade id {text!r} without a sequence": (
            Reason.MISSING_FIELD,
            "sequence is missing",
            line(trade_id=quoted(text)),
        )
        for text in ("01J9ZZ", "05", "-5", "5.0", str(2**63))
    },
    **{
        f"time unit {text}": (reason, f"time_unit is {text}, not", line(f',"time_unit":{text}'))
        for text, reason in (("5", Reason.WRONG_TYPE), ("null", Reason.WRONG_TYPE))
    },
    "nanoseconds": ("bad-time-unit", "time_unit is 'ns', not us or ms or s", line(',"time_unit":"ns"')),
    "time before the first block": (Reason.TOO_EARLY, f"{GENESIS - 1} us", line(time=str(GENESIS - 1))),
    "time zero": (Reason.TOO_EARLY, "before 2009-01-03", line(time="0")),
    "time in seconds": (Reason.TOO_EARLY, "is it in microseconds?", line(time=str(T0 // 1_000_000))),
    "time in milliseconds": (Reason.TOO_EARLY, "is it in microseconds?", line(time=str(T0 // 1000))),
    "time in nanoseconds": (Reason.TOO_LATE, f"{T0 * 1000} us", line(time=str(T0 * 1000))),
    "time in 2100": (Reason.TOO_LATE, "4102444800000000 us", line(time="4102444800000000")),
    "time one too far ahead": (Reason.TOO_LATE, f"{LATEST + 1} us", line(time=str(LATEST + 1))),
    "the largest time": (Reason.TOO_LATE, f"{LARGEST} us", line(time=str(LARGEST))),
    # price and quantity
    **{
        f"{name} {text!r} is not of the form": (reason, f"{name} is {text[:80]!r}, not ", line(**{name: quoted(text)}))
        for name, reason in (("price", "bad-price"), ("quantity", "bad-quantity"))
        for text in (
            *("", "1e3", "1E3", "-1", "+1", "1_000", "1,5", ".5", "1.", ".", "0x1", "1.1.1", "NaN", "Infinity", "true"),
            *("1.123456789", "0.000000000", "12345678901", "00000000001", "1.0000000\u0660"),
            *(" 1", "1 ", "1\n", "\n1", "\t1", "1\0", "\uff11", "\uff11\uff12.5", "\u0661", "\u00b2", "9" * 5000),
        )
    },
    **{
        f"{name} {text} is no text": (Reason.WRONG_TYPE, f"{name} is {shown}, not a string", line(**{name: text}))
        for name in ("venue", "symbol", "price", "quantity", "side")
        for text, shown in (
            *(("true", "true"), ("false", "false"), ("null", "null"), ("1", "1"), ("[]", "[]"), ('["1"]', '["1"]')),
            *(("{}", "an object"), ("1.5", "the number 1.5"), ("1e3", "the number 1e3")),
            ("9" * 5000, f"the number {'9' * 80}"),
        )
    },
    **{
        f"{name} {text} is not positive": (Reason.NOT_POSITIVE, f"{name} is {text}, not", line(**{name: f'"{text}"'}))
        for name in ("price", "quantity")
        for text in ("0", "0.0", "0.00000000", "0000000000.00000000")
    },
    "a notional of 10^13": (
        "notional-too-large",
        "10^13",
        line(price='"1000000000"', quantity='"10000"'),
    ),
    "a notional just above 10^13": (
        "notional-too-large",
        "10^13",
        line(price='"9999999999.99999999"', quantity='"1000.00000001"'),
    ),
    "the largest price and quantity": (
        "notional-too-large",
        "10^13",
        line(price='"9999999999.99999999"', quantity='"9999999999.99999999"'),
    ),
    **{
        f"side {side!r}": ("bad-side", f"side is {side[:80]!r}, not buy or sell", line(side=quoted(side)))
        for side in ("", "BUY", "Buy", "buy ", " sell", "buys", "b", "buy\n", "buysell", "\uff42uy", "x" * 999)
    },
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_bad_line_is_refused_with_its_own_reason_and_the_fact(name: str) -> None:
    reason, fact, bad = REFUSED[name]
    found, error = refusal(bad)
    assert found == reason
    assert fact in error
    assert len(error) < 300, "an error goes into a header of the dead letter"
    error.encode("utf-8")  # a lone surrogate could not be written there


@pytest.mark.parametrize("name", FIELDS)
def test_every_field_is_needed(name: str) -> None:
    without = {key: json.loads(text) for key, text in PLAIN.items() if key != name}
    assert refusal(json.dumps(without).encode()) == (Reason.MISSING_FIELD, f"{name} is missing")


def test_every_reason_has_a_test() -> None:
    of_records = {Reason.EMPTY_VALUE, Reason.TOO_MANY_LINES}
    bad = {f"bad-{name.replace('_', '-')}" for name in TRADES.fields}
    assert {reason for reason, _, _ in REFUSED.values()} | of_records == {*Reason, *bad, "notional-too-large"}


LONG = "a" * 64
ACCEPTED: dict[str, tuple[bytes, Event]] = {
    "plain": (line(), EVENT),
    "JSON white space": (b" \t\r" + line().replace(b",", b" ,\t\r ").replace(b":", b" : ") + b"\r\t ", EVENT),
    "another order": (
        json.dumps({name: json.loads(PLAIN[name]) for name in sorted(PLAIN, reverse=True)}).encode(),
        EVENT,
    ),
    "escapes": (line(symbol='"\\u0042TC\\u0055SDT"', side='"b\\u0075y"').replace(b'"time"', b'"tim\\u0065"'), EVENT),
    "an escaped solidus": (line(symbol='"A\\/B"'), EVENT._replace(symbol="A/B")),
    # bounds
    "the shortest venue": (line(venue='"0"'), EVENT._replace(venue="0")),
    "the longest venue": (line(venue=quoted("a_-" + "9" * 29)), EVENT._replace(venue="a_-" + "9" * 29)),
    "the shortest symbol": (line(symbol='"a"'), EVENT._replace(symbol="a")),
    "the longest symbol": (line(symbol=quoted("Z" * 64)), EVENT._replace(symbol="Z" * 64)),
    "every mark in a symbol": (line(symbol='"a_./:-:/._-"'), EVENT._replace(symbol="a_./:-:/._-")),
    "trade id 0": (line(trade_id="0"), EVENT._replace(trade_id=0)),
    "trade id minus 0": (line(trade_id="-0"), EVENT._replace(trade_id=0)),
    "the largest trade id": (line(trade_id=str(LARGEST)), EVENT._replace(trade_id=LARGEST)),
    "the first block's day": (line(time=str(GENESIS)), EVENT._replace(time=GENESIS)),
    "one minute ahead": (line(time=str(LATEST)), EVENT._replace(time=LATEST)),
    "the smallest amounts": (
        line(price='"0.00000001"', quantity='"0.00000001"'),
        EVENT._replace(price=1, quantity=1),
    ),
    "leading zeros": (
        line(price='"0000000001.50"', quantity='"00.10000000"'),
        EVENT._replace(price=150_000_000, quantity=10_000_000),
    ),
    "the largest price": (
        line(price='"9999999999.99999999"', quantity='"1000"'),
        EVENT._replace(price=10**18 - 1, quantity=1000 * 10**8),
    ),
    "the largest quantity": (
        line(price='"999.99999999"', quantity='"9999999999.99999999"'),
        EVENT._replace(price=10**11 - 1, quantity=10**18 - 1),
    ),
    "sell": (line(side='"sell"'), EVENT._replace(side="sell")),
    # identity and order
    "a trade id of digits as text": (line(trade_id='"5"'), EVENT),
    "the largest trade id as text": (line(trade_id=f'"{LARGEST}"'), EVENT._replace(trade_id=LARGEST)),
    "a trade id of text": (
        line(trade_id='"01J9:z_.-"', sequence="7"),
        EVENT._replace(trade_id="01J9:z_.-", sequence=7),
    ),
    "the longest trade id": (
        line(trade_id=quoted("a" * 64), sequence="0"),
        EVENT._replace(trade_id="a" * 64, sequence=0),
    ),
    "a trade id with a leading zero": (line(trade_id='"05"', sequence="5"), EVENT._replace(trade_id="05", sequence=5)),
    "the order apart from the id": (line(sequence="9"), EVENT._replace(sequence=9)),
    "the largest sequence": (line(sequence=str(LARGEST)), EVENT._replace(sequence=LARGEST)),
    "milliseconds": (line(',"time_unit":"ms"'), EVENT._replace(time_unit="ms")),
    "microseconds": (line(',"time_unit":"us"'), EVENT),
    "seconds": (line(',"time_unit":"s"'), EVENT._replace(time_unit="s")),
    # unknown fields
    "unknown fields of every kind": (line(',"a":null,"b":[1.5,true,{"price":"-1"}],"c":"\u00e9","":{}'), EVENT),
    "known keys twice below the top": (line(',"x":{"price":1,"price":2},"y":[{"z":1,"z":2}]'), EVENT),
    "an integer of 5000 digits": (line(f',"x":{"9" * 5000},"y":[-{"9" * 5000}]'), EVENT),
    "lone surrogates": (line(r',"x":"\ud800","\udc00":"\udfff\ud800"'), EVENT),
    "floats beyond all bounds": (line(',"x":1e999,"y":-1E-999'), EVENT),
    "200 levels": (line(f',"x":{nested(199)}'), EVENT),
    "many shallow values": (line(f',"x":[{"[],{}," * 5000}0]'), EVENT),
    "brackets in strings": (line(f',"x":"{"[{" * 5000}","y":"\\"{"[" * 300}\\\\","z":[]'), EVENT),
    "a byte-order mark in a string": (line(',"x":"\ufeff"'), EVENT),
    "a line separator in a string": (line(',"x":"\u2028\u0085"'), EVENT),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_what_the_contract_allows_counts(name: str) -> None:
    allowed, event = ACCEPTED[name]
    found = decode_event(TRADES, allowed, LATEST)
    assert found == event
    assert [type(value) for value in found] == [str, str, str, int, int, int, int, str, str]


def test_time_is_held_to_the_newest_time_given() -> None:
    assert decode_event(TRADES, line(), T0).time == T0
    assert refusal(line(), T0 - 1)[0] is Reason.TOO_LATE
    assert decode_event(TRADES, line(time=str(LARGEST)), LARGEST).time == LARGEST


@pytest.mark.parametrize(
    "hostile",
    [
        pytest.param(b"[" * 201 + b'"' + rb"\"" * 400_000, id="a torn string of escapes behind brackets"),
        pytest.param(b'{"' * 400_000, id="keys that never end"),
        pytest.param(line(',"x":"' + '\\"[' * 250_000 + '"') + b"}", id="a string of escapes and brackets"),
        pytest.param(line("," + ",".join(f'"{i}":1' for i in [*range(80_000)] * 2)), id="80,000 keys twice"),
        pytest.param(line(f',"x":{"9" * 900_000}') + b"x", id="an integer of 900,000 digits"),
        pytest.param(line(f',"{"k" * 400_000}":1,"{"k" * 400_000}":1'), id="a long key twice"),
        pytest.param(line(trade_id="9" * 900_000), id="a trade id of 900,000 digits"),
        pytest.param(line(price=quoted("9" * 900_000)), id="a price of 900,000 digits"),
    ],
)
def test_a_line_made_to_hurt_is_refused_soon(hostile: bytes) -> None:
    began = clock.monotonic()
    _, error = refusal(hostile)
    assert clock.monotonic() - began < 3, "the time must not grow with the square of the length"
    assert len(error) < 300


# ------------------------------------------------------------------------------------------------------------- records


@pytest.mark.parametrize("value", [None, b""])
def test_a_record_without_a_value_is_refused_as_a_whole(value: bytes | None) -> None:
    with pytest.raises(RefusedError, match="no value") as caught:
        count_lines(value)
    assert caught.value.reason is Reason.EMPTY_VALUE


def test_a_record_has_64_lines_at_most() -> None:
    assert count_lines(b"\n".join([b"x"] * 64)) == 64
    for many, lines in ((b"\n".join([b"x"] * 65), 65), (b"x\n" * 64, 65), (b"\n" * 999, 1000)):
        with pytest.raises(RefusedError, match=f"has {lines} lines, at most 64") as caught:
            count_lines(many)
        assert caught.value.reason is Reason.TOO_MANY_LINES


def test_only_a_line_feed_ends_a_line() -> None:
    text = b"a\r\nb\x0b\x0c\x1c\xc2\x85\xe2\x80\xa8c\n"
    assert count_lines(text) == 3
    assert list(Lines([text])) == list(Lines([text], [3])) == [b"a\r", b"b\x0b\x0c\x1c\xc2\x85\xe2\x80\xa8c", b""]
    assert joined(Lines([text])) == joined(list(Lines([text]))) == text


_values = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text('aé"\\\n\x7f \ud800')
    | st.just([])
    | st.just({"a": "b"})
)
_spaces = st.sampled_from(["", " ", "\t", "\n", "\r", "\xa0"])


@given(st.lists(st.tuples(st.sampled_from(["a", "b", '"', "é"]), _values), max_size=5), st.lists(_spaces, min_size=4))
def test_the_plain_fields_of_a_line_are_its_fields(pairs: list[tuple[str, object]], spaces: list[str]) -> None:
    #   duplicate keys, nested values, escapes, white space anywhere: either the same, or left to the strict reader
    before, inside, comma, behind = spaces[:4]
    text = f",{comma}".join(f"{json.dumps(name, ensure_ascii=False)}:{json.dumps(value)}" for name, value in pairs)
    found = (before + "{" + inside + text + "}" + behind).encode("utf-8", "surrogatepass")
    plain = plain_fields(found)
    if plain is not None:
        strict = fields_of(found)
        assert plain.keys() == strict.keys()
        for name, value in plain.items():
            if type(value) in (str, int, bool, type(None)):
                assert (value, type(value)) == (strict[name], type(strict[name]))


def test_plain_fields_are_of_plain_lines_alone() -> None:
    assert plain_fields(line()) == fields_of(line())
    deep = b'{"a":' + b"[" * 300 + b"]" * 300 + b"}"
    for odd in (
        b'{"a":1,"a":1}',
        b'{"a":"","a":1}',
        b'{"a":1}\n',
        b' {"a":1}',
        b'{"a":"\\u0061"}',
        b"[]",
        b'{"a":NaN}',
        deep,
    ):
        assert plain_fields(odd) is None, odd


# ----------------------------------------------------------------------------------------------------------- canonical


@st.composite
def events(draw: st.DrawFn) -> Event:
    """Any valid event."""
    price = draw(st.integers(1, 10**18 - 1) | st.sampled_from([1, 10**8, 10**18 - 1]))
    most = min(10**18 - 1, (10**29 - 1) // price)
    symbols = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_./:-]{0,63}", fullmatch=True)
    return Event(
        draw(st.from_regex("[a-z0-9][a-z0-9_-]{0,31}", fullmatch=True)),
        draw(symbols.filter(lambda text: ".." not in text and "//" not in text)),
        draw(st.integers(0, LARGEST) | st.from_regex(r"[A-Za-z0-9_.:-]{1,64}", fullmatch=True)),
        draw(st.integers(GENESIS, LATEST)),
        price,
        draw(st.integers(1, most) | st.just(most)),
        draw(st.sampled_from(["buy", "sell"])),
        draw(st.integers(0, LARGEST)),
        draw(st.sampled_from(["us", "ms", "s"])),
    )


@given(events())
def test_the_canonical_line_of_an_event_is_that_event(event: Event) -> None:
    canonical = encode_event(TRADES, event)
    assert decode_event(TRADES, canonical, LATEST) == event
    assert set(FIELDS) <= json.loads(canonical).keys() <= {*FIELDS, "sequence", "time_unit"}
    assert list(Lines([canonical], [1])) == [canonical]


def test_the_canonical_line_is_these_bytes() -> None:
    assert encode_event(TRADES, EVENT) == line()
    full = {**PLAIN, "trade_id": '"x"', "sequence": "5"}
    ordered = {name: full[name] for name in ("venue", "symbol", "trade_id", "sequence", *FIELDS[3:])}
    whole = "{" + ",".join(f'"{name}":{text}' for name, text in ordered.items()) + ',"time_unit":"ms"}'
    assert encode_event(TRADES, EVENT._replace(trade_id="x", sequence=5, time_unit="ms")) == whole.encode()
    assert encode_event(TRADES, EVENT._replace(price=10**18 - 1, quantity=10 * 10**8)) == line(
        price='"9999999999.99999999"', quantity='"10"'
    )


@given(st.text(alphabet="0123456789.+-eE_ \uff11\u0661", max_size=22))
def test_a_decimal_is_read_as_the_integer_of_its_digits_or_not_at_all(text: str) -> None:
    if re.fullmatch(r"[0-9]{1,10}", text):
        assert decimal_units(text) == int(text) * 10**8
    elif match := re.fullmatch(r"([0-9]{1,10})\.([0-9]{1,8})", text):
        assert decimal_units(text) == int(match[1]) * 10**8 + int(match[2]) * 10 ** (8 - len(match[2]))
    else:
        assert decimal_units(text) is None
