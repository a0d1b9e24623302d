"""Proves versions that were published unproven, as soon as the speed layer's cells are there.

It writes the outcome beside the manifest (`slackwater.versions.handoff`). A version that turns out to be different
stays served until somebody rolls back; that is an alarm, in the log here and in the service's readiness.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

import duckdb

from batch_layer.prove import Claim, Prover, deltas_from
from slackwater.versions.errors import DamagedFileError, ManifestError, NoSuchVersionError
from slackwater.versions.handoff import latest_proof, write_handoff
from slackwater.versions.manifest import Manifest
from slackwater.versions.proof import Proof
from slackwater.versions.store import VersionStore, empty_manifest

logger = logging.getLogger(__name__)

RETRIED = 3
"""Unproven versions, the newest, that a batch run tries to prove again: each costs a look at its deltas."""


def open_versions(store: VersionStore) -> Iterator[Manifest]:
    """The versions that are unproven now, newest first."""
    return (manifest for manifest in store.readable() if latest_proof(store, manifest).outcome == "unproven")


def prove_later(
    prover: Prover,
    store: VersionStore,
    topic: str,
    topics: Mapping[str, str],
    versions: Iterable[Manifest],
    deadline_s: float = 0.0,
) -> Iterator[tuple[Manifest, Proof]]:
    """Try each version again; yields it with what is known then. `topics` are the topics' ids now."""
    for manifest in versions:
        try:
            proof = _proof(prover, store, topic, topics, manifest, deadline_s)
            if proof is not None and proof.outcome != "unproven":
                write_handoff(store, manifest.version, manifest.run_id, proof)
        # The last two: expired while this looks at it.
        except (NoSuchVersionError, ManifestError, DamagedFileError, FileNotFoundError, duckdb.IOException) as error:
            reason = f"{manifest.proof.reason} Not tried again: {error}".strip()
            yield manifest, replace(manifest.proof, reason=reason)
            continue
        if proof is None:
            yield manifest, manifest.proof
            continue
        _tell(manifest.version, proof)
        yield manifest, proof


def _proof(
    prover: Prover, store: VersionStore, topic: str, topics: Mapping[str, str], manifest: Manifest, deadline_s: float
) -> Proof | None:
    claim = _claim(store, manifest, topic, topics)
    if claim is None:
        return None
    store.check(file.file for file in manifest.views)
    return prover.prove(claim, deadline_s)


def _tell(version: int, proof: Proof) -> None:
    if proof.outcome == "different":
        told = "; ".join(map(str, proof.first[:3]))
        logger.error("Alarm: version %d, published unproven, is different: %s %s", version, proof.reason, told)
    elif proof.outcome == "equal":
        logger.info("version %d, published unproven, is proven equal", version)


def _claim(store: VersionStore, manifest: Manifest, topic: str, topics: Mapping[str, str]) -> Claim | None:
    """The claim of a published version; None where its cuts are of another topic, or were not written down."""
    if manifest.topics.get(topic) != topics[topic] or not manifest.proof.spans:
        return None
    spans = tuple(replace(span, cells=0, gap=0, overlap=0) for span in manifest.proof.spans)
    starts = {span.partition: span.start for span in spans}
    parent = store.manifest(manifest.parent) if manifest.parent else empty_manifest(dict(manifest.topics), starts)
    known = {entry.file.path for entry in parent.archive}
    (deltas,) = topics.keys() - {topic}
    return Claim(
        parent=parent,
        topic_id=topics[topic],
        delta_start=deltas_from(parent, deltas, topics[deltas]),
        spans=spans,
        definitions=manifest.definitions,
        files=manifest.views,
        imported=tuple(e for e in manifest.archive if e.start is None and e.file.path not in known),
    )
