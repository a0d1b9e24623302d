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
from batch_layer.errors import NoCandidateError, ProofFailedError
from batch_layer.files import instruments_of, view_files
from batch_layer.prove import Claim, Prover
from batch_layer.run import new_run_id
from batch_layer.segments import archive_segments
from slackwater.core.clock import Clock
from slackwater.log.errors import TopicRecreatedError
from slackwater.log.log import Log
from slackwater.log.names import TopicNames
from slackwater.versions.handoff import handoff_path, write_handoff
from slackwater.versions.manifest import Manifest, ViewFile
from slackwater.versions.proof import Proof, Span
from slackwater.versions.store import VersionStore, empty_manifest
from slackwater.views.definitions import beside, streams_of
from slackwater.views.view import View


@dataclass
class CandidateRun:
    """One run. `views` are all definitions, `options` Beam's; `compute` and `new_run_id` are those of `BatchRun`."""

    log: Log
    names: TopicNames
    store: VersionStore
    views: tuple[View, ...]
    clock: Clock
    options: Any = None
    compute: Compute = run_pipeline
    new_run_id: Callable[[], str] = new_run_id

    def run(self) -> Manifest:
        """Make the candidate; the pointer does not move.

        Raises:
            NoCandidateError: nothing is published.
            DefinitionError: of each view there is one definition only.
            TopicRecreatedError, PointerError, ManifestError, DamagedFileError: the served version cannot be stood on.
            ProofFailedError: what was computed is not what the archive holds.
            LostRaceError: another version was published meanwhile.
        """
        run_id = self.new_run_id()
        current, lease = self.store.lease_current(run_id, {run_id})
        try:
            if current is None:
                raise NoCandidateError(
                    "Nothing is published, so there is nothing that a candidate could stand beside.",
                    "Make a version with `slackwater batch run`.",
                )
            return self._run(run_id, current)
        finally:
            lease.release()

    def _run(self, run_id: str, current: Manifest) -> Manifest:
        (stream,) = streams_of(self.views)
        topic = self.names.topic(stream)
        topic_id = self.log.topic_id(topic)
        if current.topics.get(topic) != topic_id:
            raise TopicRecreatedError(topic, current.topics.get(topic, "none"), topic_id)
        views = beside(self.views, current.definitions)
        self.store.check(current.dataset)
        version = self.store.reserve()
        began = self.clock.elapsed_s()
        segments = archive_segments(self.store.home, topic_id, current.archive)
        folder = self.store.folder / str(version) / "views"
        self.compute(segments, views, folder, self.options)
        files = view_files(self.store, segments, views, folder)
        computed = self.clock.elapsed_s()
        proof = self._prove(current, views, topic_id, files)
        if proof.outcome != "equal":
            write_handoff(self.store, version, run_id, proof)
            raise ProofFailedError(version, current.version, proof, handoff_path(self.store, version))
        manifest = replace(
            current,
            version=version,
            parent=current.version,
            run_id=run_id,
            created_us=self.clock.now_us(),
            definitions={view.name: view.definition for view in views},
            counts={**current.counts, "new_events": 0},
            views=files,
            instruments=instruments_of(self.store.home, views[0], files),
            proof=proof,
            timings_ms={"compute": round((computed - began) * 1000), "prove": proof.took_ms},
            candidate=True,
        )
        self.store.add_candidate(manifest)
        return manifest

    def _prove(self, current: Manifest, views: tuple[View, ...], topic_id: str, files: tuple[ViewFile, ...]) -> Proof:
        """Against version 0 and the whole archive as imported history: no cell lies between the cuts."""
        claim = Claim(
            parent=empty_manifest(dict(current.topics), dict(current.cut)),
            topic_id=topic_id,
            delta_start={p: bounds.end for p, bounds in self.log.bounds(self.names.deltas("trades")).items()},
            spans=tuple(Span(p, at, at, 0, 0) for p, at in sorted(current.cut.items())),
            definitions={view.name: view.definition for view in views},
            files=files,
            imported=current.archive,
        )
        return Prover(self.log, self.names, self.store, views, self.clock).prove(claim, 0.0)
