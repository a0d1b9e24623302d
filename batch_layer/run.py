"""One batch run: read and check the parent, mark, archive, compute, prove, correct, restate, publish.

A run that finds nothing new does none of this (`batch_layer.waiting`). Every step goes over all streams before the next
one begins, so a version has one cut of all of them.

A run that dies anywhere, or whose proof fails, leaves the old version served and can be run again; it starts over
with new marks.
"""

import logging
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, TypeVar

from batch_layer.archive import Epoch, Stuck, archive_all
from batch_layer.audit import ANYTHING, Audited, audit_open
from batch_layer.audit_parts import audit_parts, audit_waiting, budget_of, closed_by
from batch_layer.compute import Compute, run_pipeline
from batch_layer.correct import Due, added_by, corrections_due, no_writers, reachable, reached
from batch_layer.drop import check_known
from batch_layer.expire import expire
from batch_layer.prove_run import check_lineage, prove_run, retry_open
from batch_layer.publish import Draft, assemble, compact_parts, compute_parts, correct_parts, open_in, restate_run
from batch_layer.spans import Spans, mark_all, open_spans
from batch_layer.spill import spilling
from batch_layer.waiting import Idle, waits
from batch_layer.work import damaged_views
from slackwater.context import Context
from slackwater.core.errors import SlackwaterError
from slackwater.core.faults import reach
from slackwater.core.tracing import TRACES
from slackwater.restatements.of_run import Differing
from slackwater.versions.errors import WriterRunningError
from slackwater.versions.handoff import refuted_views
from slackwater.versions.idle import note_idle
from slackwater.versions.inspected import inspector_of, note_inspected
from slackwater.versions.inspector import Inspector
from slackwater.versions.manifest import Dropped, Manifest, empty_manifest
from slackwater.versions.pointer import NOTHING, Pointer
from slackwater.versions.proof import Forced
from slackwater.versions.snapshots import NO_SNAPSHOTS, Schedule
from slackwater.versions.suspects import suspects
from slackwater.versions.writer_lock import PATIENCE_S

logger = logging.getLogger(__name__)

Steps = Callable[[str], None]
Made = TypeVar("Made", Manifest, "Manifest | Idle")


def new_run_id() -> str:
    """A name that no other run has, with the time in front, so that folders list in order."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:8]}"


@dataclass
class BatchRun:
    """One run over all streams. The version gets the definitions of its parent, the defaults where they are unknown.

    `options` are Beam's, None for the in-process runner; `on_step` gets the name of each step.

    `extra` is an epoch of imported history that this run takes into the archive. `compute` runs the pipeline and
    `new_run_id` names the run; a simulation gives its own. The proof waits up to `proof_deadline_s` for the speed
    layer, the marks up to `stable_wait_s` for transactions of others to end; `forced` publishes even what is refuted.
    `full` makes every view of the whole archive again, and so does a run that is forced, and the one after it.
    `drop` takes a stream or a view out. `keep` versions stay at the end, and `snapshots` by their schedule; of None
    nothing expires. An `inspector` that is kept from run to run spares those with nothing to do from reading files
    again, and `stuck` spares marks for what a run before could not read. Writers have `patience_s` to let go where
    identities become free; a run that waited in vain is made again without the corrections that free them. `began` is
    the pointer when the run did: it must not have moved when it publishes.
    """

    context: Context
    options: Any = None
    extra: Epoch | None = None
    on_step: Steps = lambda _: None
    compute: Compute = run_pipeline
    new_run_id: Callable[[], str] = new_run_id
    proof_deadline_s: float = 0.0
    stable_wait_s: float = 10.0
    forced: Forced | None = None
    full: bool = False
    drop: Dropped | None = None
    keep: int | None = None
    snapshots: Schedule = NO_SNAPSHOTS
    inspector: Inspector | None = None
    stuck: Stuck = field(default_factory=dict)
    patience_s: float = PATIENCE_S
    correcting: bool = field(default=True, init=False)
    began: Pointer = field(default=NOTHING, init=False)
    timings_ms: dict[str, int] = field(default_factory=dict)
    differing: list[Differing] = field(default_factory=list)

    def run(self) -> Manifest:
        """Make and publish the next version, even if nothing is new.

        Raises:
            LackingError: this program does not know a stream or a view of the parent; nothing was marked.
            BatchError: what is to be dropped is not there, or would come again; nothing was marked.
            TopicRecreatedError, TailLostError, BatchError: no log is the parent's; nothing was published.
            HiddenRecordsError, UnreadableError: no partition, or none with something new, can be read; nothing was
                published. One that cannot keeps its parent's cut else, and is named in the version.
            PointerError, ManifestError, DamagedFileError: files of the parent are damaged; nothing was marked.
            ProofFailedError: what was computed is not the parent and the cells; nothing was published.
            RestatementError: its closed bars are not the parent's with what came since; nothing was published.
            ParentRefutedError: a version that it would stand on was proven wrong since; nothing was published.
            BatchMemoryError: a step needs more memory than the batch layer has; nothing was published.
            LostRaceError: another run published first.
        """
        return self._uncorrected_else(lambda: self._leased(self._run))

    def run_if_new(self) -> Manifest | Idle:
        """Make and publish the next version, unless nothing waits for one (`batch_layer.waiting`).

        What was published unproven is tried again, and what may go expires, either way. Raises what `run` raises.
        """
        if self.full or self.forced is not None or self.drop is not None or self.extra is not None:
            return self.run()
        return self._uncorrected_else(lambda: self._leased(self._run_if_new))

    def _uncorrected_else(self, run: Callable[[], Made]) -> Made:
        """Run, and once more without corrections if a writer did not let go: what is new does not wait for it."""
        try:
            return run()
        except WriterRunningError as error:
            logger.warning("corrections wait: %s %s", error.fact, error.hint)
            self.correcting = False
            try:
                return run()
            finally:
                self.correcting = True

    def _leased(self, body: Callable[[str, Manifest], Made]) -> Made:
        run_id, store = self.new_run_id(), self.context.store
        epochs = {run_id, *([] if self.extra is None else [file.epoch for file in self.extra.files])}
        with TRACES.span("slackwater.batch", {"slackwater.run_id": run_id}) as span:
            # From before the marks to the end, nothing that this run needs is retired or removed.
            self.began, current, lease = store.lease_current(run_id, epochs)
            try:
                parent = current or empty_manifest({})
                check_known(self.context, parent, self.drop)
                with spilling(self.context, run_id) as self.context:
                    made = body(run_id, parent)
            finally:
                lease.release()
            span.set({"slackwater.version": made.version})
            if isinstance(made, Manifest):
                span.set({"slackwater.proof": made.proof.outcome})
            self._expire(made.version)
        return made

    def _run_if_new(self, run_id: str, parent: Manifest) -> Manifest | Idle:
        context = self.context
        retry_open(context)
        found = open_spans(context, parent, self.stable_wait_s)
        if reached(self._due(parent), reachable(parent, found)):
            return self._run(run_id, parent)
        waiting = waits(context, parent, found, self._inspector(parent), self.stuck)
        if waiting is not None:
            logger.debug("a run is due: %s", waiting.text)
            return self._run(run_id, parent, waiting.log)
        self._clear_suspects(parent, self._inspector(parent))
        audit_waiting(context, parent, context.views)
        note_idle(context.store, parent.version, context.clock.now_us())
        return Idle(parent.version)

    def _run(self, run_id: str, parent: Manifest, for_log: bool = False) -> Manifest:
        """`for_log`: nothing but what a log holds is a reason, so where that cannot be read nothing is published."""
        due = self._due(parent)
        with self._step("check"):
            # Of the archive a run reads what it added itself, and the ids of the rest; parts it takes over.
            inspector = self._inspector(parent)
            inspector.check(entry.file for entry in parent.ids)
            again = damaged_views(inspector, parent)
        with self._step("audit"):
            reach("audit.before")
            again, audited = self._audit(parent, again)
            reach("audit.after")
        draft = self._take(run_id, parent, for_log, due)
        every = frozenset(view.name for view in self.context.views)
        draft.again, draft.audited = again if self.forced is None else frozenset(), audited
        draft.whole = every if self.full or self.forced is not None else again
        if not draft.whole and not draft.due:
            draft.context = replace(draft.context, limits=draft.context.limits.of(draft.events))
        with self._step("compute"):
            compute_parts(draft, self.compute, self.options)
        with self._step("prove"):
            reach("prove.before")
            retry_open(self.context)
            wrong = check_lineage(self.context, draft.version, self.forced)
            collected = None if self.forced is None else self.differing
            proofs = prove_run(draft, self.proof_deadline_s, collected, self.forced, wrong)
            reach("prove.after")
        with self._step("correct"):
            proofs = correct_parts(draft, proofs, self.compute, self.options)
        with self._step("restate"):
            restated = restate_run(draft, self.differing, self.forced is not None, inspector)
        with self._step("compact"):
            compact_parts(draft, self.context.limits)
        with self._step("publish"):
            reach("publish.before")
            manifest = assemble(draft, proofs, restated, self.timings_ms)
            freeing = {each.topic_id for each in draft.due}
            with no_writers(self.context.store.home, freeing, self.context.clock, self.patience_s):
                reach("publish.alone")
                manifest = self.context.store.publish(manifest, self.began, self.context.clock.now_us)
            reach("publish.after")
        try:
            note_inspected(self.context.store, inspector, manifest.held)
            self._clear_suspects(manifest, inspector)
        except OSError as error:
            logger.warning("version %d stands; the next run reads all of its files: %s", manifest.version, error)
        return manifest

    def _due(self, parent: Manifest) -> Due:
        return corrections_due(self.context.store, parent) if self.correcting else ()

    def _inspector(self, parent: Manifest) -> Inspector:
        """The one that was given, or one that knows what runs before it noted; it doubts what is marked of the
        parent's files.
        """
        if self.inspector is None:
            self.inspector = inspector_of(self.context.store)
        if marked := suspects(self.context.store):
            self.inspector.doubt(file for file in parent.held if file.path in marked)
        return self.inspector

    def _audit(self, parent: Manifest, damaged: frozenset[str]) -> tuple[frozenset[str], Audited]:
        """The views that are made again, as the parent's parts are damaged, refuted or forced, or an audit finds them
        wrong; and what it found. A full run audits all that is open.
        """
        store = self.context.store
        again = damaged | refuted_views(store, parent)
        views = [view for view in self.context.views if view.name not in again]
        open_now = open_in(store, parent)
        audited = audit_open(self.context, parent, views, open_now, ANYTHING if self.full else None)
        if parent.version and not self.full:
            state, _ = audit_parts(self.context, parent, views, budget_of(parent))
            right, wrong = closed_by(state, parent, open_now), state.wrong_views(parent).keys()
            audited = Audited(audited.right.union(right), audited.wrong | wrong)
        return again | audited.wrong, audited

    def _clear_suspects(self, version: Manifest, inspector: Inspector) -> None:
        """Forget the marks of files that are whole, or that the version does not list any more."""
        store = self.context.store
        held = {file.path: file for file in version.held}
        for name, mark in suspects(store).items():
            file = held.get(name)
            _, found = (file and inspector.known(file)) or (None, None)
            if file is None or found == (file.size, file.sha256):
                store.files.remove(mark)

    def _take(self, run_id: str, parent: Manifest, for_log: bool, due: Due) -> Draft:
        """Mark and archive what is new."""
        context = self.context
        writer = context.log.writer()
        try:
            with self._step("mark"):
                found = open_spans(context, parent, self.stable_wait_s)
                reach("mark.before")
                mark_all(found, writer, run_id)
                reach("mark.after")
            with self._step("archive"):
                reach("archive.before")
                epochs = archive_all(context, parent, found, writer, run_id, self.stuck)
                reach("archive.after")
                if for_log:
                    _refuse_held(found, epochs)
        finally:
            writer.close()
        known = [(spans, epoch) for spans, epoch in zip(found, epochs, strict=True) if spans.known]
        spans, epochs = [each for each, _ in known], [epoch for _, epoch in known]
        due = reached(due, {each.stream.name: each.stand(run_id).cut for each in spans})
        ids = {of.stream: [*parent.ids_of(of.stream), *of.ids] for of in epochs}
        brought = added_by(due, context.streams, context.store, run_id, ids)
        extras = [] if self.extra is None else [self.extra]
        return Draft(context, run_id, parent, spans, epochs, extras, self.drop, due, brought)

    def _expire(self, version: int) -> None:
        """What was published stays so, whatever becomes of this."""
        if self.keep is None:
            return
        try:
            done = expire(self.context, self.keep, schedule=self.snapshots)
        except (SlackwaterError, OSError) as error:
            logger.warning("version %d stands; expiry after it failed: %s", version, error)
            return
        if done.waiting:
            logger.warning("expiry removed no files: %s", done.waiting)

    @contextmanager
    def _step(self, name: str) -> Iterator[None]:
        self.on_step(name)
        began = self.context.clock.elapsed_s()
        with TRACES.span(f"slackwater.batch.{name}"):
            yield
        self.timings_ms[name] = round((self.context.clock.elapsed_s() - began) * 1000)


def _refuse_held(found: list[Spans], epochs: list[Epoch]) -> None:
    """Raises what holds a partition, if of all others nothing was new."""
    new = any(epoch.events or epoch.refused for epoch in epochs)
    if not new and not any(spans.cut.keys() - spans.parent.cut.keys() for spans in found):
        for spans in found:
            for error in spans.reasons:
                raise error
