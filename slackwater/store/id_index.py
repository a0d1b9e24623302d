"""Which ids there are: dense integers by entity, in runs, and all others by key."""

from typing import Any

import numpy as np

from slackwater.store.id_keys import KeyIndex
from slackwater.store.id_runs import IdRuns
from slackwater.streams.entities import Entity


class IdIndex:
    """The ids of runs and files of keys, in the form in which they are looked up."""

    def __init__(self, runs: IdRuns, keys: KeyIndex) -> None:
        self.keys = keys
        self._runs = runs.arrays()

    def runs(self, entity: Entity) -> tuple[Any, Any]:
        """The first and last ids of the runs of an entity's integers, in order."""
        return self._runs.get(entity, (np.zeros(0, np.int64), np.zeros(0, np.int64)))

    def holds(self, entity: Entity | None, ids: Any) -> Any:
        """Which of `ids` are there: of an entity's dense integers, or of all keys where it is None."""
        if entity is None:
            return self.keys.find(ids)[0]
        if entity not in self._runs:
            return np.zeros(len(ids), bool)
        firsts, lasts = self._runs[entity]
        at = np.searchsorted(firsts, ids, side="right") - 1
        return (at >= 0) & (ids <= lasts[at])
