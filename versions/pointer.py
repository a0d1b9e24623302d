"""The pointer's file: which version is served. Any changed byte and any missing one shows.

    {"version": 2, "sha256": "of version 2's manifest", "check": "of the two before"}

The check tells a damaged pointer from a damaged manifest: a digit that flipped would name another version. Not here:
how the pointer moves (`versions.store`).
"""

import hashlib
import json
from typing import NamedTuple


class Pointer(NamedTuple):
    """What is served: the version, and the SHA-256 of its manifest's file. Version 0 is empty and has none."""

    version: int
    sha256: str


NOTHING = Pointer(0, "")


def encode_pointer(pointer: Pointer) -> bytes:
    """The pointer's file."""
    check = hashlib.sha256(f"{pointer.version} {pointer.sha256}".encode()).hexdigest()[:16]
    return json.dumps({"version": pointer.version, "sha256": pointer.sha256, "check": check}).encode() + b"\n"


def decode_pointer(data: bytes) -> Pointer:
    """The pointer of a file's bytes.

    Raises:
        ValueError: these are not, to the byte, what `encode_pointer` writes.
    """
    try:
        found = json.loads(data)
        pointer = Pointer(found["version"], found["sha256"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError("no pointer") from error
    if type(pointer.version) is not int or not isinstance(pointer.sha256, str) or encode_pointer(pointer) != data:
        raise ValueError("changed")
    if pointer.version < 1 and pointer != NOTHING:
        raise ValueError("outside")
    return pointer
