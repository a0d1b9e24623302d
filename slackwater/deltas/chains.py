"""The chains of some views as a fresh reader of the delta topic finds them now."""

import logging
from collections.abc import Iterable, Mapping

from slackwater.deltas.cell import delta_key_of
from slackwater.deltas.chain import Chain
from slackwater.deltas.errors import CellConflictError
from slackwater.deltas.reader import DeltaReader
from slackwater.deltas.tail import Cut
from slackwater.log.errors import UnreadableError
from slackwater.log.log import Log
from slackwater.views.view import View

logger = logging.getLogger(__name__)


def read_chains(
    log: Log, topic: str, views: Iterable[View], topic_id: str, starts: Mapping[int, int]
) -> dict[tuple[View, int], Chain]:
    """(view, partition) -> its chain, of everything in the delta topic `topic` from `starts` to its end now.

    A hole is made again from the log, which is what a worker is there for; so what cannot be read, or does not fit, is
    logged and passed over.
    """
    delta_keys = {delta_key_of(view, topic_id, p): (view, p) for view in views for p in starts}
    chains = {of: Chain() for of in delta_keys.values()}
    reader = DeltaReader(
        log, topic, starts, lambda delta_key, _: delta_keys[delta_key][0] if delta_key in delta_keys else None, starts
    )
    try:
        for cell, record in reader.rest():
            try:
                chains[delta_keys[cell.delta_key]].put(cell)
            except CellConflictError as error:
                logger.error("delta %s[%d]@%d: %s", topic, cell.delta_key.partition, record.offset, error)
        for stuck in reader.unread.values():
            logger.error("%s", UnreadableError(topic, *stuck))
        if reader.bad:
            logger.error("%s: %d deltas cannot be read, and are passed over", topic, reader.bad)
    finally:
        reader.close()
    return chains


def chains_since(
    log: Log, topic: str, views: Iterable[View], topic_id: str, cut: Cut, partitions: Iterable[int]
) -> dict[tuple[View, int], Chain]:
    """The same of everything that came to the delta topic since a cut was taken.

    A delta topic that was created again since, or whose start was expired, is read from its own start.
    """
    known = cut.delta_start if cut.deltas_id == log.topic_id(topic) else {}
    there = log.bounds(topic).keys()
    return read_chains(log, topic, views, topic_id, {p: known.get(p, 0) for p in partitions if p in there})
