"""The application of the ingest service: a desk for each stream, and the routes that hand bodies to it.

POST /v1/ingest/<stream>     accepted, duplicate, refused by reason, when all of it is durable
POST /v1/instruments         what instruments are: added, unchanged, refused by reason (`ingest.service.instruments`)
GET /health/live, /health/ready, /metrics
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from functools import partial

from fastapi import FastAPI
from prometheus_client.core import Metric
from starlette.requests import Request
from starlette.responses import Response

from ingest import handed
from ingest.errors import ClaimedError, SourceError
from ingest.figures import IngestFigures
from ingest.service.answers import FRESH, answered, source_named, type_of
from ingest.service.bodies import ARROW, CSV, MEDIA_TYPES, source_of
from ingest.service.desk import BusyError, Desk, NoLogError
from ingest.service.instruments import InstrumentsRoute
from ingest.verdicts import Summary
from slackwater.core.clock import Clock
from slackwater.core.errors import SlackwaterError
from slackwater.core.exposition import CONTENT_TYPE
from slackwater.http.app import application, passed
from slackwater.http.body import body_of
from slackwater.http.figures import RequestFigures
from slackwater.http.guard.admission import Admission
from slackwater.http.guard.guard import Guard
from slackwater.http.options import GuardOptions, Limits, ObservedOptions
from slackwater.http.problems import ProblemError, refusal
from slackwater.http.server import Draining
from slackwater.instruments.ledger import InstrumentsLedger
from slackwater.keys.keyring import KeyRing
from slackwater.streams.errors import MappingError
from slackwater.streams.mapping import Layout, parse_map, parse_names, parse_time_unit
from slackwater.streams.stream import Stream
from slackwater.versions.errors import VenueTakenError

LOG = logging.getLogger("slackwater.ingest")

MOST_BODY = 16 * 1024 * 1024
"""Bytes of a body."""

MOST_WAITING = 64 * 1024 * 1024
"""Bytes of the bodies of a stream that wait for its desk."""

LIMITS = Limits(body=MOST_BODY, body_s=60.0)

_RETRY_S = 1
_PARAMETERS = ("map", "columns", "time_unit")


class IngestService:
    """The desks of some streams and the ledger of instruments, and their application. `limits` bounds what producers
    may send.
    """

    def __init__(
        self,
        desks: Sequence[tuple[Stream, Desk]],
        ledger: InstrumentsLedger,
        keys: KeyRing,
        clock: Clock,
        guard: GuardOptions | None = None,
        limits: Limits = LIMITS,
        observed: ObservedOptions | None = None,
    ) -> None:
        self.limits = limits
        self.draining = Draining()
        self.figures = RequestFigures(clock, "slackwater_ingest")
        self.figures.looked_up = [self._events, lambda: iter([self.figures.not_done()])]
        self.admission = Admission(limits.requests, self.figures.registry, "slackwater_ingest")
        self._desks = {stream.name: (stream, desk) for stream, desk in desks}
        who = Guard(keys, guard or GuardOptions(), clock, "write")
        middleware = passed(LOG, self.figures, observed or ObservedOptions(), who)
        self.app = application("Takes in events, once each.", self._lifespan, middleware, "Slackwater ingest")
        self.app.add_api_route("/v1/ingest/{stream}", self._post, methods=["POST"])
        declare = InstrumentsRoute(ledger, clock, limits.body)
        self.app.add_api_route("/v1/instruments", declare.answer, methods=["POST"])
        self.app.add_api_route("/health/live", self._live, methods=["GET"])
        self.app.add_api_route("/health/ready", self._ready, methods=["GET"])
        self.app.add_api_route("/metrics", self._metrics, methods=["GET"])

    @asynccontextmanager
    async def _lifespan(self, _app: FastAPI) -> AsyncIterator[None]:
        for _, desk in self._desks.values():
            desk.start()
        yield
        for _, desk in self._desks.values():
            await asyncio.to_thread(desk.stop)

    async def _post(self, request: Request, stream: str) -> Response:
        if stream not in self._desks:
            known = ", ".join(sorted(self._desks))
            raise ProblemError(404, "unknown-stream", f"There is no stream {stream[:64]!r} here. There are: {known}.")
        declared, desk = self._desks[stream]
        kind = type_of(request, MEDIA_TYPES)
        layout = _layout(declared, request, kind)
        source = source_named(request)
        data = await body_of(request, self.limits.body)
        if not data:
            raise ProblemError(422, "no-events", "The body is empty.")
        try:
            body = desk.offer(partial(source_of, declared, kind, data, source, layout), len(data))
        except BusyError as error:
            raise _problem(error, Summary()) from error
        try:
            await asyncio.wrap_future(body.done)
        except SlackwaterError as error:
            raise _problem(error, body.counts) from error
        lines = {"lines": body.refused} if kind == handed.MEDIA_TYPE else {}
        return answered(200, {"stream": stream, **body.counts.facts(), **lines})

    async def _live(self) -> Response:
        return answered(200, {"live": True})

    async def _ready(self) -> Response:
        reasons = [f"{name}: {desk.error}" for name, (_, desk) in self._desks.items() if desk.error]
        reasons += self.draining.reasons()
        return answered(503 if reasons else 200, {"ready": not reasons, "reasons": reasons})

    async def _metrics(self) -> Response:
        return Response(self.figures.text(), 200, FRESH, CONTENT_TYPE)

    def _events(self) -> Iterator[Metric]:
        writers = [desk.writer for _, desk in self._desks.values() if desk.writer is not None]
        return IngestFigures(*writers).collect()


def _layout(stream: Stream, request: Request, kind: str) -> Layout:
    """How columns are read, by the query."""
    given = request.query_params
    unknown = sorted({*given} - {*_PARAMETERS})
    if unknown:
        raise refusal({unknown[0]: f"there is no such parameter; there are {', '.join(_PARAMETERS)}"})
    if given and kind not in {CSV, ARROW}:
        raise refusal({next(iter(given)): "only text/csv and Arrow have columns"})
    for name in ("columns", "time_unit"):
        if len(given.getlist(name)) > 1:
            raise refusal({name: "is given twice"})
    try:
        return Layout(
            parse_map(stream, given.getlist("map")),
            parse_time_unit(given["time_unit"]) if "time_unit" in given else None,
            parse_names(given["columns"]) if "columns" in given else (),
        )
    except MappingError as error:
        raise ProblemError(422, "mapping", str(error)) from error


def _problem(error: SlackwaterError, counts: Summary) -> ProblemError:
    """What a producer is told where not all of a body was taken; `counts` of it are durable."""
    facts, text = counts.facts(), str(error)
    if isinstance(error, NoLogError):
        return ProblemError(503, "not-writable", text, retry_after_s=_RETRY_S)
    if isinstance(error, ClaimedError):
        return ProblemError(429, "claimed", text, retry_after_s=_RETRY_S, **facts)
    if isinstance(error, BusyError):
        return ProblemError(429, "busy", text, retry_after_s=_RETRY_S, **facts)
    if isinstance(error, VenueTakenError):
        return ProblemError(409, "venue-taken", text, **facts)
    if isinstance(error, SourceError | MappingError):
        return ProblemError(422, "unreadable", text, **facts)
    return ProblemError(503, "not-judged", text, retry_after_s=_RETRY_S, **facts)
