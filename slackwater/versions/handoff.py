"""What is known of a version's proof and its ancestors', and the file of a proof that its manifest does not hold.

    versions/<n>/handoff.json       the record {"version", "run_id", "proofs"}

A manifest never changes, so an unproven version that is proven later gets this file beside it, with the proofs of all
its streams as they are known then. A run whose proof failed and which published nothing leaves it in a folder without
a manifest, for people to read. A file that is torn, changed, or another run's is never trusted.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path

from slackwater.versions.errors import ManifestError, NoSuchVersionError, RecordError
from slackwater.versions.manifest import Manifest
from slackwater.versions.proof import Proof, joined, proofs_from
from slackwater.versions.record import decode_record, encode_record
from slackwater.versions.store import VersionStore


def handoff_path(store: VersionStore, version: int) -> Path:
    """Where a version's later proof is."""
    return store.folder / str(version) / "handoff.json"


def write_handoff(store: VersionStore, version: int, run_id: str, proofs: Mapping[str, Proof]) -> None:
    """Write the proofs of all streams durably; they take the place of earlier ones."""
    body = {"version": version, "run_id": run_id, "proofs": {stream: asdict(proof) for stream, proof in proofs.items()}}
    store.files.replace(handoff_path(store, version), encode_record(body))


def read_handoff(store: VersionStore, version: int, run_id: str | None = None) -> dict[str, Proof] | None:
    """Stream -> its proof in the file, None if there is none. `run_id`: whose it must be.

    Raises:
        RecordError: it cannot be trusted.
    """
    path = handoff_path(store, version)
    try:
        data = store.files.read(path)
    except FileNotFoundError:
        return None
    body = decode_record(data, path)
    try:
        if body["version"] != version or (run_id is not None and body["run_id"] != run_id):
            raise RecordError(path, f"it is of version {body['version']} of run {body['run_id']}")
        return proofs_from(body["proofs"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RecordError(path, repr(error)) from error


def latest_proofs(store: VersionStore, manifest: Manifest) -> Mapping[str, Proof]:
    """Stream -> what is known of its hand-off now: the manifest's proof, or a later one where it was open."""
    if manifest.proof.outcome != "unproven" or not manifest.version:
        return manifest.proofs
    try:
        return read_handoff(store, manifest.version, manifest.run_id) or manifest.proofs
    except (RecordError, OSError) as error:
        why = f"A later proof is not trusted: {error}"
        return {
            stream: replace(proof, reason=f"{proof.reason} {why}".strip()) if proof.outcome == "unproven" else proof
            for stream, proof in manifest.proofs.items()
        }


def latest_proof(store: VersionStore, manifest: Manifest) -> Proof:
    """The same of all streams together."""
    return joined(latest_proofs(store, manifest))


def lineage(manifest: Manifest, load: Callable[[int], Manifest]) -> Iterator[Manifest]:
    """The version, then its ancestors, down to the first that is not kept or cannot be read."""
    while manifest.version:
        yield manifest
        if not manifest.parent:
            return
        try:
            manifest = load(manifest.parent)
        except (NoSuchVersionError, ManifestError):
            return


def refuted(
    store: VersionStore, manifest: Manifest, load: Callable[[int], Manifest] | None = None
) -> tuple[int, Proof] | None:
    """The newest version of a lineage whose proof failed and that made some of the version's parts; None if none did.

    Whoever forces a version accepts what lies below it, so the search ends there.
    """
    for each in lineage(manifest, load or store.manifest):
        proof = latest_proof(store, each)
        if proof.forced is not None:
            return None
        if proof.outcome == "different" and (each is manifest or manifest.makes(each.version)):
            return each.version, proof
    return None


def refuted_views(store: VersionStore, manifest: Manifest) -> frozenset[str]:
    """The views that have parts of a version of the lineage whose proof failed, or that was forced: the next run makes
    them again.
    """
    found = set()
    for each in lineage(manifest, store.manifest):
        proof = latest_proof(store, each)
        if proof.outcome == "different" or proof.forced is not None:
            found |= {part.view for part in manifest.parts if part.holds(each.version)}
    return frozenset(found)
