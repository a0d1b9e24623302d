"""Waits until what open transactions hide of the log can be read: a mark behind one could not be, so none is made.

Where one stays open, its partition is left out of the run (`batch_layer.held`).
"""

from collections.abc import Mapping
from typing import NamedTuple

from slackwater.core.clock import Clock
from slackwater.log.errors import HiddenRecordsError
from slackwater.log.log import Bounds, Log

POLL_S = 0.25


class Stable(NamedTuple):
    """The retained offsets, and partition -> the transaction that stayed open there."""

    bounds: Mapping[int, Bounds]
    hidden: Mapping[int, HiddenRecordsError]


def await_stable(log: Log, topic: str, clock: Clock, wait_s: float) -> Stable:
    """What can be read, once that is all that the log holds now, or `wait_s` later.

    Transactions that begin meanwhile are not waited for: with a writer that opens one after the other there always is
    one.
    """
    bounds = log.bounds(topic)
    goal, until_s = {p: at.high for p, at in bounds.items()}, clock.elapsed_s() + wait_s
    while hidden := [p for p, at in sorted(bounds.items()) if at.end < goal.get(p, 0)]:
        if clock.elapsed_s() >= until_s:
            return Stable(bounds, {p: HiddenRecordsError(topic, p, bounds[p].end, bounds[p].hidden) for p in hidden})
        clock.sleep(POLL_S)
        bounds = log.bounds(topic)
    return Stable(bounds, {})
