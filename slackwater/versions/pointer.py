"""The pointer's file: which version is served. Any changed byte and any missing one shows.

    {"version": 2, "sha256": "of version 2's manifest", "move": 0, "check": "of the three before"}

The check tells a damaged pointer from a damaged manifest: a digit that flipped would name another version. Not here:
how the pointer moves (`slackwater.versions.store`).
"""

import hashlib
import json
from typing import NamedTuple


class Pointer(NamedTuple):
    """What is served: the version, and the SHA-256 of its manifest's file. Version 0 is empty and has none.

    `move` is the number of the last rollback that took place (`slackwater.versions.moves`), 0 before the first.
    """

    version: int
    sha256: str
    move: int = 0


NOTHING = Pointer(0, "")


def encode_pointer(pointer: Pointer) -> bytes:
    """The pointer's file."""
    check = hashlib.sha256(f"{pointer.version} {pointer.sha256} {pointer.move}".encode()).hexdigest()[:16]
    return json.dumps({**pointer._asdict(), "check": check}).encode() + b"\n"


def decode_pointer(data: bytes) -> Pointer:
    """The pointer of a file's bytes.

    Raises:
        ValueError: these are not, to the byte, what `encode_pointer` writes.
    """
    try:
        found = json.loads(data)
        pointer = Pointer(found["version"], found["sha256"], found["move"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError("no pointer") from error
    whole = {type(pointer.version), type(pointer.move)} == {int} and isinstance(pointer.sha256, str)
    if not whole or encode_pointer(pointer) != data:
        raise ValueError("changed")
    if pointer.move < 0 or (pointer.version < 1 and pointer != NOTHING):
        raise ValueError("outside")
    return pointer
