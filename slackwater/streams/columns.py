"""The kinds of column that a stream is declared of; see `slackwater.streams.column` for what a kind offers.

Text is matched before anything is cast, since casts are lax (`1e3`, a leading space, a ninth digit rounded away).
"""

import re
from array import array
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from slackwater.core.decimals import decimal_text
from slackwater.streams.column import Column
from slackwater.streams.numbers import (
    DECIMAL,
    MAX_ID,
    as_integer,
    decimal_texts,
    decimal_units,
    integers,
    units_in,
    units_of,
)
from slackwater.streams.refusal import Reason, RefusedError
from slackwater.streams.schema import PRICE_SCALE

EARLIEST_US = 1_230_940_800_000_000  # 2009-01-03, the day of Bitcoin's first block

FEW_DECIMALS = 64
"""Decimals up to which their texts are made one by one, which has no fixed cost."""

UNCLEAR = "it means one to some and another to others"
"""In the error of a text that is no value, though it stands for one or another of them in files."""

MANY_DIGITS = "digits behind the point"
"""In the error of a decimal that has too many."""

_MANY_DIGITS = re.compile(rf"-?[0-9]{{1,10}}\.([0-9]{{{PRICE_SCALE + 1},}})")

ABSENT = object()
"""Stands for a sequence that a line lacks."""

_INTEGER = "(?:0|[1-9][0-9]{0,17})"  # 18 digits always fit int64


# Patterns that match nothing which JSON escapes: of characters, classes of listed ones, and groups without a number.
_LISTED = r"\[-?(?:[A-Z]-[A-Z]|[a-z]-[a-z]|[0-9]-[0-9]|[A-Za-z0-9_ .:/@,;=+*#()!$%&'<>?{}|~])+-?\]"
_PLAIN = re.compile(rf"(?:[\w :/@,;=#!%&'<>~-]|\\[.+*?()|]|{_LISTED}|\(\?:|[)|?*+]|\{{[0-9,]+\}})+", re.ASCII)


_COUNTS = re.compile(r"\{[0-9,]+\}")


@dataclass(frozen=True)
class _Patterned(Column):
    pattern: str

    @property
    def forms(self) -> tuple[tuple[bool, str], ...]:
        return ((True, f"(?:{self.pattern})"),)  # it may be one of several, with `|` between

    @property
    def plain(self) -> bool:
        return _PLAIN.fullmatch(self.pattern) is not None

    @cached_property
    def _match(self) -> Callable[[str], Any]:
        return re.compile(self.pattern).fullmatch


@dataclass(frozen=True)
class Text(_Patterned):
    """Text that matches `pattern` whole and holds none of `without`."""

    without: tuple[str, ...] = ()

    @property
    def holds_comma(self) -> bool:
        """Whether a text of it may hold a comma, which is between several values of a request."""
        return "," not in self.without and "," in _COUNTS.sub("", self.pattern)

    @cached_property
    def _hold(self) -> Callable[[str], Any]:
        return re.compile("|".join(map(re.escape, self.without)) or "(?!)").search

    def parse(self, value: Any) -> str:
        if type(value) is str and self._match(value) and not (self.without and self._hold(value)):
            return value
        but = f" without {' and '.join(self.without)}" if self.without else ""
        raise RefusedError(self.reason, f"{self.name} is {self.string(value)[:80]!r}, not {self.pattern}{but}")

    def take(self, token: str) -> str:
        return self.parse(token) if self.without and self._hold(token) else token

    def within(self, column: Any) -> Any:
        if not self.without:
            return True
        known = column.unique().to_pylist()  # a block has few of them
        bad = [text for text in known if self._hold(text)]
        return True if not bad else pc.invert(pc.is_in(column, pa.array(bad))).to_numpy(zero_copy_only=False)


@dataclass(frozen=True)
class Choice(Column):
    """One of a few texts.

    `words` are what files say for them besides capitals, in small letters; None is what means one value to some and
    another to others. They are no part of the meaning of an event, whose line holds a value as it stands.
    """

    values: tuple[str, ...]
    words: Mapping[str, str | None] = field(default_factory=dict, repr=False, compare=False)

    @property
    def forms(self) -> tuple[tuple[bool, str], ...]:
        return ((True, f"(?:{'|'.join(map(re.escape, self.values))})"),)

    @property
    def plain(self) -> bool:
        return all(value.isprintable() and value.isascii() and not {*value} & {'"', "\\"} for value in self.values)

    def parse(self, value: Any) -> str:
        if type(value) is str and value in self.values:
            return value
        error = f"{self.name} is {self.string(value)[:80]!r}, not {' or '.join(self.values)}"
        raise RefusedError(self.reason, f"{error}: {UNCLEAR}" if value.lower() in self._unclear else error)

    @cached_property
    def _unclear(self) -> frozenset[str]:
        return frozenset(word for word, value in self.words.items() if value is None)

    @cached_property
    def _said(self) -> dict[str, str]:
        small = [value.lower() for value in self.values]
        values = {value.lower(): value for value in self.values if small.count(value.lower()) == 1}
        return values | {word: value for word, value in self.words.items() if value is not None}

    def said(self, text: str) -> str | None:
        """The value that a text of a file stands for; None if it stands for none."""
        return text if text in self.values else self._said.get(text.lower())


@dataclass(frozen=True)
class Integer(Column):
    """An integer from `low` to `high`, both included."""

    low: int = 0
    high: int = MAX_ID

    arrow: ClassVar[pa.DataType] = pa.int64()

    @property
    def forms(self) -> tuple[tuple[bool, str], ...]:
        return ((False, _INTEGER if self.low >= 0 else f"(?:-?{_INTEGER})"),)

    def array(self, values: Any) -> pa.Array:
        # Half the time of `pa.array`, which looks at the type of each value.
        return pa.Array.from_buffers(self.arrow, len(values), [None, pa.py_buffer(array("q", values))])

    def parse(self, value: Any) -> int:
        return self.integer(value, low=self.low, high=self.high)

    def take(self, token: str) -> int:
        value = int(token)
        return value if self.low <= value <= self.high else self.parse(value)

    def text(self, value: Any) -> str:
        return str(value)

    def read(self, texts: Any) -> Any:
        return texts.cast(pa.int64())

    def texts(self, column: pa.Array) -> Any:
        return column.cast(pa.string())

    def within(self, column: Any) -> Any:
        values = column.to_numpy()
        return (values >= self.low) & (values <= self.high)


@dataclass(frozen=True)
class Sequence(Integer):
    """The order of events of an entity; where a line lacks it, it follows from the venue's rule (`streams.order`)."""

    optional: ClassVar[bool] = True

    def parse(self, value: Any) -> Any:
        return None if value is ABSENT else self.integer(value, low=self.low, high=self.high)

    def take(self, token: str | None) -> Any:
        return None if token is None else super().take(token)


@dataclass(frozen=True)
class Time(Integer):
    """When it happened: microseconds since the epoch, UTC, from 2009-01-03 to one minute after it was appended."""

    low: int = EARLIEST_US

    @property
    def forms(self) -> tuple[tuple[bool, str], ...]:
        return ((False, "[1-9][0-9]{15}"),)

    def parse(self, value: Any) -> int:
        if type(value) is int and EARLIEST_US <= value <= MAX_ID:
            return value
        time = self.integer(value)
        raise RefusedError(Reason.TOO_EARLY, f"{self.name} is {time} us, before 2009-01-03; is it in microseconds?")


@dataclass(frozen=True)
class Identity(_Patterned):
    """What tells an event from all others of its entity: an integer from 0 to 2^63-1, or text that matches `pattern`.

    Its value is text. Text that is the canonical form of such an integer is that integer, and written as one.
    """

    pattern: str = "[A-Za-z0-9_.:-]{1,64}"

    @property
    def forms(self) -> tuple[tuple[bool, str], ...]:
        return (False, _INTEGER), *super().forms

    def parse(self, value: Any) -> str:
        if type(value) is not str:
            return str(self.integer(value, "an integer or a string"))
        if not self._match(value):
            raise RefusedError(self.reason, f"{self.name} is {value[:80]!r}, not {self.pattern}")
        return value

    def take(self, token: str) -> str:
        return token.strip('"')

    def text(self, value: Any) -> str:
        return f'"{value}"' if as_integer(value) is None else str(value)

    def texts(self, column: pa.Array) -> Any:
        _, whole = integers(column)
        if whole.all():
            return column
        return pc.if_else(pa.array(whole), column, pc.binary_join_element_wise('"', column, '"', ""))


@dataclass(frozen=True)
class Decimal(Column):
    """An exact decimal, ten digits before the point and eight behind it, a DECIMAL(18,8): above 0, or any `signed` one.

    Its value is an integer in units of 1e-8.
    """

    signed: bool = False

    arrow: ClassVar[pa.DataType] = pa.decimal128(18, PRICE_SCALE)

    @property
    def pattern(self) -> str:
        """Of its text."""
        return f"-?{DECIMAL}" if self.signed else DECIMAL

    @property
    def forms(self) -> tuple[tuple[bool, str], ...]:
        return ((True, self.pattern),)

    def parse(self, value: Any) -> int:
        units = decimal_units(value, self.signed) if type(value) is str else None
        if units or (units == 0 and self.signed):
            return units
        if units == 0:
            raise RefusedError(Reason.NOT_POSITIVE, f"{self.name} is {value}, not above 0")
        text = self.string(value)
        many = _MANY_DIGITS.fullmatch(text)
        but = f": it has {len(many[1])} {MANY_DIGITS}, of which at most {PRICE_SCALE} are taken" if many else ""
        raise RefusedError(self.reason, f"{self.name} is {text[:80]!r}, not {self.pattern}{but}")

    def take(self, token: str) -> int:
        units = units_in(token)
        return units if units or self.signed else self.parse(token)

    def text(self, value: Any) -> str:
        return f'"{decimal_text(value, PRICE_SCALE)}"'

    def array(self, values: Any) -> pa.Array:
        data = b"".join(value.to_bytes(16, "little", signed=True) for value in values)
        return pa.Array.from_buffers(self.arrow, len(values), [None, pa.py_buffer(data)])

    def unpack(self, column: pa.Array) -> list[int]:
        found: list[int] = units_of(column).tolist()
        return found

    def texts(self, column: pa.Array) -> Any:
        known, inverse = np.unique(units_of(column), return_inverse=True)  # a price stands in many rows
        if len(known) > FEW_DECIMALS:
            return decimal_texts(known).take(pa.array(inverse))
        texts = pa.array([decimal_text(value, PRICE_SCALE) for value in known.tolist()], pa.string())
        return texts.take(pa.array(inverse))

    def within(self, column: Any) -> Any:
        return True if self.signed else units_of(column) > 0
