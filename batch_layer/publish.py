"""What one run has in its hands after it archived, and the manifest that it becomes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import duckdb

from batch_layer.archive import Epoch, nothing
from batch_layer.compute import Compute, archive_segments, compute_views, instruments_of
from batch_layer.duplicates import find_duplicates
from batch_layer.errors import ComputeError
from batch_layer.spans import Spans
from batch_layer.waiting import published_views
from slackwater.context import Context
from slackwater.core.faults import reach
from slackwater.restatements.of_run import Change, Differing, restate
from slackwater.streams.stream import Stream
from slackwater.versions.epoch_ids import merged_ids
from slackwater.versions.manifest import (
    ArchiveFile,
    Dropped,
    Duplicates,
    IdFile,
    Ledger,
    Manifest,
    StoredFile,
    ViewFile,
)
from slackwater.versions.proof import Proof
from slackwater.views.definitions import in_force
from slackwater.views.view import View


@dataclass
class Parts:
    """One run between its marks and its publication: what it read of each stream, and what it made of it.

    `epochs` are those of `spans`; `extra` is imported history; `drop` goes. `version` is a number of its own.
    """

    context: Context
    run_id: str
    parent: Manifest
    spans: Sequence[Spans]
    epochs: Sequence[Epoch]
    extra: Epoch | None
    drop: Dropped | None
    files: tuple[ViewFile, ...] = ()

    @cached_property
    def version(self) -> int:
        """The number of the version that it becomes."""
        return self.context.store.reserve()

    @cached_property
    def created_us(self) -> int:
        """When the version was made."""
        return self.context.clock.now_us()

    @cached_property
    def definitions(self) -> dict[str, str]:
        """View -> the definition of it that the version holds."""
        return published_views(self.context.views, self.parent, self.spans)

    @property
    def streams(self) -> list[Stream]:
        """The streams of the version."""
        return [spans.stream for spans in self.spans]

    def views_of(self, stream: Stream) -> tuple[View, ...]:
        """The views of a stream that the version holds."""
        views = in_force(self.context.views, self.definitions)
        return tuple(view for view in views if view.stream == stream and view.name in self.definitions)

    def files_of(self, stream: Stream) -> tuple[ViewFile, ...]:
        """What was made of a stream."""
        names = {view.name for view in self.views_of(stream)}
        return tuple(file for file in self.files if file.view in names)

    def added(self, stream: Stream) -> list[Epoch]:
        """What the run adds to the archive of a stream: from the log, and imported."""
        epochs = [*self.epochs, *([self.extra] if self.extra is not None else [])]
        return [epoch for epoch in epochs if epoch.stream == stream.name]

    def imported_of(self, stream: Stream) -> tuple[ArchiveFile, ...]:
        """Imported history of a stream that the run adds."""
        return self.extra.files if self.extra is not None and self.extra.stream == stream.name else ()

    def archive_of(self, stream: Stream) -> tuple[ArchiveFile, ...]:
        """The archive of a stream as the version lists it."""
        added = (file for epoch in self.added(stream) for file in epoch.files)
        return (*self.parent.archive_of(stream), *added)

    def ids_of(self, stream: Stream) -> tuple[StoredFile, ...]:
        """The files of a stream's identities, before small ones are merged."""
        added = (file for epoch in self.added(stream) for file in epoch.ids)
        return (*self.parent.ids_of(stream), *added)


def compute_parts(parts: Parts, compute: Compute, options: Any) -> None:
    """Make the views of all streams."""
    home = parts.context.store.home
    reach("compute.before")
    sources = [
        (archive_segments(home, s.stream.name, s.topic_id, parts.archive_of(s.stream)), parts.views_of(s.stream))
        for s in parts.spans
    ]
    parts.files = compute_views(parts.context.store, parts.version, sources, compute, options)
    reach("compute.after")


def restate_run(parts: Parts, differing: Sequence[Differing], forced: bool) -> tuple[Ledger, ...]:
    """Write down which closed bars the run changes.

    Raises:
        RestatementError: what it computed is not what the parent and the new events give.
        ComputeError: the disk is full, or a file cannot be read.
    """
    try:
        by_stream = zip(parts.streams, parts.epochs, strict=True)
        changes = [_change(parts, epoch, stream, differing, forced) for stream, epoch in by_stream]
        return restate(parts.context.store, changes, parts.run_id, parts.version, parts.created_us)
    except duckdb.IOException as error:
        raise ComputeError(f"The ledger is not written: {error}.", "What is served is whole; run it again.") from error


def _change(parts: Parts, epoch: Epoch, stream: Stream, differing: Sequence[Differing], forced: bool) -> Change:
    return Change(
        stream=stream,
        parent=parts.parent,
        version=parts.version,
        views=parts.views_of(stream),
        epoch=epoch.files,
        imported=parts.imported_of(stream),
        files=parts.files_of(stream),
        forced=forced,
        differing=[each for each in differing if each.view.stream == stream],
    )


def assemble(
    parts: Parts,
    proofs: Mapping[str, Proof],
    restated: tuple[Ledger, ...],
    timings_ms: Mapping[str, int],
) -> Manifest:
    """The manifest of the version."""
    home, streams = parts.context.store.home, parts.streams
    ids = {stream: merged_ids(stream, parts.context.store, parts.run_id, parts.ids_of(stream)) for stream in streams}
    duplicates = {
        stream.name: find_duplicates(stream, home, parts.archive_of(stream), ids[stream]) for stream in streams
    }
    instruments = {
        stream.name: instruments_of(home, views[0], parts.files_of(stream))
        for stream in streams
        if (views := parts.views_of(stream))
    }
    return Manifest(
        version=parts.version,
        parent=parts.parent.version,
        run_id=parts.run_id,
        created_us=parts.created_us,
        streams={spans.stream.name: spans.stand(parts.run_id) for spans in parts.spans},
        definitions=parts.definitions,
        sources={view.name: stream.name for stream in streams for view in parts.views_of(stream)},
        counts={stream.name: _counts(parts, stream, duplicates[stream.name]) for stream in streams},
        archive=tuple(entry for stream in streams for entry in parts.archive_of(stream)),
        ids=tuple(IdFile(file, stream.name) for stream, files in ids.items() for file in files),
        views=parts.files,
        instruments=instruments,
        proofs=proofs,
        timings_ms=dict(timings_ms),
        duplicates=tuple(each for found in duplicates.values() for each in found),
        restatements=(*parts.parent.restatements, *restated),
        dropped=parts.drop,
    )


def _counts(parts: Parts, stream: Stream, duplicates: Sequence[Duplicates]) -> dict[str, int]:
    before = parts.parent.counts.get(stream.name, {})
    new = parts.added(stream) or [nothing(stream.name)]
    events = sum(epoch.events for epoch in new)
    return {
        "events": before.get("events", 0) + events,
        "refused": before.get("refused", 0) + sum(sum(epoch.refused.values()) for epoch in new),
        "new_events": events,
        "duplicates": sum(found.events for found in duplicates),
    }
