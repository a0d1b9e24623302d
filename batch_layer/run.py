"""One batch run: read and check the parent, mark, archive, compute, prove, restate, publish.

A run that finds nothing new does none of this (`batch_layer.look`).

A run that dies anywhere, or whose proof fails, leaves the old version served and can be run again; it starts over
with new marks.
"""

import logging
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import islice
from typing import Any, TypeVar

import duckdb

from batch_layer.archive import NOTHING, Archiver, Epoch, check_parent
from batch_layer.compute import Compute, run_pipeline
from batch_layer.duplicates import find_duplicates
from batch_layer.errors import ComputeError, CutBehindError, ParentRefutedError, ProofFailedError
from batch_layer.expire import expire
from batch_layer.files import instruments_of, view_files
from batch_layer.held import Spans, spans_from
from batch_layer.look import Idle, waits
from batch_layer.prove import Claim, Prover, deltas_from
from batch_layer.prove_later import RETRIED, open_versions, prove_later
from batch_layer.segments import archive_segments
from batch_layer.stable import await_stable
from slackwater.core.clock import Clock
from slackwater.core.errors import SlackwaterError
from slackwater.core.faults import reach
from slackwater.core.tracing import TRACES
from slackwater.log.errors import HiddenRecordsError, TopicRecreatedError, UnreadableError
from slackwater.log.log import Log
from slackwater.log.mark import append_marks
from slackwater.log.names import TopicNames
from slackwater.restatements.of_run import Change, Differing, restate
from slackwater.streams.stream import Stream
from slackwater.versions.epoch_ids import merged_ids
from slackwater.versions.handoff import handoff_path, write_handoff
from slackwater.versions.idle import note_idle
from slackwater.versions.inspector import Inspector
from slackwater.versions.lineage import refuted
from slackwater.versions.manifest import Duplicates, Manifest, StoredFile
from slackwater.versions.proof import Forced, Proof, Span
from slackwater.versions.store import VersionStore, empty_manifest
from slackwater.views.definitions import in_force, streams_of
from slackwater.views.view import View

logger = logging.getLogger(__name__)

Steps = Callable[[str], None]
Made = TypeVar("Made", Manifest, "Manifest | Idle")


def new_run_id() -> str:
    """A name that no other run has, with the time in front for whoever lists a folder."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:8]}"


@dataclass
class BatchRun:
    """One run. `views` are all definitions; the version gets those of its parent, the defaults where they are unknown.

    `options` are Beam's, None for the in-process runner; `on_step` is told each step by name.

    `extra` is an epoch of imported history that this run takes into the archive. `compute` runs the pipeline and
    `new_run_id` names the run; a simulation gives its own. The proof waits up to `proof_deadline_s` for the speed
    layer, the marks up to `stable_wait_s` for transactions of others to end; `forced` publishes even what is refuted.
    `keep` versions stay at the end; None expires nothing. An `inspector` that is kept from run to run spares those with
    nothing to do from reading files again, and `stuck` (partition -> a batch that could not be read) spares marks for
    what a run before could not read.
    """

    log: Log
    names: TopicNames
    store: VersionStore
    views: tuple[View, ...]
    clock: Clock
    options: Any = None
    extra: Epoch = NOTHING
    on_step: Steps = lambda _: None
    compute: Compute = run_pipeline
    new_run_id: Callable[[], str] = new_run_id
    proof_deadline_s: float = 0.0
    stable_wait_s: float = 10.0
    forced: Forced | None = None
    keep: int | None = None
    inspector: Inspector | None = None
    stuck: dict[int, int] = field(default_factory=dict)
    timings_ms: dict[str, int] = field(default_factory=dict)
    differing: list[Differing] = field(default_factory=list)

    def run(self) -> Manifest:
        """Make and publish the next version, even if nothing is new.

        Raises:
            TopicRecreatedError, TailLostError, CutBehindError: the log is not the parent's; nothing was published.
            HiddenRecordsError, UnreadableError: no partition, or none with something new, can be read; nothing was
                published. One that cannot keeps its parent's cut else, and is named in the version.
            PointerError, ManifestError, DamagedFileError: what the parent stands on is damaged; nothing was marked.
            ProofFailedError: what was computed is not the parent and the cells; nothing was published.
            RestatementError: its closed bars are not the parent's with what came since; nothing was published.
            ParentRefutedError: a version that it would stand on was proven wrong since; nothing was published.
            LostRaceError: another run published first.
        """
        return self._leased(self._run)

    def run_if_new(self) -> Manifest | Idle:
        """Make and publish the next version, unless nothing waits for one (`batch_layer.look`).

        What was published unproven is tried again, and what may go expires, either way. Raises what `run` raises.
        """
        if self.forced is not None or self.extra.files:
            return self.run()
        return self._leased(self._run_if_new)

    def _leased(self, body: Callable[[str, Manifest | None], Made]) -> Made:
        run_id = self.new_run_id()
        with TRACES.span("slackwater.batch", {"slackwater.run_id": run_id}) as span:
            # From before the marks to the end, nothing that this run stands on is retired or removed.
            current, lease = self.store.lease_current(run_id, {run_id, *(file.epoch for file in self.extra.files)})
            try:
                made = body(run_id, current)
            finally:
                lease.release()
            span.set({"slackwater.version": made.version})
            if isinstance(made, Manifest):
                span.set({"slackwater.proof": made.proof.outcome})
            self._expire(made.version)
        return made

    def _run_if_new(self, run_id: str, current: Manifest | None) -> Manifest | Idle:
        topic, topics = self._topics()
        parent = self._parent(topic, topics, current)
        check_parent(self.log, topic, parent)
        stable = await_stable(self.log, topic, self.clock, self.stable_wait_s)
        inspector = self.inspector or Inspector(self.store)
        waiting = waits(self.log, topic, parent, self.views, inspector, stable, self.stuck)
        if waiting is not None:
            logger.debug("a run is due: %s", waiting.text)
            return self._run(run_id, current, waiting.log)
        self._prove_open(parent, topic, topics)
        note_idle(self.store, parent.version, self.clock.now_us())
        return Idle(parent.version)

    @property
    def _stream(self) -> Stream:
        (stream,) = streams_of(self.views)
        return stream

    def _topics(self) -> tuple[str, dict[str, str]]:
        topic = self.names.topic(self._stream)
        return topic, {name: self.log.topic_id(name) for name in (topic, self.names.deltas("trades"))}

    def _run(self, run_id: str, current: Manifest | None, for_log: bool = False) -> Manifest:
        """`for_log`: nothing but what the log holds is a reason, so where that cannot be read nothing is published."""
        topic, topics = self._topics()
        parent = self._parent(topic, topics, current)
        views = in_force(self.views, parent.definitions)
        with self._step("check"):
            # A flipped bit mostly reads back without an error, and would be in every version from then on.
            self.store.check(parent.dataset)
        spans, delta_ends, epoch = self._take(run_id, parent, topic, topics[topic], for_log)
        archive = (*parent.archive, *epoch.files, *self.extra.files)
        version = self.store.reserve()
        with self._step("compute"):
            segments = archive_segments(self.store.home, topics[topic], archive)
            folder = self.store.folder / str(version) / "views"
            reach("compute.before")
            self.compute(segments, views, folder, self.options)
            reach("compute.after")
            files = view_files(self.store, segments, views, folder)
        with self._step("prove"):
            claim = Claim(
                parent=parent,
                topic_id=topics[topic],
                delta_start=deltas_from(parent, self.names.deltas("trades"), topics[self.names.deltas("trades")]),
                spans=_spans(spans.start, spans.cut, epoch),
                definitions={view.name: view.definition for view in views},
                files=files,
                imported=self.extra.files,
            )
            reach("prove.before")
            proof = self._prove(claim, version, run_id, topic, topics)
            reach("prove.after")
        created_us = self.clock.now_us()
        with self._step("restate"):
            change = Change(
                parent=parent,
                version=version,
                created_us=created_us,
                run_id=run_id,
                epoch=epoch.files,
                imported=self.extra.files,
                files=files,
                forced=self.forced is not None,
                differing=self.differing,
            )
            try:
                restated = restate(self.store, views, change)
            except duckdb.IOException as error:
                hint = "What is served is whole; run it again."
                raise ComputeError(f"The ledger is not written: {error}.", hint) from error
        with self._step("publish"):
            reach("publish.before")
            ids = merged_ids(self._stream, self.store, run_id, (*parent.ids, *epoch.ids, *self.extra.ids))
            duplicates = find_duplicates(self._stream, self.store.home, archive, ids)
            manifest = Manifest(
                version=version,
                parent=parent.version,
                run_id=run_id,
                created_us=created_us,
                topics=topics,
                marks=spans.marks(run_id, parent),
                delta_start=spans.delta_start(delta_ends, parent),
                definitions={view.name: view.definition for view in views},
                counts=_counts(parent, duplicates, epoch, self.extra),
                archive=archive,
                ids=ids,
                views=files,
                instruments=instruments_of(self.store.home, views[0], files),
                proof=proof,
                timings_ms=dict(self.timings_ms),
                duplicates=duplicates,
                restatements=(*parent.restatements, *restated),
                held=spans.told(),
            )
            self.store.publish(manifest)
            reach("publish.after")
        return manifest

    def _take(
        self, run_id: str, parent: Manifest, topic: str, topic_id: str, for_log: bool
    ) -> tuple[Spans, Mapping[int, int], Epoch]:
        """Mark and archive what is new: the spans, the delta topic's ends before the marks, and the epoch."""
        writer = self.log.writer()
        try:
            with self._step("mark"):
                check_parent(self.log, topic, parent)
                spans = spans_from(parent, *await_stable(self.log, topic, self.clock, self.stable_wait_s))
                delta_ends = {p: bounds.end for p, bounds in self.log.bounds(self.names.deltas("trades")).items()}
                reach("mark.before")
                spans.cut = append_marks(writer, topic, spans.start, run_id)
                reach("mark.after")
                _check_cut(spans.start, spans.cut)
            with self._step("archive"):
                archiver = Archiver(self.log, self.names, self.store, writer, self.clock, run_id)
                reach("archive.before")
                epoch = self._archive(archiver, topic, topic_id, spans, (*parent.ids, *self.extra.ids))
                reach("archive.after")
                if for_log and not epoch.events and not epoch.refused and spans.cut.keys() <= parent.cut.keys():
                    spans.refuse_held()
        finally:
            writer.close()
        return spans, delta_ends, epoch

    def _archive(
        self, archiver: Archiver, topic: str, topic_id: str, spans: Spans, known: tuple[StoredFile, ...]
    ) -> Epoch:
        """The epoch of what can be read; what cannot is held, and the rest begins anew: only faults cost that."""
        while True:
            try:
                return archiver.archive(self._stream, topic, topic_id, spans.start, spans.cut, known)
            except (HiddenRecordsError, UnreadableError) as error:
                logger.error("partition %d stays at its cut: %s", error.partition, error)
                if isinstance(error, UnreadableError):
                    self.stuck[error.partition] = error.offset
                spans.hold(error)

    def _expire(self, version: int) -> None:
        """What was published stays so, whatever becomes of this."""
        if self.keep is None:
            return
        try:
            done = expire(self.log, self.names, self.store, self.clock, self.keep)
        except (SlackwaterError, OSError) as error:
            logger.warning("version %d stands; expiry after it failed: %s", version, error)
            return
        if done.waiting:
            logger.warning("expiry removed no files and no deltas: %s", done.waiting)

    def _parent(self, topic: str, topics: Mapping[str, str], current: Manifest | None) -> Manifest:
        if current is None:
            return empty_manifest(dict(topics), {p: bounds.start for p, bounds in self.log.bounds(topic).items()})
        if current.topics.get(topic) != topics[topic]:
            raise TopicRecreatedError(topic, current.topics.get(topic, "none"), topics[topic])
        return current

    def _prove(self, claim: Claim, version: int, run_id: str, topic: str, topics: Mapping[str, str]) -> Proof:
        wrong = self._prove_open(claim.parent, topic, topics)
        kept = None if self.forced is None else self.differing
        proof = Prover(self.log, self.names, self.store, self.views, self.clock, kept).prove(
            claim, self.proof_deadline_s
        )
        if proof.outcome != "different":
            return proof if wrong is None else replace(proof, forced=self.forced)
        if self.forced is None:
            reach("prove.handoff")
            write_handoff(self.store, version, run_id, proof)
            raise ProofFailedError(version, claim.parent.version, proof, handoff_path(self.store, version))
        logger.error("Version %d is published by force: %s %s", version, proof.reason, proof.first[:1])
        return replace(proof, forced=self.forced)

    def _prove_open(self, parent: Manifest, topic: str, topics: Mapping[str, str]) -> tuple[int, Proof] | None:
        """Try what is unproven again; what was found wrong below, if this run is forced to stand on it all the same."""
        prover = Prover(self.log, self.names, self.store, self.views, self.clock)
        for _ in prove_later(prover, self.store, topic, topics, islice(open_versions(self.store), RETRIED)):
            pass  # what comes of it is written down and logged
        wrong = refuted(self.store, parent)
        if wrong is not None and self.forced is None:
            raise ParentRefutedError(*wrong)
        return wrong

    @contextmanager
    def _step(self, name: str) -> Iterator[None]:
        self.on_step(name)
        began = self.clock.elapsed_s()
        with TRACES.span(f"slackwater.batch.{name}"):
            yield
        self.timings_ms[name] = round((self.clock.elapsed_s() - began) * 1000)


def _spans(start: Mapping[int, int], cut: Mapping[int, int], epoch: Epoch) -> tuple[Span, ...]:
    events = {entry.partition: entry.file.rows for entry in epoch.files}
    return tuple(Span(p, at, cut[p], events.get(p, 0), epoch.refused_in.get(p, 0)) for p, at in sorted(start.items()))


def _check_cut(start: Mapping[int, int], cut: Mapping[int, int]) -> None:
    behind = {p: (cut[p], at) for p, at in start.items() if cut[p] < at}
    if behind:
        raise CutBehindError(f"Marks lie below the parent's cut, as partition: (mark, cut): {behind}.")


def _counts(parent: Manifest, duplicates: Sequence[Duplicates], *epochs: Epoch) -> dict[str, int]:
    events = parent.counts.get("events", 0) + sum(epoch.events for epoch in epochs)
    refused = parent.counts.get("refused", 0) + sum(sum(epoch.refused.values()) for epoch in epochs)
    return {
        "events": events,
        "refused": refused,
        "new_events": sum(epoch.events for epoch in epochs),
        "duplicates": sum(found.events for found in duplicates),
    }
