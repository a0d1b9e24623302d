"""What a correction asks for: all that is given must hold of an event."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pc

from slackwater.core.errors import SlackwaterError
from slackwater.streams.entities import Entity
from slackwater.streams.stream import Stream
from slackwater.views.sql import literal_sql


class SelectionError(SlackwaterError):
    """What is asked for cannot be read, or names no event."""


@dataclass(frozen=True)
class Selection:
    """Events of an epoch, of an entity, of times in [start, end) (microseconds, UTC), with one of some identities.

    `ids` has the columns of the entity and the identity, all text; None: any.
    """

    epoch: str = ""
    entity: Entity | None = None
    start: int | None = None
    end: int | None = None
    ids: pa.Table | None = None

    def may_be_in(self, low: int, high: int) -> bool:
        """Whether events of times in [low, high] may be among them."""
        return (self.start is None or self.start <= high) and (self.end is None or low < self.end)

    def condition(self, stream: Stream, ids: str) -> str:
        """As SQL over the columns of an event; `ids` is the relation of `self.ids`."""
        tests = []
        if self.entity is not None:
            pairs = zip(stream.entity, self.entity, strict=True)
            tests += [f'"{name}" = {literal_sql(value)}' for name, value in pairs]
        if self.start is not None:
            tests.append(f'"{stream.time}" >= {int(self.start)}')
        if self.end is not None:
            tests.append(f'"{stream.time}" < {int(self.end)}')
        if self.ids is not None:
            columns = ", ".join(f'"{name}"' for name in (*stream.entity, stream.identity))
            tests.append(f"({columns}) IN (SELECT ({columns}) FROM {ids})")
        return " AND ".join(tests) or "true"

    def __str__(self) -> str:
        return "; ".join(self._texts())

    def _texts(self) -> Iterator[str]:
        if self.epoch:
            yield f"epoch {self.epoch}"
        if self.entity is not None:
            yield f"of {':'.join(self.entity)}"
        if self.start is not None:
            yield f"from {_time(self.start)}"
        if self.end is not None:
            yield f"before {_time(self.end)}"
        if self.ids is not None:
            yield f"{self.ids.num_rows:,} identities"


def _time(at_us: int) -> str:
    return datetime.fromtimestamp(at_us / 1e6, UTC).isoformat().replace("+00:00", "Z")


def parse_entity(stream: Stream, text: str) -> Entity:
    """The entity of a text such as `binance:BTCUSDT`; the last column takes further colons. Raises SelectionError."""
    values = tuple(text.split(":", len(stream.entity) - 1))
    if len(values) < len(stream.entity) or not all(values):
        form = ":".join(name.upper() for name in stream.entity)
        raise SelectionError(f"{text!r} is no entity of {stream.name}.", f"Write it as {form}.")
    return values


def read_ids(stream: Stream, path: Path, entity: Entity | None = None) -> pa.Table:
    """The identities in a CSV file with a header: the columns of the entity and the identity, or the latter alone
    where `entity` is given. Other columns are passed over.

    Raises:
        SelectionError: it cannot be read, or lacks a column, or a value.
    """
    names = [stream.identity] if entity is not None else [*stream.entity, stream.identity]
    options = pc.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), include_columns=names)
    try:
        found = pc.read_csv(path, convert_options=options)
    except (OSError, pa.ArrowException, KeyError) as error:
        hint = f"It is a CSV file with the header {','.join(names)}."
        raise SelectionError(f"{path} cannot be read: {error}.", hint) from error
    for name in names:
        if lacking := found.column(name).null_count:
            raise SelectionError(f"{lacking} rows of {path} have no {name}.")
    if entity is not None:
        values = dict(zip(stream.entity, entity, strict=True))
        columns = {name: pa.array([value] * found.num_rows, pa.string()) for name, value in values.items()}
        found = pa.table({**columns, stream.identity: found.column(stream.identity)})
    return found.combine_chunks()
