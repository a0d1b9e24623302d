"""The directory of a view: entity -> the partitions that hold cells of it, and the entities in order.

Not thread safe: the hot store holds its lock over it, but for `get`, which is one look-up in a dictionary.
"""

from bisect import bisect_left

from serving.store.request import Entity


class Directory(dict[Entity, frozenset[int]]):
    """Grows only, by `put`. `page` sorts in the entities that came since the last one."""

    def __init__(self) -> None:
        super().__init__()
        self._sets: dict[frozenset[int], frozenset[int]] = {}
        self._ordered: list[Entity] = []
        self._fresh: list[Entity] = []

    def put(self, entity: Entity, partition: int) -> bool:
        """Note that a partition holds cells of an entity; whether that is new."""
        known = self.get(entity)
        if known is not None and partition in known:
            return False
        if known is None:
            self._fresh.append(entity)
        found = frozenset((partition, *(known or ())))
        self[entity] = self._sets.setdefault(found, found)  # there are few different ones
        return True

    def page(self, low: Entity, high: Entity | None, most: int) -> dict[Entity, frozenset[int]]:
        """The first `most` entities in [low, high), in order, with their partitions."""
        if self._fresh:
            self._ordered += self._fresh
            self._ordered.sort()  # mostly in order already
            self._fresh.clear()
        first = bisect_left(self._ordered, low)
        last = len(self._ordered) if high is None else bisect_left(self._ordered, high)
        return {entity: self[entity] for entity in self._ordered[first : min(last, first + most)]}
