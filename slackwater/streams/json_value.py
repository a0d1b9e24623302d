"""Any value of JSON from a line of bytes, as strictly as `slackwater.streams.json_object`; what is at a path in it.

Numbers stay the texts that they are written as (`Number`), so that 6e-05 and 1.50 mean what they say.
"""

import json
from typing import Any

from slackwater.streams.json_object import NoInteger, decoded, duplicate_key, refuse_constant


class Number(NoInteger):
    """The text of a number."""

    __slots__ = ()


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise duplicate_key(pairs)
    return found


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_float=Number, parse_int=Number, parse_constant=refuse_constant
)


def value_of(line: bytes) -> Any:
    """The value that the line is. Raises RefusedError if it is none, or if an object in it has a key twice."""
    return decoded(line, _DECODER)


def at(value: Any, path: tuple[str, ...]) -> Any:
    """What is there by keys of objects and positions in arrays, from 0; None if nothing is, or null."""
    for part in path:
        if type(value) is dict:
            value = value.get(part)
        elif type(value) is list and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        else:
            return None
    return value


def paths_of(value: Any, before: str = "") -> list[str]:
    """The paths of all that is in a value, but for what is in arrays that are themselves in something."""
    if type(value) is dict:
        parts = list(value.items())
    elif type(value) is list and not before:
        parts = [(str(i), each) for i, each in enumerate(value)]
    else:
        return [before.removesuffix(".")]
    return [path for name, each in parts for path in paths_of(each, f"{before}{name}.")]
