"""The names of the topics. Not here: their creation (`slackwater.log.topics`)."""

from collections.abc import Iterable
from dataclasses import dataclass

from slackwater.streams.stream import Stream

SPEED_GROUP = "slackwater-speed"
"""The group under which the speed layer commits where it is, for tools that show lag."""


@dataclass(frozen=True)
class TopicNames:
    """The topics under one prefix: two for each stream, given by itself or by its name, and one for what is refused."""

    prefix: str = "slackwater"

    def topic(self, stream: Stream | str) -> str:
        """The log of a stream: its events and the marks."""
        return f"{self.prefix}.{stream if isinstance(stream, str) else stream.name}"

    def deltas(self, stream: Stream | str) -> str:
        """The speed layer's cells of a stream, compacted."""
        return f"{self.topic(stream)}.deltas"

    @property
    def dead_letters(self) -> str:
        """What was refused, with its bytes and its reason."""
        return f"{self.prefix}.dead-letters"

    def all(self, streams: Iterable[Stream | str]) -> tuple[str, ...]:
        """Every topic that these streams need."""
        of_each = [topic for stream in streams for topic in (self.topic(stream), self.deltas(stream))]
        return (*of_each, self.dead_letters)
