"""The lineage of a version: itself, its parent, and so on, as far as they are kept."""

from collections.abc import Callable, Iterator

from slackwater.versions.errors import ManifestError, NoSuchVersionError
from slackwater.versions.handoff import latest_proof
from slackwater.versions.manifest import Manifest
from slackwater.versions.proof import Proof
from slackwater.versions.store import VersionStore

Load = Callable[[int], Manifest]


def lineage(manifest: Manifest, load: Load) -> Iterator[Manifest]:
    """The version, then its ancestors, down to the first that is not kept or cannot be read."""
    while manifest.version:
        yield manifest
        if not manifest.parent:
            return
        try:
            manifest = load(manifest.parent)
        except (NoSuchVersionError, ManifestError):
            return


def refuted(store: VersionStore, manifest: Manifest, load: Load | None = None) -> tuple[int, Proof] | None:
    """The newest version of a lineage whose proof failed, and that proof; None if none did.

    Who forces a version takes on what lies below it, so the look ends there.
    """
    for each in lineage(manifest, load or store.manifest):
        proof = latest_proof(store, each)
        if proof.forced is not None:
            return None
        if proof.outcome == "different":
            return each.version, proof
    return None
