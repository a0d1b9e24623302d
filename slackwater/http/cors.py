"""Pages of other origins: which may read answers, by Starlette's middleware."""

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response

from slackwater.http.problems import ProblemError


class Cors(CORSMiddleware):
    """As the base; a refused preflight is problem JSON, too."""

    def preflight_response(self, request_headers: Headers) -> Response:
        """What a browser is told before it asks."""
        found = super().preflight_response(request_headers)
        if found.status_code < 400:
            return found
        refused = ProblemError(found.status_code, "preflight", f"{bytes(found.body).decode()}.").response()
        refused.headers.update({n: v for n, v in found.headers.items() if not n.startswith("content-")})
        return refused
