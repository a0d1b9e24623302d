"""The key columns after the entity: columns of the event, and the kinds of derived ones."""

from collections.abc import Callable, Mapping
from typing import Any

from verify.definition import Part
from verify.errors import NotProvenError
from verify.expressions import parse
from verify.values import Event


def key_of(name: str, part: Part | None, columns: Mapping[str, int | None]) -> Callable[[Event], Any]:
    """What gives the value of a key column; `part` is its declaration, None for a column of the event.

    Raises:
        NotProvenError: its kind or its expression is not known here.
    """
    if part is None and columns.get(name, -1) in {None, 0}:
        return lambda event: event[name]
    if part is None or part.kind != "Bucket":
        kind = "column of the event that is a text or an integer" if part is None else part.kind
        raise NotProvenError(f"The oracle knows no key column {name!r} that is a {kind}.")
    found, digits = parse(part.args["expr"], columns), part.args["digits"]
    if found.scale is None or found.scale < 0:
        raise NotProvenError(f"The bucket {name!r} is of {part.args['expr']!r}, which is no number.")
    return lambda event: bucket(found.value(event), digits)


def bucket(units: int, digits: int) -> int:
    """The decimal bucket of a number: itself up to `digits` digits, beyond them its length and its first digits."""
    text = str(abs(units))
    found = int(text) if len(text) <= digits else int(f"{len(text) - digits}{text[:digits]}")
    return -found if units < 0 else found


def bounds(found: int, digits: int) -> tuple[int, int]:
    """[low, high) in units: the numbers in a bucket."""
    text = str(abs(found))
    low = high = int(text[-digits:])
    zeros = int(text[:-digits] or "0")
    low, high = low * 10**zeros, (high + 1) * 10**zeros
    return (1 - high, 1 - low) if found < 0 else (low, high)
