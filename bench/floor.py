"""The floor of latency: two hops through the broker with the client in force, and nothing of the product in between.

    send --> topic --> echo --> topic --> arrive          three processes, `rate` records a second, acks by all

A trade makes the same two hops, to the speed layer and from it to the service. What it takes beyond this floor is
the product's own.
"""

import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from bench.house import BenchError, House
from bench.latency import percentiles
from slackwater.log.kafka_log import KafkaLog
from slackwater.log.topics import create_topics

READY_S = 30.0
STREAM = "floor"
"""Of the stream's two topics the log is the first hop, the deltas are the second."""


class FloorSpan(NamedTuple):
    """Records a second, and seconds before and within the span: as long before as `bench.latency` says why."""

    rate: int = 1000
    warm_s: float = 20.0
    span_s: float = 15.0


FLOOR_SPAN = FloorSpan()


def measure_floor(house: House, span: FloorSpan = FLOOR_SPAN) -> dict[str, Any]:
    """Percentiles in milliseconds."""
    room = house.room("floor")
    log, names = room.context.log, room.context.names
    create_topics(log, names, (STREAM,), 1)
    house.say(f"floor: {span.rate:,} records/s through two topics with {log.client}")
    hops = {"first": names.topic(STREAM), "second": names.deltas(STREAM)}
    arrive, echo = room.job("arrive", hops), room.job("echo", hops)
    send = room.job("send", {**hops, "rate": span.rate})
    room.wait(lambda: log.bounds(hops["second"])[0].end > 0, "the first record", READY_S)
    time.sleep(span.warm_s)
    began_ns = time.time_ns()
    time.sleep(span.span_s)
    ended_ns = time.time_ns()
    sent = send.finish()["records"]
    room.wait(lambda: log.bounds(hops["second"])[0].end >= sent, "the last record", READY_S)
    echo.finish()
    found = np.array(arrive.finish()["arrived"], np.int64)
    ms = [(there - sent_ns) / 1e6 for sent_ns, there in found if began_ns <= sent_ns < ended_ns]
    if not ms:
        raise BenchError("No record came through both topics.")
    return {"client": log.client, "rate": span.rate, "records": sent, **percentiles(np.array(ms))}


def send(log: KafkaLog, given: dict[str, Any], closed: threading.Event) -> dict[str, Any]:
    """Sends the time, `rate` times a second."""
    writer, number, began = log.writer(), 0, time.perf_counter()
    while not closed.is_set():
        if (due_s := began + number / given["rate"] - time.perf_counter()) > 0:
            closed.wait(due_s)
        writer.append(given["first"], 0, None, b"%d" % time.time_ns())
        number += 1
    writer.close()
    return {"records": number}


def echo(log: KafkaLog, given: dict[str, Any], closed: threading.Event) -> dict[str, Any]:
    """Sends on what comes; a topic of deltas is compacted and wants keys."""
    writer = log.writer()
    _each(log, given["first"], closed, lambda value: writer.append(given["second"], 0, value, value))
    writer.close()
    return {}


def arrive(log: KafkaLog, given: dict[str, Any], closed: threading.Event) -> dict[str, Any]:
    """When what was sent arrived: pairs of nanoseconds."""
    arrived: list[tuple[int, int]] = []
    _each(log, given["second"], closed, lambda value: arrived.append((int(value), time.time_ns())))
    return {"arrived": arrived}


def _each(log: KafkaLog, topic: str, closed: threading.Event, take: Callable[[bytes], object]) -> None:
    reader = log.reader(topic, {0: 0})
    while not closed.is_set():
        for found in reader.poll(0.2):
            for record in found.records:
                take(record.value or b"")
    reader.close()


def floor_lines(found: dict[str, Any]) -> list[tuple[str, str, str]]:
    """For the table."""
    spread = f"p50 {found['p50']:.1f}, p90 {found['p90']:.1f}, p99 {found['p99']:.1f} ms"
    return [(f"two hops through the broker, {found['rate']:,} records/s, {found['client']}", spread, "")]
