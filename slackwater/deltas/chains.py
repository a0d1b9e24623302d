"""The chains of some views as a fresh reader of the delta topic finds them now."""

import logging
from collections.abc import Iterable

from slackwater.deltas.cell import decode_cell, decode_lane, lane_of
from slackwater.deltas.chain import Chain
from slackwater.deltas.errors import CellConflictError, CodecError
from slackwater.deltas.tail import Cut
from slackwater.log.errors import UnreadableError
from slackwater.log.log import Log, Unread, read_range
from slackwater.log.names import TopicNames
from slackwater.views.view import View

logger = logging.getLogger(__name__)


def read_chains(
    log: Log, names: TopicNames, views: tuple[View, ...], topic_id: str, starts: dict[int, int]
) -> dict[int, list[Chain]]:
    """Partition -> a chain for each view, of everything in the delta topic from `starts` to its end now."""
    lanes = {lane_of(view, topic_id, p): view for view in views for p in starts}
    chains = {lane: Chain() for lane in lanes}

    def unread(stuck: Unread) -> None:
        logger.error("%s", UnreadableError(names.deltas("trades"), *stuck))  # as for a hole, see below

    ends = {p: bounds.end for p, bounds in log.bounds(names.deltas("trades")).items() if p in starts}
    for found in read_range(log, names.deltas("trades"), {p: starts[p] for p in ends}, ends, unread):
        for record in found.records:
            try:
                lane = decode_lane(record.key)
                if lane in chains:
                    chains[lane].put(decode_cell(lane, record.value, lanes[lane]))
            except (CodecError, CellConflictError) as error:
                # A hole is made again from the log, which is what a worker is there for; so it goes on, and says so.
                logger.error("delta %s[%d]@%d: %s", names.deltas("trades"), found.partition, record.offset, error)
    return {p: [chains[lane_of(view, topic_id, p)] for view in views] for p in starts}


def chains_beyond(
    log: Log, names: TopicNames, views: Iterable[View], topic_id: str, cut: Cut, partitions: Iterable[int]
) -> dict[tuple[View, int], Chain]:
    """(view, partition) -> its chain, of everything that came to the delta topic since a cut was taken.

    A delta topic that was created again since, or whose start was expired, is read from its own start.
    """
    wanted = tuple(dict.fromkeys(views))
    known = cut.delta_start if cut.topics.get(names.deltas("trades")) == log.topic_id(names.deltas("trades")) else {}
    bounds = log.bounds(names.deltas("trades"))
    starts = {p: max(known.get(p, 0), bounds[p].start) for p in partitions if p in bounds}
    found = read_chains(log, names, wanted, topic_id, starts)
    return {(view, p): chain for p, of in found.items() for view, chain in zip(wanted, of, strict=True)}
