"""`/v1/versions/{version}/handoff`: the whole proof that a version is its parent and the deltas between their cuts."""

from typing import Annotated, Any, Literal

import orjson
from fastapi import Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from serving.http.models import Closed, Count, ForcedBy
from serving.http.problems import unknown_version, unreadable
from serving.http.proofs import proof_json
from serving.http.reply import reply
from serving.http.route import Route
from serving.query.fields import Parameters, VersionPath
from serving.query.pool import Pool
from slackwater.versions.errors import ManifestError, NoSuchVersionError
from slackwater.versions.handoff import latest_proof, read_handoff
from slackwater.versions.manifest import Manifest
from slackwater.versions.proof import Proof, joined
from slackwater.versions.store import VersionStore


class HandoffSpan(Closed):
    """What was proven of one partition."""

    stream: str
    partition: Count
    start: Annotated[Count, Field(description="The parent's cut.")]
    upto: Annotated[Count, Field(description="This version's cut.")]
    events: Annotated[Count, Field(description="Events between the cuts.")]
    refused: Annotated[Count, Field(description="Dead letters between the cuts.")]
    cells: Annotated[Count, Field(description="Sealed cells of the chain, over all views.")]
    gap: Annotated[Count, Field(description="Offsets between the cuts that the chain does not cover.")]
    overlap: Annotated[Count, Field(description="Offsets above the cut that a cell from below it covers.")]


class HandoffDifference(Closed):
    """One value that is not equal."""

    view: str
    interval: str
    partition: Count
    key: list[Any]
    start: Annotated[int, Field(description="Microseconds since the epoch, UTC.")]
    field: Annotated[str, Field(description="A column of the state, or `row` where a side has none or two.")]
    expected: Annotated[str, Field(description="What the parent and the deltas give.")]
    found: Annotated[str, Field(description="What the version holds.")]


class Handoff(Closed):
    """A whole proof."""

    version: Annotated[int, Field(ge=1)]
    published: Annotated[bool, Field(description="False for a run whose proof failed, which published nothing.")]
    parent: int | None
    run_id: str | None
    outcome: Literal["equal", "different", "unproven"]
    reason: str
    spans: list[HandoffSpan]
    imported: Annotated[Count, Field(description="Events of imported history, recomputed from their own files.")]
    compared: Annotated[Count, Field(description="States compared, a view's row of one key and start each.")]
    differ: Count
    first: Annotated[list[HandoffDifference], Field(description="The first differences.")]
    proven_us: Annotated[Count, Field(description="When, in microseconds since the epoch, UTC.")]
    took_ms: Count
    new: Annotated[list[str], Field(description="Views that the parent does not have.")]
    forced: ForcedBy | None
    records: Annotated[Count, Field(description="Offsets between the cuts, over all partitions.")]
    gap: Count
    overlap: Count


def _facts(store: VersionStore, version: int) -> dict[str, Any] | None:
    """The proof of a version, or of a run that published nothing because its proof failed."""
    manifest: Manifest | None
    try:
        manifest = store.manifest(version)
        proof: Proof | None = latest_proof(store, manifest)
    except NoSuchVersionError:
        manifest, found = None, read_handoff(store, version)
        proof = None if found is None else joined(found)
    if proof is None:
        return None
    return {
        "version": version,
        "published": manifest is not None,
        "parent": manifest and manifest.parent,
        "run_id": manifest and manifest.run_id,
        **proof_json(proof),
    }


def routes(store: VersionStore, pool: Pool) -> list[Route]:
    """See `serving.http.route`."""

    async def answer(request: Request, version: VersionPath, query: Annotated[Parameters, Query()]) -> Response:
        try:
            facts = await pool.run(lambda: _facts(store, version))
        except ManifestError as error:
            raise unreadable(version) from error
        if facts is None:
            raise unknown_version(str(version))
        return reply(request, orjson.dumps(facts))

    text = "The proof that a version is its parent and the deltas between their cuts."
    return [Route("/v1/versions/{version}/handoff", answer, text, "versions", Handoff, problems=(404, 422, 504))]
