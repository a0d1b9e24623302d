"""Decimals and integers as text, as Python's integers and as Arrow arrays; all exact."""

import re
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from slackwater.streams.schema import PRICE_SCALE

MAX_ID = 2**63 - 1
DECIMAL = r"[0-9]{1,10}(?:\.[0-9]{1,8})?"
"""The canonical text of a decimal without a sign."""

_UNSIGNED = re.compile(DECIMAL).fullmatch
_SIGNED = re.compile(f"-?{DECIMAL}").fullmatch


def decimal_units(text: str, signed: bool = False) -> int | None:
    """A decimal in units of 1e-8; None if the text is not in the contract's form."""
    if not (_SIGNED if signed else _UNSIGNED)(text):
        return None
    return units_in(text)


def units_in(text: str) -> int:
    """A decimal in the contract's form in units of 1e-8."""
    whole, _, fraction = text.partition(".")
    return int(whole + fraction.ljust(PRICE_SCALE, "0"))


def units_of(column: Any) -> Any:
    """A DECIMAL(18,8) array without nulls as int64 units of 1e-8: the low halves of its 128-bit integers."""
    words = np.frombuffer(column.buffers()[1], np.int64, 2 * len(column), 16 * column.offset)
    return words[::2]


def decimals_of(units: Any) -> pa.Array:
    """Units of 1e-8 as a DECIMAL(18,8) array."""
    words = np.empty((len(units), 2), np.int64)
    words[:, 0], words[:, 1] = units, units >> 63
    return pa.Array.from_buffers(pa.decimal128(18, PRICE_SCALE), len(units), [None, pa.py_buffer(words)])


def decimal_texts(units: Any) -> Any:
    """The canonical text of each decimal, as `slackwater.core.decimals.decimal_text` has it, of units in an array."""
    one = 10**PRICE_SCALE
    whole, part = np.divmod(np.abs(units), one)
    # 1.5 is 1 and 150000000: its first digit becomes the point, and what ends in zeros, the point too, goes.
    fraction = pc.ascii_rtrim(pc.binary_replace_slice(pa.array(part + one).cast(pa.string()), 0, 1, "."), "0.")
    sign = pc.if_else(pa.array(units < 0), "-", "") if units.min(initial=0) < 0 else ""
    return pc.binary_join_element_wise(sign, pa.array(whole).cast(pa.string()), fraction, "")


def as_integer(identity: str) -> int | None:
    """The integer that an identity stands for; None where it is text."""
    if not (identity.isdecimal() and identity.isascii()) or len(identity) > 19 or (identity[0] == "0" != identity):
        return None
    number = int(identity)
    return number if number <= MAX_ID else None


def integers(identities: pa.Array) -> tuple[Any, Any]:
    """Identities as int64, and which of them are integers (the others are 0). They may be an int64 array already."""
    if pa.types.is_int64(identities.type):
        return identities.to_numpy(), np.ones(len(identities), bool)
    try:
        numbers = identities.cast(pa.int64())
    except pa.ArrowInvalid:
        return _some_integers(identities)
    values = numbers.to_numpy(zero_copy_only=False)
    whole = _canonical(identities, values)
    return (values if whole.all() else np.where(whole, values, 0)), whole


def _canonical(texts: pa.Array, values: Any) -> Any:
    """Which texts are the canonical ones of the integers that they were cast to: as long as these, and no zero first.

    A cast takes a sign, leading zeros, and `0x1f`, too.
    """
    if not len(texts):
        return np.zeros(0, bool)
    _, offsets, data = texts.buffers()
    ends = np.frombuffer(offsets, np.int32, len(texts) + 1, 4 * texts.offset)
    sizes = np.diff(ends)
    first = np.frombuffer(data, np.uint8)[ends[:-1]]
    lowest = _LOWEST[np.minimum(sizes, len(_LOWEST) - 1)]
    return (values >= lowest) & ((first != ord("0")) | (sizes == 1)) & (sizes < len(_LOWEST))


_LOWEST = np.array([0, 0, *(10**digits for digits in range(1, 19))], np.int64)
"""The lowest integer of so many digits."""


def _some_integers(identities: pa.Array) -> tuple[Any, Any]:
    maybe = pc.match_substring_regex(identities, r"\A(?:0|[1-9][0-9]{0,18})\z").to_numpy(zero_copy_only=False)
    found = [as_integer(text) for text in identities.filter(pa.array(maybe)).to_pylist()]
    whole, values = maybe.copy(), np.zeros(len(identities), np.int64)
    whole[maybe] = [number is not None for number in found]
    values[maybe] = [number or 0 for number in found]
    return values, whole
