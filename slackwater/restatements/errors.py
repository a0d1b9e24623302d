"""The error of this room.

SlackwaterError
  RestatementError      a version's closed bars are not what the parent and the new trades give
"""

from slackwater.core.errors import SlackwaterError


class RestatementError(SlackwaterError):
    """A version's closed bars are not what the parent and the new trades give; nothing was published."""

    def __init__(self, version: int, view: str, interval: str, bars: int, first: tuple[object, ...]) -> None:
        super().__init__(
            f"Version {version} is not published: {bars} closed bars of {view} at {interval} are not the parent's with "
            f"the trades that came since; the first is {first}.",
            "Run it again; `slackwater verify` asks the log itself. `slackwater batch run --force REASON` publishes it "
            "as it is.",
        )
