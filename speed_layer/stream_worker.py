"""Reads the partitions of one stream from where the chain ends and gives segments, sealed and open. No Beam here.

The newest segment is given again at least once a second while the log's end has been read within that second: an open
one that a stale worker overwrote in the delta topic comes back, and where a delta was not taken, the sink hears of it
though no event comes.
"""

import logging
from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

from slackwater.core.clock import Clock
from slackwater.core.faults import reach
from slackwater.log.errors import PositionLostError, TopicMismatchError, TopicRecreatedError, UnreadableError
from slackwater.log.events import decode_each
from slackwater.log.log import Asked, Bounds, Log, Unread
from slackwater.log.names import TopicNames
from slackwater.log.stages import Stages, sampled
from slackwater.pipeline.segment import Segment, Slot
from slackwater.streams.stream import Stream
from slackwater.versions.store import VersionStore
from slackwater.views.view import View
from speed_layer.beginning import beginnings
from speed_layer.figures import FIGURES
from speed_layer.pace import Pace
from speed_layer.tiling import Piece, Tiler
from speed_layer.watchdog import STALL_S, Watchdog

logger = logging.getLogger(__name__)

HEARTBEAT_S = 0.8
"""Seconds between two looks at the log's end; open segments are given again then. The contract says one second."""

GATHER_S = 0.005
"""How long the log may gather records before it answers. At 1,000 trades/s every poll would bring one or two, and to
take them up, summarise the open cell and publish it would fill half a core; five together cost little more than one."""

IDENTITY_S = 5.0
"""Seconds between two looks at the topic's id and its number of partitions."""


class _Question(NamedTuple):
    """Where the log ends is asked while it is read."""

    positions: dict[int, int]
    asked: Asked


class StreamWorker:
    """Reads `partitions` of the topic of `stream`, all there are if None; `views` are views of it.

    A reader that leaves one lying for `stall_s` is made again.

    A partition whose next batch cannot be read waits for it, is said so once, and stops none of the others.

    Raises:
        PositionLostError: the log's tail was lost below what was read.
        TopicRecreatedError, TopicMismatchError: the topic is another one now, or has more partitions. Start again.
    """

    def __init__(
        self,
        log: Log,
        names: TopicNames,
        store: VersionStore,
        stream: Stream,
        views: tuple[View, ...],
        partitions: Collection[int] | None,
        clock: Clock,
        pace: Pace,
        stall_s: float = STALL_S,
    ) -> None:
        self._clock = clock
        self._pace = pace
        self._owed: dict[str, dict[int, Stages | None]] = {view.definition: {} for view in views}
        self._log = log
        self._stream = stream
        self._topic = names.topic(stream)
        self._topic_id = log.topic_id(self._topic)
        bounds = log.bounds(self._topic)
        self._count = len(bounds)
        partitions = sorted(bounds if partitions is None else set(partitions) & bounds.keys())
        reach("read.begin")
        self._positions = beginnings(log, names, store, stream, views, partitions)
        self._tilers = {p: Tiler(stream, at) for p, at in self._positions.items()}
        for p, at in self._positions.items():
            if at > bounds[p].end:
                raise PositionLostError(
                    self._topic, {p: at}, f"beyond the log's end {bounds[p].end}: its tail was lost"
                )
            if at < bounds[p].start:
                self._reset(p, bounds[p].start)
        logger.info("%s begins at %s", self._topic, self._positions)
        self._reader = log.reader(self._topic, self._positions, gather_s=GATHER_S)
        FIGURES.of_partitions("unreadable", stream.name, dict.fromkeys(self._positions, 0))
        self._watch = log.watch(self._topic)
        self._watchdog = Watchdog(stall_s)
        self._unread: dict[int, Unread] = {}
        self._beat = self._identified = clock.elapsed_s()
        self._question: _Question | None = None

    def step(self, timeout_s: float) -> Iterator[Segment]:
        """What the log has now: sealed segments, and the open ones that moved.

        A turn that was left halfway has lost segments, and the worker must go.
        """
        try:
            reach("read.before")
            slices = self._reader.poll(min([timeout_s, *(max(0.0, wait_s) for wait_s in self._rests())]))
        except PositionLostError as error:
            self._recover(error.lost)
            return
        read_us = self._clock.now_us()
        tables = decode_each(self._stream, [found.records for found in slices])
        for found, decoded in zip(slices, tables, strict=True):
            FIGURES.count("records", len(found.records))
            reach("read.after")
            tiler = self._tilers[found.partition]
            stages = sampled(found, read_us)
            for piece in tiler.add(found, decoded):
                yield self._segment(found.partition, piece, stages)
            self._positions[found.partition] = found.upto
            FIGURES.of_partitions("position_offset", self._stream.name, {found.partition: found.upto})
            for owed in self._owed.values():
                owed[found.partition] = stages or owed.get(found.partition)
        yield from self._open()
        self._check_unread()
        now = self._clock.elapsed_s()
        if self._question is None and now - self._beat >= HEARTBEAT_S:
            self._beat = now
            self._question = _Question(dict(self._positions), self._reader.ask_bounds())
        if self._question is not None and self._question.asked.done():
            question, self._question = self._question, None
            bounds = question.asked.bounds()
            lags = {p: max(0, found.high - self._positions[p]) for p, found in bounds.items()}
            FIGURES.of_partitions("lag_records", self._stream.name, lags)
            yield from self._again(bounds, question.positions)
            self._guard(bounds, now)
        if now - self._identified >= IDENTITY_S:
            self._identified = now
            self._identify()

    def close(self) -> None:
        """Release the reader and the watch."""
        self._reader.close()
        self._watch.close()

    def _rests(self) -> Iterator[float]:
        """Of the views that open cells are owed to, how long each still rests."""
        return (self._pace.wait_s(definition) for definition, owed in self._owed.items() if owed)

    def _open(self) -> Iterator[Segment]:
        """The open cells that moved since a view was given them last, for the views that do not rest."""
        ready = [of for of, owed in self._owed.items() if owed and self._pace.wait_s(of) <= 0]
        for p in sorted({p for definition in ready for p in self._owed[definition]}):
            piece = self._tilers[p].open()
            if piece is None:  # it was sealed meanwhile
                continue
            sampled_of = {of: self._owed[of][p] for of in ready if p in self._owed[of]}
            for stages in dict.fromkeys(sampled_of.values()):
                only = tuple(definition for definition, found in sampled_of.items() if found == stages)
                yield self._segment(p, piece, stages, only)
        for definition in ready:
            self._owed[definition].clear()

    def _again(self, bounds: Mapping[int, Bounds], asked_at: Mapping[int, int]) -> Iterator[Segment]:
        """`asked_at` are the positions when it was asked: the log has them, whatever was read since."""
        for p, found in bounds.items():
            end = found.end
            if end < asked_at[p]:
                raise PositionLostError(self._topic, {p: asked_at[p]}, f"beyond the log's end {end}")
            if end == self._positions[p] or p in self._unread:
                piece = self._tilers[p].newest()
                if piece is not None:
                    yield self._segment(p, piece, None)

    def _check_unread(self) -> None:
        """Say once which partitions cannot be read, and when one can again. The others go on.

        A reader that was made again does not know them: one stays unread until it was read past its offset.
        """
        stood = {p: stuck for p, stuck in self._unread.items() if self._positions[p] <= stuck.offset}
        unread = {**stood, **self._reader.unread}
        if unread == self._unread:
            return
        for p, stuck in unread.items():
            if self._unread.get(p) != stuck:
                logger.error("%s", UnreadableError(self._topic, *stuck))
        for p in self._unread.keys() - unread.keys():
            logger.info("%s[%d] can be read again", self._topic, p)
        self._unread = unread
        FIGURES.of_partitions("unreadable", self._stream.name, {p: int(p in unread) for p in self._positions})

    def _guard(self, bounds: Mapping[int, Bounds], now_s: float) -> None:
        reading = {p: at for p, at in self._positions.items() if p not in self._unread}
        late = self._watchdog.check(reading, bounds, now_s)
        if late:
            stuck = ", ".join(f"{p} at {self._positions[p]} of {bounds[p].end}" for p in late)
            logger.error("%s: no progress in partition %s: the reader is made again", self._topic, stuck)
            FIGURES.count("readers_rebuilt")
            self._question = None
            self._reader.close()
            self._reader = self._log.reader(self._topic, self._positions, gather_s=GATHER_S)

    def _recover(self, lost: Mapping[int, int]) -> None:
        """Positions below the log's start are reset to it; a position beyond its end is a lost tail.

        One that is in range by now was not when it was read: of a topic that was made again, or behind a tail that was
        lost and has grown. Records of another history must not follow what was read.
        """
        self._identify()
        for p, bounds in self._reader.bounds().items():
            if self._positions[p] < bounds.start:
                self._reset(p, bounds.start)
                self._reader.seek(p, bounds.start)
            elif self._positions[p] > bounds.end:
                raise PositionLostError(self._topic, {p: self._positions[p]}, f"beyond the log's end {bounds.end}")
            elif p in lost:
                raise PositionLostError(self._topic, {p: self._positions[p]}, "of a tail that was lost")

    def _reset(self, partition: int, start: int) -> None:
        at = self._positions[partition]
        logger.error("%s[%d]: the log starts at %d, above %d: a hole", self._topic, partition, start, at)
        self._tilers[partition].reset(start)
        self._positions[partition] = start

    def _identify(self) -> None:
        found = self._watch.check()
        if found.topic_id != self._topic_id:
            raise TopicRecreatedError(self._topic, self._topic_id, found.topic_id)
        if found.partitions != self._count:
            raise TopicMismatchError(f"{self._topic!r} has {found.partitions} partitions now, it had {self._count}.")

    def _segment(self, partition: int, piece: Piece, stages: Stages | None, only: tuple[str, ...] = ()) -> Segment:
        own = stages if stages is not None and piece.start <= stages.offset < piece.upto else ()
        slot = Slot(
            self._stream.name,
            self._topic_id,
            partition,
            piece.start,
            piece.upto,
            piece.sealed,
            partition,
            appended_ms=piece.appended_ms,
            stages=tuple(own),
        )
        return Segment(slot, piece.table, only=only)
