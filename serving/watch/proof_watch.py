"""The watch of proofs: what is known now of the served version's hand-off, and whether its lineage was refuted since.

A version that was published unproven is proven later, by a batch run or by `slackwater batch prove`; the outcome is in
a file beside its manifest, which is read again every second.
"""

import logging
from dataclasses import replace

from serving.store.snapshot import Snapshot
from serving.watch.versions_watch import VersionsWatch
from slackwater.core.clock import Clock
from slackwater.versions.handoff import latest_proof, refuted
from slackwater.versions.manifest import Manifest
from slackwater.versions.proof import Proof
from slackwater.versions.store import VersionStore

_LOG = logging.getLogger("slackwater.serving")

CHECK_EVERY_S = 1.0


class ProofWatch:
    """Reads proofs. `step` belongs to one thread; `alarm` says what was refuted, empty if nothing was."""

    def __init__(self, store: VersionStore, watch: VersionsWatch, clock: Clock) -> None:
        self.alarm = ""
        self._store = store
        self._watch = watch
        self._clock = clock
        self._next_s = float("-inf")
        self._checked: Snapshot | None = None
        self._proof: Proof | None = None
        self._cached: dict[int, Manifest] = {}

    def step(self) -> None:
        """Read them, once a second and whenever another version is served."""
        snapshot, now = self._watch.snapshot, self._clock.elapsed_s()
        if snapshot is None or (now < self._next_s and snapshot is self._checked):
            return
        self._next_s, self._checked = now + CHECK_EVERY_S, snapshot
        self._proof = latest_proof(self._store, snapshot.manifest)
        wrong = refuted(self._store, snapshot.manifest, self._load)
        alarm = "" if wrong is None else self._text(snapshot.version, *wrong)
        if alarm and alarm != self.alarm:
            _LOG.error("%s", alarm)
        self.alarm = alarm

    def reasons(self) -> list[str]:
        """The alarm, if there is one."""
        return [self.alarm] if self.alarm else []

    def proof(self, snapshot: Snapshot) -> Proof:
        """What is known of a snapshot's hand-off."""
        known = self._proof
        if known is None or self._checked is None or self._checked.version != snapshot.version:
            return snapshot.manifest.proof
        return known

    def _load(self, version: int) -> Manifest:
        """A manifest without its lists of files: a lineage is long, and they are not needed."""
        if version not in self._cached:
            found = self._store.manifest(version)
            self._cached[version] = replace(found, archive=(), ids=(), parts=(), instruments={})
        return self._cached[version]

    @staticmethod
    def _text(served: int, version: int, proof: Proof) -> str:
        which = f"Version {version}" if version == served else f"Version {version}, which version {served} stands on,"
        first = f" The first: {proof.first[0]}." if proof.first else ""
        return f"Alarm: {which} was published unproven and is different. {proof.reason}{first}"
