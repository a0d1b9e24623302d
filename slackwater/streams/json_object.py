"""One JSON object from one line of bytes, strictly: no duplicate key, no NaN, nothing before or behind it.

Numbers that are no integers of a sensible length stay text (`NoInteger`), so that no float is ever made of one.
"""

import json
import re
from collections import Counter
from typing import Any

import orjson

from slackwater.streams.refusal import Reason, RefusedError

MAX_DEPTH = 200  # far below any interpreter's recursion limit, so that depth is judged alike everywhere

# A torn string runs to the end and no step goes back: otherwise a line of `\"` would take time with its length squared.
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)', re.DOTALL)


class _Object(list[tuple[str, Any]]):
    """The pairs of one JSON object, duplicates kept."""


class NoInteger(str):
    """A number that is no integer of a sensible length, kept as its text."""

    __slots__ = ()


def refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_Object,
    parse_float=NoInteger,
    parse_int=lambda text: int(text) if len(text) <= 20 else NoInteger(text),
    parse_constant=refuse_constant,
)


def plain_fields(line: bytes) -> dict[str, Any] | None:
    """What `fields_of` gives for a short object without escapes, several times as fast; None for any other line.

    Numbers that are no integers are floats here, so these fields tell what is valid and not why something is not.
    orjson takes the last of duplicate keys: then the line has more quotes than what it found, as nested texts have.
    """
    # So short a line cannot nest too deep. What stands before or behind an object is for `fields_of` to refuse.
    if len(line) > 2 * MAX_DEPTH or not line.startswith(b"{") or not line.endswith(b"}") or b"\\" in line:
        return None
    try:
        found: dict[str, Any] = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    texts = [*map(type, found.values())].count(str)
    return found if line.count(b'"') == 2 * (len(found) + texts) else None


def fields_of(line: bytes) -> dict[str, Any]:
    """The fields of the object that the line is.

    Raises:
        RefusedError: it is none.
    """
    found = decoded(line, _DECODER)
    if not isinstance(found, _Object):
        raise RefusedError(Reason.NOT_AN_OBJECT, f"the line is {shown(found)}, no JSON object")
    fields = dict(found)
    if len(fields) != len(found):
        raise duplicate_key(found)
    return fields


def duplicate_key(pairs: list[tuple[str, Any]]) -> RefusedError:
    """The error of an object with the same key more than once."""
    counts = Counter(name for name, _ in pairs)
    twice = sorted(name[:80] for name, count in counts.items() if count > 1)
    return RefusedError(Reason.DUPLICATE_KEY, f"duplicate key {', '.join(map(repr, twice[:3]))}")


def decoded(line: bytes, decoder: json.JSONDecoder) -> Any:
    """The value that the line is. Raises RefusedError if it is not one value of JSON."""
    if not line.strip(b" \t\r"):
        raise RefusedError(Reason.EMPTY_LINE, "the line is empty")
    if line.startswith(b"\xef\xbb\xbf"):
        raise RefusedError(Reason.BYTE_ORDER_MARK, "the line starts with a byte-order mark")
    if line.count(b"{") + line.count(b"[") > MAX_DEPTH and _depth(line) > MAX_DEPTH:
        raise RefusedError(Reason.TOO_DEEP, f"the line nests deeper than {MAX_DEPTH}")
    try:
        text = line.decode("utf-8").strip(" \t\r")
    except UnicodeDecodeError as error:
        raise RefusedError(Reason.NOT_UTF8, str(error)) from error
    try:
        found, end = decoder.raw_decode(text)
    except ValueError as error:
        raise RefusedError(Reason.NOT_JSON, str(error)) from error
    if end != len(text):
        after = Reason.TWO_OBJECTS if text[end:].lstrip(" \t\r").startswith("{") else Reason.NOT_JSON
        raise RefusedError(after, f"there is more after the value, at character {end}")
    return found


def shown(value: Any) -> str:
    """A value of JSON, for an error's text."""
    if isinstance(value, NoInteger):
        return f"the number {value[:80]}"
    if isinstance(value, _Object | dict):
        return "an object"
    return json.dumps(value)[:80]


def _depth(line: bytes) -> int:
    deepest = depth = 0
    for byte in _STRING.sub(b"", line):
        if byte in b"{[":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"}]":
            depth -= 1
    return deepest
