"""The benchmark of the speed layer's drain: how fast it works off a log that was there before it started.

The log is filled first. Then `slackwater speed run` starts, and this process does next to nothing: every half second
it looks at the last deltas. The times are the broker's own: the append time of the first delta, and of the delta that
brings a partition's chain to the log's end. The chain is then read as a server would, and must hold every trade.
"""

import os
from collections.abc import Mapping
from typing import Any

from bench.house import BenchError, House, Room
from bench.trades import Trades, fill
from ops.context import CLOCK
from ops.services import services
from slackwater.deltas.cell import decode_cell, decode_delta_key, delta_key_of
from slackwater.deltas.chain import Chain
from slackwater.log.log import read_range

LOOK_S = 0.5
DRAIN_TIMEOUT_S = 900.0
COUNT = "trades"
"""The measure that counts a bar's trades, in views that have it."""


def measure_speed(house: House, source: Trades, one: int, packed: int, per_record: int) -> dict[str, Any]:
    """Drain `one` trades at one a record, and `packed` trades at `per_record`, one after the other."""
    return {
        "one_per_record": _drain(house, source, "one", one, 1),
        "packed": _drain(house, source, "packed", packed, per_record),
    }


def _drain(house: House, source: Trades, name: str, trades: int, per_record: int) -> dict[str, Any]:
    room = house.room(name)
    topic = room.context.names.topic("trades")
    house.say(f"speed: filling the log with {trades:,} trades, {per_record} a record")
    filled = fill(room.context.log, topic, source, trades, per_record, CLOCK)
    ends = {p: bounds.end for p, bounds in room.context.log.bounds(topic).items() if bounds.end > bounds.start}
    house.say("speed: draining")
    speed = next(s for s in services(room.context.settings) if s.name == "speed")
    idle_s, broker_s, began_us = _own_cpu_s(), house.watch.cpu_s("broker"), CLOCK.now_us()
    room.start(speed)
    output = _Look(room, ends)
    try:
        room.wait(output.done, "the end of the drain", DRAIN_TIMEOUT_S, LOOK_S)
    finally:
        output.close()
    cpu = {
        "speed": house.watch.cpu_s("speed"),
        "broker": house.watch.cpu_s("broker") - broker_s,
        "bench": _own_cpu_s() - idle_s,
    }
    room.stop()
    first_ms, done_ms, counted = _arrivals(room, ends)
    if counted != trades:
        raise BenchError(f"The chain holds {counted:,} trades, the log {trades:,}.")
    decoded = room.job("decoded", {"topic": topic}).finish(tell=False)
    if decoded["events"] != trades:
        raise BenchError(f"{decoded['events']:,} trades were decoded, the log has {trades:,}.")
    drain_s, whole_s = (done_ms - first_ms) / 1e3, (done_ms - began_us / 1e3) / 1e3
    house.watch.peak_mb[f"speed, {per_record} a record"] = house.watch.peak_mb.pop("speed", 0.0)
    return {
        "trades": trades,
        "records": filled.records,
        "per_record": per_record,
        "trades_per_s": round(trades / max(drain_s, 1e-3)),
        "drain_s": round(drain_s, 3),
        "ratio_to_decoding": round(decoded["seconds"] / max(drain_s, 1e-3), 3),
        "trades_per_s_with_start": round(trades / whole_s),
        "with_start_s": round(whole_s, 3),
        "cpu_s": {process: round(seconds, 2) for process, seconds in cpu.items()},
        "filled_trades_per_s": round(trades / filled.seconds),
    }


def _own_cpu_s() -> float:
    times = os.times()
    return times.user + times.system


class _Look:
    """Looks at the last deltas of every partition, and nothing else: a reader of all would compete for the cores."""

    def __init__(self, room: Room, ends: Mapping[int, int]) -> None:
        self._room = room
        self._ends = ends
        self._reader = room.context.log.reader(room.context.names.deltas("trades"), dict.fromkeys(ends, 0))

    def done(self) -> bool:
        """Whether the chain of every view has come to the log's end in every partition."""
        last = self._reader.bounds()
        if any(not last[p].end for p in self._ends):
            return False
        for p, bounds in last.items():
            self._reader.seek(p, max(bounds.start, bounds.end - 4 * len(self._room.context.views)))
        there: set[tuple[str, int]] = set()
        todo = {p: last[p].end for p in self._ends}
        deadline = CLOCK.elapsed_s() + 1.0
        while todo and CLOCK.elapsed_s() < deadline:
            for found in self._reader.poll(0.2):
                for record in found.records:
                    delta_key = decode_delta_key(record.key)
                    view = next(v for v in self._room.context.views if v.name == delta_key.view)
                    if decode_cell(delta_key, record.value, view).upto == self._ends[delta_key.partition]:
                        there.add((delta_key.view, delta_key.partition))
                if found.upto >= todo.get(found.partition, found.upto + 1):
                    del todo[found.partition]
        return len(there) == len(self._room.context.views) * len(self._ends)

    def close(self) -> None:
        """Release."""
        self._reader.close()


def _arrivals(room: Room, ends: Mapping[int, int]) -> tuple[int, int, int]:
    """When the first delta was appended, when the last chain reached the log's end, and how many trades they hold."""
    log, names = room.context.log, room.context.names
    topic_id = log.topic_id(names.topic("trades"))
    delta_keys = {delta_key_of(view, topic_id, p): view for view in room.context.views for p in ends}
    chains = {delta_key: Chain() for delta_key in delta_keys}
    first_ms: int | None = None
    reached: dict[Any, int] = {}
    bounds = log.bounds(names.deltas("trades"))
    starts, uptos = {p: b.start for p, b in bounds.items()}, {p: b.end for p, b in bounds.items()}
    for found in read_range(log, names.deltas("trades"), starts, uptos):
        for record in found.records:
            delta_key = decode_delta_key(record.key)
            cell = decode_cell(delta_key, record.value, delta_keys[delta_key])
            chains[delta_key].put(cell)
            first_ms = min(record.append_time_ms, first_ms or record.append_time_ms)
            if cell.upto == ends[delta_key.partition]:
                reached.setdefault(delta_key, record.append_time_ms)
    if first_ms is None or len(reached) < len(delta_keys):
        raise BenchError("The deltas do not reach the log's end.")
    view = next(view for view in room.context.views if COUNT in view.measures)
    at = [column.name for column in view.columns].index(COUNT)
    cells = (cell for delta_key in delta_keys if delta_key.view == view.name for cell in chains[delta_key].walk(0))
    return first_ms, max(reached.values()), sum(int(row.state[at]) for cell in cells for row in cell.rows)
