"""`POST /v1/versions/{version}/rollback`: an older version is served. Needs a key of the scope admin."""

import asyncio
from typing import Annotated

import orjson
from pydantic import AfterValidator, Field
from starlette.requests import Request
from starlette.responses import Response

from serving.http.body import body_of, parsed_body, refuse_query
from serving.http.guard.auth import authorized
from serving.http.models import Closed, Served
from serving.http.problems import ProblemError, unknown_version
from serving.http.proofs import move_json
from serving.http.route import Route
from serving.http.routes.versions import Move
from serving.query.fields import VersionPath
from serving.watch.versions_watch import VersionsWatch
from slackwater.core.clock import Clock
from slackwater.deltas.read_tail import TailReader
from slackwater.keys.keyring import KeyRing
from slackwater.keys.keys import Key
from slackwater.log.log import Log
from slackwater.log.names import TopicNames
from slackwater.restatements.of_move import Restating
from slackwater.versions.errors import NoSuchVersionError, RetiredVersionError, VersionError
from slackwater.versions.moves import Move as RecordedMove
from slackwater.versions.rollback import rollback
from slackwater.versions.store import VersionStore
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


class RollbackRoute:
    """One rollback at a time; it reads every file of the version, and so has a thread of its own."""

    def __init__(
        self,
        log: Log,
        names: TopicNames,
        store: VersionStore,
        views: tuple[View, ...],
        clock: Clock,
        keys: KeyRing,
        watch: VersionsWatch,
    ) -> None:
        self._log = log
        self._names = names
        self._store = store
        self._views = views
        self._clock = clock
        self._keys = keys
        self._watch = watch
        self._one = asyncio.Lock()

    async def answer(self, request: Request, version: VersionPath) -> Response:
        """Move the pointer."""
        given = [value for name, value in request.scope["headers"] if name == b"authorization"]
        key = authorized(given, self._keys, "admin", fresh=True)
        refuse_query(request)
        reason = parsed_body(RollbackBody, await body_of(request, MOST_BYTES)).reason
        async with self._one:
            move = await asyncio.to_thread(self._rollback, version, reason, key)
        snapshot = self._watch.snapshot
        facts = {**move_json(move), "served": snapshot and snapshot.version}
        return Response(orjson.dumps(facts), media_type="application/json", headers={"Cache-Control": "no-store"})

    def _rollback(self, version: int, reason: str, key: Key) -> RecordedMove:
        try:
            tail_reader = TailReader(self._log, self._names)
            restating = Restating(self._store, self._views, tail_reader, threads=1, memory_limit=COMPARE_MEMORY)
            by, now_us = f"key {key.name}", self._clock.now_us()
            return rollback(self._store, version, reason, by, now_us, restating)
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
    """See `serving.http.route`."""
    text = "Serve an older, retained version at once, after reading all its files. Needs a key of the scope admin."
    answer = RollbackRoute(log, names, store, views, clock, keys, watch).answer
    path, refusals = "/v1/versions/{version}/rollback", (404, 409, 410, 413, 422)
    return [
        Route(path, answer, text, "versions", RolledBack, refusals, "POST", cached=False, body=RollbackBody),
    ]
