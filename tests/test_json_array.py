"""Arrays of JSON become lines: each element is judged as a line is, and what is no array says where it ends."""

import gzip
import json
import os
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.chunk import Source
from ingest.errors import EmptySourceError, FormatError, UnreadableFileError
from ingest.files.inlet import BLOCK_BYTES, Inlet
from ingest.files.json_array import JsonText
from ingest.files.sources import open_source
from slackwater.streams.trades import TRADES
from tests.ingest_kit import ids, letters, line, memory_house, read_all
from tests.profiles import examples

ONE = line(1).decode()


class Pieces(Inlet):
    """Bytes that come a few at a time, as from a pipe."""

    def __init__(self, data: bytes, size: int) -> None:
        self.left = [data[at : at + size] for at in range(0, len(data), size)]

    def read(self, timeout_s: float) -> bytes | None:
        return self.left.pop(0) if self.left else None

    def close(self) -> None:
        pass


def elements(source: Source) -> list[bytes]:
    return [chunk.original(i) for chunk in read_all(source) for i in range(len(chunk.lines))]


def opened(path: Path, text: str | bytes) -> Source:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return open_source(TRADES, str(path))


texts = st.text(st.sampled_from('ab"\\[]{},: é\n'), max_size=6)
values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-9, 9), st.floats(0, 1), texts),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=6,
)


@given(
    st.dictionaries(texts, values, max_size=3),
    st.lists(st.one_of(st.dictionaries(texts, values, max_size=3), values), max_size=5),
    st.sampled_from([None, 1, "\t"]),
    st.booleans(),
    st.integers(1, 40),
)
@examples(300)
def test_every_array_is_cut_into_its_elements_however_its_bytes_come(
    first: Any, rest: list[Any], indent: Any, plain: bool, size: int
) -> None:
    whole = [first, *rest]
    text = json.dumps(whole, indent=indent, ensure_ascii=plain).encode()
    source = JsonText("a", Pieces(b" \r\n" + text + b"\n" + text, size))
    chunks = read_all(source)
    assert [json.loads(chunk.original(i)) for chunk in chunks for i in range(len(chunk.lines))] == whole * 2
    lines = [one for chunk in chunks for one in chunk.lines]
    assert [json.loads(one) for one in lines] == whole * 2 and not any(b"\n" in one for one in lines)
    assert [chunk.position(i) for chunk in chunks for i in range(len(chunk.lines))] == [
        f"element {i}" for i in range(1, len(lines) + 1)
    ]


def test_each_element_is_judged_as_a_line_is(tmp_path: Path) -> None:
    house = memory_house(tmp_path / "home")
    pretty = json.dumps(json.loads(line(2)), indent=2)
    source = opened(tmp_path / "a.json", f'[{ONE}, {pretty},\n{{"venue":tru}},7,[1],{line(3, price="0").decode()}]\n')
    with house.writer() as writer:
        summary = writer.ingest(source)
    assert ids(house.log) == [1, 2]
    assert summary.refused == {"not-json": 1, "not-an-object": 2, "not-positive": 1}
    assert [(head["position"], kept) for head, kept in letters(house.log)] == [
        ("element 3", b'{"venue":tru}'),
        ("element 4", b"7"),
        ("element 5", b"[1]"),
        ("element 6", line(3, price="0")),
    ]


def test_a_json_file_that_is_no_array_is_json_lines(tmp_path: Path) -> None:
    source = opened(tmp_path / "a.json", f"\n{ONE}\nnonsense")
    chunks = read_all(source)
    assert [chunk.position(i) for chunk in chunks for i in range(len(chunk.lines))] == ["line 1", "line 2", "line 3"]
    assert [one for chunk in chunks for one in chunk.lines] == [b"", line(1), b"nonsense"]
    # An array in a file of lines is one line, and refused.
    assert elements(opened(tmp_path / "a.jsonl", f"[{ONE}]")) == [f"[{ONE}]".encode()]


def test_an_array_may_be_compressed_and_may_come_by_a_pipe(tmp_path: Path) -> None:
    text = f"\ufeff[{ONE},{ONE}]".encode()
    assert elements(opened(tmp_path / "a.json.gz", gzip.compress(text))) == [line(1)] * 2
    out, into = os.pipe()
    source = open_source(TRADES, "-", file_format="json", stdin=out)
    for part in (text[:2], text[2:5], text[5:-9]):
        os.write(into, part)
        chunk = source.read(0.0)
        assert chunk is not None
    assert list(chunk.lines) == [line(1)]
    os.write(into, text[-9:])
    os.close(into)
    assert elements(source) == [line(1)]


@pytest.mark.parametrize(
    ("text", "after", "said"),
    [
        (f"[{ONE},{ONE}", 1, "ends too early, in the middle of the array"),
        (f"[{ONE},{ONE[:-5]}", 1, "ends too early"),
        (f"[{ONE},", 1, "ends too early"),
        (f"[{ONE}]x", 1, "something else follows"),
        (f"[{ONE}]{ONE}", 1, "something else follows"),
        (f"[{ONE},]", 1, "a comma and no element"),
        (f"[{ONE},,{ONE}]", 1, "a comma and no element"),
        (f"[{ONE}}},{ONE}]", 0, "closes what was not opened"),
        (f'[{ONE},{{"a":"b\nc"}}]', 1, "a line feed or control character"),
        (f'[{ONE},{{"a":"{"x" * 2 * BLOCK_BYTES}', 1, "has more than 1048576 bytes"),
    ],
)
def test_what_is_no_array_says_after_which_element(text: str, after: int, said: str, tmp_path: Path) -> None:
    source = opened(tmp_path / "a.json", text)
    house = memory_house(tmp_path / "home")
    with house.writer() as writer, pytest.raises(UnreadableFileError, match=f"after element {after}: .*{said}"):
        writer.ingest(source)
    assert writer.summary().accepted == after


def test_an_array_of_no_objects_is_refused_before_anything_is_taken(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"first element is no object: \[1, 2\]\. Elements must be events"):
        read_all(opened(tmp_path / "a.json", "[[1, 2], [3, 4]]"))
    for text in ("[]", " [ ] \n"):
        with pytest.raises(EmptySourceError):
            read_all(opened(tmp_path / "a.json", text))


def test_a_long_array_takes_no_more_memory_than_a_short_one(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    with path.open("wb") as file:
        file.write(b"[" + line(1))
        for _ in range(300):
            file.write((b",\n" + line(1)) * 1000)
        file.write(b"]")
    assert path.stat().st_size > 30 * BLOCK_BYTES
    source = open_source(TRADES, str(path))
    tracemalloc.start()
    try:
        count = 0
        while (chunk := source.read(1.0)) is not None:
            count += len(chunk.lines)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    source.close()
    assert count == 300_001
    assert most < 12 * BLOCK_BYTES
