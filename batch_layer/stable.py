"""Waits until what open transactions hide of the log can be read: a mark behind one could not be, so none is made."""

from collections.abc import Mapping

from event_log.clock import Clock
from event_log.errors import HiddenRecordsError
from event_log.log import Bounds, Log

POLL_S = 0.25


def await_stable(log: Log, topic: str, clock: Clock, wait_s: float) -> Mapping[int, Bounds]:
    """The retained offsets, once all can be read that the log holds now. Waits up to `wait_s`.

    Transactions that begin meanwhile are not waited for: with a writer that opens one after the other there always is
    one.

    Raises:
        HiddenRecordsError: one stays open.
    """
    bounds = log.bounds(topic)
    goal, until_s = {p: at.high for p, at in bounds.items()}, clock.elapsed_s() + wait_s
    while hidden := [p for p, at in sorted(bounds.items()) if at.end < goal.get(p, 0)]:
        if clock.elapsed_s() >= until_s:
            first = bounds[hidden[0]]
            raise HiddenRecordsError(topic, hidden[0], first.end, first.hidden)
        clock.sleep(POLL_S)
        bounds = log.bounds(topic)
    return bounds
