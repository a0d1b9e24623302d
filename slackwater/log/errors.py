"""The errors of the event log.

SlackwaterError
  LogError
    LogUnreachableError     no broker answers                                   (retriable)
    LogRefusedError         a broker and we do not accept each other
    CredentialsError        what shows a broker who we are cannot be used; a SettingError as well
      CredentialsAwayError  a secret's file or the provider of tokens gives none now    (retriable)
    AccessRefusedError      a broker knows us, and does not allow this
    TopicMissingError       a topic does not exist
    TopicMismatchError      a topic exists with another shape than the settings ask for
    TopicRecreatedError     a topic has another id than the one that was written down
    PositionLostError       a position is below the log's start or above its end
    DeletionRefusedError    the log does not remove these records
    AppendError             a record was not acknowledged                       (retriable)
      RecordTooLargeError   a record is larger than its topic takes
      AppendRefusedError    a broker does not allow us to append to a topic
    CodecMissingError       the package of a codec that a log's batches may have is not there
    UnreadableError         a batch cannot be read: damaged, or in a codec whose package is missing
    HiddenRecordsError      an open transaction hides the records that are asked for      (retriable)
"""

from typing import ClassVar

from slackwater.core.errors import SettingError, SlackwaterError


class LogError(SlackwaterError):
    """The event log is not what it was, or cannot be reached."""


class LogUnreachableError(LogError):
    retriable: ClassVar[bool] = True

    def __init__(self, servers: str, cause: object) -> None:
        super().__init__(
            f"No Kafka broker answers at {servers} ({cause}).",
            "Start one with `slackwater up`, or set KAFKA_BOOTSTRAP_SERVERS.",
        )


class LogRefusedError(LogError):
    """A broker is there, and its certificate, our credentials or the protocol do not do. No secret is in it."""

    def __init__(self, server: str, reason: str, hint: str) -> None:
        super().__init__(f"The Kafka broker at {server} cannot be used: {reason}.", hint)
        self.reason = reason


class CredentialsError(LogError, SettingError):
    """A certificate, a key or the provider of tokens cannot be used. A process that runs goes on without the log."""


class CredentialsAwayError(CredentialsError):
    """A secret's file, or the provider of tokens, gives none now; both may in a moment. No secret is in it."""

    retriable: ClassVar[bool] = True


class AccessRefusedError(LogError):
    """A broker knows who we are and does not allow what was asked: its access list lacks an entry."""

    def __init__(self, servers: str, who: str, cause: object) -> None:
        super().__init__(
            f"Kafka at {servers} does not allow this to us ({who}): {cause}.",
            "`slackwater topics acls` says what each process needs.",
        )


class TopicMissingError(LogError):
    def __init__(self, topic: str) -> None:
        super().__init__(f"Topic {topic!r} does not exist.", "Create the topics with `slackwater topics create`.")
        self.topic = topic


class TopicMismatchError(LogError):
    """A topic exists with another shape than the settings ask for."""


class TopicRecreatedError(LogError):
    """A topic has another id than the one that was written down: positions of the old one mean nothing in it."""

    def __init__(self, topic: str, known: str, found: str) -> None:
        super().__init__(f"Topic {topic!r} was created again: its id was {known}, now it is {found}.")
        self.known = known
        self.found = found


class PositionLostError(LogError):
    """A position is below the log's start or above its end. `lost` maps partition -> position."""

    def __init__(self, topic: str, lost: dict[int, int], fact: str = "out of range") -> None:
        super().__init__(f"Positions {lost} of topic {topic!r} are {fact}.")
        self.lost = lost


class DeletionRefusedError(LogError):
    """The log does not remove these records."""


class AppendError(LogError):
    """A record was not acknowledged."""

    retriable: ClassVar[bool] = True


class RecordTooLargeError(AppendError):
    """A record is larger than its topic takes. It was not sent; the writer goes on."""

    retriable: ClassVar[bool] = False

    def __init__(self, topic: str, partition: int, key: bytes | None, size: int, limit: int) -> None:
        super().__init__(
            f"The record {key!r:.120} of {topic}[{partition}] has {size} bytes, the topic takes {limit}.",
            "Raise the topic's max.message.bytes if the record is right.",
        )
        self.size = size
        self.limit = limit


class AppendRefusedError(AppendError):
    """A broker does not allow us to append to a topic. The writer ends; nothing is tried again."""

    retriable: ClassVar[bool] = False

    def __init__(self, topic: str, partition: int, key: bytes | None) -> None:
        super().__init__(
            f"The record {key!r:.120} was refused: Kafka does not allow us to write to {topic}[{partition}].",
            "`slackwater topics acls` says what each process needs.",
        )


class CodecMissingError(LogError):
    """The package of a codec is not there, or does not work: a batch in it could not be read."""

    def __init__(self, codec: str, package: str, wrong: str) -> None:
        super().__init__(
            f"Batches in the codec {codec} could not be read, which needs the package {package}: {wrong}.",
            f"Install {package}, or `slackwater` again with all that it depends on.",
        )


class UnreadableError(LogError):
    """The batch at `offset` cannot be read, and what lies behind it neither."""

    def __init__(self, topic: str, partition: int, offset: int, reason: str) -> None:
        super().__init__(
            f"{topic}[{partition}] cannot be read from offset {offset} on: {reason}.",
            "`slackwater doctor` looks at every partition; docs/operations.md says what to do.",
        )
        self.partition = partition
        self.offset = offset
        self.reason = reason


class HiddenRecordsError(LogError):
    """An open transaction hides `records` records from `offset` on; it ends some time."""

    retriable: ClassVar[bool] = True

    def __init__(self, topic: str, partition: int, offset: int, records: int) -> None:
        super().__init__(
            f"An open transaction of a foreign writer hides {records:,} records of {topic}[{partition}] "
            f"from offset {offset} on.",
            "They can be read when it commits or aborts; docs/operations.md says how to end it.",
        )
        self.partition = partition
        self.offset = offset
        self.records = records
