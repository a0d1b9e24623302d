"""Columns of a file -> JSON tokens of an event's fields, without judging them.

A token is what stands behind the colon in the event's line; null where the row has no value. A value that fits no
field becomes a token that the decoder refuses, with the decoder's own reason: NaN as a price is "nan", the text x as
a trade id is the string "x". So there is one meaning of valid, in `slackwater.streams.event`.

Numbers become the shortest decimal text that stands for them, without an exponent; times become microseconds,
rounded down. Timestamps without a zone are taken as UTC. What texts of people may be besides, a column's
`slackwater.streams.mapping.Reading` says, and `slackwater.streams.written` does.
"""

import json
from collections.abc import Callable
from decimal import Decimal as PythonDecimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from slackwater.core.decimals import plain_text
from slackwater.streams.errors import ColumnTypeError
from slackwater.streams.mapping import FromColumn, Reading, TimeUnit, unit_missing, unit_useless
from slackwater.streams.numbers import DECIMAL
from slackwater.streams.schema import PRICE_SCALE
from slackwater.streams.stream import TIME_UNIT, Choice, Column, Decimal, Identity, Integer, Stream, Time
from slackwater.streams.written import DIGITS, SCALE, decimal_written, finest, time_written

_PLAIN = r"\A[ !#-\[\]-~]*\z"  # what a JSON string holds as it stands
_INTEGER = r"\A-?(?:0|[1-9][0-9]*)\z"
_IDENTITY = r"\A(?:0|[1-9][0-9]{0,17})\z"  # other text of an identity is text
_EVENT = rf"\A-?{DECIMAL}\z"


def check_types(stream: Stream, schema: pa.Schema, sources: dict[str, Any], unit: TimeUnit | None) -> None:
    """Refuse a file whose columns cannot hold their fields, before anything of it is taken.

    Raises:
        ColumnTypeError, TimeUnitError
    """
    for field, source in sources.items():
        if not isinstance(source, FromColumn):
            continue
        kind = _value_type(schema.field(source.column).type)
        allowed, holds = _allowed(_column(stream, field))
        if source.reading is not None and source.reading.words:  # which may be those of whole numbers
            allowed = (*allowed, pa.types.is_integer)
        if not any(is_kind(kind) for is_kind in allowed) or (source.negated and not _is_flag(kind)):
            raise ColumnTypeError(field, source.column, kind, holds)
        if field == stream.time and _is_number(kind) and unit is None:
            raise unit_missing(source.column)
        if field == stream.time and pa.types.is_timestamp(kind) and unit not in (None, "digits"):
            raise unit_useless(source.column, kind)


def tokens(stream: Stream, field: str, column: Any, source: FromColumn, unit: TimeUnit | None) -> Any:
    """The tokens of a column whose type `check_types` let pass, as a binary array."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    of, reading = _column(stream, field), source.reading
    if isinstance(of, Time):
        return _times(column, unit)
    if isinstance(of, Choice):
        return _choices(of, column, source)
    whole = isinstance(of, Identity | Integer)
    if isinstance(of, Decimal):
        return quoted(_decimals(column, reading))
    if _is_text(column.type):
        text = column.cast(pa.binary())
        if whole:
            return _integers(text, _IDENTITY if isinstance(of, Identity) else _INTEGER)
        return quoted(text) if reading is None else _of_each(text, lambda value: _quote(_worded(value, reading)))
    text = column.cast(pa.string()).cast(pa.binary())
    return text if whole else _of_each(text, lambda value: _quote(_worded(value, reading or Reading())))


def _column(stream: Stream, field: str) -> Column:
    return TIME_UNIT if field == TIME_UNIT.name else stream.column(field)


def quoted(text: Any) -> Any:
    """Binary text -> JSON strings. Bytes that are no UTF-8 stay as they are, for the decoder to refuse."""
    plain = pc.match_substring_regex(text, _PLAIN)
    if pc.all(plain).as_py() is not False:
        return pc.binary_join_element_wise(b'"', text, b'"', b"")
    return pa.array([None if value is None else _quote(value) for value in text.to_pylist()], pa.binary())


def one_unit(column: Any, unit: TimeUnit | None) -> TimeUnit | None:
    """The unit of a column of whole numbers; None where their digits say several."""
    if unit != "digits":
        return unit
    values = column.drop_null().to_numpy()
    ends = (values.min(), values.max()) if len(values) else ()
    units = {DIGITS.get(len(str(int(value)))) for value in ends}
    return units.pop() if len(units) == 1 else None


def time_units(column: Any, unit: TimeUnit | None) -> Any:
    """The token of the unit that events say of their times, or of each; None where it goes without saying."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if pa.types.is_timestamp(column.type):
        return _said(column.type.unit)
    if unit in (None, "us", "ns"):
        return None
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_integer(column.type) and (known := one_unit(column, unit)) is not None:
        return _said(known)
    text = column.cast(pa.binary()) if _is_text(column.type) else _decimals(column, None)
    if (known := _whole_unit(text, unit)) is not None:
        return _said(known)
    units = _each(text, lambda value: _quote(finest(value, unit).encode()))
    few = units.unique().to_pylist()
    return units if len(few) > 1 else None if few in ([], [b'"us"']) else few[0]


def _said(unit: str) -> bytes | None:
    return f'"{unit}"'.encode() if unit in ("s", "ms") else None


def _whole_unit(text: Any, unit: TimeUnit | None) -> TimeUnit | None:
    """The unit of texts that are whole numbers, if it is one."""
    if pc.all(pc.match_substring_regex(text, r"\A[0-9]{1,19}\z")).as_py() is False:
        return None
    if unit != "digits":
        return unit
    sizes = pc.binary_length(text).drop_null().unique().to_pylist()
    return DIGITS.get(sizes[0]) if len(sizes) == 1 else None


def _quote(value: bytes) -> bytes:
    text = json.dumps(value.decode("utf-8", "surrogateescape"), ensure_ascii=False)
    return text.encode("utf-8", "surrogateescape")


def _integers(text: Any, pattern: str) -> Any:
    good = pc.match_substring_regex(text, pattern)
    if pc.all(good).as_py() is not False:
        return text
    return pc.if_else(good, text, quoted(text))


def _decimals(column: Any, reading: Reading | None) -> Any:
    digits = None if reading is None else reading.digits
    if _is_text(column.type):
        text = column.cast(pa.binary())
        rounded = digits is not None and digits < PRICE_SCALE
        if reading is None or (not rounded and pc.all(pc.match_substring_regex(text, _EVENT)).as_py() is not False):
            return text
        return _of_each(text, lambda value: decimal_written(value, digits))
    # A price stands in many rows: each is formatted once.
    known = column.dictionary_encode()
    made = [_decimal_text(value) for value in known.dictionary]
    texts = pa.array(made if digits is None else [decimal_written(text, digits) for text in made], pa.binary())
    return texts.take(known.indices)


def _decimal_text(scalar: Any) -> bytes:
    value = scalar.as_py()
    if isinstance(value, float):
        kinds: dict[int, type[np.floating[Any]]] = {16: np.float16, 32: np.float32, 64: np.float64}
        kind = kinds[scalar.type.bit_width]
        return np.format_float_positional(kind(value), unique=True, trim="-").encode()
    if isinstance(value, PythonDecimal):
        return plain_text(value).encode()
    return str(value).encode()


def _times(column: Any, unit: TimeUnit | None) -> Any:
    kind = column.type
    if pa.types.is_timestamp(kind):
        return _scaled(column.cast(pa.int64()), kind.unit)
    if pa.types.is_integer(kind) and (found := one_unit(column, unit or "us")) is not None:
        return _scaled(column, found)
    if _is_text(kind):
        text = column.cast(pa.binary())
        if unit is not None and pc.all(pc.match_substring_regex(text, r"\A[0-9]{1,18}\z")).as_py() is not False:
            known = _whole_unit(text, unit)
            if known is not None:
                return _scaled(text.cast(pa.string()).cast(pa.int64()), known)
        return _each(text, lambda value: _time_token(value, unit))
    return _each(_decimals(column, None), lambda value: _time_token(value, unit or "us"))


def _scaled(column: Any, unit: str) -> Any:
    """Whole numbers of `unit` as microseconds."""
    times, per = SCALE[unit]
    limit = (2**63 - 1) // times
    try:
        small = column.cast(pa.int64())
        fits = pc.all(pc.and_(pc.less_equal(small, limit), pc.greater_equal(small, 0))).as_py() is not False
    except pa.ArrowInvalid:  # unsigned, and beyond int64
        fits = False
    if fits:
        scaled = pc.divide(small, per) if per > 1 else pc.multiply(small, times)
        return scaled.cast(pa.string()).cast(pa.binary())
    values = column.to_pylist()
    return pa.array([None if v is None else str(v * times // per).encode() for v in values], pa.binary())


def _time_token(text: bytes, unit: TimeUnit | None) -> bytes:
    found = time_written(text, unit)
    return _quote(text) if found is None else str(found).encode()


def _choices(of: Choice, column: Any, source: FromColumn) -> Any:
    """Values; of a choice of two, true is the first and false the second, and with `!` all is the other way round."""
    first, second = (*of.values, "")[:2]
    true, false = (second, first) if source.negated else (first, second)
    if pa.types.is_boolean(column.type):
        tokens = (pa.scalar(_quote(value.encode()), pa.binary()) for value in (true, false))
        return pc.if_else(column, *tokens)
    text = column.cast(pa.string() if pa.types.is_integer(column.type) else pa.binary()).cast(pa.binary())
    reading = source.reading
    if reading is None and not source.negated:
        return quoted(text)
    flags = {b"true": true, b"false": false} if len(of.values) == 2 else {}
    if source.negated:
        flags |= {b"1": true, b"0": false}

    def choice(value: bytes) -> bytes:
        worded = _worded(value, reading or Reading())
        if worded is not value:
            return _quote(worded)
        if (flag := flags.get(value.lower())) is not None:
            return _quote(flag.encode())
        said = of.said(value.decode("utf-8", "replace"))
        if said is None:
            return _quote(value)
        return _quote(({first: second, second: first}[said] if source.negated else said).encode())

    return _of_each(text, choice)


def _worded(value: bytes, reading: Reading) -> bytes:
    """What a text stands for by what somebody said of its file; the same object where nobody did."""
    found = reading.words.get(value.decode("utf-8", "surrogateescape"))
    if found is not None:
        return found.encode()
    small = value.lower()
    return small if reading.lower and small != value else value


def _of_each(text: Any, token: Callable[[bytes], bytes]) -> Any:
    """The token of each text; what stands in many rows is made once."""
    known = text.dictionary_encode()
    return _each(known.dictionary, token).take(known.indices)


def _each(text: Any, token: Callable[[bytes], bytes]) -> Any:
    return pa.array([None if value is None else token(value) for value in text.to_pylist()], pa.binary())


def _value_type(kind: Any) -> Any:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _is_text(kind: Any) -> bool:
    types = pa.types
    return bool(
        types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind) or types.is_binary(kind)
    )


def _is_number(kind: Any) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _is_flag(kind: Any) -> bool:
    return bool(pa.types.is_boolean(kind)) or _is_text(kind)


def _allowed(of: Column) -> tuple[tuple[Callable[[Any], bool], ...], str]:
    """What a column of a file may be to hold a field, and how that is said."""
    if isinstance(of, Time):
        return (_is_text, _is_number, pa.types.is_timestamp), "timestamps, numbers or text"
    if isinstance(of, Identity | Integer):
        return (_is_text, pa.types.is_integer), "whole numbers or text"
    if isinstance(of, Decimal):
        return (_is_text, _is_number), "numbers, decimals or text"
    if isinstance(of, Choice) and len(of.values) == 2:
        return (_is_flag,), f"{' and '.join(of.values)}, or true and false"
    return (_is_text,), "text"
