"""What each process needs of Kafka's access lists, and nothing beyond it; docs/security.md says why.

One list: `slackwater topics acls` prints it as commands, the documentation is compared with it, and the tests run every
process on a broker that allows nothing else. Write implies Describe, and so do Read, Delete and Alter; an idempotent
producer needs no more than Write (KIP-679). Not here: the users and how they show who they are.
"""

from collections.abc import Iterator
from typing import NamedTuple

from slackwater.log.names import SPEED_GROUP, TopicNames

PROCESSES = ("ingest", "speed", "batch", "serve", "operator")
"""The users: the door, the two layers, the service, and who creates topics and runs doctor and verify."""


class Allowed(NamedTuple):
    """What one process may do with one topic or group; operations as kafka-acls spells them."""

    process: str
    kind: str
    name: str
    operations: tuple[str, ...]


def allowed(names: TopicNames) -> Iterator[Allowed]:
    """Every entry, process by process."""
    trades, deltas, dead_letters = names.trades, names.deltas, names.dead_letters
    yield Allowed("ingest", "topic", trades, ("Read", "Write"))
    yield Allowed("ingest", "topic", dead_letters, ("Write", "DescribeConfigs"))
    yield Allowed("speed", "topic", trades, ("Read",))
    yield Allowed("speed", "topic", deltas, ("Read", "Write", "DescribeConfigs"))
    yield Allowed("speed", "group", SPEED_GROUP, ("Read",))
    yield Allowed("batch", "topic", trades, ("Read", "Write"))
    yield Allowed("batch", "topic", deltas, ("Read", "Delete"))
    yield Allowed("batch", "topic", dead_letters, ("Write", "DescribeConfigs"))
    yield Allowed("serve", "topic", trades, ("Read",))
    yield Allowed("serve", "topic", deltas, ("Read",))
    for topic in (trades, deltas, dead_letters):
        yield Allowed("operator", "topic", topic, ("Create", "Read", "AlterConfigs"))


def commands(names: TopicNames, servers: str) -> list[str]:
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
        for found in allowed(names)
    ]
