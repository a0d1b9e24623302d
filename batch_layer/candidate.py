"""A candidate: the views in their other definitions, over exactly the archive and the cut of the served version.

    served     V    cut C    archive A    bars of definition 1
    candidate  W    cut C    archive A    bars of definition 2       parent V; the pointer stays at V

It marks nothing and archives nothing. Its proof needs no cells: what the pipeline made must be what the views' own SQL
makes of the archive. It is compared with `batch_layer.diff` and served after `batch_layer.promote`.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from batch_layer.compute import Compute, archive_segments, compute_views, instruments_of, run_pipeline
from batch_layer.drop import check_known
from batch_layer.errors import CandidateError, ProofFailedError
from batch_layer.prove import Claim, Prover
from batch_layer.run import new_run_id
from slackwater.context import Context
from slackwater.log.errors import TopicRecreatedError
from slackwater.streams.stream import Stream
from slackwater.versions.handoff import handoff_path, write_handoff
from slackwater.versions.manifest import Manifest, ViewFile, empty_manifest
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
            LackingError: this program does not know a stream or a view of the served version.
            DefinitionError: of each view there is one definition only.
            TopicRecreatedError, PointerError, ManifestError, DamagedFileError: the served version cannot be stood on.
            ProofFailedError: what was computed is not what the archive holds.
            LostRaceError: another version was published meanwhile.
        """
        run_id = self.new_run_id()
        current, lease = self.context.store.lease_current(run_id, {run_id})
        try:
            if current is None:
                raise CandidateError(
                    "Nothing is published, so there is nothing that a candidate could stand beside.",
                    "Make a version with `slackwater batch run`.",
                )
            check_known(self.context, current)
            return self._run(run_id, current)
        finally:
            lease.release()

    def _run(self, run_id: str, current: Manifest) -> Manifest:
        context, store = self.context, self.context.store
        streams = [stream for stream in context.streams if stream.name in current.streams]
        self._check_topics(current, streams)
        chosen = beside(context.views, current.definitions)
        views = {stream: tuple(view for view in chosen if view.stream == stream) for stream in streams}
        store.check(current.dataset)
        version = store.reserve()
        began = context.clock.elapsed_s()
        sources = [
            (archive_segments(store.home, s.name, current.of(s).topic_id, current.archive_of(s)), of)
            for s, of in views.items()
        ]
        files = compute_views(store, version, sources, self.compute, self.options)
        computed = context.clock.elapsed_s()
        definitions = {view.name: view.definition for of in views.values() for view in of}
        proofs = {stream.name: self._prove(current, stream, definitions, files) for stream in streams}
        together = joined(proofs)
        if together.outcome != "equal":
            write_handoff(store, version, run_id, proofs)
            raise ProofFailedError(version, current.version, together, handoff_path(store, version))
        manifest = replace(
            current,
            version=version,
            parent=current.version,
            run_id=run_id,
            created_us=context.clock.now_us(),
            definitions=definitions,
            sources={view.name: stream.name for stream, of in views.items() for view in of},
            counts={name: {**counts, "new_events": 0} for name, counts in current.counts.items()},
            views=files,
            instruments={stream.name: instruments_of(store.home, of[0], files) for stream, of in views.items() if of},
            proofs=proofs,
            timings_ms={"compute": round((computed - began) * 1000), "prove": together.took_ms},
            candidate=True,
            dropped=None,
        )
        store.add_candidate(manifest)
        return manifest

    def _check_topics(self, current: Manifest, streams: list[Stream]) -> None:
        for stream in streams:
            topic = self.context.names.topic(stream)
            topic_id, known = self.context.log.topic_id(topic), current.of(stream).topic_id
            if known != topic_id:
                raise TopicRecreatedError(topic, known or "none", topic_id)

    def _prove(
        self, current: Manifest, stream: Stream, definitions: dict[str, str], files: tuple[ViewFile, ...]
    ) -> Proof:
        """Against version 0 and the whole archive as imported history: no cell lies between the cuts."""
        archive = current.archive_of(stream)
        claim = Claim(
            stream=stream,
            parent=empty_manifest({}),
            topic_id=current.of(stream).topic_id,
            delta_start={},
            spans=tuple(Span(stream.name, p, at, at, 0, 0) for p, at in sorted(current.cut(stream).items())),
            definitions=definitions,
            files=files,
            archive=archive,
            imported=archive,
        )
        return Prover(self.context).prove(claim, 0.0)
