"""Promotes a candidate: the pointer moves from the version that it stands beside to it.

    log                 C ------------------> now
    served V            [cells of definition 1 >
    candidate W         [cells of definition 2 >      must reach where those of V reach

Both have the same cut, so an answer stands on W (+) its own cells at once, and nothing is missing. What that changes
of closed bars is written down first. A promotion is a move of the pointer in the ledger of `slackwater.versions.moves`;
rolling it back is `slackwater.versions.rollback`.
"""

import uuid
from collections.abc import Mapping

from batch_layer.errors import CandidateError
from slackwater.context import Context
from slackwater.deltas.chains import chains_since
from slackwater.deltas.read_tail import TailReader
from slackwater.deltas.tail import Cut
from slackwater.restatements.of_move import Restating
from slackwater.streams.stream import Stream
from slackwater.versions.errors import DamagedFileError, LostRaceError
from slackwater.versions.handoff import refuted
from slackwater.versions.manifest import Manifest, StreamCut
from slackwater.versions.moves import Move
from slackwater.versions.rollback import files_of
from slackwater.views.definitions import in_force
from slackwater.views.view import View

POLL_S = 0.25


class Promotion:
    """Promotes candidates."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._store = context.store

    def promote(self, version: int, reason: str, by: str, deadline_s: float = 0.0) -> Move:
        """Move the pointer to a candidate; waits up to `deadline_s` for its cells.

        Raises:
            RetiredVersionError, NoSuchVersionError, ManifestError, PointerError, RecordError: it cannot be read.
            RestatingError: what it changes cannot be written down.
            CandidateError: it is no candidate, not whole, or its definitions are unknown here; the pointer is not at
                the version that it stands beside; or its cells do not reach where those of that version do.
        """
        store = self._store
        epoch = f"promote-{uuid.uuid4().hex}"
        hold = store.lease(epoch, [version, store.pointer().version], [epoch])  # it takes a while to read every file
        try:
            manifest = store.manifest(version)
            if not store.candidates([manifest]):
                raise CandidateError(f"Version {version} is no candidate.", "`slackwater batch list` shows which are.")
            self._check_pointer(manifest, store.pointer().version)
            views = self._known(manifest)
            self._check_whole(manifest)
            self._wait(manifest, views, deadline_s)
            now_us = self._context.clock.now_us
            read_tail = TailReader(self._context.log, self._context.names)
            restating = Restating(store, self._context.views, read_tail, self._context.limits.connect)
            before = store.manifest(manifest.parent)
            recorded = restating.record_move(epoch, "new_definition", before, manifest, now_us())
            try:
                return store.move(version, now_us, by, reason, manifest.parent, recorded)
            except LostRaceError:
                self._check_pointer(manifest, store.pointer().version)
                raise
        finally:
            hold.release()

    def _check_pointer(self, manifest: Manifest, at: int) -> None:
        if at != manifest.parent:
            raise CandidateError(
                f"Candidate {manifest.version} stands beside version {manifest.parent}, the pointer is at {at}.",
                "Its cut is stale: make it again with `slackwater batch run --candidate`.",
            )

    def _known(self, manifest: Manifest) -> tuple[View, ...]:
        views = in_force(self._context.views, manifest.definitions)
        held = {**{view.name: "none" for view in views}, **manifest.definitions}
        known = {view.definition for view in views}
        unknown = {name: definition for name, definition in held.items() if definition not in known}
        if unknown:
            raise CandidateError(
                f"Candidate {manifest.version} holds definitions that this program does not have: {unknown}.",
                "Register them in slackwater/views/registry.py, here, where it is served and where speed runs.",
            )
        return views

    def _check_whole(self, manifest: Manifest) -> None:
        wrong = refuted(self._store, manifest)
        if wrong is not None:
            raise CandidateError(f"It stands on version {wrong[0]}, whose proof failed: {wrong[1].reason}")
        try:
            self._store.check(files_of(manifest))
        except DamagedFileError as error:
            raise CandidateError(f"Candidate {manifest.version} is not whole: {error}") from error

    def _wait(self, manifest: Manifest, views: tuple[View, ...], deadline_s: float) -> None:
        """Until the candidate's cells reach what the served version's reached at the first look, in every stream."""
        served = in_force(self._context.views, self._store.manifest(manifest.parent).definitions)
        until_s = self._context.clock.elapsed_s() + deadline_s
        for stream in dict.fromkeys(view.stream for view in views):
            of = tuple(view for view in views if view.stream == stream)
            self._wait_in(manifest, stream, of, tuple(view for view in served if view.stream == stream), until_s)

    def _wait_in(
        self, manifest: Manifest, stream: Stream, views: tuple[View, ...], served: tuple[View, ...], until_s: float
    ) -> None:
        log, topic = self._context.log, self._context.names.topic(stream)
        own, topic_id = manifest.of(stream), log.topic_id(topic)
        if own.topic_id != topic_id:
            raise CandidateError(f"{topic!r} is another topic now than candidate {manifest.version} was made of.")
        cut = {**{p: bounds.start for p, bounds in log.bounds(topic).items()}, **own.cut}
        goal: dict[tuple[str, int], int] = {}
        while True:
            ends = self._ends(own, (*served, *views), cut)
            goal = goal or {(view.name, p): end for (view, p), end in ends.items() if view in served}
            short = {
                (view.name, p): (end, goal[view.name, p])
                for (view, p), end in ends.items()
                if view in views and end < goal[view.name, p]
            }
            if not short:
                return
            if self._context.clock.elapsed_s() >= until_s:
                raise CandidateError(
                    f"Its deltas do not reach those of version {manifest.parent} yet, as (view, partition): (its end, "
                    f"the served end): {short}.",
                    "The speed layer must run its definition, from the cut on; then promote again.",
                )
            self._context.clock.sleep(POLL_S)

    def _ends(self, own: StreamCut, views: tuple[View, ...], cut: Mapping[int, int]) -> dict[tuple[View, int], int]:
        """Where the chain of each view of a stream ends now, in each partition of the cut."""
        since = Cut(cut, own.topic_id, own.deltas_id, own.delta_start)
        topic = self._context.names.deltas(views[0].stream)
        chains = chains_since(self._context.log, topic, views, own.topic_id, since, cut)
        return {
            (view, p): chains[view, p].end(at) if (view, p) in chains else at for view in views for p, at in cut.items()
        }
