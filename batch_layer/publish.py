"""What one run has in its hands after it archived, and the manifest that it becomes."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import duckdb

from batch_layer.archive import Epoch, nothing
from batch_layer.audit import NOTHING_AUDITED, Audited
from batch_layer.compact import compact_run
from batch_layer.compute import Compute, bounded, grown
from batch_layer.correct import Due, Gone, apply_corrections, reached
from batch_layer.duplicates import Known, find_duplicates
from batch_layer.errors import CompactionError, ComputeError
from batch_layer.freed import freed_by
from batch_layer.parts import compute_work
from batch_layer.spans import Spans
from batch_layer.waiting import published_views
from batch_layer.work import work_of
from slackwater.context import Context
from slackwater.core.faults import reach
from slackwater.restatements.of_run import Change, Differing, GoneBars, restate
from slackwater.store.instruments import NO_INSTRUMENTS, Instruments
from slackwater.store.lists import Listed, listed
from slackwater.streams.stream import Stream
from slackwater.versions.epoch_ids import merged_ids
from slackwater.versions.errors import ManifestError, NoSuchVersionError
from slackwater.versions.freed_ids import without_ids
from slackwater.versions.handoff import latest_proof
from slackwater.versions.inspector import Inspector
from slackwater.versions.manifest import ArchiveFile, Dropped, Duplicates, IdFile, Ledger, Manifest, Part, StoredFile
from slackwater.versions.proof import Proof
from slackwater.versions.store import VersionStore
from slackwater.views.definitions import held_views
from slackwater.views.limits import Limits
from slackwater.views.session import files_sql
from slackwater.views.view import View

logger = logging.getLogger(__name__)


@dataclass
class Draft:
    """One run between its marks and its publication: what it read of each stream, and what it made of it.

    `epochs` are those of `spans`; `extras` are imported history; `due` is what is corrected, `brought` the imported
    epochs of these corrections; `drop` goes. The views named in `whole` are made of the whole archive, those in `again`
    since the parent's parts are wrong or damaged; `audited` is what an audit found of them. `version` is what it
    becomes, as far as that is made; it is there from `compute_parts` on. `correct_parts` corrects it: `uncorrected` is
    what it was before, `gone` what went of a stream.
    """

    context: Context
    run_id: str
    parent: Manifest
    spans: Sequence[Spans]
    epochs: Sequence[Epoch]
    extras: Sequence[Epoch]
    drop: Dropped | None
    due: Due = ()
    brought: Mapping[int, Epoch] = field(default_factory=dict)
    whole: frozenset[str] = frozenset()
    again: frozenset[str] = frozenset()
    audited: Audited = NOTHING_AUDITED
    version: Manifest = field(init=False)
    uncorrected: Manifest = field(init=False)
    gone: Mapping[str, Gone] = field(default_factory=dict)

    @property
    def views(self) -> tuple[View, ...]:
        """The views that the version holds."""
        return held_views(self.context.views, self.version.definitions)

    @property
    def events(self) -> int:
        """How many the run adds to the archive."""
        return sum(epoch.events for epoch in (*self.epochs, *self.extras, *self.brought.values()))

    def added(self, stream: Stream) -> list[Epoch]:
        """What the run adds to the archive of a stream: from the log, and imported."""
        return [e for e in (*self.epochs, *self.extras, *self.brought.values()) if e.stream == stream.name]

    def imported(self, stream: Stream) -> tuple[ArchiveFile, ...]:
        """Imported history of a stream that the run adds."""
        extras = [*self.extras, *self.brought.values()]
        return tuple(file for extra in extras if extra.stream == stream.name for file in extra.files)

    def replacing(self, stream: Stream) -> tuple[ArchiveFile, ...]:
        """The imported history of a stream that takes the place of what is corrected."""
        brought = self.brought.values()
        return tuple(file for extra in brought if extra.stream == stream.name for file in extra.files)


def compute_parts(draft: Draft, compute: Compute, options: Any) -> None:
    """Make the parts of all streams. One whose new events make none is held whole, if there are others.

    Raises:
        ComputeError: no stream with new events can be computed.
    """
    reach("compute.before")
    draft.version = _draft(draft)
    try:
        made = _compute(draft, draft.views, compute, options)
    except ComputeError:
        if len(draft.spans) == 1 or not _hold_those_that_fail(draft, compute, options):
            raise
        draft.version = _draft(draft)
        due = reached(draft.due, draft.version.cuts)
        if due != draft.due:
            draft.due, draft.brought = due, {n: of for n, of in draft.brought.items() if n in {e.number for e in due}}
            draft.version = _draft(draft)
        made = _compute(draft, draft.views, compute, options)
    draft.version = replace(draft.version, parts=made)
    reach("compute.after")


def _compute(draft: Draft, views: Sequence[View], compute: Compute, options: Any) -> tuple[Part, ...]:
    work = work_of(draft.context.store, draft.parent, draft.version, views, draft.whole)
    return (*work.taken, *compute_work(draft.context, draft.version, work, views, compute, options))


def _hold_those_that_fail(draft: Draft, compute: Compute, options: Any) -> bool:
    """Compute each stream with new events alone, and hold those that fail; False: none or all do."""
    new = [spans for spans, epoch in zip(draft.spans, draft.epochs, strict=True) if epoch.events]
    errors: dict[str, ComputeError] = {}
    for spans in new:
        views = [view for view in draft.views if view.stream == spans.stream]
        try:
            _compute(draft, views, compute, options)
        except ComputeError as error:
            errors[spans.stream.name] = error
    if len(errors) in (0, len(new)):  # it is no matter of one stream
        return False
    for spans in new:
        if spans.stream.name in errors:
            spans.stall(errors[spans.stream.name])
    draft.epochs = [nothing(epoch.stream) if epoch.stream in errors else epoch for epoch in draft.epochs]
    return True


def _draft(draft: Draft) -> Manifest:
    """The version under a number of its own: what it is made of, and nothing that is made of that."""
    parent, added = draft.parent, {spans.stream: draft.added(spans.stream) for spans in draft.spans}
    number = draft.context.store.reserve()
    definitions = published_views(draft.context.views, parent, draft.spans)
    new, ids = list[ArchiveFile](), list[IdFile]()
    for stream, epochs in added.items():
        new += [replace(entry, version=number) for epoch in epochs for entry in epoch.files]
        own = [*parent.ids_of(stream), *(file for epoch in epochs for file in epoch.ids)]
        ids += [IdFile(file, stream.name) for file in own]
    return Manifest(
        version=number,
        parent=parent.version,
        run_id=draft.run_id,
        created_us=0,
        streams={spans.stream.name: spans.stand(draft.run_id) for spans in draft.spans},
        definitions=definitions,
        sources={view.name: view.stream.name for view in held_views(draft.context.views, definitions)},
        counts={stream.name: _counts(parent.counts.get(stream.name, {}), of) for stream, of in added.items()},
        archive=_archive_of(parent, {stream.name for stream in added}).plus(new),
        ids=tuple(ids),
        open=tuple(number for number in open_in(draft.context.store, parent) if number not in draft.audited.right),
        restatements=parent.restatements,
        corrected=parent.corrected,
        dropped=draft.drop,
    )


def _archive_of(parent: Manifest, streams: set[str]) -> Listed[ArchiveFile]:
    """The parent's archive, as it is listed, unless a stream of it is dropped."""
    if parent.streams.keys() <= streams:
        return listed(parent.archive)
    return Listed(own=(entry for entry in parent.archive if entry.stream in streams))


def open_in(store: VersionStore, parent: Manifest) -> tuple[int, ...]:
    """The versions of a line, up to `parent`, that made some of its parts and are not proven now, the oldest first."""
    return tuple(
        number
        for number in sorted({*parent.open, parent.version} - {0})
        if parent.makes(number) and not _proven(store, number)
    )


def _proven(store: VersionStore, number: int) -> bool:
    """One that is removed stays open: its cells are gone, and an audit of its parts is what is left."""
    try:
        return latest_proof(store, store.stored_manifest(number)).outcome == "equal"
    except (NoSuchVersionError, ManifestError):
        return False


def compact_parts(draft: Draft, limits: Limits) -> None:
    """Merge what the version takes over, where it is due. What cannot be merged stays: the version is right without."""
    try:
        done = compact_run(draft.context.store, draft.version, draft.views, limits)
    except (CompactionError, duckdb.Error, OSError) as error:
        hint = limits.too_small if isinstance(error, duckdb.OutOfMemoryException) else ""
        logger.error("version %d is published without its merges: %s %s", draft.version.version, error, hint)
        return
    draft.version = replace(draft.version, parts=done.parts)


def correct_parts(draft: Draft, proofs: Mapping[str, Proof], compute: Compute, options: Any) -> dict[str, Proof]:
    """Apply the corrections that are due; the proofs, of which those of views that were made whole are open again: what
    they compared is not what is served. Raises what `apply_corrections` raises.
    """
    version = draft.uncorrected = draft.version
    if not draft.due:
        return dict(proofs)
    sources = {version.sources[part.view] for part in version.parts if any(part.holds(n) for n in version.open)}
    proven = {name for name, proof in proofs.items() if proof.outcome == "equal"} - sources
    of = draft.context, draft.parent, version, [spans.stream for spans in draft.spans], draft.views, draft.due
    draft.version, draft.gone, whole = apply_corrections(*of, proven, compute, options)
    why = f"Its views were made again for the corrections {[each.number for each in draft.due]}; an audit proves them."
    again = {name: replace(proofs[name], outcome="unproven", reason=why) for name in whole if name in proofs}
    return {**proofs, **{name: proof for name, proof in again.items() if proofs[name].outcome == "equal"}}


def _counts(before: Mapping[str, int], new: Sequence[Epoch]) -> dict[str, int]:
    events = sum(epoch.events for epoch in new)
    refused = sum(sum(epoch.refused.values()) for epoch in new)
    return {
        "events": before.get("events", 0) + events,
        "refused": before.get("refused", 0) + refused,
        "new_events": events,
    }


def restate_run(draft: Draft, differing: Sequence[Differing], forced: bool, inspector: Inspector) -> tuple[Ledger, ...]:
    """Write down which closed bars the run changes; the version is made now.

    Raises:
        RestatementError: what it computed is not what the parent and the new events give.
        ComputeError: the disk is full, or a file cannot be read.
    """
    version = draft.version = replace(draft.version, created_us=draft.context.clock.now_us())
    gone = {name: GoneBars(of.path, version.parts) for name, of in draft.gone.items()}
    changes = [
        Change(
            stream=spans.stream,
            parent=draft.parent,
            version=version.version,
            views=tuple(view for view in draft.views if view.stream == spans.stream),
            epoch=epoch.files,
            imported=draft.imported(spans.stream),
            replacing=draft.replacing(spans.stream),
            gone=gone.get(spans.stream.name),
            files=tuple(draft.uncorrected.parts),
            forced=forced,
            audited=draft.again,
            differing=[each for each in differing if each.view.stream == spans.stream],
        )
        for spans, epoch in zip(draft.spans, draft.epochs, strict=True)
    ]
    try:
        store, limits = draft.context.store, draft.context.limits
        return restate(store, changes, draft.run_id, version.version, version.created_us, inspector.check, limits)
    except duckdb.IOException as error:
        raise ComputeError(f"The ledger is not written: {error}.", "What is served is whole; run it again.") from error


def assemble(
    draft: Draft,
    proofs: Mapping[str, Proof],
    restated: tuple[Ledger, ...],
    timings_ms: Mapping[str, int],
) -> Manifest:
    """The manifest of the version."""
    version, store, limits = draft.version, draft.context.store, draft.context.limits
    counts, ids, duplicates = {}, list[IdFile](), list[Duplicates]()
    for spans in draft.spans:
        stream, name = spans.stream, spans.stream.name
        files = merged_ids(stream, store, draft.run_id, version.ids_of(stream))
        known = Known([each for each in draft.parent.duplicates if each.stream == name], draft.parent.ids_of(stream))
        new = draft.uncorrected.taken_in(stream, draft.parent.version)
        found = find_duplicates(stream, store.data.fetch, known, new, files, limits)
        gone = 0
        if name in draft.gone:
            gone = draft.gone[name].events
            files, found = _free(draft, stream, files, found)
        ids += [IdFile(file, name) for file in files]
        duplicates += found
        counts[name] = {
            **version.counts[name],
            "events": version.counts[name]["events"] - gone,
            "corrected": draft.parent.counts.get(name, {}).get("corrected", 0) + gone,
            "duplicates": sum(each.events for each in found),
        }
    return replace(
        version,
        counts=counts,
        ids=tuple(ids),
        instruments=_instruments(draft),
        proofs=proofs,
        timings_ms=dict(timings_ms),
        duplicates=tuple(duplicates),
        restatements=listed(version.restatements).plus(restated),
    )


def _free(
    draft: Draft, stream: Stream, files: Sequence[StoredFile], duplicates: tuple[Duplicates, ...]
) -> tuple[tuple[StoredFile, ...], tuple[Duplicates, ...]]:
    """The id files without what is free again, and the duplicates that are left."""
    store, version = draft.context.store, draft.version
    archive = version.archive_of(stream)
    with draft.context.limits.connect() as con:
        gone = files_sql([str(draft.gone[stream.name].path)])
        freed = freed_by(con, stream, store.data.fetch, gone, archive, duplicates)
        return without_ids(stream, store, draft.run_id, files, freed.tables), freed.duplicates


def _instruments(draft: Draft) -> dict[str, Instruments]:
    """Those of the run; what was taken out no longer bounds an instrument."""
    limits = draft.context.limits
    found = instruments_of_run(draft.context.store, draft.parent, draft.uncorrected, draft.views, limits)
    first = {view.stream.name: view for view in reversed(draft.views)}
    for name, gone in draft.gone.items():
        if name in first:
            files = files_sql([str(gone.path)])
            found[name] = bounded(
                draft.context.store.data.fetch, found[name], first[name], draft.version.parts, files, limits
            )
    return found


def instruments_of_run(
    store: VersionStore, parent: Manifest, version: Manifest, views: Sequence[View], limits: Limits
) -> dict[str, Instruments]:
    """Stream -> its instruments: the parent's, and those of the parts that the run computed of its first view.

    A view that is made whole has those of the parent, too: no version forgets an event.
    """
    first: dict[str, View] = {}
    for view in views:
        first.setdefault(view.stream.name, view)
    return {
        name: grown(store.data.fetch, parent.instruments.get(name, NO_INSTRUMENTS), view, version.own, limits)
        for name, view in first.items()
    }
