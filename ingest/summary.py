"""What an ingest did, in numbers."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Summary:
    """Events by fate. `refused` maps reason -> lines; `records` is how many records hold what was accepted."""

    accepted: int = 0
    duplicates: int = 0
    conflicts: int = 0
    refused: Mapping[str, int] = field(default_factory=dict)
    records: int = 0

    @property
    def dead_letters(self) -> int:
        """Lines that went to the dead letters."""
        return self.conflicts + sum(self.refused.values())

    @property
    def lines(self) -> int:
        """Lines that were judged."""
        return self.accepted + self.duplicates + self.dead_letters


class Tally:
    """Counts while it goes on."""

    def __init__(self) -> None:
        self.accepted = self.duplicates = self.conflicts = self.records = 0
        self.refused: Counter[str] = Counter()

    def summary(self) -> Summary:
        """The counts so far."""
        refused = dict(sorted(self.refused.items()))
        return Summary(self.accepted, self.duplicates, self.conflicts, refused, self.records)
