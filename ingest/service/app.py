"""The application of the ingest service: a desk for each stream, and the routes that hand bodies to it.

POST /v1/ingest/<stream>     accepted, duplicate, refused by reason, when all of it is durable
GET /v1/ingest/<stream>/ids?venue=<venue>     the newest id of each instrument, and the holes below it
GET /health/live, /health/ready, /metrics
"""

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import orjson
from fastapi import FastAPI
from prometheus_client.core import Metric
from starlette.requests import Request
from starlette.responses import Response

from ingest import handed
from ingest.errors import ClaimedError, SourceError
from ingest.figures import IngestFigures
from ingest.holes import holes_of_venue
from ingest.service.bodies import ARROW, CSV, MEDIA_TYPES, source_of
from ingest.service.desk import BusyError, Desk, NoLogError
from ingest.service.reports import Reports
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
from slackwater.keys.keyring import KeyRing
from slackwater.streams.errors import MappingError
from slackwater.streams.intake import INTAKE_REPORTS
from slackwater.streams.mapping import Layout, parse_map, parse_names, parse_time_unit
from slackwater.streams.stream import Stream
from slackwater.versions.errors import VenueTakenError

LOG = logging.getLogger("slackwater.ingest")

MOST_BODY = 16 * 1024 * 1024
"""Bytes of a body."""

MOST_WAITING = 64 * 1024 * 1024
"""Bytes of the bodies of a stream that wait for its desk."""

LIMITS = Limits(body=MOST_BODY, body_s=60.0)

SOURCE = "slackwater-source"
"""The header that names where events are from, for the dead letters."""

_SOURCE = re.compile(r"[ -~]{1,200}")
_RETRY_S = 1
_FRESH = {"Cache-Control": "no-store"}
_PARAMETERS = ("map", "columns", "time_unit")


class IngestService:
    """The desks of some streams, and their application.

    `limits` bounds what producers may send; `reports` are handed to the desk of their own stream.
    """

    def __init__(
        self,
        desks: Sequence[tuple[Stream, Desk]],
        keys: KeyRing,
        clock: Clock,
        guard: GuardOptions | None = None,
        limits: Limits = LIMITS,
        observed: ObservedOptions | None = None,
        reports: Reports | None = None,
    ) -> None:
        self.limits = limits
        self._reports = reports
        self.draining = Draining()
        self.figures = RequestFigures(clock, "slackwater_ingest")
        self.figures.looked_up = [self._events, lambda: iter([self.figures.not_done()])]
        self.admission = Admission(limits.requests, self.figures.registry, "slackwater_ingest")
        self._desks = {stream.name: (stream, desk) for stream, desk in desks}
        who = Guard(keys, guard or GuardOptions(), clock, "write")
        middleware = passed(LOG, self.figures, observed or ObservedOptions(), who)
        self.app = application("Takes in events, once each.", self._lifespan, middleware, "Slackwater ingest")
        self.app.add_api_route("/v1/ingest/{stream}", self._post, methods=["POST"])
        self.app.add_api_route("/v1/ingest/{stream}/ids", self._ids, methods=["GET"])
        self.app.add_api_route("/health/live", self._live, methods=["GET"])
        self.app.add_api_route("/health/ready", self._ready, methods=["GET"])
        self.app.add_api_route("/metrics", self._metrics, methods=["GET"])

    @asynccontextmanager
    async def _lifespan(self, _app: FastAPI) -> AsyncIterator[None]:
        for _, desk in self._desks.values():
            desk.start()
        if self._reports is not None:
            self._reports.start()
        yield
        last = [desk for name, (_, desk) in self._desks.items() if name == INTAKE_REPORTS.name]
        for desk in [desk for _, desk in self._desks.values() if desk not in last]:
            await asyncio.to_thread(desk.stop)
        if self._reports is not None:
            await asyncio.to_thread(self._reports.stop)
        for desk in last:
            await asyncio.to_thread(desk.stop)

    def _desk(self, stream: str) -> tuple[Stream, Desk]:
        if stream not in self._desks:
            known = ", ".join(sorted(self._desks))
            raise ProblemError(404, "unknown-stream", f"There is no stream {stream[:64]!r} here. There are: {known}.")
        return self._desks[stream]

    async def _ids(self, request: Request, stream: str) -> Response:
        declared, desk = self._desk(stream)
        if unknown := sorted({*request.query_params} - {"venue"}):
            raise refusal({unknown[0]: "there is no such parameter; there is venue"})
        venue = request.query_params.get("venue", "")
        if venue not in declared.dense_venues:
            dense = ", ".join(declared.dense_venues) or "none"
            raise refusal({"venue": f"has no dense ids, so none is known to be missing; those that have: {dense}"})
        try:
            found = await asyncio.wrap_future(desk.ask(lambda writer: holes_of_venue(writer.filter.known, venue)))
        except SlackwaterError as error:
            raise _problem(error, Summary()) from error
        entities = [{**dict(zip(declared.entity, of, strict=True)), **holes._asdict()} for of, holes in found.items()]
        return _json(200, {"stream": stream, "venue": venue, "ids": entities})

    async def _post(self, request: Request, stream: str) -> Response:
        declared, desk = self._desk(stream)
        kind = _kind(request)
        layout = _layout(declared, request, kind)
        source = request.headers.get(SOURCE, "http")
        if not _SOURCE.fullmatch(source):
            raise refusal({SOURCE: "is no name of 1 to 200 printable characters"})
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
        return _json(200, {"stream": stream, **body.counts.facts(), **lines})

    async def _live(self) -> Response:
        return _json(200, {"live": True})

    async def _ready(self) -> Response:
        reasons = [f"{name}: {desk.error}" for name, (_, desk) in self._desks.items() if desk.error]
        reasons += self.draining.reasons()
        return _json(503 if reasons else 200, {"ready": not reasons, "reasons": reasons})

    async def _metrics(self) -> Response:
        return Response(self.figures.text(), 200, _FRESH, CONTENT_TYPE)

    def _events(self) -> Iterator[Metric]:
        writers = [desk.writer for _, desk in self._desks.values() if desk.writer is not None]
        return IngestFigures(*writers).collect()


def _json(status: int, facts: Mapping[str, Any]) -> Response:
    return Response(orjson.dumps(facts), status, _FRESH, "application/json")


def _kind(request: Request) -> str:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in MEDIA_TYPES:
        raise ProblemError(415, "media-type", f"This takes a body of one of the types {', '.join(MEDIA_TYPES)}.")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise ProblemError(415, "content-encoding", "Send the body as it is; compressed files go in by the command.")
    return kind


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
