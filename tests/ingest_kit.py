"""What the tests of ingest share: a clock that a test turns, lines of events, a writer on a log in memory, a version.

lines --ingest--> MemoryLog            publish: everything in the log becomes version v, by hand,
                  store (tmp_path)     as a batch run would: marks, archive files, id file, manifest, pointer
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ingest.chunk import Chunk, of_lines
from ingest.verdicts import Summary
from ingest.writer import IngestWriter, open_ingest
from lesson.memory_log import MemoryLog
from slackwater.log.events import decode
from slackwater.log.log import Log, Record, read_range
from slackwater.log.mark import append_marks
from slackwater.log.names import TopicNames
from slackwater.store.archive_file import ArchiveWriter, archive_path, archive_table
from slackwater.streams.event import encode_event
from slackwater.streams.stream import Stream
from slackwater.streams.trades import TRADES
from slackwater.versions.epoch_ids import EpochIds, merged_ids
from slackwater.versions.manifest import ArchiveFile, IdFile, Manifest, empty_manifest, first_cut
from slackwater.versions.store import VersionStore
from tests.events import Event

T0 = 1_759_708_800_000_000  # 2025-10-06T00:00:00Z
NAMES = TopicNames("test")
PARTITIONS = 4


@dataclass
class HandClock:
    """Time goes on only when a test says so, or when the code under test sleeps."""

    wall_us: int = T0
    passed_s: float = 100.0
    slept: list[float] = field(default_factory=list)

    def now_us(self) -> int:
        return self.wall_us

    def elapsed_s(self) -> float:
        return self.passed_s

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.turn(seconds)

    def turn(self, seconds: float) -> None:
        self.wall_us += round(seconds * 1e6)
        self.passed_s += seconds


GOOD: dict[str, Any] = {
    "venue": "x",
    "symbol": "BTC-USD",
    "trade_id": 1,
    "time": T0,
    "price": "100.5",
    "quantity": "2",
    "side": "buy",
}


def line(trade_id: int = 1, **fields: Any) -> bytes:
    """A canonical line, with some fields set."""
    return json.dumps({**GOOD, "trade_id": trade_id, **fields}, separators=(",", ":")).encode()


def event(trade_id: int | str = 1, **fields: Any) -> Event:
    """An event, with some fields set."""
    values = {"venue": "x", "symbol": "BTC-USD", "time": T0, "price": 10**10, "quantity": 10**8, "side": "buy"}
    return Event(trade_id=trade_id, **{**values, **fields})


def lines_of(events: Sequence[Event]) -> list[bytes]:
    return [encode_event(TRADES, one) for one in events]


def records(log: Log, topic: str) -> list[tuple[int, Record]]:
    """Every record of a topic, with its partition."""
    bounds = log.bounds(topic)
    starts, ends = {p: b.start for p, b in bounds.items()}, {p: b.end for p, b in bounds.items()}
    return [(piece.partition, one) for piece in read_range(log, topic, starts, ends) for one in piece.records]


def rows(log: Log, names: TopicNames = NAMES, stream: Stream = TRADES) -> list[dict[str, Any]]:
    """Every event of the log, as rows in log order within a partition."""
    found: list[dict[str, Any]] = []
    for _, record in records(log, names.topic(stream)):
        found += decode(stream, [record]).table.to_pylist()
    return found


def ids(log: Log, names: TopicNames = NAMES) -> list[int]:
    return [row["sequence"] for row in rows(log, names)]


def letters(log: Log, names: TopicNames = NAMES) -> list[tuple[dict[str, str], bytes]]:
    """Every dead letter: its headers as text, and its bytes."""
    return [
        ({name: value.decode() for name, value in record.headers}, record.value or b"")
        for _, record in records(log, names.dead_letters)
    ]


def reasons(log: Log, names: TopicNames = NAMES) -> list[str]:
    return [headers["reason"] for headers, _ in letters(log, names)]


@dataclass
class House:
    """A log with its topics, a store and a clock."""

    log: Log
    store: VersionStore
    clock: HandClock = field(default_factory=HandClock)
    names: TopicNames = NAMES
    stream: Stream = TRADES

    @contextmanager
    def writer(self) -> Iterator[IngestWriter]:
        with open_ingest(self.stream, self.log, self.names, self.store, self.clock) as writer:
            yield writer

    def ingest(self, lines: list[bytes], source: str = "test") -> Summary:
        """Start ingest, take lines, close it."""
        with self.writer() as writer:
            writer.accept(of_lines(source, lines))
        return writer.summary()

    def publish(self, forget: bool = False) -> Manifest:
        """Everything in the log becomes the next version. `forget`: the pointer's version is taken to have nothing."""
        parent = None if forget else self.store.current()
        topic = self.names.topic(self.stream)
        before = {p: b.start for p, b in self.log.bounds(topic).items()} | (parent.cut(self.stream) if parent else {})
        writer = self.log.writer()
        cut, _ = append_marks(writer, topic, before, "run")
        writer.close()
        version = self.store.reserve()
        old = parent or empty_manifest({})
        ids, files = EpochIds(self.stream, self.store, f"epoch-{version}", old.ids_of(self.stream)), []
        for p, start in before.items():
            found = list(read_range(self.log, topic, {p: start}, {p: cut[p]}))
            events = decode(self.stream, [record for piece in found for record in piece.records]).table
            path = self.store.home / archive_path(f"epoch-{version}", self.stream, p, 0)
            with ArchiveWriter(self.stream, path) as file:
                file.write(archive_table(self.stream, p, events, events.column("offset"), events.column("index")))
            ids.add(events)
            files.append(
                ArchiveFile(
                    self.store.stored(path, file.rows),
                    self.stream.name,
                    f"epoch-{version}",
                    p,
                    start,
                    cut[p],
                    file.low,
                    file.high,
                )
            )
        merged = merged_ids(self.stream, self.store, f"epoch-{version}", (*old.ids_of(self.stream), *ids.finish()))
        manifest = replace(
            empty_manifest({self.stream.name: first_cut(self.log.topic_id(topic), "", cut)}),
            version=version,
            parent=self.store.pointer().version,
            run_id=f"epoch-{version}",
            archive=(*old.archive, *files),
            ids=tuple(IdFile(file, self.stream.name) for file in merged),
        )
        return self.store.publish(manifest)


def memory_house(home: Path, stream: Stream = TRADES) -> House:
    """A house on a log in memory."""
    log = MemoryLog(T0 // 1000)
    log.create(NAMES.topic(stream), PARTITIONS)
    log.create(NAMES.dead_letters, 1)
    return House(log, VersionStore(home), stream=stream)


def read_all(source: Any) -> list[Chunk]:
    """Every chunk with lines of a source that ends."""
    found = []
    while (chunk := source.read(1.0)) is not None:
        if chunk.lines:
            found.append(chunk)
    source.close()
    return found


def all_lines(source: Any) -> list[bytes]:
    return [one for chunk in read_all(source) for one in chunk.lines]
