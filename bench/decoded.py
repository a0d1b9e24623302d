"""What a drain is measured against: the same records decoded on one core, from memory, without Kafka and views."""

import time
from typing import Any

from slackwater.log.events import decode
from slackwater.log.log import Log, Record, read_range
from slackwater.streams.trades import TRADES

BLOCK = 5_000
"""Records that are decoded at once, as many as a poll gives at most."""


def decode_alone(log: Log, topic: str) -> dict[str, Any]:
    """Seconds, and how many events there were."""
    bounds = log.bounds(topic)
    starts, ends = {p: b.start for p, b in bounds.items()}, {p: b.end for p, b in bounds.items()}
    parts: dict[int, list[Record]] = {p: [] for p in bounds}
    for found in read_range(log, topic, starts, ends):
        parts[found.partition] += found.records
    began, events = time.perf_counter(), 0
    for records in parts.values():
        for at in range(0, len(records), BLOCK):
            events += decode(TRADES, records[at : at + BLOCK]).table.num_rows
    return {"events": events, "seconds": time.perf_counter() - began}
