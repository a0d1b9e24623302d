"""Where a worker begins: at the last cell of the chain in the delta topic. Group offsets are never read.

It reads the smallest retained cut, then the delta topic, follows the chain of each view and begins at its last cell's
start, taken as it stands, the smallest over its views. That cell may be an open one of a dead worker: it is made
again, whole. With no cell in the chain it begins at the cut.
"""

import logging
from collections.abc import Collection
from typing import NamedTuple

from slackwater.deltas.chains import read_chains
from slackwater.log.log import Log
from slackwater.log.names import TopicNames
from slackwater.streams.stream import Stream
from slackwater.versions.retention import smallest_cut, smallest_delta_start
from slackwater.versions.store import VersionStore
from slackwater.views.view import View
from speed_layer.figures import FIGURES

logger = logging.getLogger(__name__)


class Retained(NamedTuple):
    """Per partition the smallest cut that a retained version stands on, and where the delta topic is read from.

    Version 0 is retained until the first publication; its cut is the log's first offset.
    """

    cut: dict[int, int]
    delta_start: dict[int, int]


def retained(log: Log, names: TopicNames, store: VersionStore, stream: Stream, topic_id: str) -> Retained:
    """The smallest retained positions; the first offsets where a version does not know the partition, or the stream:
    somebody may roll back to one from before the stream. One that knows another topic refuses this one.
    """
    topic, deltas = names.topic(stream), names.deltas(stream)
    starts = {p: bounds.start for p, bounds in log.bounds(topic).items()}
    of = [(manifest, manifest.streams.get(stream.name)) for manifest in store.retained()]
    versions = [manifest for manifest, own in of if own is None or own.topic_id == topic_id]
    first = {p: bounds.start for p, bounds in log.bounds(deltas).items()}
    needed = smallest_delta_start(versions, stream.name, log.topic_id(deltas), starts)
    return Retained(smallest_cut(versions, stream, starts), {p: max(at, first.get(p, 0)) for p, at in needed.items()})


def beginnings(
    log: Log,
    names: TopicNames,
    store: VersionStore,
    stream: Stream,
    views: tuple[View, ...],
    partitions: Collection[int],
) -> dict[int, int]:
    """Partition -> the offset at which a worker begins to read `stream` for `views`, which are views of it."""
    topic = names.topic(stream)
    topic_id = log.topic_id(topic)
    deltas = names.deltas(stream)
    floor = retained(log, names, store, stream, topic_id)
    chains = read_chains(log, deltas, views, topic_id, {p: floor.delta_start[p] for p in partitions})
    begin, lost, bounds = {}, {}, log.bounds(topic)  # asked after the chains, which only reach what the log had
    for p in partitions:
        lasts = [chains[view, p].last(floor.cut[p]) for view in views]
        reached = max((last.upto for last in lasts if last is not None), default=0)
        lost[p] = max(0, reached - bounds[p].end) if p in bounds else 0
        if lost[p]:
            # The last cell is made again all the same: a server answers nothing until a version passes what was lost.
            logger.error(
                "%s[%d]: the log ends at %d, cells reach %d: its tail was lost", topic, p, bounds[p].end, reached
            )
        begin[p] = min(floor.cut[p] if last is None else last.start for last in lasts)
    FIGURES.of_partitions("tail_lost_offsets", stream.name, lost)
    return begin
