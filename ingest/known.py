"""Which events are known: the exact filter, as one value in memory, without a log and without a clock.

An event is NEW, a DUPLICATE (its id is known with the same content) or a CONFLICT (with another content; the first
wins). It is BEYOND if its instrument is new and as many are known as there may be. Three places know ids; the first two
know contents too:

    generations   what was taken since they were opened: id -> digest            16 bytes an id
    archive       what a version holds: runs of ids; contents are read on demand  small where ids are dense
    the chunk     an id that stands twice in one table

A generation that a version holds whole is dropped, so memory is bounded by what flows between two versions.
"""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pyarrow as pa

from ingest.archived import Contents, RunIndex
from ingest.groups import by_instrument
from slackwater.store.id_runs import IdRuns, Instrument
from slackwater.streams.digests import Digests, content_digests
from slackwater.streams.trades import TRADES
from slackwater.versions.inspector import Inspector
from slackwater.versions.manifest import StoredFile

NEW, DUPLICATE, CONFLICT, BEYOND = 0, 1, 2, 3


class Generation:
    """What was taken in one stretch of time. `reached` maps partition -> the largest offset that was acknowledged."""

    def __init__(self) -> None:
        self.digests: dict[Instrument, Digests] = {}
        self.reached: dict[int, int] = {}
        self.waiting = 0

    def add(self, instrument: Instrument, ids: Any, digests: Any) -> None:
        """Add ids that are not known."""
        self.digests.setdefault(instrument, Digests()).add(ids, digests)

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
        return sum(len(digests) for digests in self.digests.values())


class Known:
    """All ids that are known. `partition_of` gives the partition of an instrument; `inspector` knows whole files.

    `most_instruments` is how many there may be, 0 for any number; those that are known go on, however many they are.
    """

    def __init__(
        self, partition_of: Callable[[Instrument], int], inspector: Inspector, most_instruments: int = 0
    ) -> None:
        self._partition_of = partition_of
        self._inspector = inspector
        self._index = RunIndex(IdRuns())
        self._contents = Contents([], inspector)
        self._most_instruments = most_instruments
        self.instruments: set[Instrument] = set()
        self.generations = [Generation()]

    def __len__(self) -> int:
        """Ids whose digests are held."""
        return sum(len(generation) for generation in self.generations)

    @property
    def generation(self) -> Generation:
        """The one that takes new ids."""
        return self.generations[-1]

    def turn(self) -> None:
        """Open a new generation, unless nothing was taken since the last."""
        if len(self.generation):
            self.generations.append(Generation())

    def archive(self, runs: IdRuns, files: Iterable[tuple[int, StoredFile]]) -> None:
        """Stand on this archive from now on: its ids, and its (partition, file) pairs."""
        self._contents.close()
        self._index, self._contents = RunIndex(runs), Contents(files, self._inspector)
        self.instruments = set(self._index.instruments).union(*(each.digests for each in self.generations))

    def drop(self, covered: Callable[[Generation], bool]) -> None:
        """Forget the generations that the archive covers; the one that takes new ids stays."""
        *older, newest = self.generations
        self.generations = [*(generation for generation in older if not covered(generation)), newest]

    def judge(self, events: pa.Table) -> Any:
        """The verdict on each event, in order; what is NEW is known from now on.

        Raises:
            ArchiveGapError: the archive lacks an id that it names.
            DamagedFileError, OSError: a file of the archive is damaged or gone. Nothing is known that was not before.
        """
        verdicts = np.zeros(events.num_rows, np.int8)
        ids, digests = events.column("trade_id").to_numpy(), content_digests(TRADES, events)
        fresh: list[tuple[Instrument, Any]] = []
        groups = list(by_instrument(events))
        beyond = self._beyond(groups)
        for instrument, rows in groups:
            if instrument in beyond:
                verdicts[rows] = BEYOND
                continue
            verdicts[rows] = self._judge(instrument, ids[rows], digests[rows])
            fresh.append((instrument, rows[verdicts[rows] == NEW]))
        for instrument, rows in fresh:
            if len(rows):
                self._add(instrument, ids[rows], digests[rows])
        return verdicts

    def learn(self, events: pa.Table) -> None:
        """Know the ids of events that the log holds; the first content of an id is the one that counts."""
        ids, digests = events.column("trade_id").to_numpy(), content_digests(TRADES, events)
        for instrument, rows in by_instrument(events):
            found, _ = self._find(instrument, ids[rows])
            rest = rows[~(found | self._index.contains(instrument, ids[rows]))]
            once, first = np.unique(ids[rest], return_index=True)
            if len(once):
                self._add(instrument, once, digests[rest][first])

    def close(self) -> None:
        """Release what the archive holds."""
        self._contents.close()

    def _add(self, instrument: Instrument, ids: Any, digests: Any) -> None:
        self.generation.add(instrument, ids, digests)
        self.instruments.add(instrument)

    def _beyond(self, groups: Iterable[tuple[Instrument, Any]]) -> set[Instrument]:
        """The new instruments for which there is no room: of several, those whose first events come last."""
        if not self._most_instruments:
            return set()
        new = sorted((int(rows[0]), instrument) for instrument, rows in groups if instrument not in self.instruments)
        room = max(0, self._most_instruments - len(self.instruments))
        return {instrument for _, instrument in new[room:]}

    def _judge(self, instrument: Instrument, ids: Any, digests: Any) -> Any:
        found, known = self._find(instrument, ids)
        verdicts = np.where(found, _same_or_not(known == digests), NEW)
        archived = ~found & self._index.contains(instrument, ids)
        if archived.any():
            partition = self._partition_of(instrument)
            same = self._contents.same(partition, instrument, ids[archived], digests[archived])
            verdicts[archived] = _same_or_not(same)
        fresh = np.flatnonzero(~found & ~archived)
        if len(fresh):
            once, first, of = np.unique(ids[fresh], return_index=True, return_inverse=True)
            if len(once) < len(fresh):
                firsts = digests[fresh][first]
                again = np.ones(len(fresh), bool)
                again[first] = False
                verdicts[fresh[again]] = _same_or_not(digests[fresh] == firsts[of])[again]
        return verdicts

    def _find(self, instrument: Instrument, ids: Any) -> tuple[Any, Any]:
        found, known = np.zeros(len(ids), bool), np.zeros(len(ids), np.uint64)
        for generation in self.generations:
            if instrument in generation.digests:
                here, digests = generation.digests[instrument].find(ids)
                known[here & ~found] = digests[here & ~found]
                found |= here
        return found, known


def _same_or_not(same: Any) -> Any:
    return np.where(same, DUPLICATE, CONFLICT)
