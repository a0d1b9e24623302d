"""Applies the ledger of corrections to what a run made, after that was proven as the log has it.

    archive, compute, prove     everything, uncorrected: equal to the cells
    correct                     the archive without what the ledger names, and the bars that held it made again

A run applies what its parent does not, and of all others what lies in the slice of the log that it archived. Only a run
that is the one writer of a stream frees identities of it: where an ingest runs, its corrections wait.
"""

import logging
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import duckdb

from batch_layer.archive import Epoch
from batch_layer.compute import Compute
from batch_layer.correct_archive import GONE, ArchiveCorrector
from batch_layer.correct_parts import PartCorrector
from batch_layer.errors import ComputeError
from batch_layer.parts import compute_work
from batch_layer.work import work_of
from slackwater.context import Context
from slackwater.core.faults import reach
from slackwater.store.lists import Listed
from slackwater.streams.stream import Stream
from slackwater.versions.corrections import Correction, is_ahead
from slackwater.versions.errors import WriterRunningError
from slackwater.versions.manifest import ArchiveFile, Manifest, Part
from slackwater.versions.store import VersionStore
from slackwater.versions.writer_lock import WriterLock, hold
from slackwater.views.view import View

logger = logging.getLogger(__name__)


class Due(NamedTuple):
    """What a run corrects: `fresh`, which its parent does not, and `known`, which may name events that it archives."""

    fresh: tuple[Correction, ...] = ()
    known: tuple[Correction, ...] = ()

    def of(self, stream: Stream) -> "Due":
        """Those of one stream."""
        fresh, known = (tuple(each for each in of if each.stream == stream.name) for of in self)
        return Due(fresh, known)

    @property
    def added(self) -> list[Epoch]:
        """The imported epochs that they bring."""
        added = [(each.stream, each.added) for each in self.fresh if each.added is not None]
        return [Epoch(stream, of.archive, of.ids, of.events, of.refused) for stream, of in added]


NOTHING_DUE = Due()


class Gone(NamedTuple):
    """The events of a stream that a run took out: their file, below the run's folder, and how many they are."""

    path: Path
    events: int


class Corrected(NamedTuple):
    """A version with what was corrected, and stream -> what went."""

    version: Manifest
    gone: dict[str, Gone]


@contextmanager
def corrections_due(store: VersionStore, parent: Manifest, locks: Collection[WriterLock] = ()) -> Iterator[Due]:
    """What a run behind `parent` corrects; their streams are held until the block ends. `locks` are held already.

    Raises:
        RecordError: the ledger cannot be read.
    """
    ledger = store.corrections.all()
    fresh = [each for each in ledger if each.number > parent.corrected]
    known = tuple(
        each for each in ledger if each.number <= parent.corrected and is_ahead(each, parent.cut(each.stream))
    )
    held = {lock.topic_id for lock in locks}
    with ExitStack() as stack:
        for at, each in enumerate(fresh):
            if each.topic_id in held:
                continue
            try:
                stack.enter_context(hold(store.home, each.topic_id))
            except WriterRunningError as error:  # they are applied in order, so that a version says how far
                logger.warning("correction %d of %s waits: %s", each.number, each.stream, error.fact)
                fresh = fresh[:at]
                break
            held.add(each.topic_id)
        for each in fresh:
            store.corrections.sync(each)  # no version may say that it applies a number that is given again
        yield Due(tuple(fresh), known)


def apply_corrections(
    context: Context,
    parent: Manifest,
    version: Manifest,
    streams: Sequence[Stream],
    views: Sequence[View],
    due: Due,
    proven: Collection[str],
    compute: Compute,
    options: Any,
) -> Corrected:
    """A version with the corrections that are due. Of the streams in `proven` every part is proven, so those that no
    correction touches stay; the views of others are made of the whole archive again, which an audit can prove.

    Raises:
        CorrectionError: what was written does not hold the events that it must.
        ComputeError: the disk is full, or a file cannot be read.
    """
    reach("correct.before")
    store = context.store
    archive, parts, gone = [*version.archive], [*version.parts], dict[str, Gone]()
    for stream in streams:
        of = due.of(stream)
        if not of.fresh and not of.known:
            continue
        own = [view for view in views if view.stream == stream]
        try:
            with context.limits.connect() as con:
                archive, found = _archive(con, store, parent, version, stream, archive, of)
                if found is None:
                    continue
                gone[stream.name] = found
                corrected = replace(version, archive=Listed(own=archive))
                if stream.name in proven:
                    parts = _touched(con, store, corrected, own, parts, [e for e in archive if e.stream == stream.name])
                else:
                    parts = _whole(context, parent, corrected, own, parts, compute, options)
        except duckdb.IOException as error:
            raise ComputeError(f"Nothing is corrected: {error}.", "What is served is whole; run it again.") from error
    applied = {each.number for each in due.fresh} | {each.number for each in due.known if each.stream in gone}
    reach("correct.after")
    made = replace(
        version,
        archive=Listed(own=archive) if gone else version.archive,
        parts=tuple(parts),
        corrected=max([version.corrected, *(each.number for each in due.fresh)]),
        corrections=tuple(sorted(applied)),
    )
    return Corrected(made, gone)


def _archive(
    con: duckdb.DuckDBPyConnection,
    store: VersionStore,
    parent: Manifest,
    version: Manifest,
    stream: Stream,
    archive: Sequence[ArchiveFile],
    due: Due,
) -> tuple[list[ArchiveFile], Gone | None]:
    corrector = ArchiveCorrector(con, store, stream, store.home / "archive" / version.run_id)
    mine = [entry for entry in archive if entry.stream == stream.name]
    if due.fresh:
        mine = corrector.correct(mine, due.fresh)
    if due.known:
        old = [entry for entry in mine if entry.version <= parent.version]
        new = [entry for entry in mine if entry.version > parent.version]
        mine = [*old, *corrector.correct(new, due.known)]
    if not corrector.events:
        return [*archive], None
    path = store.home / "states" / version.run_id / f"gone-{stream.name}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    target = str(path).replace("'", "''")
    con.execute(f"COPY {GONE} TO '{target}' (FORMAT parquet)")
    theirs = iter(mine)
    return [next(theirs) if entry.stream == stream.name else entry for entry in archive], Gone(path, corrector.events)


def _touched(
    con: duckdb.DuckDBPyConnection,
    store: VersionStore,
    version: Manifest,
    views: Sequence[View],
    parts: Sequence[Part],
    archive: Sequence[ArchiveFile],
) -> list[Part]:
    folder = store.home / "states" / version.run_id
    found = [part for part in parts if part.view not in {view.name for view in views}]
    for view in views:
        own = [part for part in parts if part.view == view.name]
        found += PartCorrector(con, store, view, GONE, folder, version.version).correct(own, archive)
    return found


def _whole(
    context: Context,
    parent: Manifest,
    version: Manifest,
    views: Sequence[View],
    parts: Sequence[Part],
    compute: Compute,
    options: Any,
) -> list[Part]:
    names = frozenset(view.name for view in views)
    work = work_of(context.store, parent, version, views, names)
    folder = context.store.home / "states" / version.run_id / "corrected"
    made = compute_work(context, version, work, views, compute, options, folder)
    return [*(part for part in parts if part.view not in names), *made]
