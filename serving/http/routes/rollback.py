"""`POST /v1/versions/{version}/rollback`: an older version is served. Needs a key of the scope admin."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Annotated

import orjson
from pydantic import AfterValidator, Field
from starlette.requests import Request
from starlette.responses import Response

from serving.http.models import Closed, Served
from serving.http.problems import unknown_version
from serving.http.route import Route
from serving.http.routes.versions import Move, move_json
from serving.query.fields import VersionPath
from serving.watch.versions_watch import VersionsWatch
from slackwater.core.clock import Clock
from slackwater.deltas.read_tail import TailReader
from slackwater.http.body import body_of, parsed_body, refuse_query
from slackwater.http.guard.guard import authorized
from slackwater.http.problems import ProblemError
from slackwater.keys.keyring import KeyRing
from slackwater.keys.keys import Key
from slackwater.log.log import Log
from slackwater.log.names import TopicNames
from slackwater.restatements.of_move import Restating
from slackwater.versions.errors import NoSuchVersionError, RetiredVersionError, VersionError
from slackwater.versions.moves import Move as RecordedMove
from slackwater.versions.rollback import rollback
from slackwater.versions.store import VersionStore
from slackwater.views.session import connect
from slackwater.views.view import View

MOST_BYTES = 4096
COMPARE_MEMORY = "512MB"
"""What comparing the closed bars may take beside the answers, which go on meanwhile; with one thread."""

MOST_REASON = 500


def _printable(text: str) -> str:
    if not text.strip() or not text.isprintable():
        raise ValueError(f"give 1 to {MOST_REASON} printable characters")
    return text.strip()


class RollbackBody(Closed):
    """Why the pointer is moved."""

    reason: Annotated[str, Field(min_length=1, max_length=MOST_REASON), AfterValidator(_printable)]


class RolledBack(Move):
    """The move, as it was recorded, and what is served now."""

    served: Served


def _rolled_back(
    store: VersionStore, version: int, reason: str, key: Key, now_us: Callable[[], int], restating: Restating
) -> RecordedMove:
    try:
        return rollback(store, version, reason, f"key {key.name}", now_us, restating)
    except RetiredVersionError as error:
        raise ProblemError(410, "version-retired", str(error)) from error
    except NoSuchVersionError as error:
        raise unknown_version(str(version)) from error
    except VersionError as error:
        raise ProblemError(409, "rollback-refused", str(error)) from error


def routes(
    log: Log,
    names: TopicNames,
    store: VersionStore,
    views: tuple[View, ...],
    clock: Clock,
    keys: KeyRing,
    watch: VersionsWatch,
) -> list[Route]:
    """See `serving.http.route`. One rollback at a time; it reads every file of the version, in a thread of its own."""
    one = asyncio.Lock()

    async def answer(request: Request, version: VersionPath) -> Response:
        given = [value for name, value in request.scope["headers"] if name == b"authorization"]
        key = authorized(given, keys, "admin", fresh=True)
        refuse_query(request)
        reason = parsed_body(RollbackBody, await body_of(request, MOST_BYTES)).reason
        restating = Restating(store, views, TailReader(log, names), partial(connect, 1, COMPARE_MEMORY))
        async with one:
            move = await asyncio.to_thread(_rolled_back, store, version, reason, key, clock.now_us, restating)
        snapshot = watch.snapshot
        facts = {**move_json(move), "served": snapshot and snapshot.version}
        return Response(orjson.dumps(facts), media_type="application/json", headers={"Cache-Control": "no-store"})

    text = "Serve an older, retained version at once, after reading all its files. Needs a key of the scope admin."
    path, refusals = "/v1/versions/{version}/rollback", (404, 409, 410, 413, 422)
    return [Route(path, answer, text, "versions", RolledBack, refusals, "POST", cached=False, body=RollbackBody)]
