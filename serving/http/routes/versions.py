"""`/v1/versions` and `/v1/versions/{version}`: what there is of versions, and one version's manifest."""

import logging
from dataclasses import asdict, fields, make_dataclass, replace
from typing import Annotated, Any, Literal

import orjson
from fastapi import Query
from pydantic import ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from serving.http.models import Closed, Count, Counts, Micros, Offsets, ProofLine, Served
from serving.http.problems import retired, unknown_version, unreadable
from serving.http.proofs import move_json, proof_summary
from serving.http.reply import reply
from serving.http.route import Route
from serving.query.fields import Parameters, VersionPath
from serving.query.pool import Pool
from serving.watch.versions_watch import VersionsWatch
from slackwater.versions.errors import ManifestError, NoSuchVersionError, RetiredVersionError, VersionError
from slackwater.versions.handoff import latest_proof
from slackwater.versions.manifest import Manifest, stream_facts
from slackwater.versions.proof import Proof
from slackwater.versions.retention import State, states
from slackwater.versions.store import VersionStore

_LOG = logging.getLogger("slackwater.serving")


class Version(Closed):
    """One published version."""

    version: Count
    parent: Count
    created: Micros
    run_id: str
    cut: Annotated[dict[str, Offsets], Field(description="Stream -> partition -> offset.")]
    counts: Annotated[dict[str, Counts], Field(description="Stream -> what -> how many.")]
    restated: Counts
    definitions: dict[str, str]
    proof: ProofLine
    state: State | Literal["unknown"]


class Move(Closed):
    """A rollback or a promotion, as it was recorded."""

    move: Count
    from_: Annotated[int | None, Field(alias="from")]
    to: Count
    restated: Counts
    incomplete_reason: Annotated[str, Field(description="Why the restatements are not all, if they are not.")]
    at: Micros
    by: str
    reason: str


class Versions(Closed):
    """What there is of versions."""

    versions: list[Version]
    served: Served
    rollbacks: list[Move]


def _version(manifest: Manifest, proof: Proof, state: str) -> dict[str, Any]:
    return {
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


def _versions(store: VersionStore) -> dict[str, list[dict[str, Any]]]:
    """Every version that can be read, newest first, and the moves."""
    found: dict[int, State] = {}
    moves: list[dict[str, Any]] = []
    try:
        found = states(store)
        moves = [move_json(move) for move in store.moves.until(store.pointer().move)]
    except VersionError as error:  # which version is current is unknown; which there are is not
        _LOG.warning("The states of versions are unknown: %s", error)
    listed = [_version(m, latest_proof(store, m), found.get(m.version, "unknown")) for m in store.readable()]
    return {"versions": listed, "rollbacks": moves}


def _manifest_json(manifest: Manifest) -> dict[str, Any]:
    facts = asdict(replace(manifest, ids=(), instruments={}, streams={}))
    del facts["ids"]
    facts["instruments"] = {stream: len(known) for stream, known in manifest.instruments.items()}
    facts["streams"] = {stream: stream_facts(own) for stream, own in manifest.streams.items()}
    return facts


def _manifest_model() -> type:
    """The manifest's dataclass as it is given: see `_manifest_json`."""
    given = [(each.name, dict[str, int] if each.name == "instruments" else each.type) for each in fields(Manifest)]
    listed = [(name, kind) for name, kind in given if name != "ids"]
    return make_dataclass("Manifest", listed, namespace={"__pydantic_config__": ConfigDict(extra="forbid")})


def routes(store: VersionStore, watch: VersionsWatch, pool: Pool) -> list[Route]:
    """See `serving.http.route`."""

    async def versions(request: Request, query: Annotated[Parameters, Query()]) -> Response:
        facts = await pool.run(lambda: _versions(store))
        snapshot = watch.snapshot
        return reply(request, orjson.dumps({**facts, "served": snapshot and snapshot.version}))

    async def one(request: Request, version: VersionPath, query: Annotated[Parameters, Query()]) -> Response:
        """A manifest without the files of identities; of its instruments, how many entries there are."""
        try:
            manifest = await pool.run(lambda: store.manifest(version))
        except RetiredVersionError as error:
            raise retired(version) from error
        except NoSuchVersionError as error:
            raise unknown_version(str(version)) from error
        except ManifestError as error:
            raise unreadable(version) from error
        return reply(request, orjson.dumps(_manifest_json(manifest)))

    path, text = "/v1/versions/{version}", "One version's manifest."
    return [
        Route("/v1/versions", versions, "Published versions.", "versions", Versions, problems=(422, 504)),
        Route(path, one, text, "versions", _manifest_model(), problems=(404, 410, 422, 504)),
    ]
