"""The errors of the proof. They are SlackwaterErrors in form, `fact` and `hint`, and share no code with them.

VerifyError
  ServiceError       the REST service is not there, or answers an error  (retriable)
  NotProvenError     a definition holds something that the oracle does not know
  EvidenceError      the log or the archive cannot be read
"""


class VerifyError(Exception):
    """The proof cannot go on. `fact` says what is, `hint` what to do."""

    retriable = False

    def __init__(self, fact: str, hint: str = "") -> None:
        super().__init__(f"{fact} {hint}".strip())
        self.fact = fact
        self.hint = hint


class ServiceError(VerifyError):
    """The REST service at `url` is not there, or answers an error of `status`; 0: it did not answer."""

    retriable = True

    def __init__(self, url: str, cause: str, status: int = 0) -> None:
        self.status = status
        super().__init__(
            f"The service at {url} cannot be used: {cause}.", "Is it running? `slackwater up` starts everything."
        )


class NotProvenError(VerifyError):
    """A definition holds something that the oracle does not know: it proves nothing of it."""


class EvidenceError(VerifyError):
    """The log or the archive cannot be read where it has to be."""
