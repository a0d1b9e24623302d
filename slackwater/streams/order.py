"""Which of two events of an entity comes first: the sequence, and how each venue's is made.

    id       the identity, where that is an integer
    venue    the venue's own, which every line has to hold
    time     microseconds floored at the venue's coarsest unit, x 1024, plus the low ten bits of the identity's CRC-32

Where a line holds a sequence, it is taken as it stands; only at a venue of the rule `time` it must be the derived one,
so that an event has one order whoever delivers it. A sequence that follows from the rest of a line is not written.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal
from zlib import crc32

import numpy as np
import pyarrow as pa

from slackwater.streams.numbers import MAX_ID, as_integer, integers
from slackwater.streams.refusal import Reason, RefusedError

if TYPE_CHECKING:
    from slackwater.streams.stream import Stream

Unit = Literal["us", "ms", "s"]
UNIT_US: dict[str, int] = {"us": 1, "ms": 1_000, "s": 1_000_000}

_SLOTS = 1024


@dataclass(frozen=True)
class Venue:
    """What a stream says of a venue.

    Attributes:
        sequence: how the sequence is made.
        ids: `dense` (a hole is a gap in the data), `sparse` (unique, nothing more) or `none` (the identity is made of
            the content).
        unit: the coarsest unit of its times.
        columns: what only files of it and its like have; no other venue's events are read from a file with one.
    """

    sequence: Literal["id", "venue", "time"] = "id"
    ids: Literal["dense", "sparse", "none"] = "sparse"
    unit: Unit = "us"
    columns: tuple[str, ...] = ()

    @property
    def meaning(self) -> tuple[str, ...]:
        """What of it gives an event another sequence than the ordinary venue does."""
        return {"id": (), "venue": ("venue",), "time": ("time", self.unit)}[self.sequence]


def derived(venue: Venue, identity: str, time: int) -> int | None:
    """The sequence of an event that brings none; None where its venue's rule gives none."""
    if venue.sequence == "id":
        return as_integer(identity)
    if venue.sequence == "venue":
        return None
    number = time // UNIT_US[venue.unit] * UNIT_US[venue.unit] * _SLOTS + crc32(identity.encode()) % _SLOTS
    return number if number <= MAX_ID else None


def sequence_of(stream: "Stream", venue: str, identity: str, time: int, given: int | None) -> int:
    """The sequence of an event, whose line holds `given` or nothing. Raises RefusedError."""
    rule = stream.venue(venue)
    if given is not None and rule.sequence != "time":
        return given
    found = derived(rule, identity, time)
    name = stream.order
    if found is None:
        why = {
            "id": f"{stream.identity} is no integer that could stand for it",
            "venue": f"{venue} has one of its own",
            "time": f"{stream.time} {time} is too large to make one of",
        }
        raise RefusedError(Reason.MISSING_FIELD, f"{name} is missing, and {why[rule.sequence]}")
    if given is not None and given != found:
        fact = f"{name} is {given}, not {found}: {venue} is ordered by {stream.time}, so leave it out"
        raise RefusedError(f"bad-{name}", fact)
    return found


def sequences(stream: "Stream", venues: Any, identities: Any, times: Any) -> tuple[Any, Any]:
    """`derived` for a table's columns: int64, and for which events there is one; True if for all.

    `venues` is a string array or one with a dictionary; `identities` is a string array, or an int64 array where all
    are integers.
    """
    kinds = {stream.venue(venue).sequence for venue in venues.unique().to_pylist()}
    there: Any
    if pa.types.is_int64(identities.type):
        values, there = identities.to_numpy(), True
    else:
        values, whole = integers(identities)
        there = True if whole.all() else whole
    if kinds <= {"id"}:
        return values, there
    known = venues.dictionary_encode()
    of = known.indices.to_numpy()
    values, there = values.copy(), np.ones(len(values), bool) & there
    for code, name in enumerate(known.dictionary.to_pylist()):
        rows = np.flatnonzero(of == code)
        rule = stream.venue(name)  # of a text that no event has, too: a dictionary may hold some
        if rule.sequence == "venue":
            there[rows] = False
        elif rule.sequence == "time":
            unit = UNIT_US[rule.unit]
            floored = times[rows] // unit * unit
            texts = identities.take(pa.array(rows)).cast(pa.string()).cast(pa.binary()).to_pylist()
            slots = np.fromiter((crc32(text) % _SLOTS for text in texts), np.int64, len(texts))
            values[rows] = floored * _SLOTS + slots
            there[rows] = floored <= MAX_ID // _SLOTS
    return values, there
