"""What capture does, in numbers by venue, for `/metrics`."""

from collections.abc import Callable, Iterable, Iterator, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ingest.capture.state import STATES, VenueState

_COUNTERS: Sequence[tuple[str, str, Callable[[VenueState], float]]] = (
    ("frames", "Frames received, of every kind.", lambda state: state.frames),
    ("trades", "Trades that frames and answers held, again where they were said again.", lambda state: state.trades),
    ("bad_frames", "Frames that are none of the venue's; they are dead letters.", lambda state: state.bad_frames),
    ("connections", "Connections begun.", lambda state: state.connections),
    ("rest_requests", "Requests to the venue's REST interface.", lambda state: state.requests),
    ("refilled", "Trades that the REST interface gave.", lambda state: state.refilled),
)
_GAUGES: Sequence[tuple[str, str, Callable[[VenueState], float]]] = (
    ("missing_ids", "Ids that are missing and are being asked for.", lambda state: state.missing),
    ("lost_ids", "Ids that are missing and that the venue does not show.", lambda state: state.lost),
    ("lag_seconds", "From a trade's time, by the venue's clock, to its receipt, of the last.", lambda s: s.lag_s),
    ("suspect_spans", "Spans of time in which trades may be missing.", lambda state: len(state.suspects)),
)


class CaptureFigures(Collector):
    """Reads the states of venues. Their numbers are changed by one thread, so no lock is needed."""

    def __init__(self, states: Iterable[VenueState]) -> None:
        self._states = list(states)

    def describe(self) -> Iterable[Metric]:
        """Nothing: the names are looked up when asked for."""
        return []

    def collect(self) -> Iterator[Metric]:
        for name, text, of in _COUNTERS:
            counter = CounterMetricFamily(f"slackwater_capture_{name}", text, labels=["venue"])
            for state in self._states:
                counter.add_metric([state.feed.venue], of(state))
            yield counter
        for name, text, of in _GAUGES:
            gauge = GaugeMetricFamily(f"slackwater_capture_{name}", text, labels=["venue"])
            for state in self._states:
                gauge.add_metric([state.feed.venue], of(state))
            yield gauge
        state_of = GaugeMetricFamily("slackwater_capture_state", "1 for the state it is in.", labels=["venue", "state"])
        for state in self._states:
            for name in STATES:
                state_of.add_metric([state.feed.venue, name], float(state.state == name))
        yield state_of
