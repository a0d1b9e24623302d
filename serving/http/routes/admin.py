"""`POST /v1/versions/{version}/rollback`: what needs a key of the scope admin."""

import asyncio
import json
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from serving.http.guard.auth import authorized
from serving.http.problems import ProblemError, parameter_problem
from serving.http.routes.catalog import move_json
from serving.query.parameters import ValueRefusedError, whole
from serving.watch.versions_watch import VersionsWatch
from slackwater.core.clock import Clock
from slackwater.deltas.read_tail import TailReader
from slackwater.keys.keyring import KeyRing
from slackwater.keys.keys import Key
from slackwater.log.log import Log
from slackwater.log.names import TopicNames
from slackwater.restatements.of_move import Restating
from slackwater.versions.errors import NoSuchVersionError, RetiredVersionError, VersionError
from slackwater.versions.moves import Move
from slackwater.versions.rollback import rollback
from slackwater.versions.store import VersionStore
from slackwater.views.view import View

MOST_BYTES = 4096
COMPARE_MEMORY = "512MB"
"""What comparing the closed bars may take beside the answers, which go on meanwhile; with one thread."""

MOST_REASON = 500

ROLLBACK_BODY = {
    "type": "object",
    "required": ["reason"],
    "additionalProperties": False,
    "properties": {"reason": {"type": "string", "minLength": 1, "maxLength": MOST_REASON}},
}


class AdminRoutes:
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

    async def rollback(self, request: Request) -> Response:
        """Move the pointer; the move as it was recorded, and what is served at this moment."""
        given = [value for name, value in request.scope["headers"] if name == b"authorization"]
        key = authorized(given, self._keys, "admin", fresh=True)
        if request.url.query:
            raise parameter_problem([{"parameter": "query", "detail": "this takes a body and no query"}])
        version = _version(request.path_params["version"])
        reason = await _reason(request)
        async with self._one:
            move = await asyncio.to_thread(self._rollback, version, reason, key)
        snapshot = self._watch.snapshot
        facts = {**move_json(move), "served": snapshot and snapshot.version}
        return Response(orjson.dumps(facts), media_type="application/json", headers={"Cache-Control": "no-store"})

    def _rollback(self, version: int, reason: str, key: Key) -> Move:
        try:
            look = TailReader(self._log, self._names)
            restating = Restating(self._store, self._views, look, threads=1, memory_limit=COMPARE_MEMORY)
            by, now_us = f"key {key.name}", self._clock.now_us()
            return rollback(self._store, version, reason, by, now_us, restating)
        except RetiredVersionError as error:
            raise ProblemError(410, "version-retired", str(error)) from error
        except NoSuchVersionError as error:
            raise ProblemError(404, "unknown-version", f"There is no version {version}. See /v1/versions.") from error
        except VersionError as error:
            raise ProblemError(409, "rollback-refused", str(error)) from error


def _version(text: str) -> int:
    try:
        return whole(0, 2**31)(text)
    except ValueRefusedError as error:
        raise ProblemError(404, "unknown-version", f"There is no version {text[:40]!r}. See /v1/versions.") from error


async def _reason(request: Request) -> str:
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > MOST_BYTES:
            raise ProblemError(413, "too-large", f"The body has more than {MOST_BYTES} bytes.")
    try:
        body: Any = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _no_reason("the body is no JSON") from error
    if not isinstance(body, dict) or set(body) != {"reason"} or not isinstance(body["reason"], str):
        raise _no_reason('the body is {"reason": "..."} and nothing else')
    reason = body["reason"].strip()
    if not reason or len(reason) > MOST_REASON or not reason.isprintable():
        raise _no_reason(f"give 1 to {MOST_REASON} printable characters")
    return reason


def _no_reason(detail: str) -> ProblemError:
    return parameter_problem([{"parameter": "reason", "detail": detail}])
