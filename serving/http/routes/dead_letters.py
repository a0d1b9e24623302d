"""`/v1/dead-letters`: what ingest refused, each with its place, its reason and its bytes.

It needs a key of the scope admin, since an original may hold anything.

The topic is read from its beginning for each question (`slackwater.log.letters`), one question at a time.
"""

import asyncio
from itertools import islice
from typing import Annotated, Any

import orjson
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from serving.http.models import Closed, Count, Time
from serving.http.route import Route, asked
from serving.query.fields import EndField, FlagField, Parameters, TimeField, whole_field
from serving.query.questions import refuse
from slackwater.http.guard.guard import authorized
from slackwater.http.problems import ProblemError
from slackwater.keys.keyring import KeyRing
from slackwater.log.errors import LogError
from slackwater.log.letters import Chosen, Stored, stored_letters
from slackwater.log.log import Log
from slackwater.log.names import TopicNames

MOST = 1_000
_ANY_TIME = 2**63 - 1
_Text = Annotated[str, Field(max_length=200)]


class DeadLettersQuery(Parameters):
    """Which letters: all conditions hold."""

    stream: _Text = Field("", description="Of this stream. Default: of all.")
    reason: _Text = Field("", description="Of this reason, such as bad-time.")
    source: _Text = Field("", description="Of sources whose name contains this.")
    start: TimeField = Field(None, description="Refused at or after it.")
    end: EndField = Field(None, description="Refused before it.")
    settled: FlagField = Field(False, description="Also those that were taken when they were handed in again.")
    limit: whole_field(1, MOST) = Field(100, description="At most so many, the oldest first.")  # type: ignore[valid-type]


class Letter(Closed):
    """A line that was refused."""

    offset: Annotated[int, Field(ge=0, description="Of the record in the topic of dead letters.")]
    stream: str
    source: str
    position: Annotated[str, Field(description="Its place in the source, such as line 17.")]
    reason: str
    error: str
    time: Time
    length: Annotated[Count, Field(description="Bytes of the original.")]
    sha256: Annotated[str, Field(description="Of all of the original.")]
    text: Annotated[str, Field(description="The original as far as the letter holds it; what is no UTF-8 is escaped.")]
    times: Annotated[int, Field(ge=0, description="How often it was refused.")]
    settled: Annotated[str, Field(description="What became of it when it was handed in again; empty: it is open.")]


class DeadLetters(Closed):
    """A part of the letters."""

    letters: Annotated[list[Letter], Field(max_length=MOST)]
    more: Annotated[bool, Field(description="Whether there are more than the limit.")]


def letter_json(stored: Stored) -> dict[str, Any]:
    """A letter as JSON has it."""
    return {**stored.facts(), "time": stored.letter.time_us, "text": stored.text()}


def routes(log: Log, names: TopicNames, keys: KeyRing) -> list[Route]:
    """See `serving.http.route`."""
    one = asyncio.Lock()

    def found(query: DeadLettersQuery) -> bytes:
        start, end = query.start or 0, _ANY_TIME if query.end is None else query.end
        chosen = Chosen(query.stream, query.reason, query.source, start, end, query.settled)
        letters = list(islice(stored_letters(log, names.dead_letters, chosen), query.limit + 1))
        shown = [letter_json(each) for each in letters[: query.limit]]
        return orjson.dumps({"letters": shown, "more": len(letters) > query.limit})

    async def answer(request: Request, query: DeadLettersQuery) -> Response:
        given = [value for name, value in request.scope["headers"] if name == b"authorization"]
        authorized(given, keys, "admin", fresh=True)
        refuse({} if query.end is None or (query.start or 0) < query.end else {"end": "is not behind start"})
        async with one:
            try:
                body = await asyncio.to_thread(found, query)
            except LogError as error:
                raise ProblemError(503, "log", str(error), retry_after_s=1) from error
        return Response(body, media_type="application/json", headers={"Cache-Control": "no-store"})

    text = "What ingest refused, with reasons and bytes. Needs a key of the scope admin."
    return [
        Route(
            "/v1/dead-letters",
            asked(DeadLettersQuery, answer),
            text,
            "data",
            DeadLetters,
            problems=(422,),
            cached=False,
        )
    ]
