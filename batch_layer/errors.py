"""The errors of the batch layer."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from slackwater.core.errors import SlackwaterError
from slackwater.versions.proof import Proof


class BatchError(SlackwaterError):
    """A batch run cannot go on. The version that was served stays served."""


class TailLostError(BatchError):
    """The log no longer holds what the parent's cut stands on."""

    def __init__(self, topic: str, version: int, facts: str) -> None:
        super().__init__(
            f"{topic!r} is not the log that version {version} was made of: {facts}.",
            "Its tail was lost or it was created again; restore the log, or start over with a new home folder.",
        )


class LackingError(BatchError):
    """The program does not know a stream or a view of the version that the next one would stand on."""

    def __init__(self, version: int, streams: Sequence[str], views: Sequence[str]) -> None:
        lacking = [("stream", name) for name in streams] + [("view", name) for name in views]
        what = " and ".join(f"the {kind} {name!r}" for kind, name in lacking)
        drops = " and ".join(f"`slackwater {kind} drop {name} --reason TEXT`" for kind, name in lacking)
        super().__init__(
            f"Version {version} holds {what}, which this program does not know; nothing was marked.",
            "Name its module in SLACKWATER_STREAMS or SLACKWATER_VIEWS, or install its package, and leave it in "
            f"SLACKWATER_ONLY_VIEWS; to take it out of the versions for good: {drops}.",
        )


class ComputeError(BatchError):
    """The pipeline failed, or ended without a file that it had to write."""

    retriable: ClassVar[bool] = True


class BatchMemoryError(BatchError):
    """A step of a run needs more memory than it has, and cannot spill it; nothing was published."""

    def __init__(self, cause: object, hint: str) -> None:
        super().__init__(f"The memory of the batch layer is too small: {cause}.", hint)


class CompactionError(BatchError):
    """What a merge wrote is not what it was made of; nothing was published."""

    def __init__(self, view: str, paths: Sequence[str], differ: int, events: object) -> None:
        super().__init__(
            f"Parts of {view} are not compacted: {differ} bars of {', '.join(paths)} differ from what was merged, and "
            f"the events before and after are {events}.",
            "What is served is whole; run it again. If it comes again, the disk or the memory is bad.",
        )


class ProofFailedError(BatchError):
    """What a run computed is not the parent's state and the speed layer's cells; nothing was published."""

    def __init__(self, version: int, parent: int, proof: Proof, path: Path) -> None:
        first = "".join(f"\n  {difference}" for difference in proof.first)
        super().__init__(
            f"Version {version} is not published, version {parent} stays served: the proof of its hand-off fails. "
            f"{proof.reason}{first}\nThe whole proof is {path}.",
            "Find out which side is wrong (`slackwater verify` asks the log itself) and run again; "
            "`slackwater batch run --force REASON` publishes it as it is, and records that.",
        )
        self.version = version
        self.proof = proof


class ParentRefutedError(BatchError):
    """A version that the next one would stand on was published unproven, and its proof failed since."""

    def __init__(self, version: int, proof: Proof) -> None:
        first = "".join(f"\n  {difference}" for difference in proof.first)
        super().__init__(
            f"Not published: it would stand on version {version}, and the proof of that one's hand-off failed later. "
            f"{proof.reason}{first}",
            "The next `slackwater batch run` makes again what that version made; or roll back to one before it.",
        )
        self.version = version
        self.proof = proof


class CandidateError(BatchError):
    """A candidate cannot be made, or the pointer cannot go to it."""


class CorrectionError(BatchError):
    """What a correction wrote does not hold the events that it must."""

    def __init__(self, view: str, interval: str, before: object, after: object, gone: object) -> None:
        super().__init__(
            f"The touched bars of {view} at {interval} held {before} events, and hold {after} "
            f"after {gone} were taken out.",
        )
