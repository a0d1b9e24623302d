"""Which events count for a version: the log's, what was imported, and without what corrections took out.

It reads the ledger and remembers what each import was given; how the product applies either is not asked.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from slackwater.streams.entities import Entity
from slackwater.streams.stream import Stream
from slackwater.versions.corrections import EPOCH
from slackwater.versions.manifest import Manifest

if TYPE_CHECKING:
    from slackwater.versions.store import VersionStore

Place = tuple[int, int, int]
"""Partition, offset, index in the record."""

Id = tuple[Entity, str]


class Standing(NamedTuple):
    """What tells a version's events from those of the log below its cut. Two of one number are the same.

    `gone`: (partition, offset) -> the indexes of the events that are out; `imported`: lines.
    """

    number: int
    gone: Mapping[tuple[int, int], frozenset[int]]
    imported: tuple[bytes, ...]


NOTHING = Standing(0, {}, ())


@dataclass(frozen=True)
class Named:
    """What one correction takes out: `places` in the log, `rows` (epoch, id) of imported history."""

    number: int
    stream: str
    topic_id: str
    places: frozenset[Place]
    rows: frozenset[tuple[str, Id]]
    ids: frozenset[Id]


def ids_in(stream: Stream, table: pa.Table) -> list[Id]:
    """The identities of a table of events, in its order."""
    *entity, ids = (table.column(name).to_pylist() for name in (*stream.entity, stream.identity))
    return list(zip(zip(*entity, strict=True), map(str, ids), strict=True))


class Past:
    """The imports and corrections of one world. `imported` maps epoch -> id -> line, of the stream `trades`."""

    def __init__(self, store: "VersionStore") -> None:
        self.imported: dict[str, dict[Id, bytes]] = {}
        self.own: dict[int, str] = {}  # a correction -> the run of the program that wrote it down
        self.remade: set[str] = set()  # runs of rollbacks that make a version
        self.again: set[Id] = set()  # ids that were free and were offered again
        self._store = store
        self._named: dict[int, Named] = {}
        self._standings: dict[tuple[int, str], Standing] = {}
        self._contents: dict[tuple[frozenset[Place], tuple[bytes, ...]], Standing] = {}

    def named(self, streams: tuple[Stream, ...], after: int = 0, upto: int | None = None) -> list[Named]:
        """What the corrections behind a number take out, in order."""
        last = self._store.corrections.last() if upto is None else upto
        if not self._named.keys() >= set(range(1, last + 1)):
            for each in self._store.corrections.all():
                stream = next(stream for stream in streams if stream.name == each.stream)
                table = pq.read_table(self._store.home / each.file.path)
                names = "partition", "offset", "index", EPOCH
                found = list(zip(*(table.column(name).to_pylist() for name in names), strict=True))
                ids = ids_in(stream, table)
                places = frozenset((p, at, i) for p, at, i, epoch in found if epoch is None)
                rows = frozenset((of[3], id_) for of, id_ in zip(found, ids, strict=True) if of[3] is not None)
                mine = each.number, each.stream, each.topic_id, places, rows, frozenset(ids)
                self._named[each.number] = Named(*mine)
        return [self._named[number] for number in range(after + 1, last + 1)]

    def standing(self, manifest: Manifest, stream: Stream, streams: tuple[Stream, ...]) -> Standing:
        """What counts for a version's own archive: what is named behind its cut is there still."""
        name = manifest.version, stream.name
        if name not in self._standings:
            cut = manifest.cut(stream)
            named = [each for each in self.named(streams, upto=manifest.corrected) if each.stream == stream.name]
            gone = (place for each in named for place in each.places if place[1] < cut.get(place[0], 0))
            rows = frozenset(row for each in named for row in each.rows)
            lines = (line for _, _, line in self.held(manifest, stream, rows))
            self._standings[name] = self._of(frozenset(gone), tuple(lines))
        return self._standings[name]

    def _of(self, gone: frozenset[Place], lines: tuple[bytes, ...]) -> Standing:
        if not gone and not lines:
            return NOTHING
        if (gone, lines) not in self._contents:
            of: dict[tuple[int, int], set[int]] = {}
            for p, at, index in gone:
                of.setdefault((p, at), set()).add(index)
            indexes = {record: frozenset(found) for record, found in of.items()}
            self._contents[gone, lines] = Standing(len(self._contents) + 1, indexes, lines)
        return self._contents[gone, lines]

    def held(
        self, manifest: Manifest, stream: Stream, gone: frozenset[tuple[str, Id]]
    ) -> Iterator[tuple[str, Id, bytes]]:
        """The imported events of a version: epoch, id and line."""
        for epoch in sorted(epochs_of(manifest, stream)):
            for id_, line in self.imported[epoch].items():
                if (epoch, id_) not in gone:
                    yield epoch, id_, line


def epochs_of(manifest: Manifest, stream: Stream) -> set[str]:
    """The imports that a version's archive holds."""
    return {entry.epoch for entry in manifest.archive if entry.start is None and entry.stream == stream.name}


def identity_columns(stream: Stream, ids: list[Id]) -> Any:
    """A table of them, all text, as a file of ids is read."""
    columns = {name: [entity[i] for entity, _ in ids] for i, name in enumerate(stream.entity)}
    return pa.table(
        {name: pa.array(of, pa.string()) for name, of in {**columns, stream.identity: [i for _, i in ids]}.items()}
    )
