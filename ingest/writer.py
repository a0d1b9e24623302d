"""The ingest writer: the only writer of the events of its venues.

It validates, drops duplicates, packs and appends; refusals are stored.

    chunk -> decode -> duplicate filter -> packer -> idempotent producer -> event log
                \\-> dead letters <-/         (acknowledged before it moves on)

Records that are not acknowledged yet are bounded, so a slow log slows the writer and does not fill the memory. Not
here: where chunks come from (`ingest.files.sources`).
"""

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import NamedTuple

from ingest.chunk import Chunk, Source
from ingest.decoder import Decoder
from ingest.duplicates import DuplicateFilter
from ingest.errors import ClaimedError
from ingest.known import Generation
from ingest.late import LateCount
from ingest.packer import Packed, Packer
from ingest.verdicts import Summary, judge_chunk
from slackwater.core.clock import Clock
from slackwater.core.faults import reach
from slackwater.log.errors import AppendError
from slackwater.log.log import Ack, Log
from slackwater.log.names import TopicNames
from slackwater.log.stages import Sampler
from slackwater.streams.compact import plain
from slackwater.streams.entities import entity_key
from slackwater.streams.rows import event_lines
from slackwater.streams.stream import Stream
from slackwater.versions.store import VersionStore
from slackwater.versions.venue_locks import VenueLocks
from slackwater.versions.writer_lock import SharedLock

logger = logging.getLogger(__name__)

MAX_IN_FLIGHT = 2000
"""Records on their way; a record has at most 64 lines of some 150 bytes, so about 20 MB."""

LINGER_S = 0.002
"""How long a record may wait for others on its way out. At 1,000 trades/s it halves the requests, which cost the
writer, the broker and the readers more than the trades in them."""

IDLE_S = 0.25
"""The longest wait between two looks at a quiet source."""


ASIDE_S = 0.02
"""How long a writer that let go waits before it asks whether it may go on."""

TOLD_S = 3.0
"""How long it does so before it says whom it waits for."""


Progress = Callable[[int, int | None], None]
"""Called after each chunk with how much of the source was read, and how much there is (None: nobody knows)."""


Look = Callable[[Summary, bool], None]
"""Shown the counts after each chunk, and whether the source has ended; what it raises ends it."""


class _Flight(NamedTuple):
    ack: Ack
    partition: int
    generation: Generation


class IngestWriter:
    """A writer of one stream, open until `close`. Not thread safe.

    It may be given chunks while it stands: while it has read what is known, and nobody changes that. Who frees or
    claims identities asks for that; then `stand` lets go of the lock, once all that was taken is acknowledged, and
    later reads what is known anew.
    """

    def __init__(
        self,
        stream: Stream,
        log: Log,
        names: TopicNames,
        store: VersionStore,
        clock: Clock,
        max_in_flight: int = MAX_IN_FLIGHT,
        most_entities: int = 0,
    ) -> None:
        """Open a producer. Events of new entities are refused where `most_entities` are known; 0: never."""
        self.stream = stream
        topic_id = log.topic_id(names.topic(stream))
        self._lock = SharedLock(store.home, topic_id)
        self._venues = VenueLocks(store.home, topic_id, stream.name)
        known = stream, log, names, store, clock
        self._open_filter = partial(DuplicateFilter, *known, self.drain, most_entities, self._venues)
        self._filter: DuplicateFilter | None = None
        self._topic = names.topic(stream)
        self._decoder = Decoder(stream)
        self._letters = names.dead_letters
        self._clock = clock
        self._max_in_flight = max_in_flight
        self._tally = Summary()
        self.late = LateCount()
        self._packer = Packer()
        self._sampler = Sampler(clock)
        self._flying: deque[_Flight] = deque()
        self._entities = 0
        self._broken = False
        self._writer = log.writer(LINGER_S)

    @property
    def filter(self) -> DuplicateFilter:
        """What is known, while it stands."""
        if self._filter is None:
            raise ValueError("a writer that does not stand knows nothing")
        return self._filter

    def stand(self) -> bool:
        """Whether a chunk may be given now. Call it before each; False: again in a moment.

        Raises:
            AppendError: what was taken before cannot be acknowledged.
            LogError, VersionError, LogGapError, OSError: what is known cannot be read.
        """
        if self._filter is not None and self._lock.asked():
            self.flush()
            self._step_aside()
        if self._filter is None and self._lock.take():
            reach("ingest.stand")
            try:
                self._filter = self._open_filter()
            finally:
                if self._filter is None:
                    self._lock.release()
        return self._filter is not None

    def accept(self, chunk: Chunk, counts: Summary | None = None) -> list[int]:
        """Take a chunk; an empty one lets time pass. Whatever is refused is stored when this returns: the numbers of
        those lines. What became of it is added to `counts`, too.

        Raises:
            ClaimedError: an import has some of its identities; nothing of it was taken, and it may come again.
            VenueTakenError: another writer has a venue of it; nothing of it was taken.
            AppendError: the log did not take a record. The writer is of no use any more; nothing is lost by ingesting
                the same input again, since what was taken is a duplicate then.
        """
        refused = self._take(chunk, counts) if chunk.lines else []
        if not chunk.lines:
            self.filter.follow()
        if chunk.more:
            self.drain()
        else:
            self._append(self._packer.due(self._clock.elapsed_s()))
        self.settle()
        return refused

    def ingest(
        self,
        source: Source,
        on_progress: Progress = lambda done, total: None,
        stop: Callable[[], bool] = lambda: False,
        look: Look = lambda tally, ended: None,
    ) -> Summary:
        """Take all that a source has, then wait for its acknowledgement; the counts so far.

        `stop` is asked between chunks, at least four times a second. `look` is shown the counts after each, and may
        raise.

        Raises:
            SourceError, MappingError: the source cannot be read on; what was read before it is in the log.
            AppendError: the log did not take a record.
        """
        try:
            while not stop():
                if not self.stand():
                    self._clock.sleep(ASIDE_S)
                    continue
                chunk = source.read(self.wait_s())
                if chunk is None:
                    look(self._tally, True)
                    break
                if self.take(chunk, stop) is None:
                    break
                on_progress(source.done, source.total)
                look(self._tally, False)
        finally:
            self.flush()
        return self.summary()

    def take(self, chunk: Chunk, stop: Callable[[], bool] = lambda: False) -> list[int] | None:
        """`accept` a chunk as soon as it may be given and no import has its identities; None if `stop` says so before.

        Raises what `stand` and `accept` raise, but ClaimedError.
        """
        waits = False
        while True:
            try:
                if self.stand():
                    return self.accept(chunk)
            except ClaimedError as error:
                if not waits:
                    logger.warning("waiting for an import: %s", error.fact)
                waits = True
            if stop():
                return None
            self._clock.sleep(ASIDE_S)

    def wait_s(self) -> float:
        """How long a source may be waited for before the writer must be called again."""
        due = self._packer.wait_s(self._clock.elapsed_s())
        return IDLE_S if due is None else min(due, IDLE_S)

    def summary(self) -> Summary:
        """The counts so far. What is accepted may not be acknowledged before `close`."""
        return self._tally.copy()

    @property
    def unacknowledged(self) -> int:
        """Records that were sent and not acknowledged."""
        return len(self._flying)

    @property
    def entities(self) -> int:
        """Entities that are known; those that were, while it does not stand."""
        if self._filter is not None:
            self._entities = len(self._filter.known.entities)
        return self._entities

    @property
    def holder(self) -> int:
        """The process that has the lock while this one may not judge."""
        return self._lock.holder

    @property
    def sent(self) -> int:
        """Records that were sent."""
        return self._tally.records

    @property
    def usable(self) -> bool:
        """False once the log did not take a record."""
        return not self._broken

    def drain(self) -> None:
        """Send what waits for company. Raises AppendError."""
        self._append(self._packer.drain(self._clock.elapsed_s()))

    def settle(self) -> None:
        """Note what is acknowledged by now. Raises AppendError."""
        while self._flying and self._flying[0].ack.done():
            self._land()

    def wait(self) -> None:
        """Wait for the acknowledgement of the first record that has none. Raises AppendError."""
        if self._flying:
            self._land()

    def flush(self) -> None:
        """Wait until everything that was accepted is acknowledged. Raises AppendError."""
        self.drain()
        while self._flying:
            self._land()

    def close(self) -> Summary:
        """Flush and release; the counts, all of them acknowledged. Raises AppendError."""
        with ExitStack() as last:  # from the end: nothing is on its way when another may go on
            last.callback(self._venues.close)
            last.callback(self._step_aside)
            last.callback(self._writer.close)
            self.flush()
            reach("ingest.after")
        return self.summary()

    def _step_aside(self) -> None:
        """Let go: what is known may change from now on."""
        if self._filter is not None:
            self._filter.close()
            self._filter = None
        self._lock.release()

    def _take(self, chunk: Chunk, counts: Summary | None) -> list[int]:
        reach("ingest.before")
        tally = Summary()
        with self._breaking():
            events, (entities, _), refused = judge_chunk(
                self._decoder, chunk, self.filter.judge, self._writer, self._letters, self._clock, tally
            )
        tally.accepted += events.num_rows
        self._tally.add(tally)
        if counts is not None:
            counts.add(tally)
        if not events.num_rows:
            return refused
        lines = event_lines(self.stream, plain(self.stream, events))
        times = events.column(self.stream.time).to_numpy()
        now = self._clock.elapsed_s()
        for entity, rows in entities:
            self.late.take(entity, times[rows])
            self._append(self._packer.add(entity, [lines[row] for row in rows], now))
        return refused

    def _append(self, records: Iterable[Packed]) -> None:
        for entity, lines in records:
            while len(self._flying) >= self._max_in_flight:
                self._land()
            reach("ingest.append")
            partition = self.filter.partition_of(entity)
            value, headers = b"\n".join(lines), self._sampler.headers(len(lines))
            with self._breaking():
                ack = self._writer.append(self._topic, partition, entity_key(entity), value, headers)
            generation = self.filter.known.generation
            generation.appended()
            self._flying.append(_Flight(ack, partition, generation))
            self._tally.records += 1

    @contextmanager
    def _breaking(self) -> Iterator[None]:
        try:
            yield
        except AppendError:
            self._broken = True
            raise

    def _land(self) -> None:
        flight = self._flying[0]
        with self._breaking():
            offset = flight.ack.offset()
        flight.generation.acknowledged(flight.partition, offset)
        self._flying.popleft()
        reach("ingest.landed")


@contextmanager
def open_ingest(
    stream: Stream,
    log: Log,
    names: TopicNames,
    store: VersionStore,
    clock: Clock,
    max_in_flight: int = MAX_IN_FLIGHT,
    most_entities: int = 0,
) -> Iterator[IngestWriter]:
    """A writer that stands, closed at the end of the block. It waits as long as somebody changes what is known."""
    writer = IngestWriter(stream, log, names, store, clock, max_in_flight, most_entities)
    try:
        told_s = clock.elapsed_s() + TOLD_S
        while not writer.stand():
            clock.sleep(ASIDE_S)
            if clock.elapsed_s() >= told_s:
                logger.warning("waiting: process %d changes what is known of %s", writer.holder, stream.name)
                told_s += TOLD_S * 10
        yield writer
    finally:
        writer.close()
