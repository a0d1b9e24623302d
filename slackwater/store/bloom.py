"""A Bloom filter of 128-bit keys, in numpy: 12 bits a key, and about three of a thousand strange keys pass.

By hand, since the libraries (pyfusefilter, rbloom) take one Python object at a time: a chunk of 8,192 keys costs
them milliseconds for each file, and a file of ten million keys a gigabyte of Python integers while they are built. The
keys here are hashes already, so two halves of one give all its bits.
"""

from typing import Any

import numpy as np

BITS = 12
PROBES = 6
_LEAST = 64


def bloom_bytes(keys: int) -> int:
    """The size of a filter with room for so many keys."""
    return -(-max(keys * BITS, _LEAST) // 8)


class Bloom:
    """Over `bits`, an array of `bloom_bytes`. A key is 16 bytes (an array of dtype S16)."""

    def __init__(self, bits: Any) -> None:
        self.bits = bits

    def add(self, keys: Any) -> None:
        """Add keys."""
        for at in self._places(keys):
            np.bitwise_or.at(self.bits, (at >> np.uint64(3)).astype(np.intp), _mask(at))

    def maybe(self, keys: Any) -> Any:
        """Which keys may be there; the others are not, for certain."""
        found = np.ones(len(keys), bool)
        for at in self._places(keys):
            found &= (self.bits[(at >> np.uint64(3)).astype(np.intp)] & _mask(at)) != 0
        return found

    def _places(self, keys: Any) -> Any:
        low, high = np.ascontiguousarray(keys).view("<u8").reshape(-1, 2).T
        step = high | np.uint64(1)
        return ((low + np.uint64(i) * step) % np.uint64(8 * len(self.bits)) for i in range(PROBES))


def _mask(at: Any) -> Any:
    return np.left_shift(np.uint8(1), (at & np.uint64(7)).astype(np.uint8))
