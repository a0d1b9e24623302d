"""Makes a version anew of an older one, with what came since and cannot be taken back: imports and corrections.

    8, cut C    9 imports f    10 is wrong      back to 8: refused, across f
    11          8 (+) f and the log up to now, less all that the ledger names; the pointer goes 10 -> 11

The log from C on is archived again: if the cells from C on answered for it, what a correction took out would be there
again. As for a correction, no writer judges identities while the pointer moves.
"""

import uuid
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

from batch_layer.archive import Epoch, archive_all
from batch_layer.compute import Compute, run_pipeline
from batch_layer.correct import ids_of_files, no_writers, reached
from batch_layer.drop import check_known
from batch_layer.errors import BatchError
from batch_layer.prove_run import prove_run
from batch_layer.publish import Draft, assemble, compact_parts, compute_parts, correct_parts
from batch_layer.run import new_run_id
from batch_layer.spans import mark_all, open_spans
from batch_layer.spill import spilling
from slackwater.context import Context
from slackwater.deltas.read_tail import TailReader
from slackwater.restatements.of_move import Restating
from slackwater.store.files import holding
from slackwater.streams.stream import Stream
from slackwater.versions.barrier import imported_epochs
from slackwater.versions.errors import RollbackError
from slackwater.versions.manifest import Manifest
from slackwater.versions.moves import Move
from slackwater.versions.rollback import check_whole
from slackwater.versions.writer_lock import PATIENCE_S


@dataclass(frozen=True)
class Remake:
    """One rollback by a version that is made for it. The other fields are those of `BatchRun`."""

    context: Context
    options: Any = None
    compute: Compute = run_pipeline
    new_run_id: Callable[[], str] = new_run_id
    proof_deadline_s: float = 0.0
    stable_wait_s: float = 10.0
    patience_s: float = PATIENCE_S

    def rollback(self, target: int, reason: str, by: str) -> Move:
        """Make a version of `target` and move the pointer to it.

        Raises:
            RetiredVersionError, NoSuchVersionError, ManifestError, PointerError, RecordError: one cannot be read.
            RollbackError: it is current, a candidate, wrong, or not whole, or a partition is held.
            LogError, TailLostError: the log cannot be read from its cut on.
            WriterRunningError: a writer did not let go; nothing moved.
            LackingError: this program does not know a stream or a view of it.
            ProofFailedError, ComputeError, RestatingError: it cannot be made; nothing moved.
            LostRaceError: the pointer moved meanwhile.
        """
        store, run_id = self.context.store, self.new_run_id()
        _, current, lease = store.lease_current(run_id, {run_id})
        with holding(lease), ExitStack() as held:
            if current is None:
                raise BatchError("Nothing is published, so there is nothing to go back to.")
            held.enter_context(holding(store.lease(f"remake-{uuid.uuid4().hex}", [target])))
            base = self._checked(store.manifest(target), current)
            with spilling(self.context, run_id) as context:
                made = self._make(context, run_id, base, current)
                restating = Restating(
                    store, context.views, TailReader(context.log, context.names), context.limits.connect
                )
                recorded = restating.record_move(run_id, "repair", current, made, made.created_us)
                topic_ids = (own.topic_id for own in current.streams.values())
                with no_writers(store.home, topic_ids, context.clock, self.patience_s):
                    return store.move(made.version, context.clock.now_us, by, reason, current.version, recorded)

    def _checked(self, base: Manifest, current: Manifest) -> Manifest:
        store = self.context.store
        if base.version == current.version:
            raise RollbackError(f"Version {base.version} is current already; nothing moved.")
        if store.candidates([base]):
            raise RollbackError(f"Version {base.version} is a candidate; the pointer never was at it.")
        if base.corrected > current.corrected:
            raise RollbackError(
                f"Version {base.version} is without what later corrections took out, which version {current.version} "
                "still holds.",
                "Roll back to one that is not.",
            )
        check_whole(store, base)
        check_whole(store, current, refutable=True)  # its imports and corrections are taken over, not what it made
        self._check_imports(base, current)
        check_known(self.context, base)
        return base

    def _check_imports(self, base: Manifest, current: Manifest) -> None:
        imports = imported_epochs(current).items()
        lost = {epoch: of[0].stream for epoch, of in imports if of[0].stream not in base.streams}
        if lost:
            streams = ", ".join(sorted({*lost.values()}))
            raise RollbackError(
                f"Version {base.version} does not hold the stream {streams}, and what is made "
                f"of it would lose the imports {', '.join(lost)}.",
                "Roll back to one that holds the stream.",
            )

    def _make(self, context: Context, run_id: str, base: Manifest, current: Manifest) -> Manifest:
        store, writer = context.store, context.log.writer()
        try:
            found = open_spans(context, base, self.stable_wait_s)
            mark_all(found, writer, run_id)
            epochs = archive_all(context, base, found, writer, run_id, {})
        finally:
            writer.close()
        spans = [each for each in found if each.known]
        epochs = [epoch for each, epoch in zip(found, epochs, strict=True) if each.known]
        due = tuple(each for each in store.corrections.after(base.corrected) if each.number <= current.corrected)
        if reached(due, {each.stream.name: each.stand(run_id).cut for each in spans}) != due:
            raise RollbackError("A partition is held before events that a correction takes out; nothing moved.")
        extras = [
            self._imported(run_id, each.stream, base, current, of) for each, of in zip(spans, epochs, strict=True)
        ]
        draft = Draft(context, run_id, base, spans, epochs, extras, None, due)
        compute_parts(draft, self.compute, self.options)
        proofs = prove_run(draft, self.proof_deadline_s, None, None, wrong=False)
        proofs = correct_parts(draft, proofs, self.compute, self.options)
        compact_parts(draft, context.limits)
        draft.version = replace(draft.version, created_us=context.clock.now_us())
        # A candidate until the pointer is at it: nobody falls back on what was never served.
        made = replace(assemble(draft, proofs, (), {}), candidate=True)
        store.add(made)
        return made

    def _imported(self, run_id: str, stream: Stream, base: Manifest, current: Manifest, logged: Epoch) -> Epoch:
        """The history of a stream that was imported since, with ids of its own, behind what the run archived."""
        held = imported_epochs(base)
        files = [
            replace(entry, version=0)
            for epoch, of in imported_epochs(current).items()
            for entry in of
            if epoch not in held and entry.stream == stream.name
        ]
        known = [*base.ids_of(stream), *logged.ids]
        ids = ids_of_files(stream, self.context.store, f"{run_id}/imported", known, files)
        return Epoch(stream.name, tuple(files), ids, sum(entry.file.rows for entry in files), {})
