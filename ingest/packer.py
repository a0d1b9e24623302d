"""Packs events into records: one a record while little happens, up to 64 under a burst, at most 2 ms of waiting.

An entity that was quiet for 2 ms sends at once; what follows within 2 ms of that waits for company, at most until
the 2 ms are over. So a lone trade never waits, and a burst costs one record per 2 ms or per 64 trades:

    ms        0      0.5  1.1  1.9      2.0          9
    lines     a      b    c    d                     e
    records   [a]                       [b c d]      [e]

Time is an argument. Order within an entity is kept; records of two entities are independent.
"""

from collections.abc import Iterable
from typing import NamedTuple

from slackwater.streams.entities import Entity
from slackwater.streams.schema import MAX_LINES

LINGER_S = 0.002


class Packed(NamedTuple):
    """The lines of one record of an entity."""

    entity: Entity
    lines: list[bytes]


class Packer:
    """Lines that wait, by entity."""

    def __init__(self, linger_s: float = LINGER_S, most: int = MAX_LINES) -> None:
        self._linger_s = linger_s
        self._most = most
        self._waiting: dict[Entity, list[bytes]] = {}
        self._sent_s: dict[Entity, float] = {}

    def add(self, entity: Entity, lines: list[bytes], now_s: float) -> list[Packed]:
        """Take lines of an entity; the records that are ready, in order."""
        lines = self._waiting.pop(entity, []) + lines
        full = len(lines) - len(lines) % self._most
        ready = [Packed(entity, lines[at : at + self._most]) for at in range(0, full, self._most)]
        rest = lines[full:]
        quiet = now_s - self._sent_s.get(entity, float("-inf")) >= self._linger_s
        if rest and quiet:
            ready.append(Packed(entity, rest))
        elif rest:
            self._waiting[entity] = rest
        if ready and quiet:
            self._sent_s[entity] = now_s
        return ready

    def due(self, now_s: float) -> list[Packed]:
        """The records whose 2 ms are over."""
        return self._take([of for of in self._waiting if now_s >= self._sent_s[of] + self._linger_s], now_s)

    def drain(self, now_s: float) -> list[Packed]:
        """Everything that waits."""
        return self._take(list(self._waiting), now_s)

    def wait_s(self, now_s: float) -> float | None:
        """Seconds until the next record is due; None if nothing waits."""
        if not self._waiting:
            return None
        return max(0.0, min(self._sent_s[of] for of in self._waiting) + self._linger_s - now_s)

    def _take(self, entities: Iterable[Entity], now_s: float) -> list[Packed]:
        ready = []
        for entity in entities:
            ready.append(Packed(entity, self._waiting.pop(entity)))
            self._sent_s[entity] = now_s
        return ready
