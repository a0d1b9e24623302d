"""The trades behind a bar, for audit: the archive below the cut, the event log from the cut to what is applied."""

from starlette.requests import Request
from starlette.responses import Response

from serving.problems import ProblemError
from serving.service import Service


class TradesRoute:
    """Answers `GET /v1/trades`."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def answer(self, request: Request) -> Response:
        """The response."""
        raise ProblemError(501, "later", "Not yet.")
