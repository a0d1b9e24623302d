"""Every refusal as problem JSON (RFC 9457): one exception that carries it, and its bytes.

    {"type": "urn:slackwater:problem:unknown-instrument", "title": "Not Found", "status": 404, "detail": "...",
     "request_id": "..."}

Not here: where exceptions are caught (`serving.http.edge`, `serving.http.app`).
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import orjson
from starlette.responses import Response

from slackwater.core.request import REQUEST

MEDIA_TYPE = "application/problem+json"
URN = "urn:slackwater:problem:"


class ProblemError(Exception):
    """A request that is not answered. `kind` names the problem, `more` holds members of its own.

    `retry_after_s` says when the client may try again.
    """

    def __init__(
        self,
        status: int,
        kind: str,
        detail: str,
        retry_after_s: int | None = None,
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.kind = kind
        self.detail = detail
        self.retry_after_s = retry_after_s
        self.headers = dict(headers or {})
        self.more = more

    def response(self) -> Response:
        """The answer."""
        headers = {"Cache-Control": "no-store", **self.headers}
        if self.retry_after_s is not None:
            headers["Retry-After"] = str(self.retry_after_s)
        return Response(self.body(), self.status, headers, MEDIA_TYPE)

    @property
    def title(self) -> str:
        """What HTTP calls the status."""
        return HTTPStatus(self.status).phrase

    def body(self) -> bytes:
        """The JSON document."""
        facts = {
            "type": URN + self.kind,
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            **self.more,
        }
        request = REQUEST.get()
        # Those about a key all have the same bytes, whatever is wrong with it.
        if request is not None and self.status != HTTPStatus.UNAUTHORIZED:
            facts["request_id"] = request.id
        return orjson.dumps(facts)


def refusal(errors: Mapping[str, str]) -> ProblemError:
    """422: parameters that cannot be used, each with what is wrong."""
    detail = "; ".join(f"{name}: {why}" for name, why in errors.items())
    named = [{"parameter": name, "detail": why} for name, why in errors.items()]
    return ProblemError(422, "parameters", detail, errors=named)


def gone(detail: str) -> ProblemError:
    """410: what a cursor reads from is no longer there."""
    return ProblemError(410, "cursor-gone", f"{detail} Ask again without the cursor.")


def retired(version: int) -> ProblemError:
    """410: a version was retired."""
    return ProblemError(410, "version-retired", f"Version {version} was retired. See /v1/versions.")


def unknown_version(text: str) -> ProblemError:
    """404: there is no such version."""
    return ProblemError(404, "unknown-version", f"There is no version {text[:40]!r}. See /v1/versions.")


def unknown_instrument(names: list[str]) -> ProblemError:
    """404: no event of these was ever applied."""
    return ProblemError(404, "unknown-instrument", f"No event of {', '.join(names)} is known. See /v1/instruments.")


def not_serving(detail: str) -> ProblemError:
    """503: there is nothing that could be answered from."""
    return ProblemError(503, "not-serving", f"{detail} See /health/ready.", retry_after_s=1)


def unreadable(version: int) -> ProblemError:
    """503: files of a version cannot be read."""
    return ProblemError(503, "files-unreadable", f"Files of version {version} cannot be read.", retry_after_s=1)


def out_of_memory() -> ProblemError:
    """503: a read takes more memory than the reads of one version may take together."""
    detail = "This takes more memory than reads may. Ask for a shorter range."
    return ProblemError(503, "memory", detail, retry_after_s=1)


def refuse_gone(cursor: object | None, error: ProblemError) -> None:
    """Files that cannot be read are gone, where a cursor stands on them. Raises ProblemError, 410."""
    if cursor is not None and error.kind == "files-unreadable":
        raise gone("The files that this cursor stands on were removed.") from error
