"""Which ids of an entity are missing, by what a writer knows: holes of dense ids are gaps in the data."""

from typing import NamedTuple

from ingest.known import Known
from slackwater.store.gaps import merged
from slackwater.streams.entities import Entity

MOST_HOLES = 10_000
"""The newest holes of an entity that are listed."""


class Holes(NamedTuple):
    """The first and the last known id, how many are missing between them, and the newest holes, both ends in them."""

    first: int
    last: int
    missing: int
    holes: list[tuple[int, int]]


def holes_of_venue(known: Known, venue: str, most: int = MOST_HOLES) -> dict[Entity, Holes]:
    """Of every entity of a venue that has integer ids."""
    found = {entity: holes_of(known, entity, most) for entity in sorted(known.entities) if entity[0] == venue}
    return {entity: holes for entity, holes in found.items() if holes is not None}


def holes_of(known: Known, entity: Entity, most: int = MOST_HOLES) -> Holes | None:
    """The holes among the integer ids of an entity; None where it has none."""
    firsts, lasts = known.runs(entity)
    if not len(firsts):
        return None
    firsts, lasts = merged(firsts, lasts)
    begins, ends = lasts[:-1] + 1, firsts[1:] - 1
    newest = list(zip(begins[-most:].tolist(), ends[-most:].tolist(), strict=True)) if most else []
    return Holes(int(firsts[0]), int(lasts[-1]), int((ends - begins + 1).sum()), newest)
