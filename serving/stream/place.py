"""The place of a stream: what a client has, as the id of an event. An opaque token.

    base64url of ["7-0f3c...", {"0": 812, "1": 377}] . fingerprint of the question

It names the snapshot and what is applied of every partition. It is not signed: one that was made up names a place that
this server does not know, and is answered with a fresh snapshot, as is every place that is too far away.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from typing import NamedTuple

import orjson

TOKEN = re.compile(r"[A-Za-z0-9_-]{1,4000}\.[0-9a-f]{18}")

NOWHERE = "W10"
"""The place of a client that has nothing yet, or only a part; base64url of an empty list."""


class Place(NamedTuple):
    """The snapshot's key, and partition -> the offset below which everything is applied."""

    key: str
    applied: Mapping[int, int]

    def encode(self) -> str:
        """The token, without the question."""
        applied = {str(partition): at for partition, at in sorted(self.applied.items())}
        return base64.urlsafe_b64encode(orjson.dumps([self.key, applied])).rstrip(b"=").decode()


def decode_place(token: str, fingerprint: str) -> Place | None:
    """The place of an id; None where it is none, or of another question."""
    text, _, question = token.rpartition(".")
    if question != fingerprint:
        return None
    try:
        key, applied = orjson.loads(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
        place = Place(key, {int(partition): at for partition, at in applied.items()})
    except (binascii.Error, ValueError, TypeError, AttributeError):
        return None
    fits = isinstance(key, str) and all(type(at) is int for at in place.applied.values())
    return place if fits else None
