"""The root of every error that Slackwater raises on purpose.

    SlackwaterError
      SettingError          a setting or an argument that cannot be used
      StorageError          the disk refused to read or write                          (retriable)
      LogError              the event log is not what it was, or cannot be reached     (slackwater.log.errors)
      VersionError          a published version cannot be read or written              (slackwater.versions.errors)
      ViewError             a view's definition or a state that does not fit it        (slackwater.views.errors)

Each is built from facts, ends with what to do where there is something to do, and says whether the same call may
succeed later (`retriable`). The command line prints them without a traceback.
"""

from typing import ClassVar


class SlackwaterError(Exception):
    """An error with a message meant for a person. `hint` says what to do about it."""

    retriable: ClassVar[bool] = False

    def __init__(self, fact: str, hint: str = "") -> None:
        super().__init__(f"{fact} {hint}".strip())
        self.fact = fact
        self.hint = hint

    @property
    def exit_code(self) -> int:
        """What a program ends with: 75 (EX_TEMPFAIL of sysexits.h) where the same call may succeed later, else 1."""
        return 75 if self.retriable else 1


class SettingError(SlackwaterError):
    """A setting, option or parameter has a value that cannot be used."""


class StorageError(SlackwaterError):
    """The disk refused to read or write: it is full, broken, or not ours to write to."""

    retriable: ClassVar[bool] = True

    def __init__(self, cause: object) -> None:
        super().__init__(
            f"A file could not be read or written: {cause}.",
            "Make room or repair the disk, then run it again: what is served is whole, and no step counts twice.",
        )
