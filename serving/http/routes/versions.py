"""`/v1/versions`, `/v1/versions/{version}` and its `/handoff`: what there is of versions, one version's manifest, and
the whole proof that it is its parent and the deltas between their cuts.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, make_dataclass, replace
from typing import Annotated, Any, Literal

import orjson
from fastapi import Query
from pydantic import ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from serving.http.models import Closed, Count, Counts, ForcedBy, Micros, Offsets, ProofLine, Served
from serving.http.problems import retired, unknown_version, unreadable
from serving.http.reply import reply
from serving.http.route import Route
from serving.query.fields import Parameters, VersionPath
from serving.query.pool import Pool
from serving.watch.versions_watch import VersionsWatch
from slackwater.versions.audited import read_audit
from slackwater.versions.errors import ManifestError, NoSuchVersionError, RetiredVersionError, VersionError
from slackwater.versions.handoff import latest_proof, read_handoff
from slackwater.versions.manifest import LISTED, Manifest, stream_facts
from slackwater.versions.moves import Move as RecordedMove
from slackwater.versions.proof import Proof, joined
from slackwater.versions.retention import State, answering, states
from slackwater.versions.store import VersionStore


def proof_summary(proof: Proof) -> dict[str, Any]:
    """A proof in a line: its outcome and its sums, and who forced it."""
    compared, forced = {"compared": proof.compared, "differ": proof.differ}, proof.forced and asdict(proof.forced)
    return {"outcome": proof.outcome, "reason": proof.reason, **_sums(proof), **compared, "forced": forced}


def _sums(proof: Proof) -> dict[str, int]:
    records = sum(span.upto - span.start for span in proof.spans)
    return {"records": records, "gap": proof.gap, "overlap": proof.overlap}


def move_json(move: RecordedMove) -> dict[str, Any]:
    """A rollback, as it was recorded."""
    facts = {"move": move.number, "from": move.source, "to": move.target}
    restated = {"restated": dict(move.restated), "incomplete_reason": move.incomplete_reason}
    return {**facts, "at": move.at_us, "by": move.by, "reason": move.reason, **restated}


_LOG = logging.getLogger("slackwater.serving")


class Version(Closed):
    """One published version."""

    version: Count
    parent: Count
    created: Micros
    published: Annotated[Micros, Field(description="When the pointer came to it; `as_of` takes times.")]
    run_id: str
    cut: Annotated[dict[str, Offsets], Field(description="Stream -> partition -> offset.")]
    counts: Annotated[dict[str, Counts], Field(description="Stream -> what -> how many.")]
    open: Annotated[
        list[int], Field(description="Versions that made some of its parts and whose hand-off nobody has proven yet.")
    ]
    corrected: Annotated[Count, Field(description="It is without what the corrections up to this number took out.")]
    corrections: Annotated[list[int], Field(description="The corrections that came with it.")]
    restated: Counts
    definitions: dict[str, str]
    proof: ProofLine
    state: State | Literal["unknown"]
    pins: Annotated[list[str], Field(description="The names that people gave to it; `as_of` takes them.")]


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


class Audit(Closed):
    """What audits know of the newest version's parts."""

    version: Count
    parts: Count
    never: Annotated[Count, Field(description="Parts that were never found right.")]
    longest: Annotated[Micros, Field(description="Since when the part that was longest not audited has waited.")]
    rows: Annotated[Count, Field(description="Rows that audits read so far.")]
    wrong: Annotated[dict[str, str], Field(description="View -> the first difference; the next run makes it again.")]


class Versions(Closed):
    """What there is of versions."""

    versions: list[Version]
    audit: Annotated[Audit | None, Field(description="Of the version that the pointer names.")]
    served: Served
    rollbacks: list[Move]


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


def _version(manifest: Manifest, proof: Proof, state: str, pins: Sequence[str]) -> dict[str, Any]:
    return {
        "version": manifest.version,
        "parent": manifest.parent,
        "created": manifest.created_us,
        "published": manifest.published_us,
        "run_id": manifest.run_id,
        "cut": {stream: {str(p): at for p, at in sorted(cut.items())} for stream, cut in manifest.cuts.items()},
        "counts": {stream: dict(counts) for stream, counts in manifest.counts.items()},
        "open": list(manifest.open),
        "corrected": manifest.corrected,
        "corrections": list(manifest.corrections),
        "restated": dict(manifest.restated),
        "definitions": dict(manifest.definitions),
        "proof": proof_summary(proof),
        "state": state,
        "pins": list(pins),
    }


def _audit(store: VersionStore, current: Manifest) -> dict[str, Any]:
    state = read_audit(store)
    wrong = {view: found.text for view, found in state.wrong_views(current).items()}
    never, longest = state.never(current.parts), state.longest_us(current)
    facts = {"version": current.version, "parts": len(current.parts), "never": never, "longest": longest}
    return {**facts, "rows": state.rows, "wrong": wrong}


def _versions(store: VersionStore) -> dict[str, Any]:
    """Every version that answers, newest first, and the moves."""
    found: dict[int, State] = {}
    pins: Mapping[int, Sequence[str]] = {}
    moves: list[dict[str, Any]] = []
    served = 0
    try:
        found, pins = states(store), store.pins.of_versions()
        served = store.pointer().version
        moves = [move_json(move) for move in store.moves.until(store.pointer().move)]
    except VersionError as error:  # which version is current is unknown; which there are is not
        _LOG.warning("The states of versions are unknown: %s", error)
    there = answering(store)
    listed = [
        _version(m, latest_proof(store, m), found.get(m.version, "unknown"), pins.get(m.version, ())) for m in there
    ]
    audit = next((_audit(store, m) for m in there if m.version == served), None)
    return {"versions": listed, "audit": audit, "rollbacks": moves}


def _manifest_json(manifest: Manifest) -> dict[str, Any]:
    facts = asdict(replace(manifest, ids=(), instruments={}, streams={}, archive=(), parts=(), restatements=()))
    facts |= {kind: [asdict(entry) for entry in getattr(manifest, kind)] for kind in LISTED}
    del facts["ids"]
    facts["instruments"] = {stream: len(known) for stream, known in manifest.instruments.items()}
    facts["streams"] = {stream: stream_facts(own) for stream, own in manifest.streams.items()}
    return facts


def _manifest_model() -> type:
    """The manifest's dataclass as it is given: see `_manifest_json`."""
    given = [(each.name, dict[str, int] if each.name == "instruments" else each.type) for each in fields(Manifest)]
    listed = [(name, kind) for name, kind in given if name != "ids"]
    return make_dataclass("Manifest", listed, namespace={"__pydantic_config__": ConfigDict(extra="forbid")})


def _handoff(store: VersionStore, version: int) -> dict[str, Any] | None:
    """The proof of a version, or of a run that published nothing because its proof failed."""
    manifest: Manifest | None
    try:
        manifest = store.answering(version)
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
        **asdict(proof),
        **_sums(proof),
    }


def routes(store: VersionStore, watch: VersionsWatch, pool: Pool) -> list[Route]:

    async def versions(request: Request, query: Annotated[Parameters, Query()]) -> Response:
        facts = await pool.run(lambda: _versions(store))
        snapshot = watch.snapshot
        return reply(request, orjson.dumps({**facts, "served": snapshot and snapshot.version}))

    async def one(request: Request, version: VersionPath, query: Annotated[Parameters, Query()]) -> Response:
        """A manifest without the files of identities; of its instruments, how many entries there are."""
        try:
            manifest = await pool.run(lambda: store.answering(version))
        except RetiredVersionError as error:
            raise retired(version) from error
        except NoSuchVersionError as error:
            raise unknown_version(str(version)) from error
        except ManifestError as error:
            raise unreadable(version) from error
        return reply(request, orjson.dumps(_manifest_json(manifest)))

    async def handoff(request: Request, version: VersionPath, query: Annotated[Parameters, Query()]) -> Response:
        try:
            facts = await pool.run(lambda: _handoff(store, version))
        except ManifestError as error:
            raise unreadable(version) from error
        if facts is None:
            raise unknown_version(str(version))
        return reply(request, orjson.dumps(facts))

    path, text = "/v1/versions/{version}", "The proof that a version is its parent and the deltas between their cuts."
    return [
        Route("/v1/versions", versions, "Published versions.", "versions", Versions, problems=(422, 504)),
        Route(path, one, "One version's manifest.", "versions", _manifest_model(), problems=(404, 410, 422, 504)),
        Route(f"{path}/handoff", handoff, text, "versions", Handoff, problems=(404, 422, 504)),
    ]
