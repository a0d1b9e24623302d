"""A broker that is killed and back, with both clients: nothing is lost and nothing doubled, on either side of it.

appended    0 .. 99    100 .. 599 X    600 .. 699    back    700        X: SIGKILL, with appends under way
read        0 .. 99    .............................. 100 .. 700        by the same reader
"""

import os
import random
import signal
import time
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from kafka.admin import NewTopic

from ops.broker import Broker, BrokerSettings, free_port
from slackwater.log.clients import CONFLUENT, KAFKA_PYTHON
from slackwater.log.errors import LogUnreachableError
from slackwater.log.kafka_log import KafkaLog
from slackwater.log.log import Ack, Slice, read_range

VALUES = [b"%d " % i + random.Random(i).randbytes(4_000) for i in range(701)]
"""So large that several requests carry them."""


class Both:
    """A writer and a reader of one topic, by one client."""

    def __init__(self, servers: str, client: str, stack: ExitStack) -> None:
        self.log, self.topic = KafkaLog(servers, client=client), f"killed-{client}"
        with self.log.admin() as admin:
            admin.create_topics([NewTopic(self.topic, num_partitions=1, replication_factor=1)])
            admin.wait_for_topics([self.topic])
        self.writer = stack.enter_context(closing(self.log.writer()))
        self.reader = stack.enter_context(closing(self.log.reader(self.topic, {0: 0})))
        self.acks: list[Ack] = []
        self.found: list[Slice] = []

    def append(self, upto: int) -> None:
        for value in VALUES[len(self.acks) : upto]:
            self.acks.append(self.writer.append(self.topic, 0, None, value))

    def read(self, upto: int) -> None:
        """To `upto` and no further, by slices that follow each other."""
        ends_s = time.monotonic() + 60
        while not self.found or self.found[-1].upto < upto:
            assert time.monotonic() < ends_s, [(one.start, one.upto) for one in self.found]
            self.found += self.reader.poll(0.2)
        ends = [0, *(one.upto for one in self.found)]
        assert [one.start for one in self.found] == ends[:-1] and ends[-1] == upto


@pytest.mark.broker
def test_readers_go_on_where_they_were_and_writers_append_each_record_once(tmp_path: Path) -> None:
    with Broker(BrokerSettings(tmp_path, free_port(), short_lived=True)) as broker, ExitStack() as stack:
        both = [Both(broker.bootstrap, client, stack) for client in (KAFKA_PYTHON, CONFLUENT)]
        for one in both:
            one.append(100)
            one.writer.flush()
            one.read(100)
        ids = [one.log.topic_id(one.topic) for one in both]
        for one in both:
            one.append(600)
        assert broker.pid is not None
        os.kill(broker.pid, signal.SIGKILL)
        broker.stop()  # it has ended: this waits until the process is gone
        for one in both:
            one.append(700)
            assert not one.acks[-1].done()
            with pytest.raises(LogUnreachableError):
                one.reader.bounds()
            one.found += one.reader.poll(0.5)  # what came before the end; that it is away is nothing to raise
        broker.start()
        broker.wait_ready()
        for one in both:
            one.writer.flush()
            assert [ack.offset() for ack in one.acks] == list(range(700))
            one.append(701)
            one.read(701)
            assert [record.value for piece in one.found for record in piece.records] == VALUES
            again = read_range(one.log, one.topic, {0: 0}, {0: 701})
            assert [record.value for piece in again for record in piece.records] == VALUES
        assert [one.log.topic_id(one.topic) for one in both] == ids
