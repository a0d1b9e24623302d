"""What one run has in its hands after it archived, and the manifest that it becomes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import duckdb

from batch_layer.archive import Epoch, nothing
from batch_layer.compute import Compute, compute_views, instruments_in
from batch_layer.duplicates import find_duplicates
from batch_layer.errors import ComputeError
from batch_layer.spans import Spans
from batch_layer.waiting import published_views
from slackwater.context import Context
from slackwater.core.faults import reach
from slackwater.restatements.of_run import Change, Differing, restate
from slackwater.streams.stream import Stream
from slackwater.versions.epoch_ids import merged_ids
from slackwater.versions.manifest import ArchiveFile, Dropped, Duplicates, IdFile, Ledger, Manifest
from slackwater.versions.proof import Proof
from slackwater.views.definitions import held_views
from slackwater.views.view import View


@dataclass
class Parts:
    """One run between its marks and its publication: what it read of each stream, and what it made of it.

    `epochs` are those of `spans`; `extra` is imported history; `drop` goes. `version` is what it becomes, as far as
    that is made; it is there from `compute_parts` on.
    """

    context: Context
    run_id: str
    parent: Manifest
    spans: Sequence[Spans]
    epochs: Sequence[Epoch]
    extra: Epoch | None
    drop: Dropped | None
    version: Manifest = field(init=False)

    @property
    def views(self) -> tuple[View, ...]:
        """The views that the version holds."""
        return held_views(self.context.views, self.version.definitions)

    def added(self, stream: Stream) -> list[Epoch]:
        """What the run adds to the archive of a stream: from the log, and imported."""
        epochs = [*self.epochs, *([self.extra] if self.extra is not None else [])]
        return [epoch for epoch in epochs if epoch.stream == stream.name]

    def imported(self, stream: Stream) -> tuple[ArchiveFile, ...]:
        """Imported history of a stream that the run adds."""
        return self.extra.files if self.extra is not None and self.extra.stream == stream.name else ()


def compute_parts(parts: Parts, compute: Compute, options: Any) -> None:
    """Make the views of all streams. One whose new events make none is held whole, if there are others.

    Raises:
        ComputeError: no stream with new events can be computed.
    """
    reach("compute.before")
    parts.version = _draft(parts)
    try:
        files = compute_views(parts.context.store, parts.version, parts.views, compute, options)
    except ComputeError:
        if len(parts.spans) == 1 or not _hold_those_that_fail(parts, compute, options):
            raise
        parts.version = _draft(parts)
        files = compute_views(parts.context.store, parts.version, parts.views, compute, options)
    parts.version = replace(parts.version, views=files)
    reach("compute.after")


def _hold_those_that_fail(parts: Parts, compute: Compute, options: Any) -> bool:
    """Compute each stream with new events alone, and hold those that fail; False: none or all do."""
    new = [spans for spans, epoch in zip(parts.spans, parts.epochs, strict=True) if epoch.events]
    errors: dict[str, ComputeError] = {}
    for spans in new:
        views = [view for view in parts.views if view.stream == spans.stream]
        try:
            compute_views(parts.context.store, parts.version, views, compute, options)
        except ComputeError as error:
            errors[spans.stream.name] = error
    if len(errors) in (0, len(new)):  # it is no matter of one stream
        return False
    for spans in new:
        if spans.stream.name in errors:
            spans.stall(errors[spans.stream.name])
    parts.epochs = [nothing(epoch.stream) if epoch.stream in errors else epoch for epoch in parts.epochs]
    return True


def _draft(parts: Parts) -> Manifest:
    """The version under a number of its own: what it is made of, and nothing that is made of that."""
    parent, added = parts.parent, {spans.stream: parts.added(spans.stream) for spans in parts.spans}
    definitions = published_views(parts.context.views, parent, parts.spans)
    archive, ids = list[ArchiveFile](), list[IdFile]()
    for stream, epochs in added.items():
        archive += [*parent.archive_of(stream), *(entry for epoch in epochs for entry in epoch.files)]
        own = [*parent.ids_of(stream), *(file for epoch in epochs for file in epoch.ids)]
        ids += [IdFile(file, stream.name) for file in own]
    return Manifest(
        version=parts.context.store.reserve(),
        parent=parent.version,
        run_id=parts.run_id,
        created_us=0,
        streams={spans.stream.name: spans.stand(parts.run_id) for spans in parts.spans},
        definitions=definitions,
        sources={view.name: view.stream.name for view in held_views(parts.context.views, definitions)},
        counts={stream.name: _counts(parent.counts.get(stream.name, {}), of) for stream, of in added.items()},
        archive=tuple(archive),
        ids=tuple(ids),
        restatements=parent.restatements,
        dropped=parts.drop,
    )


def _counts(before: Mapping[str, int], new: Sequence[Epoch]) -> dict[str, int]:
    events = sum(epoch.events for epoch in new)
    refused = sum(sum(epoch.refused.values()) for epoch in new)
    return {
        "events": before.get("events", 0) + events,
        "refused": before.get("refused", 0) + refused,
        "new_events": events,
    }


def restate_run(parts: Parts, differing: Sequence[Differing], forced: bool) -> tuple[Ledger, ...]:
    """Write down which closed bars the run changes; the version is made now.

    Raises:
        RestatementError: what it computed is not what the parent and the new events give.
        ComputeError: the disk is full, or a file cannot be read.
    """
    version = parts.version = replace(parts.version, created_us=parts.context.clock.now_us())
    changes = [
        Change(
            stream=spans.stream,
            parent=parts.parent,
            version=version.version,
            views=tuple(view for view in parts.views if view.stream == spans.stream),
            epoch=epoch.files,
            imported=parts.imported(spans.stream),
            files=version.views,
            forced=forced,
            differing=[each for each in differing if each.view.stream == spans.stream],
        )
        for spans, epoch in zip(parts.spans, parts.epochs, strict=True)
    ]
    try:
        return restate(parts.context.store, changes, parts.run_id, version.version, version.created_us)
    except duckdb.IOException as error:
        raise ComputeError(f"The ledger is not written: {error}.", "What is served is whole; run it again.") from error


def assemble(
    parts: Parts,
    proofs: Mapping[str, Proof],
    restated: tuple[Ledger, ...],
    timings_ms: Mapping[str, int],
) -> Manifest:
    """The manifest of the version."""
    version, store = parts.version, parts.context.store
    counts, ids, duplicates = {}, list[IdFile](), list[Duplicates]()
    for spans in parts.spans:
        stream, name = spans.stream, spans.stream.name
        files = merged_ids(stream, store, parts.run_id, version.ids_of(stream))
        ids += [IdFile(file, name) for file in files]
        found = find_duplicates(stream, store.home, version.archive_of(stream), files)
        duplicates += found
        counts[name] = {**version.counts[name], "duplicates": sum(each.events for each in found)}
    return replace(
        version,
        counts=counts,
        ids=tuple(ids),
        instruments=instruments_in(store.home, parts.views, version.views),
        proofs=proofs,
        timings_ms=dict(timings_ms),
        duplicates=tuple(duplicates),
        restatements=(*version.restatements, *restated),
    )
