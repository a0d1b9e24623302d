"""`POST /v1/instruments`: declares what instruments are, so that who learns it on another machine can say it here.

    one JSON object a line, an array of them, or CSV -> added, unchanged, refused by reason; durable when it answers

Rows that are refused keep no other out: a venue's list is good but for the few that cannot be stored. One that says
something else than what is declared from the same time on is in conflict; the command alone replaces. Bodies are taken
one at a time: they are rare. Not here: what a row may say (`slackwater.instruments.given`).
"""

import asyncio

from starlette.requests import Request
from starlette.responses import Response

from ingest.service.answers import answered, source_named, type_of
from ingest.service.bodies import CSV, JSON, NDJSON
from slackwater.core.clock import Clock
from slackwater.http.body import body_of, refuse_query
from slackwater.http.problems import ProblemError
from slackwater.instruments.errors import UnreadableRowsError
from slackwater.instruments.ledger import InstrumentsLedger
from slackwater.instruments.loading import Loaded, load
from slackwater.instruments.rows import parse
from slackwater.versions.errors import RecordError

_RETRY_S = 10


class InstrumentsRoute:
    """Answers it. `most_bytes` bounds a body."""

    def __init__(self, ledger: InstrumentsLedger, clock: Clock, most_bytes: int) -> None:
        self._ledger = ledger
        self._clock = clock
        self._most_bytes = most_bytes
        self._turn = asyncio.Lock()

    async def answer(self, request: Request) -> Response:
        """The counts. Raises ProblemError."""
        refuse_query(request)
        kind, by = type_of(request, (NDJSON, JSON, CSV)), source_named(request)
        data = await body_of(request, self._most_bytes)
        if not data.strip():
            raise ProblemError(422, "no-instruments", "The body is empty.")
        async with self._turn:
            try:
                loaded = await asyncio.to_thread(self._load, data, kind, by)
            except UnreadableRowsError as error:
                raise ProblemError(422, "unreadable", str(error)) from error
            except (RecordError, OSError) as error:
                text = f"Nothing was declared: {error}"
                raise ProblemError(503, "not-writable", text, retry_after_s=_RETRY_S) from error
        return answered(200, loaded.facts())

    def _load(self, data: bytes, kind: str, by: str) -> Loaded:
        is_array = kind == JSON and data.lstrip().startswith(b"[")
        rows = parse(data, "csv" if kind == CSV else "array" if is_array else "lines")
        return load(self._ledger, rows, self._clock.now_us(), by, skip_refused=True)
