"""A request for stored rows: which keys of a view, and which bars of them."""

from collections.abc import Sequence
from typing import NamedTuple

from slackwater.views.interval import Interval
from slackwater.views.kinds import Value
from slackwater.views.view import View

Key = tuple[Value, ...]
"""The values of a view's key columns."""

Entity = tuple[Value, ...]
"""The values of the columns that a key begins with: of a stream's entity, such as a venue and a symbol."""


class Keys(NamedTuple):
    """Which keys: those of some entities, of which all columns but the last are equal; `where` fixes further columns.

    `where` holds places in the key and the value there.
    """

    entities: tuple[Entity, ...]
    where: tuple[tuple[int, Value], ...] = ()

    def hold(self, key: Key) -> bool:
        """Whether a key of one of the entities is among them."""
        return all(key[place] == value for place, value in self.where)

    def each(self) -> "Sequence[Keys]":
        """The keys of one entity after the other."""
        return (self,) if len(self.entities) == 1 else [Keys((entity,), self.where) for entity in self.entities]


class Range(NamedTuple):
    """Which bars: the first (or last) `limit` with low <= start < high, both bar starts; all of them without `limit`.

    `after` is a row's place, start and key, that all lie behind. `level` is the published interval that the bars are
    made of, whose starts `low` and `high` are then; the coarsest that tiles them where it is None.
    """

    interval: Interval
    low: int = 0
    high: int | None = None
    limit: int | None = None
    newest_first: bool = False
    after: tuple[Value, ...] = ()
    level: Interval | None = None


class RowRequest(NamedTuple):
    """Which rows of a view."""

    view: View
    keys: Keys
    range: Range
