"""The errors of the batch layer.

SlackwaterError
  BatchError
    TailLostError       the log no longer holds what the parent's cut stands on
    CutBehindError      a mark lies below the parent's cut
    ComputeError        the pipeline failed, or ended without a file that it had to write   (retriable)
    InputError          Parquet files that are no trades
"""

from typing import ClassVar

from slackwater.errors import SlackwaterError


class BatchError(SlackwaterError):
    """A batch run cannot go on. The version that was served stays served."""


class TailLostError(BatchError):
    """The log no longer holds what the parent's cut stands on."""

    def __init__(self, topic: str, version: int, facts: str) -> None:
        super().__init__(
            f"{topic!r} is not the log that version {version} was made of: {facts}.",
            "Its tail was lost or it was created again; restore the log, or start over with a new home folder.",
        )


class CutBehindError(BatchError):
    """A mark lies below the parent's cut."""


class ComputeError(BatchError):
    """The pipeline failed, or ended without a file that it had to write."""

    retriable: ClassVar[bool] = True


class InputError(BatchError):
    """Parquet files that are no trades, or none at all."""
