"""What one run reads of each stream and partition: from the parent's cut to its own mark, or nothing where it cannot.

    trades 0    cut(parent) ---------- M        read, archived; M is its cut
    trades 1    cut(parent) -- [?] --- M        cannot be read: it keeps the parent's cut, and is named
    trades 2    cut(parent) -- (open transaction hides the rest): the same; no mark is appended
    fills  *    its topic is gone: the stream is held whole, and named

One unreadable partition stops no other, one stalled stream no other. A mark that lies in a held one is a cell's end,
and nothing more. Every stream is marked before any is archived.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from batch_layer.errors import BatchError, TailLostError
from slackwater.context import Context
from slackwater.core.clock import Clock
from slackwater.core.errors import SlackwaterError
from slackwater.log.errors import HiddenRecordsError, LogError, TopicMissingError, TopicRecreatedError
from slackwater.log.log import Bounds, Log, Writer
from slackwater.log.mark import append_marks, marks_at
from slackwater.streams.stream import Stream
from slackwater.versions.manifest import Held, Manifest, Mark, StreamCut, first_cut

logger = logging.getLogger(__name__)

POLL_S = 0.25


@dataclass
class Spans:
    """One stream of one run.

    `start` maps partition -> where it begins to read, `cut` -> its own mark; `held` are those that it leaves out, with
    the reason. `bounds` are what the log retained and `delta_ends` where the delta topic ended before the marks.
    `stalled` says why the stream is held whole.
    """

    stream: Stream
    parent: StreamCut
    topic: str
    topic_id: str
    deltas_id: str = ""
    bounds: Mapping[int, Bounds] = field(default_factory=dict)
    delta_ends: Mapping[int, int] = field(default_factory=dict)
    start: dict[int, int] = field(default_factory=dict)
    cut: dict[int, int] = field(default_factory=dict)
    held: dict[int, SlackwaterError] = field(default_factory=dict)
    stalled: SlackwaterError | None = None

    @property
    def known(self) -> bool:
        """Whether a version can hold it: the parent does, or it can be reached."""
        return bool(self.parent.topic_id) or self.stalled is None

    @property
    def reasons(self) -> list[SlackwaterError]:
        """Why it, or some of it, is held."""
        return [self.stalled] if self.stalled is not None else list(self.held.values())

    def hold(self, partition: int, error: SlackwaterError) -> None:
        """Leave a partition out; with the last one the stream is held whole."""
        logger.error("partition %d of %s stays at its cut: %s", partition, self.topic, error)
        self.held[partition] = error
        self.start.pop(partition, None)
        self.cut.pop(partition, None)
        if not self.start:
            self.stall(error)

    def stall(self, error: SlackwaterError) -> None:
        """Hold the stream whole."""
        if self.stalled is None:
            logger.error("%s is held whole: %s", self.topic, error)
        self.stalled = error
        self.start, self.cut = {}, {}

    def stand(self, run_id: str) -> StreamCut:
        """Where the version stands: at this run's marks, and at the parent's where a partition is held."""
        if self.stalled is not None:
            why = {mark.partition: self.stalled for mark in self.parent.marks} | self.held
            return replace(self.parent, held=_shown(why))
        own = [Mark(p, at, run_id) for p, at in self.cut.items()]
        held_marks = [mark for mark in self.parent.marks if mark.partition not in self.cut]
        ends = {p: at for p, at in self.delta_ends.items() if p in self.cut}
        held_ends = {p: at for p, at in self.parent.delta_start.items() if p not in self.cut}
        marks = tuple(sorted([*own, *held_marks], key=lambda mark: mark.partition))
        return StreamCut(self.topic_id, self.deltas_id, marks, {**ends, **held_ends}, _shown(self.held))


def _shown(held: Mapping[int, SlackwaterError]) -> tuple[Held, ...]:
    return tuple(Held(p, error.fact) for p, error in sorted(held.items()))


def open_spans(context: Context, parent: Manifest, wait_s: float) -> list[Spans]:
    """What can be read of each stream now, looked at before anything is appended.

    Those of the views, those of the parent, and every registered one that has events. Waits up to `wait_s` in all for
    open transactions.

    Raises:
        LogError, TailLostError: no stream can be read.
    """
    until_s = context.clock.elapsed_s() + wait_s
    needed = {view.stream for view in context.views}
    found = []
    for stream in context.streams:
        wanted = stream in needed or stream.name in parent.streams
        if wanted or _has_events(context.log, context.names.topic(stream)):
            found.append(_open(context, parent, stream, until_s))
    refuse_stalled(found)
    return found


def refuse_stalled(found: Sequence[Spans]) -> None:
    """Raises what holds the first stream if every one is held whole."""
    errors = [spans.stalled for spans in found if spans.stalled is not None]
    if errors and len(errors) == len(found):
        raise errors[0]


def mark_all(found: Iterable[Spans], writer: Writer, run_id: str) -> None:
    """Append a mark to every partition of every stream; what cannot be marked is held.

    Raises:
        LogError, BatchError: no stream could be marked.
    """
    found = list(found)
    for spans in found:
        marks, refused = append_marks(writer, spans.topic, spans.start, run_id)
        spans.cut = marks
        for p, error in refused.items():
            spans.hold(p, error)
        behind = {p: (spans.cut[p], at) for p, at in spans.start.items() if spans.cut[p] < at}
        if behind:
            facts = f"Marks of {spans.topic!r} lie below the parent's cut, as partition: (mark, cut): {behind}."
            spans.stall(BatchError(facts))
    refuse_stalled(found)


def _open(context: Context, parent: Manifest, stream: Stream, until_s: float) -> Spans:
    log, own, topic = context.log, parent.of(stream), context.names.topic(stream)
    spans = Spans(stream, own, topic, own.topic_id)
    try:
        spans.topic_id = log.topic_id(topic)
        if own.topic_id not in ("", spans.topic_id):
            raise TopicRecreatedError(topic, own.topic_id, spans.topic_id)
        check_parent(log, topic, parent.version, own)
        spans.deltas_id = log.topic_id(context.names.deltas(stream))
        spans.bounds, hidden = await_stable(log, topic, context.clock, until_s - context.clock.elapsed_s())
        spans.delta_ends = {p: at.end for p, at in log.bounds(context.names.deltas(stream)).items()}
        if not own.topic_id:  # as in version 0: the parent's cut is where the log begins
            spans.parent = own = first_cut(
                spans.topic_id, spans.deltas_id, {p: at.start for p, at in spans.bounds.items()}
            )
        spans.start = {p: own.cut.get(p, at.start) for p, at in spans.bounds.items()}
        for p, error in hidden.items():
            spans.hold(p, error)
    except (LogError, BatchError) as error:
        spans.stall(error)
    return spans


def _has_events(log: Log, topic: str) -> bool:
    try:
        return any(at.end > at.start for at in log.bounds(topic).values())
    except TopicMissingError:
        return False


def check_parent(log: Log, topic: str, version: int, own: StreamCut) -> None:
    """Check that the log still is the one that a version's cut of a stream was taken in.

    Raises:
        TailLostError: the log starts above the cut, ends below it, or the record at the cut is not its own mark.
    """
    bounds = log.bounds(topic)
    for mark in own.marks:
        if mark.partition not in bounds:
            raise TailLostError(topic, version, f"partition {mark.partition} is gone")
        start, end, _ = bounds[mark.partition]
        if not start <= mark.offset <= end:
            where = f"partition {mark.partition} holds [{start}, {end}), the cut is {mark.offset}"
            raise TailLostError(topic, version, where)
    expected = {mark.partition: mark.run_id for mark in own.marks if mark.run_id is not None}
    found = marks_at(log, topic, {p: own.cut[p] for p in expected})
    for p, run_id in expected.items():
        if found[p] != run_id:
            raise TailLostError(topic, version, f"partition {p} holds no mark of its run at {own.cut[p]}")


def await_stable(
    log: Log, topic: str, clock: Clock, wait_s: float
) -> tuple[Mapping[int, Bounds], Mapping[int, HiddenRecordsError]]:
    """What can be read, once that is all that the log holds now, or `wait_s` later; and the transactions that stayed
    open, by partition: a mark behind one could not be read.

    Transactions that begin meanwhile are not waited for: with a writer that opens one after the other there always is
    one.
    """
    bounds = log.bounds(topic)
    goal, until_s = {p: at.high for p, at in bounds.items()}, clock.elapsed_s() + wait_s
    while hidden := [p for p, at in sorted(bounds.items()) if at.end < goal.get(p, 0)]:
        if clock.elapsed_s() >= until_s:
            return bounds, {p: HiddenRecordsError(topic, p, bounds[p].end, bounds[p].hidden) for p in hidden}
        clock.sleep(POLL_S)
        bounds = log.bounds(topic)
    return bounds, {}
