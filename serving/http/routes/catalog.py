"""What there is of versions. Not here: instruments (`serving.http.routes.instruments`)."""

import logging
from dataclasses import asdict, replace
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from serving.http.problems import ProblemError, retired, unreadable
from serving.http.reply import reply
from serving.http.routes.handoff import proof_summary
from serving.query.parameters import ValueRefusedError, read_parameters, whole
from serving.query.pool import Pool
from serving.watch.versions_watch import VersionsWatch
from slackwater.versions.errors import ManifestError, NoSuchVersionError, RetiredVersionError, VersionError
from slackwater.versions.handoff import latest_proof
from slackwater.versions.manifest import Manifest, stream_facts
from slackwater.versions.moves import Move
from slackwater.versions.proof import Proof
from slackwater.versions.retention import State, states
from slackwater.versions.store import VersionStore

_LOG = logging.getLogger("slackwater.serving")


class CatalogRoutes:
    """Answers `/v1/versions` and `/v1/versions/{version}`."""

    def __init__(self, store: VersionStore, watch: VersionsWatch, pool: Pool) -> None:
        self._store = store
        self._watch = watch
        self._pool = pool

    async def versions(self, request: Request) -> Response:
        """Every version that can be read, newest first, and which one is served."""
        read_parameters((), request.query_params.multi_items())
        manifests, moves = await self._pool.run(self._manifests)
        snapshot = self._watch.snapshot
        found = [
            {
                "version": manifest.version,
                "parent": manifest.parent,
                "created": manifest.created_us,
                "run_id": manifest.run_id,
                "cut": {stream: {str(p): at for p, at in sorted(cut.items())} for stream, cut in manifest.cuts.items()},
                "counts": {stream: dict(counts) for stream, counts in manifest.counts.items()},
                "restated": dict(manifest.restated),
                "definitions": dict(manifest.definitions),
                "proof": proof_summary(proof),
                "state": state,
            }
            for manifest, proof, state in manifests
        ]
        served = snapshot and snapshot.version
        return reply(request, orjson.dumps({"versions": found, "served": served, "rollbacks": moves}))

    async def version(self, request: Request) -> Response:
        """One version's manifest, without the files of trade ids; of its instruments, how many entries there are."""
        read_parameters((), request.query_params.multi_items())
        text = request.path_params["version"]
        missing = ProblemError(404, "unknown-version", f"There is no version {text[:40]!r}. See /v1/versions.")
        try:
            number = whole(1, 2**31)(text)
            manifest = await self._pool.run(lambda: self._store.manifest(number))
        except RetiredVersionError as error:
            raise retired(number) from error
        except (ValueRefusedError, NoSuchVersionError) as error:
            raise missing from error
        except ManifestError as error:
            raise unreadable(number) from error
        return reply(request, orjson.dumps(_manifest_json(manifest)))

    def _manifests(self) -> tuple[list[tuple[Manifest, Proof, str]], list[dict[str, Any]]]:
        store = self._store
        found: dict[int, State] = {}
        moves: list[dict[str, Any]] = []
        try:
            found = states(store)
            moves = [move_json(move) for move in store.moves.until(store.pointer().move)]
        except VersionError as error:  # which version is current is unknown; which there are is not
            _LOG.warning("The states of versions are unknown: %s", error)
        return [(m, latest_proof(store, m), found.get(m.version, "unknown")) for m in store.readable()], moves


def move_json(move: Move) -> dict[str, Any]:
    """A rollback, as it was recorded."""
    facts = {"move": move.number, "from": move.source, "to": move.target}
    told = {"restated": dict(move.restated), "untold": move.untold}
    return {**facts, "at": move.at_us, "by": move.by, "reason": move.reason, **told}


def _manifest_json(manifest: Manifest) -> dict[str, Any]:
    facts = asdict(replace(manifest, ids=(), instruments={}, streams={}))
    del facts["ids"]
    facts["instruments"] = {stream: len(known) for stream, known in manifest.instruments.items()}
    facts["streams"] = {stream: stream_facts(own) for stream, own in manifest.streams.items()}
    return facts
