"""A compaction by itself: a version of the served one's states in fewer parts, over the same cut and marks.

    served     V    cut C    parts a b c d e
    compacted  W    cut C    parts a f           parent V; the pointer goes to W, and every answer stays as it is

It marks nothing and archives nothing. Its proof is that of its merges: what was written is read again.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import duckdb

from batch_layer.audit import ANYTHING, audit_open
from batch_layer.compact import Compacted, compact_all, compact_run
from batch_layer.drop import check_known
from batch_layer.errors import BatchError, ComputeError
from batch_layer.prove_run import check_lineage, retry_open
from batch_layer.publish import open_in
from batch_layer.run import new_run_id
from batch_layer.spill import spilling
from slackwater.context import Context
from slackwater.versions.manifest import Manifest
from slackwater.versions.pointer import Pointer
from slackwater.versions.proof import Proof, Span
from slackwater.views.view import View

NOT_YET = -1
"""The number of a version that takes none unless it merges something."""


@dataclass
class CompactionRun:
    """One run. `every`: make the canonical layout, which is that of a full run; else only what is due."""

    context: Context
    every: bool = False
    new_run_id: Callable[[], str] = new_run_id

    def run(self) -> Manifest | None:
        """Publish the served version in fewer parts; None if there is nothing to merge.

        Raises:
            BatchError: nothing is published yet, or an audit found parts wrong.
            LackingError: this program does not know a view of the served version.
            ParentRefutedError: a version that it stands on was proven wrong.
            BatchMemoryError: it needs more memory than the batch layer has.
            ComputeError: the disk is full, or a file is damaged.
            CompactionError: what a merge wrote is not what it was made of.
            PointerError, ManifestError, DamagedFileError: the served version cannot be stood on.
            LostRaceError: another version was published meanwhile.
        """
        run_id, store = self.new_run_id(), self.context.store
        pointer, current, lease = store.lease_current(run_id, {run_id})
        try:
            if current is None:
                raise BatchError(
                    "Nothing is published, so nothing can be compacted.", "`slackwater batch run` is first."
                )
            check_known(self.context, current)
            with spilling(self.context, run_id) as self.context:
                retry_open(self.context)
                check_lineage(self.context, current, None)
                return self._run(run_id, current, pointer)
        finally:
            lease.release()

    def _run(self, run_id: str, current: Manifest, pointer: Pointer) -> Manifest | None:
        store, clock = self.context.store, self.context.clock
        began = clock.elapsed_s()
        version = replace(
            current,
            version=NOT_YET,
            parent=current.version,
            run_id=run_id,
            counts={name: {**counts, "new_events": 0} for name, counts in current.counts.items()},
            corrections=(),
            candidate=False,
            dropped=None,
        )
        views = [view for view in self.context.views if current.definitions.get(view.name) == view.definition]
        version = replace(version, open=self._open(current, views))
        try:
            done = self._compact(version, views)
        except duckdb.OutOfMemoryException:
            raise
        except duckdb.Error as error:
            raise ComputeError(f"Nothing is compacted: {error}.", "What is served is whole; run it again.") from error
        if not done.merged:
            return None
        made = replace(
            version,
            version=store.reserve(),
            parts=done.parts,
            created_us=clock.now_us(),
            proofs={name: _proof(current, name, done, clock.now_us()) for name in current.streams},
            timings_ms={"compact": round((clock.elapsed_s() - began) * 1000)},
        )
        return store.publish(made, pointer, clock.now_us)

    def _compact(self, version: Manifest, views: Sequence[View]) -> Compacted:
        store, limits = self.context.store, self.context.limits
        if self.every:
            return compact_all(store, version, views, limits)
        return compact_run(store, version, views, limits, ANYTHING)

    def _open(self, current: Manifest, views: Sequence[View]) -> tuple[int, ...]:
        """What is not proven after an audit, of everything where everything is to be merged."""
        known = open_in(self.context.store, current)
        audited = audit_open(self.context, current, views, known, ANYTHING if self.every else None)
        if audited.wrong:
            raise BatchError(
                f"Parts of {', '.join(sorted(audited.wrong))} are not what the archive gives; nothing is compacted.",
                "`slackwater batch run --full` makes them again.",
            )
        return tuple(number for number in known if number not in audited.right)


def _proof(current: Manifest, stream: str, done: Compacted, now_us: int) -> Proof:
    """No offset lies between the cuts, and every bar that was written was read again."""
    spans = tuple(Span(stream, p, at, at, 0, 0) for p, at in sorted(current.cut(stream).items()))
    compared = sum(part.file.rows for part in done.parts if part not in current.parts)
    return Proof(outcome="equal", reason="", spans=spans, compared=compared, proven_us=now_us)
