"""Reads the values of many lines at once: bytes are compared, and digits added up, as words of eight bytes.

    "61804.8"   ->  6180480000000        each step is one operation over a word of every line, and no text is made

Every reader moves past the value and takes note of the lines that do not fit there; what it gives for those is of no
meaning. Arrays are of a line each. Numbers of more than 18 digits do not fit. The interpreter's lock is not held
meanwhile. Not here: which values follow each other (`slackwater.streams.scan`).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from slackwater.streams.schema import PRICE_SCALE

FARTHEST = 64
"""Bytes behind its begin that a number may be looked at, and be found to end."""

# The first byte of a text is the lowest of its word. Words wrap at 2^64, and a shift by 64 gives 0: NumPy has it so, C
# has not. Constants are words, too, since NumPy makes doubles of words and signed integers.
_N = [np.uint64(n) for n in range(65)]
_TENS = np.array([10**n for n in range(19)], np.uint64)


def _all(byte: int) -> Any:
    return np.uint64(byte * 0x0101010101010101)


_ZEROS, _LOW, _HIGH, _BEYOND, _BYTE = _all(ord("0")), _all(0x7F), _all(0x80), _all(0x80 - 10), np.uint64(0xFF)
_ORDER = np.uint64(0x0001020304050607)  # times 2^8k, it has k in the highest byte
# Each product adds a digit, or a number of two or four, to ten, a hundred or ten thousand times the one before it.
_PAIR, _PAIRS = np.uint64(10 * 2**8 + 1), np.uint64(0x00FF00FF00FF00FF)
_QUAD, _QUADS = np.uint64(100 * 2**16 + 1), np.uint64(0x0000FFFF0000FFFF)
_EIGHT = np.uint64(10_000 * 2**32 + 1)
_POINT = np.uint64(ord("."))
_ONE = np.uint64(10**PRICE_SCALE)


class Cursor:
    """Where each line is read on, `at` in `data`, and which lines `fit` so far."""

    def __init__(self, data: Any, at: Any, fits: Any) -> None:
        self._data = data
        self.at = at
        self.fits = fits

    def literal(self, text: bytes) -> None:
        """A text that all lines have."""
        self._expect(self._words(len(text)), text)
        self.at = self.at + len(text)

    def digits(self, before: bytes) -> Any:
        """A whole number of up to 18 digits without a leading zero, behind a text, as int64."""
        words = [word ^ _ZEROS for word in self._behind(before, 24)]
        value, length = _number(words)
        zero = (words[0] & _BYTE) == 0
        self.fits &= (length > 0) & (length <= 18) & (~zero | (length == 1))
        self.at = self.at + length
        return value.view(np.int64)

    def sixteen(self, before: bytes) -> Any:
        """A whole number of 16 digits without a leading zero, behind a text, as int64."""
        high, low = (word ^ _ZEROS for word in self._behind(before, 16))
        self.fits &= ((_no_digits(high) | _no_digits(low)) == 0) & ((high & _BYTE) != 0)
        self.at = self.at + 16
        return (_eight(high) * _ONE + _eight(low)).view(np.int64)

    def decimal(self, before: bytes, signed: bool) -> Any:
        """A decimal of up to ten digits and eight behind the point, behind a text, in units of 1e-8, as int64."""
        minus: Any = None
        if signed:
            self.literal(before)
            minus, before = (self._words(1)[0] & _BYTE) == ord("-"), b""
            self.at = self.at + minus
        value, length = _number([word ^ _ZEROS for word in self._behind(before, 16)])
        self.fits &= (length > 0) & (length <= 10)
        self.at = self.at + length
        point, more = self._words(9)
        pointed = (point & _BYTE) == _POINT
        behind = ((point >> _N[8]) | (more << _N[56])) ^ _ZEROS
        count = np.where(pointed, _until(_no_digits(behind)), _N[0])
        self.fits &= ~pointed | (count > 0)
        self.at = self.at + (count.view(np.int64) + pointed)
        units = (value * _ONE + _eight(behind & ((_N[1] << (count << _N[3])) - _N[1]))).view(np.int64)
        return units if minus is None else np.where(minus, -units, units)

    def choice(self, before: bytes, texts: Sequence[bytes]) -> Any:
        """Which one of some texts stands there, behind another: its number, as int32. None is another's begin."""
        words = self._behind(before, max(map(len, texts)))
        number, any_of = np.zeros(len(self.at), np.int32), np.zeros(len(self.at), bool)
        for i, text in enumerate(texts):
            here = _begins(words, text)
            number[here] = i
            any_of |= here
        self.fits &= any_of
        self.at = self.at + np.array([len(text) for text in texts])[number]
        return number

    def _behind(self, before: bytes, size: int) -> list[Any]:
        """The words of `size` bytes behind a text, to which the cursor moves."""
        words = self._words(len(before) + size)
        self._expect(words, before)
        self.at = self.at + len(before)
        return _shifted(words, len(before), size)

    def _words(self, size: int) -> list[Any]:
        return words_at(self._data, self.at, size)

    def _expect(self, words: list[Any], text: bytes) -> None:
        if text:
            self.fits &= _begins(words, text)


def words_at(data: Any, at: Any, size: int) -> list[Any]:
    """The words of `size` bytes of `data`, rounded up, from each of some places on."""
    wide = -(-size // 8)
    every = np.ndarray((len(data) - 8 * wide + 1,), f"V{8 * wide}", data, strides=(1,))
    words = every[at].view("<u8").reshape(len(at), wide)
    return [words[:, i] for i in range(wide)]


def _begins(words: list[Any], text: bytes) -> Any:
    found: Any = True
    for i in range(0, len(text), 8):
        piece = text[i : i + 8]
        word = words[i // 8] if len(piece) == 8 else words[i // 8] & np.uint64((1 << 8 * len(piece)) - 1)
        found = (word == np.uint64(int.from_bytes(piece, "little"))) & found
    return found


def _shifted(words: list[Any], skip: int, size: int) -> list[Any]:
    """The words of `size` bytes behind the first `skip`."""
    found, bits = [], skip % 8 * 8
    for i in range(skip // 8, skip // 8 - (-size // 8)):
        word = words[i] >> _N[bits] if bits else words[i]
        found.append(word | (words[i + 1] << _N[64 - bits]) if bits and i + 1 < len(words) else word)
    return found


def _no_digits(word: Any) -> Any:
    """The high bits of the bytes that are above 9."""
    return (((word & _LOW) + _BEYOND) | word) & _HIGH


def _until(flags: Any) -> Any:
    """How many bytes come before the first one whose high bit is set."""
    lowest = (flags & (~flags + _N[1])) >> _N[7]
    return ((lowest * _ORDER) >> _N[56]) + ((flags == 0).astype(np.uint64) << _N[3])


def _eight(word: Any) -> Any:
    """The number whose digits are the bytes of a word, the first one first."""
    word = ((word * _PAIR) >> _N[8]) & _PAIRS
    word = ((word * _QUAD) >> _N[16]) & _QUADS
    return (word * _EIGHT) >> _N[32]


def _number(words: list[Any]) -> tuple[Any, Any]:
    """The number of the digits with which some words begin, if they are 18 at most, and how many digits they are."""
    value, length, goes_on = _N[0], np.zeros(len(words[0]), np.int64), None
    for word in words:
        count = _until(_no_digits(word))
        if goes_on is not None:
            count = np.where(goes_on, count, _N[0])
        value = value * _TENS[count] + _eight(word << (_N[64] - (count << _N[3])))
        length += count.view(np.int64)
        goes_on = count == 8
        if not goes_on.any():
            break
    return value, length
