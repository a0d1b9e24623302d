"""The errors of the proof.

SlackwaterError                (slackwater.core.errors)
  ServiceError                 the REST service is not there, or answers an error  (retriable)
"""

from typing import ClassVar

from slackwater.core.errors import SlackwaterError


class ServiceError(SlackwaterError):
    """The REST service at `url` is not there, or answers an error."""

    retriable: ClassVar[bool] = True

    def __init__(self, url: str, cause: str) -> None:
        super().__init__(
            f"The service at {url} cannot be used: {cause}.", "Is it running? `slackwater up` starts everything."
        )
