"""What an answer stands on, as the service says it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

LAG_HEADER = "slackwater-lag-records"


@dataclass(frozen=True)
class Meta:
    """`stream` names the log behind it, `cut` and `applied` are offsets by its partitions: batch lies below the cut,
    the speed layer's part ends at applied.

    `complete` is false where deltas may be missing from it, and `reason` says why: the service has just started, the
    log does not answer, or a later part of it is known and cannot be joined yet. `lag` is the number of records that
    the log had beyond `applied`; None where the service did not say. `refusal` says why it answers from less than the
    newest.
    """

    version: int
    definition: str = ""
    stream: str = ""
    cut: Mapping[int, int] = field(default_factory=dict)
    applied: Mapping[int, int] = field(default_factory=dict)
    complete: bool = True
    layer: str = ""
    lag: int | None = None
    refusal: str = ""
    reason: str = ""

    @classmethod
    def of(cls, document: Mapping[str, Any], lag: str | None = None) -> "Meta":
        """From the member `meta` of a document, and the header of the lag."""
        return cls(
            version=int(document["version"]),
            definition=str(document.get("definition", "")),
            stream=str(document.get("stream", "")),
            cut=offsets(document.get("cut", {})),
            applied=offsets(document.get("applied", {})),
            complete=bool(document.get("complete", True)),
            layer=str(document.get("layer", "")),
            lag=None if lag is None else int(lag),
            refusal=str(document.get("refusal", "")),
            reason=str(document.get("reason", "")),
        )

    def stands_with(self, other: "Meta") -> bool:
        """Whether both are of one moment."""
        return (self.version, self.cut, self.applied) == (other.version, other.cut, other.applied)


def offsets(found: Mapping[str, int]) -> dict[int, int]:
    """Offsets by partition, whose numbers are text in JSON."""
    return {int(partition): int(at) for partition, at in found.items()}
