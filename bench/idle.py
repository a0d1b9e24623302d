"""The benchmark of an idle system: what all processes use together while no trade comes.

    some trades, a version of them --> nothing more is sent --> seconds of CPU of each process, over a span

The broker, the speed layer, the service and the batch layer run as `slackwater up` starts them.
"""

import time
from typing import Any, NamedTuple

from bench.budget import Line
from bench.house import House
from bench.latency import READY_S, flows, ready
from ops.services import services


class IdleSpan(NamedTuple):
    """Seconds of trades, of quiet before the span, and of the span, which holds some runs of the batch layer."""

    trades_s: float = 3.0
    warm_s: float = 30.0
    span_s: float = 90.0


IDLE_SPAN = IdleSpan()


def measure_idle(house: House, span: IdleSpan = IDLE_SPAN) -> dict[str, Any]:
    """Cores in use, by process and in all."""
    room = house.room("idle")
    started = [each for each in services(room.context.settings) if not each.demo]
    for each in started:
        room.start(each)
    room.wait(lambda: ready(room.context), "the service", READY_S)
    producer = room.job("produce", {"rate": 100}, "producer")
    room.wait(lambda: flows(room.context), "the first trades", READY_S)
    time.sleep(span.trades_s)
    sent = producer.finish()["trades"]
    room.wait(lambda: room.context.store.pointer().version > 0, "the first version", READY_S)
    house.say(f"idle: {span.span_s:.0f} s without a trade, with {room.context.log.client}")
    time.sleep(span.warm_s)
    names = ["broker", *(each.name for each in started)]
    before = {name: house.watch.cpu_s(name) for name in names}
    time.sleep(span.span_s)
    cores = {name: round((house.watch.cpu_s(name) - before[name]) / span.span_s, 3) for name in names}
    return {"client": room.context.log.client, "trades": sent, "cores": cores, "all": round(sum(cores.values()), 3)}


def idle_lines(found: dict[str, Any]) -> list[Line]:
    """For the table."""
    parts = ", ".join(f"{name} {cores:.3f}" for name, cores in found["cores"].items())
    return [(f"without trades, cores in use, {found['client']}", f"{found['all']:.2f} ({parts})", "at most 0.15")]
