"""Proves versions that were published unproven, as soon as the speed layer's cells are there.

It writes the outcome beside the manifest (`slackwater.versions.handoff`). A version that turns out to be different
stays served until somebody rolls back; that is an alarm, in the log here and in the service's readiness.
"""

import logging
from collections.abc import Iterable, Iterator
from dataclasses import replace

import duckdb

from batch_layer.prove import Claim, Prover
from slackwater.context import Context
from slackwater.log.errors import LogError
from slackwater.streams.stream import Stream
from slackwater.versions.errors import DamagedFileError, ManifestError, NoSuchVersionError
from slackwater.versions.handoff import latest_proof, latest_proofs, write_handoff
from slackwater.versions.manifest import Manifest, empty_manifest
from slackwater.versions.proof import Proof, joined
from slackwater.versions.store import VersionStore

logger = logging.getLogger(__name__)

RETRIED = 3
"""Unproven versions, the newest, that a batch run tries to prove again: each costs a look at its deltas."""


def open_versions(store: VersionStore) -> Iterator[Manifest]:
    """The versions that are unproven now, newest first."""
    return (manifest for manifest in store.readable() if latest_proof(store, manifest).outcome == "unproven")


def prove_later(
    context: Context, versions: Iterable[Manifest], deadline_s: float = 0.0
) -> Iterator[tuple[Manifest, Proof]]:
    """Try each version's unproven streams again; yields it with what is known then of all."""
    store = context.store
    for manifest in versions:
        try:
            known = dict(latest_proofs(store, manifest))
            found = {**known, **_proofs(context, manifest, known, deadline_s)}
            if found != known:
                write_handoff(store, manifest.version, manifest.run_id, found)
        # The last two: expired while this looks at it.
        except (NoSuchVersionError, ManifestError, DamagedFileError, FileNotFoundError, duckdb.IOException) as error:
            reason = f"{manifest.proof.reason} Not tried again: {error}".strip()
            yield manifest, replace(manifest.proof, reason=reason)
            continue
        proof = joined(found)
        _tell(manifest.version, proof)
        yield manifest, proof


def _proofs(context: Context, manifest: Manifest, known: dict[str, Proof], deadline_s: float) -> dict[str, Proof]:
    """The streams that could be proven, or refuted, now."""
    found = {}
    for stream in context.streams:
        proof = known.get(stream.name)
        if proof is None or proof.outcome != "unproven":
            continue
        claim = _claim(context, manifest, stream, proof)
        if claim is None:
            continue
        names = {view.name for view in context.views if view.stream == stream}
        context.store.check(part.file for part in manifest.own if part.view in names)
        tried = Prover(context).prove(claim, deadline_s, retried=True)
        if tried.outcome != "unproven":
            found[stream.name] = tried
    return found


def _tell(version: int, proof: Proof) -> None:
    if proof.outcome == "different":
        text = "; ".join(map(str, proof.first[:3]))
        logger.error("Alarm: version %d, published unproven, is different: %s %s", version, proof.reason, text)
    elif proof.outcome == "equal":
        logger.info("version %d, published unproven, is proven equal", version)


def _claim(context: Context, manifest: Manifest, stream: Stream, proof: Proof) -> Claim | None:
    """The claim of a published version; None where its cuts are of another topic, or were not written down."""
    try:
        topic_id = context.log.topic_id(context.names.topic(stream))
    except LogError:
        return None
    if manifest.of(stream).topic_id != topic_id or not proof.spans or manifest.corrections:
        return None  # what was corrected is not what the cells give: an audit proves it
    spans = tuple(replace(span, cells=0, gap=0, overlap=0) for span in proof.spans)
    parent = context.store.manifest(manifest.parent) if manifest.parent else empty_manifest({})
    return Claim(stream, parent, manifest, spans, proof.new)
