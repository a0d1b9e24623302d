"""Lines of a stream -> an Arrow table of its events, and what was refused.

Two paths with one meaning. The strict one (`slackwater.streams.event`) says what is valid. The fast one takes only
lines in the canonical form that ingest writes: one by one by a pattern in a small block, all at once in a large one.
There `slackwater.streams.scan` reads them as words of eight bytes. A shape that it does not know, such as one with an
identity in quotes, is found by the pattern; its values stand between fixed quotes, so Arrow's CSV reader with `"` as
the delimiter reads them:

    {"venue":"x","symbol":"Y","trade_id":"7","time":9,"price":"1.5","quantity":"2","side":"buy"}
     0 1    2 3 4 5     6 7 8 9       10  11  12  13   14 15 ...

An identity in quotes, a sequence and a time unit each shift what follows, so every combination is a shape of its own.
A large block of another order of fields, or with spaces between them, is first brought into that form. Lines of no
shape and lines beyond a bound are read one by one, so a bad line costs its neighbours nothing.
Measured with other work on both cores, CPU for a line of a large block: 0.6 us as words, 1.2 to 1.7 as CSV.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import compress, product
from typing import Any, NamedTuple

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from slackwater.streams.column import Column
from slackwater.streams.columns import Decimal
from slackwater.streams.compact import compact_schema
from slackwater.streams.event import decode_event, whole_values
from slackwater.streams.json_object import plain_fields
from slackwater.streams.lines import Lines, joined
from slackwater.streams.order import sequences
from slackwater.streams.refusal import RefusedError
from slackwater.streams.scan import Scan, scan_of
from slackwater.streams.stream import TIME_UNIT, Stream

SMALL_BLOCK = 128
"""Lines from which a block is read at once, which has a fixed cost of 0.3 ms."""

MANY_LINES = 1024
"""Lines from which they are read as words, which has a fixed cost of 1 ms."""

LINES_EACH = 8
"""Lines of a record, in the mean, from which they are: the interpreter looks at each record's first line."""

LARGE_TEXT = 256 * 1024
"""Bytes from which a text is matched beside other threads, for which the pattern is compiled anew."""

SAMPLE = 8
"""Lines of a block by which its shape is found."""

_PARSE = pyarrow.csv.ParseOptions(delimiter='"', quote_char=False, double_quote=False, escape_char=False)


class Shape(NamedTuple):
    """One form of canonical lines. `columns` are (column, its number in the CSV, whether it stands in quotes)."""

    fits: Callable[[bytes], Any]
    fits_all: Callable[[bytes], Any]
    columns: tuple[tuple[Column, str, bool], ...]
    scan: Scan | None
    read: pyarrow.csv.ReadOptions
    convert: pyarrow.csv.ConvertOptions
    all_of_them: str

    def fit(self, data: bytes) -> Any:
        """Whether all lines of a text are of this shape."""
        if len(data) < LARGE_TEXT:
            return self.fits_all(data)
        ends = pa.py_buffer(np.array([0, len(data)], np.int32))
        try:  # as long as Python's, but other threads go on meanwhile
            whole = pa.Array.from_buffers(pa.binary(), 1, [None, ends, pa.py_buffer(data)])
            return pc.match_substring_regex(whole, self.all_of_them)[0].as_py()
        except pa.ArrowInvalid:  # a form of pattern that Python has and RE2 does not, such as `a*+`
            return self.fits_all(data)

    def quotes(self, name: str) -> bool:
        """Whether a column stands in quotes."""
        return any(quoted for column, _, quoted in self.columns if column.name == name)


def decode_lines(
    stream: Stream, lines: Sequence[bytes], latest_us: Any, compact: bool = False
) -> tuple[pa.Table, Any, dict[int, RefusedError]]:
    """Decode lines; `latest_us` is an array with the newest time allowed for each.

    Returns:
        the events in order, the numbers of their lines, and the refusal of every other line. The events are of the
        stream's schema; where `compact` is allowed, and all were read at once, their table may be a compact one.
    """
    rest, given = np.arange(len(lines)), lines
    tables: list[pa.Table] = []
    numbers: list[Any] = []
    shapes = list(_shapes(stream))
    while len(rest) >= SMALL_BLOCK:
        shape = _likely(shapes, lines, rest)
        if shape is None:
            if tables or lines is not given:
                break
            lines = [_in_order(stream, line) for line in given]
            continue
        shapes.remove(shape)
        left = lines if len(rest) == len(lines) else [lines[i] for i in rest.tolist()]
        columns, found = _read_shape(stream, shape, left)
        of = rest if found is True else rest[found]
        good = _within_bounds(stream, columns, latest_us[of])
        whole = found is True and good.all() and not tables
        table = _table_of(stream, columns, len(of), compact and whole)
        if whole:
            return table, of, {}
        tables.append(table.filter(pa.array(good)))
        numbers.append(of[good])
        rest = np.setdiff1d(rest, of[good], assume_unique=True)
    slow, accepted, bad = _one_by_one(stream, given, rest, latest_us)
    if not tables:
        return slow, accepted, bad
    places = np.concatenate([*numbers, accepted])
    order = np.argsort(places, kind="stable")
    events = pa.concat_tables([*tables, slow]).take(pa.array(order))
    return events.combine_chunks(), places[order], bad


def _in_order(stream: Stream, line: bytes) -> bytes:
    """A line with the same values in the order of the stream and without spaces, if it is a plain object."""
    fields = plain_fields(line)
    return line if fields is None else orjson.dumps({c.name: fields[c.name] for c in stream.wire if c.name in fields})


def events_table(stream: Stream, events: Sequence[Any]) -> pa.Table:
    """The Arrow table (of the stream's schema) of decoded events."""
    columns = list(zip(*events, strict=True)) if events else [()] * len(stream.wire)
    arrays = [column.array(values) for column, values in zip(stream.wire, columns, strict=True)]
    return _table(stream, arrays, len(events))


def _within_bounds(stream: Stream, columns: Mapping[str, Any], latest_us: Any) -> Any:
    """Which events of canonical lines are within every bound and check, as booleans."""
    good = columns[stream.time].to_numpy() <= latest_us
    for column in stream.wire:
        values = columns[column.name]
        inside = pa.types.is_dictionary(values.type) or column.within(values)  # texts of a dictionary were judged
        if inside is not True:
            good &= inside
    for check in stream.checks:
        good &= check.within(columns)
    return good


def _one_by_one(
    stream: Stream, lines: Sequence[bytes], numbers: Any, latest_us: Any
) -> tuple[pa.Table, Any, dict[int, RefusedError]]:
    read = _reader(stream)
    events: list[Any] = []
    accepted: list[int] = []
    bad: dict[int, RefusedError] = {}
    for i, latest in zip(numbers.tolist(), latest_us[numbers].tolist(), strict=True):
        try:
            events.append(read(lines[i], latest) or decode_event(stream, lines[i], latest))
            accepted.append(i)
        except RefusedError as error:
            bad[i] = error
    return events_table(stream, events), np.asarray(accepted, np.int64), bad


@cache
def _reader(stream: Stream) -> Callable[[bytes, int], list[Any] | None]:
    """What reads a canonical line by one pattern, without JSON: its event's values, or None for any other line."""
    fields = []
    for number, column in enumerate(stream.wire):
        quote = '"' if column.quoted else ""
        tokens = "|".join(f'"{pattern}"' if quoted and not quote else pattern for quoted, pattern in column.forms)
        field = f'{"," if number else ""}"{column.name}":{quote}({tokens}){quote}'
        fields.append(f"(?:{field})?" if column.optional else field)
    match = re.compile(rf"\{{{''.join(fields)}\}}").fullmatch
    takers = [column.take for column in stream.wire]

    def read(line: bytes, latest_us: int) -> list[Any] | None:
        found = match(str(line, "latin-1"))
        if found is None:
            return None
        values = [take(token) for take, token in zip(takers, found.groups(), strict=True)]
        return whole_values(stream, values, latest_us)

    return read


def _read_shape(stream: Stream, shape: Shape, lines: Sequence[bytes]) -> tuple[dict[str, Any], Any]:
    """The columns of the lines that are of a shape, and which ones these are; True: all of them."""
    if shape.scan is not None and isinstance(lines, Lines) and len(lines) >= max(MANY_LINES, LINES_EACH * lines.texts):
        columns, fits = shape.scan.read(lines)
        return _completed(stream, columns, len(columns[stream.time]), numbered=True), fits
    data = joined(lines)
    if shape.fit(data):
        columns = _read(stream, shape, data)
        if len(columns[stream.time]) == len(lines):  # a line of a source may hold a line feed of its own
            return columns, True
    found = [match is not None for match in map(shape.fits, lines)]
    return _read(stream, shape, b"\n".join(compress(lines, found))), np.array(found)


def _read(stream: Stream, shape: Shape, data: bytes) -> dict[str, Any]:
    """The columns of lines of a shape."""
    source = pa.BufferReader(pa.py_buffer(data))
    found = pyarrow.csv.read_csv(source, shape.read, _PARSE, shape.convert).combine_chunks()
    read: dict[str, Any] = {}
    for column, at, quoted in shape.columns:
        texts = found.column(at).chunk(0)
        # Without quotes it stands between them as `:7,`.
        read[column.name] = column.read(texts if quoted else pc.ascii_trim(texts, ":,}"))
    return _completed(stream, read, found.num_rows, shape.quotes(stream.identity) is False)


def _completed(stream: Stream, read: dict[str, Any], rows: int, numbered: bool) -> dict[str, Any]:
    """The columns with those that the lines lack. A sequence below 0, within no bound, stands where there is none.
    `numbered`: all identities are integers."""
    if TIME_UNIT.name not in read:
        read[TIME_UNIT.name] = pa.DictionaryArray.from_arrays(np.zeros(rows, np.int32), pa.array(["us"]))
    venues = read[stream.entity[0]]
    timed = stream.may_be_timed(venues)
    if pa.types.is_dictionary(venues.type) and timed:
        venues = venues.dictionary_decode()
    if stream.sequenced and stream.order not in read:
        identities = read[stream.identity].cast(pa.int64()) if numbered else read[stream.identity]
        values, there = sequences(stream, venues, identities, read[stream.time].to_numpy())
        read[stream.order] = pa.array(values if there is True else np.where(there, values, -1))
    elif timed:  # a venue ordered by time gives none of its own, so the strict decoder has to look
        read[stream.order] = pa.array(np.where(stream.is_timed(venues), -1, read[stream.order].to_numpy()))
    return read


def _table_of(stream: Stream, columns: Mapping[str, Any], rows: int, compact: bool) -> pa.Table:
    """A table of columns that may be compact; it is compact if that is allowed."""
    arrays = [columns[name] for name in stream.fields]
    if compact and pa.types.is_int64(columns[stream.identity].type):
        return pa.Table.from_arrays([*arrays, pa.nulls(rows, pa.int64())], schema=compact_schema(stream, numbered=True))
    kinds = [stream.schema.field(name).type for name in stream.fields]
    return _table(stream, [each.cast(kind) for each, kind in zip(arrays, kinds, strict=True)], rows)


def _table(stream: Stream, arrays: list[Any], rows: int) -> pa.Table:
    return pa.Table.from_arrays([*arrays, pa.nulls(rows, pa.int64())], schema=stream.schema)


def _likely(shapes: list[Shape], lines: Sequence[bytes], rest: Any) -> Shape | None:
    """The shape of some of the lines numbered `rest`; None if they have none of these."""
    sample = (lines[i] for i in rest[:: -(-len(rest) // SAMPLE)].tolist())
    return next((shape for line in sample for shape in shapes if shape.fits(line)), None)


@cache
def _shapes(stream: Stream) -> tuple[Shape, ...]:
    forms = [(*((None,) if column.optional else ()), *column.forms) for column in stream.wire]
    return tuple(_shape(stream, chosen) for chosen in product(*forms))


def _shape(stream: Stream, forms: tuple[tuple[bool, str] | None, ...]) -> Shape:
    there = [(column, *form) for column, form in zip(stream.wire, forms, strict=True) if form is not None]
    fields = [
        f'"{column.name}":"{pattern}"' if quoted else f'"{column.name}":{pattern}' for column, quoted, pattern in there
    ]
    # Where each value stands is found in a line whose values are their names.
    named = [f'"":"{column.name}"' if quoted else f'"":{column.name}' for column, quoted, _ in there]
    pieces = [piece.strip(":,}") for piece in ("{" + ",".join(named) + "}").split('"')]
    columns = tuple((column, str(pieces.index(column.name)), quoted) for column, quoted, _ in there)
    kinds = {at: column.arrow if isinstance(column, Decimal) else pa.string() for column, at, _ in columns}
    pattern = rf"\{{{','.join(fields)}\}}".encode()
    return Shape(
        re.compile(pattern).fullmatch,
        re.compile(rb"(?:%b(?:\n|\Z))*+" % pattern).fullmatch,
        columns,
        scan_of([(column, quoted) for column, quoted, _ in there]),
        pyarrow.csv.ReadOptions(
            use_threads=False, column_names=[str(i) for i in range(len(pieces))], block_size=1 << 28
        ),
        pyarrow.csv.ConvertOptions(include_columns=list(kinds), column_types=kinds, null_values=[]),
        rf"\A(?:{pattern.decode()}(?:\n|\z))*\z",
    )
