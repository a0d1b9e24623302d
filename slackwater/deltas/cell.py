"""A cell: the states of one view over one segment [start, upto) of one partition, and the bytes of a delta.

A delta is a cell in the delta topic, keyed so that compaction keeps what readers need: a sealed cell by its start, the
open one by the word `open`. The value holds start and upto but not whether it is sealed. Both are JSON with integers
as they are (sums have up to 38 digits) and texts, in one canonical form: any worker at any time writes the same bytes.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from sys import intern
from typing import NamedTuple

from slackwater.deltas.errors import CodecError
from slackwater.log.log import Headers
from slackwater.views.kinds import Value
from slackwater.views.rows import Row, rows_from
from slackwater.views.view import View

OPEN = "open"

APPENDED_HEADER = "slackwater-appended"
"""Header of a delta: when the log took the cell's last record, in milliseconds by the log's clock, as decimal digits.

A function of the log, like the cell, and outside its bytes: no answer is made from it, it is for latencies alone."""


class DeltaKey(NamedTuple):
    """Whose cells can join: one view of one definition over one partition of one topic, named by its id."""

    view: str
    definition: str
    topic_id: str
    partition: int


@dataclass(frozen=True, slots=True)
class Cell:
    """States over offsets [start, upto) of a delta key, rows sorted by key and start; it exists even without rows."""

    delta_key: DeltaKey
    start: int
    upto: int
    rows: tuple[Row, ...]


def delta_key_of(view: View, topic_id: str, partition: int) -> DeltaKey:
    """The delta key of `view` over a partition."""
    return DeltaKey(view.name, view.definition, topic_id, partition)


def encode_key(cell: Cell, sealed: bool) -> bytes:
    """The key of a cell's delta."""
    return _dump([*cell.delta_key, cell.start if sealed else OPEN])


def encode_value(cell: Cell) -> bytes:
    """The value of a cell's delta; never empty."""
    rows = [(*key, start, *state) for key, start, state in sorted(cell.rows)]
    return _dump({"start": cell.start, "upto": cell.upto, "rows": rows})


def decode_key(key: bytes | None) -> tuple[DeltaKey, int | None]:
    """The delta key that a delta's key names, and the start of a sealed cell; None for the open one.

    Raises:
        CodecError: the bytes are no delta's key.
    """
    try:
        view, definition, topic_id, partition, place = json.loads(key or b"")
    except (ValueError, TypeError, RecursionError) as error:
        raise CodecError(f"The key {key!r:.80} is no delta's: {error}.") from error
    delta_key = DeltaKey(view, definition, topic_id, partition)
    if [type(part) for part in delta_key] != [str, str, str, int] or (type(place) is not int and place != OPEN):
        raise CodecError(f"The key {key!r:.80} is no delta's.")
    return delta_key, None if place == OPEN else place


def appended_headers(appended_ms: int) -> list[tuple[str, bytes]]:
    """The headers of a delta whose last record the log took at `appended_ms`; none where that is 0, not known."""
    return [(APPENDED_HEADER, str(appended_ms).encode())] if appended_ms > 0 else []


def appended_ms(headers: Headers) -> int | None:
    """When the log took the last record of a delta's cell; None where the headers do not say so."""
    for name, value in headers:
        if name == APPENDED_HEADER and value and value.isdigit() and len(value) < 16:
            return int(value)
    return None


def decode_delta_key(key: bytes | None) -> DeltaKey:
    """The delta key that a delta's key names. Raises CodecError."""
    return decode_key(key)[0]


def decode_cell(delta_key: DeltaKey, value: bytes | None, view: View) -> Cell:
    """The cell of a delta's value, whose delta key is of `view`.

    Raises:
        CodecError: the bytes are no delta's value.
    """
    try:
        found = json.loads(value or b"")
        cell = Cell(delta_key, found["start"], found["upto"], tuple(_rows(found["rows"], view)))
    except (ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
        raise CodecError(f"A value of {delta_key} is no delta's: {error!r}.") from error
    whole = type(cell.start) is int and type(cell.upto) is int and 0 <= cell.start < cell.upto
    if not whole:
        raise CodecError(f"A value of {delta_key} does not fit its view: [{cell.start!r:.80}, {cell.upto!r:.80}).")
    return cell


def _rows(found: list[list[Value]], view: View) -> Iterator[Row]:
    """By columns: an open cell may have hundreds of rows, and comes many times a second."""
    width, types = len(view.key), view.row_types
    if any([*map(type, row)] != types for row in found):
        raise TypeError(f"a row is not of {', '.join(kind.__name__ for kind in types)}")
    if not found:
        return iter(())
    columns: list[Iterable[Value]] = list(zip(*found, strict=True))
    columns[:width] = [
        map(intern, of) if kind is str else of  # type: ignore[arg-type]  # all of them are texts
        for of, kind in zip(columns, types[:width], strict=False)
    ]
    return rows_from(columns, width)


_encode = json.JSONEncoder(separators=(",", ":")).encode


def _dump(value: object) -> bytes:
    return _encode(value).encode()
