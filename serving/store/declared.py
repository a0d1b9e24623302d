"""What is declared of instruments, as the service reads it: what holds at a time, of entities of any stream."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import pyarrow as pa

from serving.store.request import Entity
from slackwater.core.clock import Clock
from slackwater.instruments.facts import DECIMALS, FIELDS, TIMES, Facts
from slackwater.instruments.ledger import InstrumentsLedger
from slackwater.instruments.table import NOTHING_DECLARED, Table
from slackwater.streams.schema import PRICE_SCALE
from slackwater.streams.stream import Stream
from slackwater.versions.errors import RecordError

NAMES = ("venue", "symbol")
"""The columns of an entity by which facts are found; a stream without them has none."""

TOLD = tuple(name for name in FIELDS if name not in NAMES)
"""The facts that an item has beside its entity."""

DECIMAL_TYPE = pa.decimal128(18, PRICE_SCALE)


def told_fields(time: pa.DataType) -> list[pa.Field]:
    """The columns of a table, one for each of TOLD."""
    types = {**dict.fromkeys(DECIMALS, DECIMAL_TYPE), **dict.fromkeys(TIMES, time)}
    return [pa.field(name, types.get(name, pa.string())) for name in TOLD]


class Holding(NamedTuple):
    """What holds at one time, microseconds, UTC. `reason`: why it is not known what is declared."""

    table: Table
    at_us: int
    reason: str | None = None

    def finder(self, stream: Stream) -> Callable[[Entity], Facts | None]:
        """Finds what holds of an entity of a stream."""
        if not set(NAMES) <= set(stream.entity) or not len(self.table):
            return lambda _: None
        venue, symbol = map(stream.entity.index, NAMES)
        return lambda entity: self.table.at(str(entity[venue]), str(entity[symbol]), self.at_us)


def told(facts: Facts) -> Mapping[str, Any]:
    """The members of an item: what is not declared is not there."""
    found = facts.given()
    return {name: found[name] for name in TOLD if name in found}


class DeclaredInstruments:
    """Reads the ledger when it is asked, and the files of it once. Thread safe."""

    def __init__(self, ledger: InstrumentsLedger, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock

    def holding(self, at_us: int | None = None) -> Holding:
        """What holds at a time; without one, now. Where the ledger cannot be read, nothing, with the reason."""
        at_us = self._clock.now_us() if at_us is None else at_us
        try:
            return Holding(self._ledger.table(), at_us)
        except (RecordError, OSError) as error:
            return Holding(NOTHING_DECLARED, at_us, f"What is declared of instruments is not known: {error}")

    def reasons(self) -> list[str]:
        """Why the service is not ready for that."""
        reason = self.holding().reason
        return [reason] if reason else []
