"""The C library's heap, told to give memory back: for a process that makes many blocks of many sizes and lives long.

By its own rules glibc takes blocks of up to 32 MB from a heap of each thread once such a block was freed, and a heap
shrinks only from its end: one small block that lives holds the rest. Here blocks from 128 KiB on are mapped alone and
unmapped when they are freed, and threads share few heaps. Other C libraries are left as they are.
"""

import ctypes

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8  # malloc.h
_MAPPED_FROM = 128 * 1024
_HEAPS = 2


def give_back() -> bool:
    """Set it, for this process from now on; false where the C library has no `mallopt`, or refuses."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    options = ((_MMAP_THRESHOLD, _MAPPED_FROM), (_TRIM_THRESHOLD, _MAPPED_FROM), (_ARENA_MAX, _HEAPS))
    return all(mallopt(ctypes.c_int(option), ctypes.c_int(value)) for option, value in options)
