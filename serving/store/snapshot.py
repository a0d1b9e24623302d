"""A snapshot: everything that one answer stands on besides the chains. One immutable value, swapped as a whole."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from serving.store.batch import BatchReader
from slackwater.restatements.ledger import Entry
from slackwater.versions.manifest import Manifest
from slackwater.views.view import View


@dataclass(frozen=True)
class Standing:
    """How a version stands on one stream.

    Attributes:
        key: names the version together with its cut and topic of this stream; chains are folded under this name.
        topic_id: the stream's topic; empty where it is not known.
        cut: partition -> offset, partitions that the manifest does not know included.
        chain: whether the speed layer's part may be used; without it the batch view answers alone.
        refusals: why the chain may not be used.
    """

    key: str
    topic_id: str
    cut: Mapping[int, int]
    chain: bool = True
    refusals: tuple[str, ...] = ()


@dataclass(frozen=True)
class Snapshot:
    """One version as it is served.

    Attributes:
        streams: stream -> how it stands on it.
        batch: the reader of its files.
        views: name -> the view of the definition that it holds, the one in force.
        refusals: why this is not what the pointer asks for; of one stream alone, see `Standing`.
        refused_views: view -> why this version cannot answer for it.
        ledger: the restatements that are recorded; None where a record of a move cannot be read.
    """

    manifest: Manifest
    streams: Mapping[str, Standing]
    batch: BatchReader
    views: Mapping[str, View]
    refusals: tuple[str, ...] = ()
    refused_views: Mapping[str, str] = field(default_factory=dict)
    ledger: tuple[Entry, ...] | None = ()

    @property
    def version(self) -> int:
        """The version's number."""
        return self.manifest.version

    @property
    def key(self) -> str:
        """Names it with all that it stands on."""
        return "+".join(standing.key for _, standing in sorted(self.streams.items()))

    def of(self, view: View) -> Standing:
        """How it stands on the stream of a view."""
        return self.streams[view.stream.name]

    def refusals_of(self, view: View) -> tuple[str, ...]:
        """Why answers of a view are not all that they should be."""
        return (*self.refusals, *self.of(view).refusals)


def standing_key(manifest: Manifest, stream: str, topic_id: str, cut: Mapping[int, int]) -> str:
    """A short name that is the same in every process that serves the same version of the same log of a stream."""
    held = sorted(manifest.definitions.items())
    facts = (manifest.version, manifest.run_id, stream, topic_id, sorted(cut.items()), held)
    return f"{manifest.version}-{hashlib.blake2b(repr(facts).encode(), digest_size=8).hexdigest()}"
