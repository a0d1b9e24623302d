"""The directory of a view: the partitions that hold cells of each entity, and the entities in order.

Not thread safe: the hot store holds its lock over it, but for `of`, which is one look into a dictionary.
"""

from bisect import bisect_left

from slackwater.views.kinds import Value
from slackwater.views.rows import Row
from slackwater.views.view import View

Entity = tuple[Value, ...]
"""The values of the columns that a key begins with: of a stream's entity, such as a venue and a symbol."""


def entity_of(view: View, row: Row) -> Entity:
    """The entity of a row of a view."""
    return row.key[: len(view.entity)]


class Directory:
    """Grows only. Entitys that came since the last look at the order are sorted in by the next one."""

    def __init__(self) -> None:
        self._where: dict[Entity, frozenset[int]] = {}
        self._sets: dict[frozenset[int], frozenset[int]] = {}
        self._ordered: list[Entity] = []
        self._fresh: list[Entity] = []

    def put(self, entity: Entity, partition: int) -> bool:
        """Note that a partition holds cells of an entity; whether that is new."""
        known = self._where.get(entity)
        if known is not None and partition in known:
            return False
        if known is None:
            self._fresh.append(entity)
        found = frozenset((partition, *(known or ())))
        self._where[entity] = self._sets.setdefault(found, found)  # there are few different ones
        return True

    def of(self, entity: Entity) -> frozenset[int]:
        """The partitions that hold cells of an entity."""
        return self._where.get(entity, frozenset())

    def page(self, low: Entity, high: Entity | None, most: int) -> dict[Entity, frozenset[int]]:
        """The first `most` entities in [low, high), in order, with their partitions."""
        if self._fresh:
            self._ordered += self._fresh
            self._ordered.sort()  # mostly in order already
            self._fresh.clear()
        first = bisect_left(self._ordered, low)
        last = len(self._ordered) if high is None else bisect_left(self._ordered, high)
        return {entity: self._where[entity] for entity in self._ordered[first : min(last, first + most)]}

    def __len__(self) -> int:
        return len(self._where)
