"""The pointer's file: which version is served. Any changed byte and any missing one shows.

    {"record": {"version": 2, "sha256": "of version 2's manifest", "move": 0}, "sha256": "of the record"}

Its own SHA-256 tells a damaged pointer from a damaged manifest: a digit that flipped would name another version. Not
here: how the pointer moves (`slackwater.versions.store`).
"""

from pathlib import Path
from typing import NamedTuple

from slackwater.versions.errors import RecordError
from slackwater.versions.record import decode_record, encode_record


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
    return encode_record(pointer._asdict())


def decode_pointer(data: bytes) -> Pointer:
    """The pointer of a file's bytes.

    Raises:
        ValueError: these are not, to the byte, what `encode_pointer` writes.
    """
    try:
        pointer = Pointer(**decode_record(data, Path("current")))
    except (RecordError, TypeError) as error:
        raise ValueError("no pointer") from error
    if {type(pointer.version), type(pointer.move)} != {int} or not isinstance(pointer.sha256, str):
        raise ValueError("no pointer")
    if pointer.move < 0 or (pointer.version < 1 and pointer != NOTHING):
        raise ValueError("outside")
    return pointer
