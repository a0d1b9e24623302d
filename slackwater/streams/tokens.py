"""Columns of a file -> JSON tokens of an event's fields, without judging them.

A token is what stands behind the colon in the event's line; null where the row has no value. A value that fits no
field becomes a token that the decoder refuses, with the decoder's own reason: NaN as a price is "nan", the text x as
a trade id is the string "x". So there is one meaning of valid, in `slackwater.streams.event`.

Numbers become the shortest decimal text that stands for them, without an exponent; times become microseconds,
rounded down. Timestamps without a zone are taken as UTC.
"""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal as PythonDecimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from slackwater.core.decimals import plain_text
from slackwater.streams.errors import ColumnTypeError
from slackwater.streams.mapping import FromColumn, TimeUnit, unit_missing, unit_useless
from slackwater.streams.stream import TIME_UNIT, Choice, Column, Decimal, Identity, Integer, Stream, Time

_PLAIN = r"\A[ !#-\[\]-~]*\z"  # what a JSON string holds as it stands
_INTEGER = r"\A-?(?:0|[1-9][0-9]*)\z"
_IDENTITY = r"\A(?:0|[1-9][0-9]{0,17})\z"  # other text of an identity is text
SCALE = {"s": (1_000_000, 1), "ms": (1_000, 1), "us": (1, 1), "ns": (1, 1_000)}
_NUMBER = re.compile(rb"-?[0-9]{1,40}(?:\.[0-9]{1,40})?")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_BOOLEANS = {b"true": True, b"false": False, b"1": True, b"0": False}


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
        if not any(is_kind(kind) for is_kind in allowed) or (source.negated and not _is_flag(kind)):
            raise ColumnTypeError(field, source.column, kind, holds)
        if field == stream.time and _is_number(kind) and unit is None:
            raise unit_missing(source.column)
        if field == stream.time and pa.types.is_timestamp(kind) and unit is not None:
            raise unit_useless(source.column, kind)


def tokens(stream: Stream, field: str, column: Any, source: FromColumn, unit: TimeUnit | None) -> Any:
    """The tokens of a column whose type `check_types` let pass, as a binary array."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    of = _column(stream, field)
    if isinstance(of, Time):
        return _times(column, unit)
    if isinstance(of, Choice):
        return _choices(of, column, source.negated)
    whole = isinstance(of, Identity | Integer)
    if _is_text(column.type):
        text = column.cast(pa.binary())
        return _integers(text, _IDENTITY if isinstance(of, Identity) else _INTEGER) if whole else quoted(text)
    if whole:
        return column.cast(pa.string()).cast(pa.binary())
    return quoted(_decimals(column))


def _column(stream: Stream, field: str) -> Column:
    return TIME_UNIT if field == TIME_UNIT.name else stream.column(field)


def quoted(text: Any) -> Any:
    """Binary text -> JSON strings. Bytes that are no UTF-8 stay as they are, for the decoder to refuse."""
    plain = pc.match_substring_regex(text, _PLAIN)
    if pc.all(plain).as_py() is not False:
        return pc.binary_join_element_wise(b'"', text, b'"', b"")
    return pa.array([None if value is None else _quote(value) for value in text.to_pylist()], pa.binary())


def is_number(text: bytes) -> bool:
    """Whether text is a plain number, so that as a time it needs a unit."""
    return _NUMBER.fullmatch(text) is not None


def _quote(value: bytes) -> bytes:
    text = json.dumps(value.decode("utf-8", "surrogateescape"), ensure_ascii=False)
    return text.encode("utf-8", "surrogateescape")


def _integers(text: Any, pattern: str) -> Any:
    good = pc.match_substring_regex(text, pattern)
    if pc.all(good).as_py() is not False:
        return text
    return pc.if_else(good, text, quoted(text))


def _decimals(column: Any) -> Any:
    # A price stands in many rows: each is formatted once.
    known = column.dictionary_encode()
    texts = pa.array([_decimal_text(value) for value in known.dictionary], pa.binary())
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
    if pa.types.is_integer(kind):
        return _scaled(column, unit or "us")
    if _is_text(kind):
        text = column.cast(pa.binary())
        if unit is None:
            return _each(text, _iso_time)
        if pc.all(pc.match_substring_regex(text, r"\A[0-9]{1,18}\z")).as_py() is not False:
            return _scaled(text.cast(pa.string()).cast(pa.int64()), unit)
        return _each(text, lambda value: _number_time(value, unit))
    return _each(_decimals(column), lambda value: _number_time(value, unit or "us"))


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


def _number_time(text: bytes, unit: TimeUnit) -> bytes:
    if not is_number(text):
        return _quote(text)
    times, per = SCALE[unit]
    whole, _, fraction = text.decode().partition(".")
    return str(int(whole + fraction) * times // (per * 10 ** len(fraction))).encode()


def _iso_time(text: bytes) -> bytes:
    try:
        found = datetime.fromisoformat(text.decode("ascii"))
    except ValueError:
        return _quote(text)
    if found.tzinfo is None:
        found = found.replace(tzinfo=UTC)
    return str((found - _EPOCH) // _MICROSECOND).encode()


def _choices(of: Choice, column: Any, negated: bool) -> Any:
    """Texts as they stand; of a choice of two, true is the first and false the second, or the other way round."""
    first, second = (_quote(value.encode()) for value in (*of.values, "")[:2])
    true, false = (second, first) if negated else (first, second)
    if pa.types.is_boolean(column.type):
        return pc.if_else(column, pa.scalar(true, pa.binary()), pa.scalar(false, pa.binary()))
    text = column.cast(pa.binary())
    if not negated:
        return quoted(text)

    def choice(value: bytes) -> bytes:
        flag = _BOOLEANS.get(value.lower())
        return _quote(value) if flag is None else true if flag else false

    return _each(text, choice)


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
