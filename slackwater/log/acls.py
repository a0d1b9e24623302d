"""What each process needs of Kafka's access lists, and nothing beyond it; docs/security.md says why.

One list: `slackwater topics acls` prints it as commands, the documentation is compared with it, and the tests run every
process on a broker that allows nothing else. Write implies Describe, and so do Read, Delete and Alter; an idempotent
producer needs no more than Write (KIP-679). Not here: the users and how they show who they are.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from slackwater.log.names import SPEED_GROUP, TopicNames
from slackwater.streams.stream import Stream

PROCESSES = ("ingest", "speed", "batch", "serve", "operator")
"""The users: ingest, the two layers, the service, and who creates topics and runs doctor and verify."""


class Allowed(NamedTuple):
    """What one process may do with one topic or group; operations as kafka-acls spells them."""

    process: str
    kind: str
    name: str
    operations: tuple[str, ...]


def allowed(names: TopicNames, streams: Iterable[Stream | str]) -> Iterator[Allowed]:
    """Every entry, stream by stream, process by process; then what is of no stream."""
    for stream in streams:
        topic, deltas = names.topic(stream), names.deltas(stream)
        yield Allowed("ingest", "topic", topic, ("Read", "Write"))
        yield Allowed("speed", "topic", topic, ("Read",))
        yield Allowed("speed", "topic", deltas, ("Read", "Write", "DescribeConfigs"))
        yield Allowed("batch", "topic", topic, ("Read", "Write"))
        yield Allowed("batch", "topic", deltas, ("Read", "Delete"))
        yield Allowed("serve", "topic", topic, ("Read",))
        yield Allowed("serve", "topic", deltas, ("Read",))
        yield Allowed("operator", "topic", topic, ("Create", "Read", "AlterConfigs"))
        yield Allowed("operator", "topic", deltas, ("Create", "Read", "AlterConfigs"))
    yield Allowed("ingest", "topic", names.dead_letters, ("Write", "DescribeConfigs"))
    yield Allowed("speed", "group", SPEED_GROUP, ("Read",))
    yield Allowed("batch", "topic", names.dead_letters, ("Write", "DescribeConfigs"))
    yield Allowed("operator", "topic", names.dead_letters, ("Create", "Read", "AlterConfigs"))


def commands(names: TopicNames, servers: str, streams: Iterable[Stream | str]) -> list[str]:
    """The commands of Kafka's own tool that make the entries. The user of a process is `User:<process>`."""
    return [
        " ".join(
            [
                f"kafka-acls --bootstrap-server {servers} --command-config admin.properties --add",
                f"--allow-principal User:{found.process}",
                *(f"--operation {operation}" for operation in found.operations),
                f"--{found.kind} {found.name}",
            ]
        )
        for found in allowed(names, streams)
    ]
