"""The names of the topics. Not here: their creation (`slackwater.log.topics`)."""

from dataclasses import dataclass

SPEED_GROUP = "slackwater-speed"
"""The group under which the speed layer commits where it is, for tools that show lag."""


@dataclass(frozen=True)
class TopicNames:
    """The three topics under one prefix."""

    prefix: str = "slackwater"

    def source(self, name: str) -> str:
        """The topic that holds the events of a view's `source`, such as `trades`."""
        return f"{self.prefix}.{name}"

    @property
    def trades(self) -> str:
        """The event log."""
        return self.source("trades")

    @property
    def deltas(self) -> str:
        """The speed layer's cells, compacted."""
        return f"{self.prefix}.deltas"

    @property
    def dead_letters(self) -> str:
        """What was refused, with its bytes and its reason."""
        return f"{self.prefix}.dead-letters"
