"""What the client raises.

    ClientError
      ArgumentError            an argument that cannot be sent
      MissingPackageError      pyarrow, pandas or polars is not installed
      ConnectionFailedError    the service cannot be reached, or broke off                      (retriable)
      ProtocolError            what came is no answer of this service
      ProblemError             the service refused: `kind`, `status`, `detail`, `document`
        BadRequestError        400, 405, 406, 413, 414, 422, 431; `parameters` names what is wrong
        UnauthorizedError      401
        ForbiddenError         403
        NotFoundError          404
        GoneError              410: a cursor or a version that is not kept any more
        RateLimitedError       429, `retry_after_s`                                             (retriable)
        ServerError            500 and above
          UnavailableError     502, 503, 504, `retry_after_s`                                   (retriable)

The client has retried what is retriable, as often as its `Retry` says, before it raises.
"""

import json
from collections.abc import Mapping
from typing import Any, ClassVar

from slackwater_client.http import Reply
from slackwater_client.retry import retry_after_s

URN = "urn:slackwater:problem:"
_SHOWN = 200  # characters of a body that is no problem document


class ClientError(Exception):
    """The root. `hint` says what to do; `retriable`, whether the same call may succeed later."""

    retriable: ClassVar[bool] = False

    def __init__(self, fact: str, hint: str = "") -> None:
        super().__init__(f"{fact} {hint}".strip())
        self.fact = fact
        self.hint = hint


class ArgumentError(ClientError, ValueError):
    """An argument that cannot be sent."""


class MissingPackageError(ClientError, ImportError):
    """A package that this method needs is not installed."""

    def __init__(self, package: str) -> None:
        super().__init__(f"This needs the package {package}.", f"Install it: pip install {package}")
        self.package = package


class ConnectionFailedError(ClientError):
    """The service cannot be reached, did not answer in time, or broke off in the middle of an answer."""

    retriable: ClassVar[bool] = True


class ProtocolError(ClientError):
    """What came is no answer of this service: another server, or a proxy that changed it."""


class ProblemError(ClientError):
    """The service refused, and said why (RFC 9457).

    `kind` is the end of the problem's type, such as `unknown-instrument`; `document` holds all its members.
    """

    def __init__(self, status: int, kind: str, detail: str, document: Mapping[str, Any] | None = None) -> None:
        super().__init__(f"{status} {kind}: {detail}")
        self.status = status
        self.kind = kind
        self.detail = detail
        self.document = dict(document or {})
        self.retry_after_s: float | None = None


class BadRequestError(ProblemError):
    """The request cannot be used as it is."""

    @property
    def parameters(self) -> dict[str, str]:
        """Parameter -> what is wrong with it."""
        found = self.document.get("errors")
        return {str(one["parameter"]): str(one["detail"]) for one in found} if isinstance(found, list) else {}


class UnauthorizedError(ProblemError):
    """The key is missing, or is none."""


class ForbiddenError(ProblemError):
    """The key may not do this."""


class NotFoundError(ProblemError):
    """There is no such instrument, version or route."""


class GoneError(ProblemError):
    """What the question stands on is not kept any more: ask again without the cursor, or for another version."""


class RateLimitedError(ProblemError):
    """Too many requests."""

    retriable: ClassVar[bool] = True


class ServerError(ProblemError):
    """The service failed."""


class UnavailableError(ServerError):
    """The service cannot answer now."""

    retriable: ClassVar[bool] = True


_CLASSES: dict[int, type[ProblemError]] = {
    401: UnauthorizedError,
    403: ForbiddenError,
    404: NotFoundError,
    410: GoneError,
    429: RateLimitedError,
    502: UnavailableError,
    503: UnavailableError,
    504: UnavailableError,
}


def problem(status: int, document: Mapping[str, Any]) -> ProblemError:
    """The error of a problem document."""
    kind = str(document.get("type", "")).removeprefix(URN) or f"http-{status}"
    detail = str(document.get("detail") or document.get("title") or "The service gave no reason.")
    other = ServerError if status >= 500 else BadRequestError if status >= 400 else ProblemError
    return _CLASSES.get(status, other)(status, kind, detail, document)


def refusal(reply: Reply) -> ProblemError:
    """The error of a reply that is no success; a body that is no problem document, as a proxy sends it, is quoted."""
    try:
        document = json.loads(reply.body)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        document = {"detail": reply.body[:_SHOWN].decode(errors="replace").strip()}
    error = problem(reply.status, document)
    error.retry_after_s = retry_after_s(reply.headers)
    return error
