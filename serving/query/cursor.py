"""The cursor: what a next page stands on, as an opaque token.

    base64url of {"version": 3, "pin": "...", "ends": {"0": 812}, "after": [...], ...}

It pins a version and the chain's ends, so that all pages of one question are one answer. It is not signed: a made-up
one names ends that nobody remembers, and is answered with 410.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from slackwater.http.problems import ProblemError, refusal

_MOST = 2**63


@dataclass(frozen=True)
class Cursor:
    """A position in one answer. `pin` names the snapshot, `ends` the chain's end per partition.

    `complete` is what the first page said, so that all pages say the same.

    `after` is the place of the last item given: integers and texts, in the order of the answer.
    """

    version: int
    pin: str
    ends: dict[int, int]
    complete: bool
    after: tuple[int | str, ...]

    def encode(self, fingerprint: str) -> str:
        """The token, bound to one question."""
        ends = {str(partition): end for partition, end in sorted(self.ends.items())}
        facts = {
            "version": self.version,
            "pin": self.pin,
            "ends": ends,
            "whole": self.complete,
            "after": self.after,
            "query": fingerprint,
        }
        return base64.urlsafe_b64encode(orjson.dumps(facts)).rstrip(b"=").decode()


def decode_cursor(text: str, questions: Mapping[str, tuple[type, ...]]) -> Cursor:
    """The cursor of a token, which must be of one of the questions: fingerprint -> the types of `after`.

    Raises:
        ProblemError: 422; it is none, or belongs to another question.
    """
    try:
        found = orjson.loads(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
        shape = questions.get(found["query"])
        if shape is None:
            raise _refused("belongs to another question; keep every other parameter as it was")
        ends = {int(partition): _offset(end) for partition, end in found["ends"].items()}
        cursor = Cursor(
            _offset(found["version"]), _text(found["pin"]), ends, found["whole"] is True, tuple(found["after"])
        )
    except (binascii.Error, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _refused("is no cursor of this service") from error
    if tuple(map(type, cursor.after)) != shape or not all(map(_fits, cursor.after)):
        raise _refused("is no cursor of this service")
    return cursor


def _offset(value: Any) -> int:
    if type(value) is not int or not 0 <= value < _MOST:
        raise ValueError("no offset")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("no text")
    return value


def _fits(part: int | str) -> bool:
    return isinstance(part, str) or -_MOST <= part < _MOST


def _refused(detail: str) -> ProblemError:
    return refusal({"cursor": detail})
