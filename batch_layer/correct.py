"""Applies the ledger of corrections to what a run made, after that was proven as the log has it.

    archive, compute, prove     everything, uncorrected: equal to the cells
    correct                     the archive without what the ledger names, and the bars that held it made again

A run applies what its parent does not, in the order of the ledger, up to the first that must wait: its files are
damaged, or the run did not come to where its events lie, since a partition is held. So a version that applies a
correction has archived all that it names, and so has every one that stands on it. The pointer moves while no writer
judges identities of the stream (`slackwater.versions.writer_lock`), since some are free then.
"""

import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from batch_layer.archive import Epoch
from batch_layer.compute import Compute
from batch_layer.correct_archive import GONE, ArchiveCorrector
from batch_layer.correct_parts import PartCorrector
from batch_layer.errors import ComputeError, CorrectionError
from batch_layer.parts import compute_work
from batch_layer.spans import Spans
from batch_layer.work import work_of
from slackwater.context import Context
from slackwater.core.checked_files import open_checked
from slackwater.core.clock import Clock
from slackwater.core.faults import reach
from slackwater.store.lists import Listed
from slackwater.streams.stream import Stream
from slackwater.versions.corrections import Correction
from slackwater.versions.epoch_ids import EpochIds
from slackwater.versions.errors import DamagedFileError
from slackwater.versions.manifest import ArchiveFile, Manifest, Part, StoredFile
from slackwater.versions.store import VersionStore
from slackwater.versions.writer_lock import hold
from slackwater.views.sql import literal_sql
from slackwater.views.view import View

logger = logging.getLogger(__name__)


Due = tuple[Correction, ...]
"""What a run corrects, which its parent does not, in order."""


class Gone(NamedTuple):
    """The events of a stream that a run took out: their file, below the run's folder, and how many they are."""

    path: Path
    events: int


class Corrected(NamedTuple):
    """A version with what was corrected, stream -> what went, and the streams whose views were made whole for it."""

    version: Manifest
    gone: dict[str, Gone]
    whole: frozenset[str]


def corrections_due(store: VersionStore, parent: Manifest) -> Due:
    """What a run behind `parent` corrects.

    Raises:
        RecordError: the ledger cannot be read.
    """
    fresh = store.corrections.after(parent.corrected)
    for at, each in enumerate(fresh):
        try:
            store.check(each.files)
        except DamagedFileError as error:
            _wait(each, error.fact)
            fresh = fresh[:at]
            break
    for each in fresh:
        store.corrections.sync(each)  # no version may say that it applies a number that is given again
    return tuple(fresh)


@contextmanager
def no_writers(home: Path, topic_ids: Iterable[str], clock: Clock, patience_s: float) -> Iterator[None]:
    """No writer judges identities of these topics in the block. Raises WriterRunningError: one did not let go."""
    with ExitStack() as stack:
        for topic_id in sorted({*topic_ids}):
            stack.enter_context(hold(home, topic_id, clock, patience_s))
        yield


def reachable(parent: Manifest, found: Iterable[Spans]) -> dict[str, dict[int, int]]:
    """Stream -> partition -> where a run may come to: the log's end, or the parent's cut where it is held."""
    cuts = {name: dict(cut) for name, cut in parent.cuts.items()}
    for spans in found:
        cuts.setdefault(spans.stream.name, {}).update({p: spans.bounds[p].end for p in spans.start})
    return cuts


def reached(due: Due, cuts: Mapping[str, Mapping[int, int]]) -> Due:
    """Those that are due, up to the first that names events at or behind the cut: stream -> partition -> offset."""
    for at, each in enumerate(due):
        cut = cuts.get(each.stream, {})
        if behind := sorted(p for p, end in each.ends.items() if end > cut.get(p, 0)):
            _wait(each, f"partitions {behind} are held before events that it names")
            return due[:at]
    return due


def _wait(correction: Correction, why: str) -> None:
    logger.warning("correction %d of %s waits: %s", correction.number, correction.stream, why)


def added_by(
    due: Due, streams: Iterable[Stream], store: VersionStore, run_id: str, known: Mapping[str, Iterable[StoredFile]]
) -> dict[int, Epoch]:
    """Number of a correction -> the imported epoch that it brings, with ids of its own: since it was imported, others
    may have become known. `known` are the id files that there are now, by stream.
    """
    ids_now = {stream.name: [*known.get(stream.name, ())] for stream in streams}
    found = dict[int, Epoch]()
    for stream in streams:
        for each in due:
            if each.added is not None and each.stream == stream.name:
                of, files = f"{run_id}/added-{each.number}", each.added.archive
                ids = ids_of_files(stream, store, of, ids_now[stream.name], files)
                ids_now[stream.name] += ids
                found[each.number] = Epoch(stream.name, files, ids, each.added.events, {})
    return found


def ids_of_files(
    stream: Stream, store: VersionStore, epoch: str, known: Iterable[StoredFile], files: Iterable[ArchiveFile]
) -> tuple[StoredFile, ...]:
    """The id files of some archive files; `known` are those that there are."""
    found = EpochIds(stream, store, epoch, known)
    for entry in files:
        with open_checked(entry.file.checked(store.data.fetch)) as source, pq.ParquetFile(source) as parquet:
            for batch in parquet.iter_batches(columns=stream.schema.names):
                found.add(pa.Table.from_batches([batch]).cast(stream.schema))
    return found.finish()


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
        ComputeError: the disk is full, or a file cannot be read.
    """
    reach("correct.before")
    store = context.store
    archive, parts, gone, whole = [*version.archive], [*version.parts], dict[str, Gone](), set[str]()
    for stream in streams:
        of = tuple(each for each in due if each.stream == stream.name)
        if not of:
            continue
        own = [view for view in views if view.stream == stream]
        try:
            with context.limits.connect() as con:
                archive, found = _archive(con, store, version, stream, archive, of)
                if found is None:
                    continue
                gone[stream.name] = found
                corrected = replace(version, archive=Listed(own=archive))
                mine = [entry for entry in archive if entry.stream == stream.name]
                again = _touched(con, store, corrected, own, parts, mine) if stream.name in proven else None
            if again is None:  # the session is closed: what it held is for the pipeline
                whole.add(stream.name)
                again = _whole(context, parent, corrected, own, parts, compute, options)
            parts = again
        except duckdb.IOException as error:
            raise ComputeError(f"Nothing is corrected: {error}.", "What is served is whole; run it again.") from error
    reach("correct.after")
    made = replace(
        version,
        archive=Listed(own=archive) if gone else version.archive,
        parts=tuple(parts),
        corrected=max([version.corrected, *(each.number for each in due)]),
        corrections=tuple(each.number for each in due),
    )
    return Corrected(made, gone, frozenset(whole))


def _archive(
    con: duckdb.DuckDBPyConnection,
    store: VersionStore,
    version: Manifest,
    stream: Stream,
    archive: Sequence[ArchiveFile],
    due: Due,
) -> tuple[list[ArchiveFile], Gone | None]:
    corrector = ArchiveCorrector(con, store, stream, store.data.create(f"archive/{version.run_id}"))
    mine = [entry for entry in archive if entry.stream == stream.name]
    mine = corrector.correct(mine, due)
    if not corrector.events:
        return [*archive], None
    path = store.data.create(f"states/{version.run_id}/gone-{stream.name}.parquet")
    con.execute(f"COPY {GONE} TO {literal_sql(str(path))} (FORMAT parquet)")
    theirs = iter(mine)
    return [next(theirs) if entry.stream == stream.name else entry for entry in archive], Gone(path, corrector.events)


def _touched(
    con: duckdb.DuckDBPyConnection,
    store: VersionStore,
    version: Manifest,
    views: Sequence[View],
    parts: Sequence[Part],
    archive: Sequence[ArchiveFile],
) -> list[Part] | None:
    """The parts with the touched bars made again; None if what the parts hold of them is not what it must be."""
    folder = store.data.create(f"states/{version.run_id}")
    found = [part for part in parts if part.view not in {view.name for view in views}]
    for view in views:
        own = [part for part in parts if part.view == view.name]
        try:
            found += PartCorrector(con, store, view, GONE, folder, version.version).correct(own, archive)
        except CorrectionError as error:
            logger.error("The views of %s are made again of the whole archive: %s", view.stream.name, error)
            return None
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
    made = compute_work(context, version, work, views, compute, options, "corrected")
    return [*(part for part in parts if part.view not in names), *made]
