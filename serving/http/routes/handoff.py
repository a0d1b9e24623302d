"""`/v1/versions/{version}/handoff`: the whole proof that a version is its parent and the deltas between their cuts."""

from dataclasses import asdict
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from serving.http.problems import ProblemError, unreadable
from serving.http.reply import reply
from serving.query.parameters import ValueRefusedError, read_parameters, whole
from serving.query.pool import Pool
from slackwater.versions.errors import ManifestError, NoSuchVersionError
from slackwater.versions.handoff import latest_proof, read_handoff
from slackwater.versions.manifest import Manifest
from slackwater.versions.proof import Proof, joined
from slackwater.versions.store import VersionStore


class HandoffRoute:
    """Answers for every version, and for runs that published nothing because their proof failed."""

    def __init__(self, store: VersionStore, pool: Pool) -> None:
        self._store = store
        self._pool = pool

    async def answer(self, request: Request) -> Response:
        """The proof in full."""
        read_parameters((), request.query_params.multi_items())
        text = request.path_params["version"]
        missing = ProblemError(404, "unknown-version", f"There is no version {text[:40]!r}. See /v1/versions.")
        try:
            number = whole(1, 2**31)(text)
            facts = await self._pool.run(lambda: self._facts(number))
        except ValueRefusedError as error:
            raise missing from error
        except ManifestError as error:
            raise unreadable(number) from error
        if facts is None:
            raise missing
        return reply(request, orjson.dumps(facts))

    def _facts(self, version: int) -> dict[str, Any] | None:
        store = self._store
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


def proof_json(proof: Proof) -> dict[str, Any]:
    """A proof with its sums."""
    return {**asdict(proof), **_sums(proof)}


def proof_summary(proof: Proof) -> dict[str, Any]:
    """A proof in a line: its outcome and its sums, and who forced it."""
    return {
        "outcome": proof.outcome,
        "reason": proof.reason,
        **_sums(proof),
        "compared": proof.compared,
        "differ": proof.differ,
        "forced": proof.forced and asdict(proof.forced),
    }


def _sums(proof: Proof) -> dict[str, int]:
    records = sum(span.upto - span.start for span in proof.spans)
    return {"records": records, "gap": proof.gap, "overlap": proof.overlap}


def _object(**properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


_INTEGER = {"type": "integer", "minimum": 0}
_TEXT = {"type": "string"}
_FORCED = _object(by=_TEXT, reason=_TEXT)
_SPAN = _object(
    stream=_TEXT,
    partition=_INTEGER,
    start={**_INTEGER, "description": "The parent's cut."},
    upto={**_INTEGER, "description": "This version's cut."},
    events={**_INTEGER, "description": "Events between the cuts."},
    refused={**_INTEGER, "description": "Dead letters between the cuts."},
    cells={**_INTEGER, "description": "Sealed cells of the chain, over all views."},
    gap={**_INTEGER, "description": "Offsets between the cuts that the chain does not cover."},
    overlap={**_INTEGER, "description": "Offsets beyond the cut that a cell from below it covers."},
)
_DIFFERENCE = _object(
    view=_TEXT,
    interval=_TEXT,
    partition=_INTEGER,
    key={"type": "array", "items": _TEXT},
    start={"type": "integer", "description": "Microseconds since the epoch, UTC."},
    field={**_TEXT, "description": "A column of the state, or `row` where a side has none or two."},
    expected={**_TEXT, "description": "What the parent and the deltas give."},
    found={**_TEXT, "description": "What the version holds."},
)
HANDOFF_SCHEMA: dict[str, Any] = _object(
    version={"type": "integer", "minimum": 1},
    published={"type": "boolean", "description": "False for a run whose proof failed, which published nothing."},
    parent={"type": ["integer", "null"]},
    run_id={"type": ["string", "null"]},
    outcome={"enum": ["equal", "different", "unproven"]},
    reason=_TEXT,
    spans={"type": "array", "items": _SPAN},
    imported={**_INTEGER, "description": "Events of imported history, recomputed from their own files."},
    compared={**_INTEGER, "description": "States compared, a view's row of one key and start each."},
    differ=_INTEGER,
    first={"type": "array", "items": _DIFFERENCE, "description": "The first differences."},
    proven_us={**_INTEGER, "description": "When, in microseconds since the epoch, UTC."},
    took_ms=_INTEGER,
    new={"type": "array", "items": _TEXT, "description": "Views that the parent does not have."},
    forced={"oneOf": [{"type": "null"}, _FORCED]},
    records={**_INTEGER, "description": "Offsets between the cuts, over all partitions."},
    gap=_INTEGER,
    overlap=_INTEGER,
)
"""The JSON schema of an answer."""
