"""Exact ratios: of two integers, and of whole Arrow columns, a million a second and more.

    over    units of 1e-16, 128 bits          quotient = over / (under / 1e8), units of 1e-8, half-even
    under   units of 1e-16, a multiple of 1e8

Where both fit, an estimate in floating point is made exact by integers: the estimate is at most one off, so the
remainder is small, and a small number is known whole by its lowest 64 bits. The few rows that do not fit (negative
sums, a divisor of 2^61 or more, a quotient of 2^50 or more) are divided one by one.

    divisor      under / 2^8 * (the inverse of 5^8 modulo 2^64), checked by multiplying back
    estimate     float(over) / float(divisor)
    remainder    over - estimate * divisor, modulo 2^64, as a signed number
"""

import numpy as np
import pyarrow as pa

from slackwater.views.errors import ViewError
from slackwater.views.kinds import PRICE, RATIO, SUM, decimal_integers, nullable_array

_PRICE_UNIT = 10 ** (SUM.scale - PRICE.scale)  # of a sum's units in one unit of a price
_UNIT = np.uint64(10**8)
_INVERSE = np.uint64(pow(5**8, -1, 2**64))
_LOW_HALF = np.uint64(2**32 - 1)
_HALF_BITS = np.uint64(32)
_MOST_DIVISOR = np.uint64(2**61)
_MOST_QUOTIENT = 2.0**50


def ratio_units(over: int, under: int) -> int:
    """`over / under`, both in units of 1e-16, as units of 1e-8, half-even.

    `under` is a multiple of 1e-8, so in that unit the quotient of the integers has the unit 1e-16 / 1e-8 = 1e-8.
    """
    divisor, odd = divmod(under, _PRICE_UNIT)
    if odd or divisor == 0:
        raise ViewError(f"{under} in units of 1e-{SUM.scale} is no divisor: it must be a multiple of 1e-8 and not 0.")
    quotient, rest = divmod(abs(over), abs(divisor))
    twice = 2 * rest
    quotient += twice > abs(divisor) or (twice == abs(divisor) and quotient % 2 == 1)
    signed: int = quotient if (over < 0) == (divisor < 0) else -quotient
    return signed


def ratios(over: pa.Array, under: pa.Array) -> pa.Array:
    """`over / under`, both DECIMAL(38,16) without nulls, as DECIMAL(38,8); null where the divisor is 0.

    Raises:
        ViewError: a divisor is no multiple of 1e-8.
    """
    quotient, fits = _fitting(*_words(over), *_words(under))
    if fits.all():
        return _decimals(quotient)
    rest = np.flatnonzero(~fits)
    found = quotient.tolist()
    pairs = zip(decimal_integers(over.take(pa.array(rest))), decimal_integers(under.take(pa.array(rest))), strict=True)
    for at, (a, b) in zip(rest.tolist(), pairs, strict=True):
        found[at] = ratio_units(a, b) if b else None
    return nullable_array(found, RATIO.arrow)


def _fitting(
    over_low: np.ndarray, over_high: np.ndarray, under_low: np.ndarray, under_high: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The quotients, and where they are right."""
    # Modulo 2^64; whatever is cut off is found by multiplying back.
    divisor = ((under_low >> np.uint64(8)) | (under_high.view(np.uint64) << np.uint64(56))) * _INVERSE
    product_high = ((divisor >> _HALF_BITS) * _UNIT + (((divisor & _LOW_HALF) * _UNIT) >> _HALF_BITS)) >> _HALF_BITS
    fits = (divisor != 0) & (divisor < _MOST_DIVISOR)
    fits &= (divisor * _UNIT == under_low) & (product_high.view(np.int64) == under_high) & (over_high >= 0)
    whole = np.where(fits, divisor, np.uint64(1))
    estimate = (over_high.astype(np.float64) * 2.0**64 + over_low.astype(np.float64)) / whole.astype(np.float64)
    fits &= estimate < _MOST_QUOTIENT
    quotient = np.where(fits, estimate, 0.0).astype(np.int64)
    divisors = whole.view(np.int64)
    rest = (over_low - quotient.view(np.uint64) * whole).view(np.int64)
    for _ in range(2):  # one off, and once more for what rounding the two floats may add
        step = (rest >= divisors).astype(np.int64) - (rest < 0)
        quotient += step
        rest -= step * divisors
    twice = rest << 1
    quotient += (twice > divisors) | ((twice == divisors) & (quotient & 1 == 1))
    return quotient, fits


def _words(column: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """The low 64 bits, unsigned, and the high 64 bits, signed."""
    words = np.frombuffer(column.buffers()[1], np.uint64, 2 * len(column), 16 * column.offset)
    return words[0::2].copy(), words[1::2].copy().view(np.int64)


def _decimals(units: np.ndarray) -> pa.Array:
    """Integers that are not negative as DECIMAL(38,8)."""
    words = np.zeros((len(units), 2), np.int64)
    words[:, 0] = units
    return pa.Array.from_buffers(RATIO.arrow, len(units), [None, pa.py_buffer(words)])
