"""Every refusal as problem JSON (RFC 9457): one exception that carries it, and its bytes.

    {"type": "urn:slackwater:problem:unknown-instrument", "title": "Not Found", "status": 404, "detail": "...",
     "request_id": "..."}

Not here: where exceptions are caught (`slackwater.http.edge`, `slackwater.http.handlers`).
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
