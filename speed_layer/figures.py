"""What this process of the speed layer did since it began, in numbers, for `/metrics` and for its last line.

One object a process: workers and sinks are made again with each pipeline, and the counts go on. A `+=` under one
lock, since a pipeline that ends and the next one may overlap.
"""

import threading
from collections.abc import Mapping

_NAMES = {
    "readers_rebuilt": "Readers made again, since a partition with lag made no progress.",
    "pipelines_failed": "Pipelines that ended with an error and were started again.",
    "deltas": "Deltas sent.",
    "waits": "Times that the sink waited for the log, with too much unacknowledged.",
}


class Figures:
    """Counters by name."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts = dict.fromkeys(_NAMES, 0)

    def count(self, name: str, more: int = 1) -> None:
        """Add to a counter."""
        with self._lock:
            self._counts[name] += more

    def counts(self) -> Mapping[str, int]:
        """All of them, now."""
        with self._lock:
            return dict(self._counts)

    def text(self) -> bytes:
        """Prometheus' text format."""
        lines = []
        for name, count in self.counts().items():
            full = f"slackwater_speed_{name}_total"
            lines += [f"# HELP {full} {_NAMES[name]}", f"# TYPE {full} counter", f"{full} {count}"]
        return "\n".join([*lines, ""]).encode()


FIGURES = Figures()
