"""Proofs and moves of versions as JSON, for the routes that tell of them."""

from dataclasses import asdict
from typing import Any

from slackwater.versions.moves import Move
from slackwater.versions.proof import Proof


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


def move_json(move: Move) -> dict[str, Any]:
    """A rollback, as it was recorded."""
    facts = {"move": move.number, "from": move.source, "to": move.target}
    restated = {"restated": dict(move.restated), "incomplete_reason": move.incomplete_reason}
    return {**facts, "at": move.at_us, "by": move.by, "reason": move.reason, **restated}
