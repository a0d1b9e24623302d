"""Which events are known: the exact filter, as one value in memory, without a log and without a clock.

An event is NEW, a DUPLICATE (its id is known with the same content) or a CONFLICT (with another content; the first
wins; `slackwater.streams.content` says when two are the same). It is BEYOND if its entity is new and as many are known
as there may be. Three places know ids:

    generations   what was taken since they were opened: id -> content            24 bytes an integer, 32 another id
    archive       what a version holds (`ingest.archived`)                        small where ids are dense, else 1.5
    the chunk     an id that stands twice in one table

A generation that a version holds whole is dropped, so memory is bounded by what flows between two versions.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from ingest.archived import Archived
from ingest.errors import ClaimedError
from slackwater.store.contents import Contents, rising
from slackwater.store.identities import Group, Grouped, group_ids
from slackwater.streams.content import CONTENT, contents_of, same
from slackwater.streams.entities import Entity
from slackwater.streams.stream import Stream
from slackwater.versions.claims import Claim

NEW, DUPLICATE, CONFLICT, TOO_MANY = 0, 1, 2, 3


class Generation:
    """What was taken in one stretch of time. `reached` maps partition -> the largest offset that was acknowledged.

    `contents` holds the integers by entity, and the keys of all entities at None.
    """

    def __init__(self) -> None:
        self.contents: defaultdict[Entity | None, Contents] = defaultdict(Contents)
        self.reached: dict[int, int] = {}
        self.waiting = 0

    def appended(self) -> None:
        """A record of this generation is on its way."""
        self.waiting += 1

    def acknowledged(self, partition: int, offset: int) -> None:
        """A record of this generation got its offset."""
        self.waiting -= 1
        self.reach(partition, offset)

    def reach(self, partition: int, offset: int) -> None:
        """It holds what the log has up to this offset."""
        self.reached[partition] = max(offset, self.reached.get(partition, -1))

    def below(self, cut: dict[int, int]) -> bool:
        """Whether a version with this cut holds all of it."""
        return self.waiting == 0 and all(offset < cut.get(p, 0) for p, offset in self.reached.items())

    def __len__(self) -> int:
        return sum(len(contents) for contents in self.contents.values())


class Known:
    """All ids of a stream that are known.

    `most_entities` is how many there may be, 0 for any number; those that are known go on, however many they are.
    """

    def __init__(self, stream: Stream, archived: Archived, most_entities: int = 0) -> None:
        self._stream = stream
        self._archived = archived
        self._most_entities = most_entities
        self._since: set[Entity] = set()
        self.claims: Sequence[Claim] = ()
        self.generations = [Generation()]
        self.entities: set[Entity] = set(archived.entities)

    def __len__(self) -> int:
        """Ids whose contents are held."""
        return sum(len(generation) for generation in self.generations)

    @property
    def generation(self) -> Generation:
        """The one that takes new ids."""
        return self.generations[-1]

    def turn(self) -> None:
        """Open a new generation, unless nothing was taken since the last."""
        if len(self.generation):
            self.generations.append(Generation())

    def stand_on(self, archived: Archived) -> None:
        """Stand on this archive from now on."""
        self._archived.close()
        self._archived = archived
        self.entities = self._since.union(archived.entities)

    def drop(self, covered: Callable[[Generation], bool]) -> None:
        """Forget the generations that the archive covers; the one that takes new ids stays."""
        *older, newest = self.generations
        self.generations = [*(generation for generation in older if not covered(generation)), newest]

    def forget(self, generation: Generation) -> None:
        """Drop a generation whose ids the archive has from now on."""
        self.generations = [one for one in self.generations if one is not generation] or [Generation()]

    def judge(self, events: pa.Table, grouped: Grouped | None = None) -> Any:
        """The verdict on each event, in order; what is NEW is known from now on. `grouped` are its ids, if at hand.

        Raises:
            ArchiveGapError: the archive lacks an id that it names.
            DamagedFileError, OSError: a file of the archive is damaged or gone. Nothing is known that was not before.
            ClaimedError: an import has one that would be new, and has not published it. Nothing is known, as above.
        """
        verdicts = np.full(events.num_rows, NEW, np.int8)
        contents = contents_of(self._stream, events)
        entities, groups = grouped or group_ids(self._stream, events)
        for rows in self._too_many(entities):
            verdicts[rows] = TOO_MANY
        full = (verdicts == TOO_MANY).any()
        for entity, rows, ids in groups:
            judged = self._judge(entity, ids, contents[rows])
            verdicts[rows] = np.where(verdicts[rows] == TOO_MANY, TOO_MANY, judged) if full else judged
        if self.claims:
            self._refuse_claimed(groups, verdicts)
        for entity, rows, ids in groups:
            new = verdicts[rows] == NEW
            self._add(Group(entity, rows, ids) if new.all() else Group(entity, rows[new], ids[new]), contents)
        self._see(entity for entity, rows in entities if verdicts[rows[0]] != TOO_MANY)
        return verdicts

    def holds(self, count: int, grouped: Grouped) -> Any:
        """Which of `count` events have an id that is known, with whatever content."""
        found = np.zeros(count, bool)
        for entity, rows, ids in grouped.groups:
            found[rows] = self._find(entity, ids)[0] | self._archived.holds(entity, ids)
        return found

    def runs(self, entity: Entity) -> tuple[Any, Any]:
        """The first and last ids of runs of an entity's integer ids, in no order; they may overlap."""
        places = [self._archived.runs(entity)]
        places += [one.contents[entity].runs() for one in self.generations if entity in one.contents]
        firsts, lasts = zip(*places, strict=True)
        return np.concatenate(firsts), np.concatenate(lasts)

    def learn(self, events: pa.Table) -> None:
        """Know the ids of events that the log holds; the first content of an id is the one that counts."""
        contents = contents_of(self._stream, events)
        entities, groups = group_ids(self._stream, events)
        for entity, rows, ids in groups:
            rest = np.flatnonzero(~(self._find(entity, ids)[0] | self._archived.holds(entity, ids)))
            once, first = np.unique(ids[rest], return_index=True)
            self._add(Group(entity, rows[rest][first], once), contents)
        self._see(entity for entity, _ in entities)

    def close(self) -> None:
        """Release what the archive holds."""
        self._archived.close()

    def _add(self, group: Group, contents: Any) -> None:
        if len(group.rows):
            self.generation.contents[group.entity].add(group.ids, contents[group.rows])

    def _see(self, entities: Iterable[Entity]) -> None:
        for entity in entities:
            self._since.add(entity)
            self.entities.add(entity)

    def _too_many(self, entities: Iterable[tuple[Entity, Any]]) -> list[Any]:
        """The rows of new entities for which there is no room: of several, those whose first events come last."""
        if not self._most_entities:
            return []
        new = sorted((int(rows[0]), entity, rows) for entity, rows in entities if entity not in self.entities)
        return [rows for _, _, rows in new[max(0, self._most_entities - len(self.entities)) :]]

    def _judge(self, entity: Entity | None, ids: Any, contents: Any) -> Any:
        found, known = self._find(entity, ids)
        if not found.any() and entity is not None and rising(ids) and not self._archived.holds(entity, ids).any():
            return np.full(len(ids), NEW, np.int8)  # as it is, mostly
        verdicts = np.where(found, _same_or_not(same(known, contents)), NEW)
        rest = np.flatnonzero(~found)
        held, equal = self._archived.compare(entity, ids[rest], contents[rest])
        verdicts[rest[held]] = _same_or_not(equal[held])
        fresh = rest[~held]
        if len(fresh) > 1:
            once, first, of = np.unique(ids[fresh], return_index=True, return_inverse=True)
            if len(once) < len(fresh):
                again = np.ones(len(fresh), bool)
                again[first] = False
                equal = same(contents[fresh], contents[fresh][first][of])
                verdicts[fresh[again]] = _same_or_not(equal)[again]
        return verdicts

    def _refuse_claimed(self, groups: Iterable[Group], verdicts: Any) -> None:
        for entity, rows, ids in groups:
            new = ids[verdicts[rows] == NEW]
            claimed = sum(int(each.holds(entity, new).sum()) for each in self.claims)
            if claimed:
                raise ClaimedError(self._stream.name, claimed)

    def _find(self, entity: Entity | None, ids: Any) -> tuple[Any, Any]:
        found, known = np.zeros(len(ids), bool), np.zeros(len(ids), CONTENT)
        for generation in self.generations:
            if entity in generation.contents:
                here, contents = generation.contents[entity].find(ids)
                known[here & ~found] = contents[here & ~found]
                found |= here
        return found, known


def _same_or_not(same: Any) -> Any:
    return np.where(same, DUPLICATE, CONFLICT)
