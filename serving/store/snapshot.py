"""A snapshot: everything that one answer stands on besides the chains. One immutable value, swapped as a whole."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from serving.store.batch import BatchReader
from serving.store.directory import Entity
from slackwater.restatements.ledger import Entry
from slackwater.store.instruments import Instrument
from slackwater.versions.manifest import Manifest
from slackwater.views.view import View


@dataclass(frozen=True)
class Snapshot:
    """One version as it is served.

    Attributes:
        key: names the version together with its cut and topic; chains are folded under this name.
        cut: partition -> offset, partitions that the manifest does not know included.
        batch: the reader of its files.
        views: name -> the view of the definition that it holds, the one in force.
        chain: whether the speed layer's part may be used; without it the batch view answers alone.
        refusals: why this is not what the pointer asks for, or why the chain may not be used.
        refused_views: view -> why this version cannot answer for it.
        ledger: the restatements that are told; None where a record of a move cannot be read.
    """

    key: str
    manifest: Manifest
    cut: Mapping[int, int]
    topic_id: str
    batch: BatchReader
    views: Mapping[str, View]
    chain: bool = True
    refusals: tuple[str, ...] = ()
    refused_views: Mapping[str, str] = field(default_factory=dict)
    ledger: tuple[Entry, ...] | None = ()

    @property
    def version(self) -> int:
        """The version's number."""
        return self.manifest.version

    def places(self, view: View, entity: Entity) -> tuple[Instrument, ...]:
        """What the version knows of an entity: an entry for each partition that holds it."""
        return self.batch.places(view, entity)


def snapshot_key(manifest: Manifest, topic_id: str, cut: Mapping[int, int]) -> str:
    """A short name that is the same in every process that serves the same version of the same log."""
    facts = (manifest.version, manifest.run_id, topic_id, sorted(cut.items()), sorted(manifest.definitions.items()))
    return f"{manifest.version}-{hashlib.blake2b(repr(facts).encode(), digest_size=8).hexdigest()}"
