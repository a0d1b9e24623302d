"""A candidate: the views in their other definitions, over exactly the archive and the cut of the served version.

    served     V    cut C    archive A    bars of definition 1
    candidate  W    cut C    archive A    bars of definition 2       parent V; the pointer stays at V

It marks nothing and archives nothing. Its proof needs no cells: what the pipeline made must be what the views' own SQL
makes of the archive. It is compared with `batch_layer.diff` and served after `batch_layer.promote`.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from batch_layer.compute import Compute, run_pipeline
from batch_layer.drop import check_known
from batch_layer.errors import CandidateError
from batch_layer.parts import compute_work
from batch_layer.prove import Claim, Prover, refuse
from batch_layer.publish import instruments_of_run
from batch_layer.run import new_run_id
from batch_layer.spill import spilling
from batch_layer.work import work_of
from slackwater.context import Context
from slackwater.log.errors import TopicRecreatedError
from slackwater.streams.stream import Stream
from slackwater.versions.manifest import Manifest, empty_manifest
from slackwater.versions.pointer import Pointer
from slackwater.versions.proof import Proof, Span, joined
from slackwater.views.definitions import beside


@dataclass
class CandidateRun:
    """One run. `options` are Beam's; `compute` and `new_run_id` are those of `BatchRun`."""

    context: Context
    options: Any = None
    compute: Compute = run_pipeline
    new_run_id: Callable[[], str] = new_run_id

    def run(self) -> Manifest:
        """Make the candidate; the pointer does not move.

        Raises:
            CandidateError: nothing is published.
            BatchMemoryError: it needs more memory than the batch layer has.
            LackingError: this program does not know a stream or a view of the served version.
            DefinitionError: of each view there is one definition only.
            TopicRecreatedError, PointerError, ManifestError, DamagedFileError: the served version cannot be stood on.
            ProofFailedError: what was computed is not what the archive holds.
            LostRaceError: another version was published meanwhile.
        """
        run_id = self.new_run_id()
        pointer, current, lease = self.context.store.lease_current(run_id, {run_id})
        try:
            if current is None:
                raise CandidateError(
                    "Nothing is published, so there is nothing that a candidate could stand beside.",
                    "Make a version with `slackwater batch run`.",
                )
            check_known(self.context, current)
            with spilling(self.context, run_id) as self.context:
                return self._run(run_id, current, pointer)
        finally:
            lease.release()

    def _run(self, run_id: str, current: Manifest, pointer: Pointer) -> Manifest:
        context, store = self.context, self.context.store
        streams = [stream for stream in context.streams if stream.name in current.streams]
        self._check_topics(current, streams)
        views = tuple(view for view in beside(context.views, current.definitions) if view.stream in streams)
        store.check(current.dataset)
        version = replace(
            current,
            version=store.reserve(),
            parent=current.version,
            run_id=run_id,
            definitions={view.name: view.definition for view in views},
            sources={view.name: view.stream.name for view in views},
            counts={name: {**counts, "new_events": 0} for name, counts in current.counts.items()},
            corrections=(),
            candidate=True,
            dropped=None,
        )
        began = context.clock.elapsed_s()
        whole = frozenset(view.name for view in views)
        work = work_of(store, current, version, views, whole)
        version = replace(version, parts=compute_work(context, version, work, views, self.compute, self.options))
        computed = context.clock.elapsed_s()
        proofs = {stream.name: self._prove(version, stream) for stream in streams}
        together = joined(proofs)
        if together.outcome != "equal":
            refuse(context, version, proofs)
        manifest = replace(
            version,
            created_us=context.clock.now_us(),
            instruments=instruments_of_run(store, current, version, views, context.limits),
            proofs=proofs,
            timings_ms={"compute": round((computed - began) * 1000), "prove": together.took_ms},
        )
        store.add_candidate(manifest, pointer)
        return manifest

    def _check_topics(self, current: Manifest, streams: list[Stream]) -> None:
        for stream in streams:
            topic = self.context.names.topic(stream)
            topic_id, known = self.context.log.topic_id(topic), current.of(stream).topic_id
            if known != topic_id:
                raise TopicRecreatedError(topic, known or "none", topic_id)

    def _prove(self, version: Manifest, stream: Stream) -> Proof:
        """Against version 0: no cell lies between the cuts, so the whole archive is history that none holds."""
        spans = tuple(Span(stream.name, p, at, at, 0, 0) for p, at in sorted(version.cut(stream).items()))
        return Prover(self.context).prove(Claim(stream, empty_manifest({}), version, spans), 0.0)
