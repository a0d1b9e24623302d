"""Rows whose columns have types -> a table of events, column by column, without text between.

It only says which rows are events for certain, and what they are. All others go as lines to the decoder, which says
what is valid (`slackwater.streams.event`); a property test holds this file to it:

    int64 42          ->  the identity 42                  a decimal of another scale, where no digit is lost
    dictionary, text  ->  each of its texts is judged once, as the token of a line
    double 0.1        ->  0.10000000, where 15 digits say it whole: no other decimal of 15 digits is that double

The tables are compact (`slackwater.streams.compact`).
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from slackwater.streams.column import Column
from slackwater.streams.columns import Choice, Decimal, Identity, Integer, Sequence, Text, Time
from slackwater.streams.compact import compact_schema
from slackwater.streams.mapping import Constant, FromColumn, TimeUnit
from slackwater.streams.numbers import DECIMAL, MAX_ID, decimals_of, integers
from slackwater.streams.order import sequences
from slackwater.streams.refusal import RefusedError
from slackwater.streams.schema import PRICE_SCALE
from slackwater.streams.stream import TIME_UNIT, Stream
from slackwater.streams.tokens import quoted, tokens
from slackwater.streams.written import SCALE

_LIMIT = 10**18
"""Units of 1e-8 from which a decimal is too large; integers from which a text is no token of JSON (`tokens`)."""

_EXACT = 1e15
"""Units below which a double stands for one decimal only."""

_WIDE = pa.decimal128(38, PRICE_SCALE)


class Found(NamedTuple):
    """The values of a column, and which of them are certain, as booleans; the others hold anything."""

    values: Any
    certain: Any


class _UncertainError(Exception):
    """Nothing is certain of a column."""


def typed_rows(
    stream: Stream,
    sources: Mapping[str, FromColumn | Constant],
    column: Callable[[str], Any],
    rows: int,
    unit: TimeUnit | None,
) -> tuple[pa.Table, Any]:
    """The rows that are events for certain, as a compact table, and their numbers; a time may be as late as it likes.

    `sources` says where each field is (`slackwater.streams.mapping.resolve`), `column` gives a column of the file.
    """
    at = np.arange(rows)
    try:
        columns = {
            name: _plain(stream, name, column(s.column)) for name, s in sources.items() if isinstance(s, FromColumn)
        }
        there = _there(stream, columns, rows)
        if not there.all():
            at = at[there]
            columns = {name: values.filter(pa.array(there)) for name, values in columns.items()}
        found = _columns(stream, sources, columns, len(at), unit)
    except _UncertainError:
        return compact_schema(stream).empty_table(), at[:0]
    certain = np.ones(len(at), bool)
    for one in found.values():
        if one.certain is not True:
            certain &= one.certain
    values = {name: one.values for name, one in found.items()}
    for check in stream.checks:
        certain &= check.within(values)
    arrays = [*(values[name] for name in stream.fields), pa.nulls(len(at), pa.int64())]
    schema = compact_schema(stream, numbered=pa.types.is_int64(values[stream.identity].type))
    table = pa.Table.from_arrays(arrays, schema=schema)
    return (table, at) if certain.all() else (table.filter(pa.array(certain)), at[certain])


def _plain(stream: Stream, name: str, values: Any) -> Any:
    """A column as one array; one without a dictionary where its values are no texts."""
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    if pa.types.is_string_view(values.type):  # which most kernels lack
        values = values.cast(pa.string())
    few = isinstance(stream.column(name), Text | Choice) and not stream.column(name).optional
    return values.dictionary_decode() if pa.types.is_dictionary(values.type) and not few else values


def _filled(values: Any, text: str) -> Any:
    """A column with what `text` says where it has nothing."""
    return values.fill_null(pa.scalar(text).cast(values.type)) if values.null_count else values


def _there(stream: Stream, columns: Mapping[str, Any], rows: int) -> Any:
    """Which rows have every value that they must have."""
    there = np.ones(rows, bool)
    for name, values in columns.items():
        if values.null_count and name not in stream.optional:
            there &= values.is_valid().to_numpy(zero_copy_only=False)
    return there


def _columns(
    stream: Stream,
    sources: Mapping[str, FromColumn | Constant],
    columns: dict[str, Any],
    rows: int,
    unit: TimeUnit | None,
) -> dict[str, Found]:
    """Every field of the rows."""
    found: dict[str, Found] = {}
    for name in stream.fields:
        kind, source = stream.column(name), sources.get(name, _ABSENT.get(name))
        if isinstance(kind, Sequence) or (source is None and kind.optional):
            continue
        if isinstance(source, Constant):
            found[name] = _constant(kind, source, rows)
        elif source is None:  # an id that the file lacks
            raise _UncertainError
        elif kind is TIME_UNIT:
            found[name] = _few(stream, kind, _filled(columns[name], TIME_UNIT.values[0]), source)
        else:
            found[name] = _column(stream, kind, columns[name], source, unit)
    if stream.sequenced:
        if isinstance(sources.get(stream.order), Constant):
            raise _UncertainError
        found[stream.order] = _sequence(stream, found, columns.get(stream.order))
    return found


_ABSENT = {TIME_UNIT.name: Constant(TIME_UNIT.values[0])}


def _column(stream: Stream, kind: Column, values: Any, source: FromColumn, unit: TimeUnit | None) -> Found:
    if isinstance(kind, Time):
        return _times(kind, values, unit)
    if isinstance(kind, Identity):
        return _identities(kind, values)
    if isinstance(kind, Integer):
        return _integers(kind, values)
    if isinstance(kind, Decimal):
        return _decimals(kind, values, source)
    return _few(stream, kind, values, source)


def _constant(kind: Column, source: Constant, rows: int) -> Found:
    if not isinstance(kind, Text | Choice):
        raise _UncertainError
    text = _judged(kind, quoted(pa.array([source.text.encode()], pa.binary()))[0].as_py())
    if text is None:
        raise _UncertainError
    return Found(pa.DictionaryArray.from_arrays(np.zeros(rows, np.int32), pa.array([text])), True)


def _few(stream: Stream, kind: Column, values: Any, source: FromColumn) -> Found:
    """Texts, or true and false for two of them: each is judged once."""
    known = values if pa.types.is_dictionary(values.type) else values.dictionary_encode()
    texts: dict[str, int] = {}
    codes = []
    for token in tokens(stream, kind.name, known.dictionary, source, None).to_pylist():
        text = None if token is None else _judged(kind, token)
        codes.append(-1 if text is None else texts.setdefault(text, len(texts)))
    if not texts:
        raise _UncertainError
    if codes == list(range(len(codes))):
        return Found(pa.DictionaryArray.from_arrays(known.indices.cast(pa.int32()), pa.array(list(texts))), True)
    of = np.array(codes, np.int32)[known.indices.to_numpy()]
    certain = of >= 0
    return Found(pa.DictionaryArray.from_arrays(np.maximum(of, 0), pa.array(list(texts))), certain)


def _judged(kind: Column, token: bytes) -> str | None:
    """The text that a token of a line stands for, if that is certain."""
    try:
        text: str = kind.parse(orjson.loads(token))
    except (orjson.JSONDecodeError, RefusedError):
        return None
    return text if text.isascii() else None


def _whole(values: Any) -> tuple[Any, Any]:
    """Whole numbers as int64, and which of them fit."""
    if not pa.types.is_uint64(values.type):
        return values.cast(pa.int64()).to_numpy(), True
    fits = pc.less_equal(values, pa.scalar(MAX_ID, pa.uint64()))
    return pc.if_else(fits, values, pa.scalar(0, pa.uint64())).cast(pa.int64()).to_numpy(), _bools(fits)


def _identities(kind: Identity, values: Any) -> Found:
    if pa.types.is_integer(values.type):
        numbers, fits = _whole(values)
        return Found(pa.array(numbers), fits & (numbers >= 0))
    texts = _texts(values)
    numbers, whole = integers(texts)
    numbered = whole & (numbers < _LIMIT)
    if numbered.all():
        return Found(pa.array(numbers), numbered)
    return Found(texts, numbered | _matches(texts, kind.pattern))


def _integers(kind: Integer, values: Any) -> Found:
    numbers, fits = _whole(values) if pa.types.is_integer(values.type) else integers(_texts(values))
    return Found(pa.array(numbers), fits & (numbers >= kind.low) & (numbers <= kind.high))


def _times(kind: Time, values: Any, unit: TimeUnit | None) -> Found:
    if pa.types.is_timestamp(values.type):
        unit = values.type.unit
    elif not pa.types.is_integer(values.type) or unit == "digits":
        raise _UncertainError
    numbers, fits = _whole(values)
    times, per = SCALE[unit or "us"]
    fits = fits & (numbers >= 0) & (numbers <= MAX_ID // times)
    scaled = numbers if times == per else np.where(fits, numbers, 0) * times // per
    return Found(pa.array(scaled), fits & (scaled >= kind.low) & (scaled <= kind.high))


def _decimals(kind: Decimal, values: Any, source: FromColumn) -> Found:
    units, certain = _units(kind, values)
    digits = None if source.reading is None else source.reading.digits
    if digits is not None and digits < PRICE_SCALE:  # what is rounded is not certain
        certain = certain & (units % 10 ** (PRICE_SCALE - digits) == 0)
    certain = certain & (units < _LIMIT) & (units > (-_LIMIT if kind.signed else 0))
    if values.type == kind.arrow and certain.all():
        return Found(values, certain)
    return Found(decimals_of(np.where(certain, units, 1)), certain)


def _units(kind: Decimal, values: Any) -> tuple[Any, Any]:
    """Numbers in units of 1e-8, and which of them fit."""
    types = pa.types
    if types.is_decimal128(values.type):
        return _units_of_decimals(values)
    if types.is_integer(values.type):
        numbers, fits = _whole(values)
        fits = fits & (abs(numbers) < 10**10) & (numbers > -(10**10))  # the absolute value of -2^63 is no int64
        return np.where(fits, numbers, 0) * 10**PRICE_SCALE, fits
    if types.is_float64(values.type):
        given = values.to_numpy()
        with np.errstate(over="ignore", invalid="ignore"):
            units = np.rint(given * 10**PRICE_SCALE)
            fits = (abs(units) < _EXACT) & (units / 10**PRICE_SCALE == given)
        return np.where(fits, units, 0).astype(np.int64), fits
    if types.is_string(values.type) or types.is_large_string(values.type):
        matched = pc.match_substring_regex(values, rf"\A{'-?' if kind.signed else ''}{DECIMAL}\z")
        texts = pc.if_else(matched, values, pa.scalar("1", values.type)).cast(pa.string())
        return _low(texts.cast(kind.arrow))[0], _bools(matched)
    raise _UncertainError


def _units_of_decimals(values: Any) -> tuple[Any, Any]:
    scale = values.type.scale
    if scale > PRICE_SCALE:
        cut = values.cast(_WIDE, safe=False)
        units, fits = _low(cut)
        return units, fits & _bools(pc.equal(cut.cast(values.type), values))
    factor = 10 ** (PRICE_SCALE - scale)
    if factor > _LIMIT:
        raise _UncertainError
    units, fits = _low(values)
    fits &= (units < _LIMIT // factor) & (units > -_LIMIT // factor)
    return (units if factor == 1 else np.where(fits, units, 0) * factor), fits


def _low(values: Any) -> tuple[Any, Any]:
    """The low halves of decimals' 128 bits, and which of them are all there is."""
    words = np.frombuffer(values.buffers()[1], np.int64, 2 * len(values), 16 * values.offset)
    low, high = words[::2], words[1::2]
    return low, high == low >> 63


def _sequence(stream: Stream, found: Mapping[str, Found], given: Any) -> Found:
    """The order of each event: as given, or as it follows from the rest."""
    venues, identities = found[stream.entity[0]].values, found[stream.identity].values
    rows, ordered, some_timed = len(venues), None, stream.may_be_timed(venues)
    kind: Any = stream.column(stream.order)
    if given is not None:
        there = _bools(given.is_valid())
        ordered = _integers(kind, _filled(given, "0"))
        if there.all() and not some_timed:
            return ordered
    names = venues.dictionary.take(venues.indices) if some_timed else venues
    derived, known = sequences(stream, names, identities, found[stream.time].values.to_numpy())
    known = known & np.ones(rows, bool)
    if ordered is None:
        return Found(pa.array(derived), known)
    numbers = ordered.values.to_numpy()
    timed = stream.is_timed(names) if some_timed else np.zeros(rows, bool)
    taken = np.where(timed, known & (numbers == derived), True) & ordered.certain
    return Found(pa.array(np.where(there, numbers, derived)), np.where(there, taken, known))


def _texts(values: Any) -> Any:
    try:
        return values.cast(pa.string())
    except pa.ArrowInvalid as error:  # no UTF-8
        raise _UncertainError from error


def _matches(texts: Any, pattern: str) -> Any:
    try:
        return _bools(pc.match_substring_regex(texts, rf"\A(?:{pattern})\z"))
    except pa.ArrowInvalid:  # a form of pattern that Python has and this does not, such as `a*+`
        return np.zeros(len(texts), bool)


def _bools(array: Any) -> Any:
    return array.to_numpy(zero_copy_only=False)
