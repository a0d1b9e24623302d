"""The codec of deltas: cells and keys to canonical bytes and back; any other bytes are refused by a typed error."""

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tests.profiles  # noqa: F401 - loads the profile
from slackwater.deltas.cell import Cell, DeltaKey, decode_cell, decode_delta_key, delta_key_of, encode_key, encode_value
from slackwater.deltas.errors import CodecError
from slackwater.views.bars import BARS
from slackwater.views.rows import Row

DELTA_KEY = delta_key_of(BARS, "lk2qkQfJRHuXo1fPjN0B3w", 3)
WIDTH = len(BARS.columns)
LARGEST_SUM = 10**38 - 1  # DECIMAL(38,16)
T0 = 1_759_708_800_000_000

_numbers = st.integers(-LARGEST_SUM, LARGEST_SUM) | st.sampled_from([0, LARGEST_SUM, -LARGEST_SUM, 2**63 - 1, 2**64])
_rows = st.lists(
    st.builds(
        Row,
        st.tuples(st.sampled_from(["0", "binance", "z_-"]), st.sampled_from(["a./:-_", "BTCUSDT"])),
        st.integers(1_230_940_800, 2**40).map(lambda second: second * 1_000_000),
        st.tuples(*[_numbers] * WIDTH),
    ),
    max_size=8,
    unique_by=lambda row: (row.key, row.start),
).map(lambda rows: tuple(sorted(rows)))
_cells = st.builds(
    lambda start, length, rows: Cell(DELTA_KEY, start, start + length, rows),
    st.integers(0, 2**62),
    st.integers(1, 256),
    _rows,
)


def row(start: int = T0, *state: int) -> Row:
    return Row(("binance", "BTCUSDT"), start, (*state, *range(WIDTH - len(state))))


@given(_cells)
def test_a_cell_comes_back_from_its_bytes(cell: Cell) -> None:
    assert decode_cell(DELTA_KEY, encode_value(cell), BARS) == cell


@given(_cells, st.booleans())
def test_a_key_names_the_lane_sealed_or_open(cell: Cell, sealed: bool) -> None:
    assert decode_delta_key(encode_key(cell, sealed)) == DELTA_KEY


def test_the_bytes_of_a_delta_are_these() -> None:
    state = [7, 10**18 - 1, 3, 2, 9, 1, LARGEST_SUM, -LARGEST_SUM, 0, 5]
    cell = Cell(DeltaKey("bars", "0123456789abcdef", "lk2qkQfJRHuXo1fPjN0B3w", 3), 256, 300, (row(T0, *state),))
    assert encode_key(cell, sealed=True) == b'["bars","0123456789abcdef","lk2qkQfJRHuXo1fPjN0B3w",3,256]'
    assert encode_key(cell, sealed=False) == b'["bars","0123456789abcdef","lk2qkQfJRHuXo1fPjN0B3w",3,"open"]'
    assert encode_value(cell) == (
        b'{"start":256,"upto":300,"rows":[["binance","BTCUSDT",1759708800000000,7,999999999999999999,3,2,9,1,'
        b"99999999999999999999999999999999999999,-99999999999999999999999999999999999999,0,5]]}"
    )


def test_every_number_of_38_digits_keeps_its_last_one() -> None:
    states = [tuple(LARGEST_SUM - 10 * i - k for k in range(WIDTH)) for i in range(20)]
    cell = Cell(DELTA_KEY, 0, 20, tuple(row(T0 + i * 1_000_000, *state) for i, state in enumerate(states)))
    found = decode_cell(DELTA_KEY, encode_value(cell), BARS)
    assert [one.state for one in found.rows] == states
    assert all(type(number) is int for one in found.rows for number in one.state)


def test_a_cell_without_rows_has_a_value_that_is_not_empty() -> None:
    cell = Cell(DELTA_KEY, 5, 6, ())
    assert encode_value(cell) == b'{"start":5,"upto":6,"rows":[]}'
    assert decode_cell(DELTA_KEY, encode_value(cell), BARS) == cell


@given(_cells, st.randoms(use_true_random=False))
def test_the_same_rows_give_the_same_bytes_in_any_order_of_their_dict(cell: Cell, chance: random.Random) -> None:
    states = {(one.key, one.start): one.state for one in cell.rows}
    shuffled = list(states.items())
    chance.shuffle(shuffled)
    rows = tuple(Row(key, start, state) for (key, start), state in dict(shuffled).items())
    assert encode_value(Cell(DELTA_KEY, cell.start, cell.upto, rows)) == encode_value(cell)


def test_the_value_does_not_say_whether_the_cell_is_sealed_and_the_key_says_nothing_else() -> None:
    #   an open cell grows under one key; sealed, each start has a key of its own
    grown = [Cell(DELTA_KEY, 256, upto, ()) for upto in (257, 300, 512)]
    assert len({encode_key(cell, sealed=False) for cell in grown}) == 1
    assert len({encode_key(cell, sealed=True) for cell in grown}) == 1
    cells = [Cell(DELTA_KEY, start, start + 256, ()) for start in (0, 256, 512)]
    assert len({encode_key(cell, sealed=False) for cell in cells}) == 1
    assert len({encode_key(cell, sealed=True) for cell in cells}) == 3


@pytest.mark.parametrize(
    "other",
    [
        DELTA_KEY._replace(view="bar"),
        DELTA_KEY._replace(definition="0" * 16),
        DELTA_KEY._replace(topic_id="other"),
        DELTA_KEY._replace(partition=0),
    ],
)
def test_no_two_lanes_share_a_key(other: DeltaKey) -> None:
    for sealed in (True, False):
        assert encode_key(Cell(other, 0, 1, ()), sealed) != encode_key(Cell(DELTA_KEY, 0, 1, ()), sealed)


# ------------------------------------------------------------------------------------------------------------- garbage

GARBAGE = (
    *(None, b"", b" ", b"\xff", b"\x00", b"null", b"true", b"5", b"1.5", b'"open"', b"[]", b"{}", b"[[]]", b"NaN"),
    *(b"[" * 200_000, b'{"rows":' * 200_000, b"9" * 5000, b"\xef\xbb\xbf", b'["a","b"', b"{}{}"),
)
_LANE = '"bars","d","t"'


@pytest.mark.parametrize(
    "key",
    [
        *GARBAGE,
        f"[{_LANE},0]".encode(),
        f"[{_LANE},0,0,0]".encode(),
        f'[{_LANE},"0",0]'.encode(),
        f"[{_LANE},0.0,0]".encode(),
        f"[{_LANE},true,0]".encode(),
        f"[{_LANE},null,0]".encode(),
        f'[{_LANE},0,"closed"]'.encode(),
        f"[{_LANE},0,null]".encode(),
        f"[{_LANE},0,true]".encode(),
        f"[{_LANE},0,1.0]".encode(),
        f"[{_LANE},0,{'9' * 5000}]".encode(),
        b'[null,"d","t",0,0]',
        b'["bars",7,"t",0,0]',
        b'["bars","d",["t"],0,0]',
        b'[{},"d","t",0,0]',
        b'"abcde"',
        b'{"a":1,"b":2,"c":3,"d":4,"e":5}',
    ],
)
def test_bytes_that_are_no_key_are_refused(key: bytes | None) -> None:
    with pytest.raises(CodecError, match="is no delta's") as caught:
        decode_delta_key(key)
    assert len(str(caught.value)) < 300


def value(start: object = 0, upto: object = 1, rows: object = ()) -> bytes:
    return json.dumps({"start": start, "upto": upto, "rows": rows}).encode()


GOOD = ["binance", "BTCUSDT", T0, *range(WIDTH)]


@pytest.mark.parametrize(
    "bad",
    [
        *GARBAGE,
        b'{"start":0,"upto":1}',
        b'{"start":0,"rows":[]}',
        b'{"upto":1,"rows":[]}',
        value(start=1, upto=1),
        value(start=2, upto=1),
        value(start=-1),
        value(start="0"),
        value(start=False),
        value(start=0.0),
        value(start=None),
        value(upto="1"),
        value(upto=True),
        value(upto=1.5),
        value(upto=float("nan")),
        value(upto=[1]),
        value(rows=None),
        value(rows=7),
        value(rows="rows"),
        value(rows=[None]),
        value(rows=[7]),
        value(rows=["x" * len(GOOD)]),
        value(rows=[{}]),
        value(rows=[{"a": 1}]),
        value(rows=[[]]),
        value(rows=[GOOD[:-1]]),
        value(rows=[[*GOOD, 1]]),
        value(rows=[GOOD, GOOD[:3]]),
        value(rows=[["binance", None, *GOOD[2:]]]),
        value(rows=[["binance", 5, *GOOD[2:]]]),
        value(rows=[["binance", ["BTCUSDT"], *GOOD[2:]]]),
        value(rows=[[*GOOD[:2], str(T0), *GOOD[3:]]]),
        value(rows=[[*GOOD[:2], True, *GOOD[3:]]]),
        value(rows=[[*GOOD[:2], float(T0), *GOOD[3:]]]),
        value(rows=[[*GOOD[:-1], "5"]]),
        value(rows=[[*GOOD[:-1], 5.0]]),
        value(rows=[[*GOOD[:-1], True]]),
        value(rows=[[*GOOD[:-1], None]]),
        value(rows=[[*GOOD[:-1], [5]]]),
    ],
)
def test_bytes_that_are_no_value_are_refused(bad: bytes | None) -> None:
    with pytest.raises(CodecError) as caught:
        decode_cell(DELTA_KEY, bad, BARS)
    assert len(str(caught.value)) < 600


def test_the_value_that_the_broken_ones_differ_from_is_a_value() -> None:
    assert decode_cell(DELTA_KEY, value(rows=[GOOD]), BARS).rows == (row(T0),)
    assert decode_delta_key(f"[{_LANE},0,0]".encode()) == DeltaKey("bars", "d", "t", 0)


@given(_cells, st.data())
def test_torn_or_flipped_bytes_give_a_cell_that_fits_or_a_codec_error(cell: Cell, data: st.DataObject) -> None:
    whole = encode_value(cell)
    at = data.draw(st.integers(0, len(whole) - 1))
    flipped = whole[:at] + bytes([whole[at] ^ (1 << data.draw(st.integers(0, 7)))]) + whole[at + 1 :]
    for damaged in (whole[:at], flipped, whole + flipped):
        try:
            found = decode_cell(DELTA_KEY, damaged, BARS)
        except CodecError:
            continue
        assert 0 <= found.start < found.upto
        assert decode_cell(DELTA_KEY, encode_value(found), BARS).rows == tuple(sorted(found.rows))


@given(st.binary(max_size=40))
def test_any_bytes_are_a_lane_or_a_codec_error(key: bytes) -> None:
    try:
        delta_key = decode_delta_key(key)
    except CodecError:
        return
    assert [type(part) for part in delta_key] == [str, str, str, int]
