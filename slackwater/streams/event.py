"""One event from one line of bytes: the strict decoder, which says what is valid; and the canonical encoder.

Every refusal has a reason of its own and an error text that carries the fact. `slackwater.streams.decode` has the fast
path; it accepts nothing that this file refuses, with equal values, and a property test holds it to that. Not here: what
a value may be (`slackwater.streams.columns`).
"""

from typing import Any

from slackwater.streams.json_object import fields_of, plain_fields
from slackwater.streams.order import derived, sequence_of
from slackwater.streams.refusal import Reason, RefusedError
from slackwater.streams.schema import MAX_LINES
from slackwater.streams.stream import TIME_UNIT, Sequence, Stream

AHEAD_US = 60_000_000
"""How far the time of an event may be ahead of the log's append time."""


def decode_event(stream: Stream, line: bytes, latest_us: int) -> Any:
    """The event of one line, a `stream.event`. `latest_us` is the newest event time allowed, in microseconds.

    Raises:
        RefusedError: the line is no valid event.
    """
    fields = plain_fields(line)
    if fields is not None:
        try:
            return _event(stream, fields, latest_us)
        except RefusedError:
            pass  # the fields below say why
    return _event(stream, fields_of(line), latest_us)


def _event(stream: Stream, fields: dict[str, Any], latest_us: int) -> Any:
    fields = {**stream.absent, **fields}
    try:
        values = [parse(fields[name]) for name, parse in stream.parsers]
    except KeyError as error:
        raise RefusedError(Reason.MISSING_FIELD, f"{error.args[0]} is missing") from None
    return stream.event._make(whole_values(stream, values, latest_us))


def whole_values(stream: Stream, values: list[Any], latest_us: int) -> list[Any]:
    """The values of an event, each of which its column takes, with its sequence. Raises RefusedError."""
    venue, identity, time, order = stream.places
    if values[time] > latest_us:
        fact = f"{stream.time} is {values[time]} us, more than one minute after it was appended"
        raise RefusedError(Reason.TOO_LATE, fact)
    if stream.sequenced:
        values[order] = sequence_of(stream, values[venue], values[identity], values[time], values[order])
    for check, left, right in stream.factors:
        if not check.holds(values[left], values[right]):
            raise RefusedError(check.reason, check.error)
    return values


def encode_event(stream: Stream, event: Any) -> bytes:
    """The canonical line of an event: what ingest writes and what the fast path of `slackwater.streams.decode` reads.

    A sequence that follows from the rest, and microseconds as the unit, are left out.
    """
    parts = []
    for column, value in zip(stream.wire, event, strict=True):
        if column is TIME_UNIT and value == "us":
            continue
        if isinstance(column, Sequence) and value == _derived(stream, event):
            continue
        parts.append(f'"{column.name}":{column.text(value)}')
    return f"{{{','.join(parts)}}}".encode()


def count_lines(value: bytes | None) -> int:
    """The number of lines of a record's value.

    Raises:
        RefusedError: the record is refused as a whole.
    """
    if not value:
        raise RefusedError(Reason.EMPTY_VALUE, "the record has no value and is no mark")
    lines = value.count(b"\n") + 1
    if lines > MAX_LINES:
        raise RefusedError(Reason.TOO_MANY_LINES, f"the record has {lines} lines, at most {MAX_LINES} are allowed")
    return lines


def _derived(stream: Stream, event: Any) -> int | None:
    venue = stream.venue(getattr(event, stream.entity[0]))
    return derived(venue, getattr(event, stream.identity), getattr(event, stream.time))
