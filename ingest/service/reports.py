"""Reports of what became of events, by source and second: events of the stream `intake_reports` themselves.

    desks    noted(stream, source, counts)       of what is durable
    once a second                                a report for each source, stream and outcome -> the reports' own desk

A report is in the log or it is tried again; those of the last second before a kill are lost, the events that they count
are not. Reports are not reported on.
"""

import logging
import re
import threading
from collections import Counter
from collections.abc import Mapping
from functools import partial

import orjson

from ingest.service.bodies import NDJSON, source_of
from ingest.service.desk import Desk
from ingest.verdicts import Summary
from slackwater.core.clock import Clock
from slackwater.core.errors import SlackwaterError
from slackwater.streams.intake import INTAKE_REPORTS
from slackwater.streams.mapping import Layout

logger = logging.getLogger("slackwater.ingest")

EVERY_S = 1.0
LONGEST = 120
_SOURCE = "ingest service"

Key = tuple[str, str, str, str]
"""Source, stream, outcome and reason."""


class Reports:
    """Collects counts, and hands reports to a desk. Thread safe."""

    def __init__(self, desk: Desk, clock: Clock, service: str) -> None:
        """`service` names who reports: no two that run at once have one name."""
        self._desk = desk
        self._service = service_text(service)
        self._clock = clock
        self._lock = threading.Lock()
        self._counts: Counter[Key] = Counter()
        self._waiting = b""
        self._last_id = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="intake-reports", daemon=True)

    def noted(self, stream: str, source: str, counts: Summary) -> None:
        """Count what became of events of a source."""
        if stream == INTAKE_REPORTS.name:
            return
        name = source_text(source)
        found: Mapping[tuple[str, str], int] = {
            ("accepted", "accepted"): counts.accepted,
            ("duplicate", "duplicate"): counts.duplicates,
            ("conflict", "conflict"): counts.conflicts,
            **{("refused", _reason(reason)): count for reason, count in counts.refused.items()},
        }
        with self._lock:
            for (outcome, reason), count in found.items():
                if count:
                    self._counts[name, stream, outcome, reason] += count

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Hand the last reports over, and end."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def flush(self) -> None:
        """Hand over what was counted since the last time. What may not be in the log goes again as it is, first."""
        if not self._waiting:
            with self._lock:
                counts, self._counts = self._counts, Counter()
            self._waiting = self._lines(counts)
        if not self._waiting:
            return
        lines = self._waiting
        try:
            opened = partial(source_of, INTAKE_REPORTS, NDJSON, lines, _SOURCE, Layout())
            self._desk.offer(opened, len(lines)).done.result()
            self._waiting = b""
        except SlackwaterError as error:
            logger.warning("reports of the intake wait: %s", error)

    def _lines(self, counts: Mapping[Key, int]) -> bytes:
        now_us = self._clock.now_us()
        lines = []
        for (source, stream, outcome, reason), count in sorted(counts.items()):
            self._last_id = max(self._last_id + 1, now_us)
            facts = {
                "service": self._service,
                "source": source,
                "given_to": stream,
                "report_id": self._last_id,
                "time": now_us,
            }
            lines.append(orjson.dumps({**facts, "outcome": outcome, "reason": reason, "events": count}))
        return b"\n".join(lines)

    def _run(self) -> None:
        while not self._stop.wait(EVERY_S):
            self._flushed()
        self._flushed()

    def _flushed(self) -> None:
        try:
            self.flush()
        except Exception:
            logger.exception("reports of the intake failed")


def source_text(source: str) -> str:
    """A source's name as the stream takes it: of characters that it allows, not longer."""
    text = re.sub(r"[^A-Za-z0-9 ._:/@-]", "-", source)
    text = re.sub(r"\.\.+", ".", re.sub("//+", "/", text))[-LONGEST:].lstrip(" ._:/@-")  # the end of a path
    return text or "unnamed"


def service_text(name: str) -> str:
    """A service's name as the stream takes it."""
    return re.sub("[^a-z0-9_.-]", "-", name.lower()).lstrip("_.-")[:64] or "unnamed"


def _reason(reason: str) -> str:
    return re.sub("[^a-z0-9_-]", "-", reason.lower())[:64] or "unknown"
