"""The file of a proof that is not in its version's manifest: of one that came later, or of one that failed.

    versions/<n>/handoff.json       the record {"version", "run_id", "proof"}

A manifest never changes, so an unproven version that is proven later gets this file beside it. A run whose proof
failed and which published nothing leaves it too, in a folder without a manifest, for whoever looks into it. A file
that is torn, changed, or another run's is never trusted.
"""

from dataclasses import asdict, replace
from pathlib import Path

from slackwater.versions.errors import RecordError
from slackwater.versions.manifest import Manifest
from slackwater.versions.proof import Proof, proof_from
from slackwater.versions.record import decode_record, encode_record
from slackwater.versions.store import VersionStore


def handoff_path(store: VersionStore, version: int) -> Path:
    """Where a version's later proof is."""
    return store.folder / str(version) / "handoff.json"


def write_handoff(store: VersionStore, version: int, run_id: str, proof: Proof) -> None:
    """Write the proof durably; it takes the place of an earlier one."""
    body = {"version": version, "run_id": run_id, "proof": asdict(proof)}
    store.files.replace(handoff_path(store, version), encode_record(body))


def read_handoff(store: VersionStore, version: int, run_id: str | None = None) -> Proof | None:
    """The proof in the file, None if there is none. `run_id`: whose it must be.

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
        return proof_from(body["proof"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RecordError(path, repr(error)) from error


def latest_proof(store: VersionStore, manifest: Manifest) -> Proof:
    """What is known of a version's hand-off now: the manifest's proof, or the one that came later where it was open."""
    if manifest.proof.outcome != "unproven" or not manifest.version:
        return manifest.proof
    try:
        later = read_handoff(store, manifest.version, manifest.run_id)
    except (RecordError, OSError) as error:
        return replace(manifest.proof, reason=f"{manifest.proof.reason} A later proof is not trusted: {error}".strip())
    return later or manifest.proof
