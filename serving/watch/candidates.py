"""Which version can be served: the one that the pointer names, or the newest that is whole; and why not another.

This checks what is on disk: pointer, manifests, files, definitions. What the log says of a version's cut is checked in
`serving.watch.standings`.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from slackwater.versions.errors import DamagedFileError, RecordError, VersionError
from slackwater.versions.handoff import latest_proof
from slackwater.versions.inspector import Inspector
from slackwater.versions.manifest import Manifest, StoredFile
from slackwater.versions.pointer import NOTHING, Pointer
from slackwater.versions.store import VersionStore
from slackwater.views.definitions import in_force, names_of
from slackwater.views.view import View


class Choice(NamedTuple):
    """The manifest to serve, None for version 0; why it is not the pointer's; view -> why it cannot answer for it."""

    manifest: Manifest | None
    refusals: tuple[str, ...]
    refused_views: Mapping[str, str]


class NothingWholeError(VersionError):
    """Versions were published, and none can be served."""


class Candidates:
    """Chooses among the versions of a store. `watched` are the files that the last choice was made by."""

    def __init__(self, store: VersionStore, views: tuple[View, ...], inspector: Inspector) -> None:
        self.watched: set[Path] = set()
        self._store = store
        self._views = views
        self._inspector = inspector

    def choose(self, pointer: Pointer | str, served: int | None = None) -> Choice:
        """The version to serve now. `pointer` is what one reading of it gave, or why there is none.

        `served` is the version that was served until now: it stays where the pointer cannot say which.

        Raises:
            NothingWholeError: there are versions, and none is whole and of these definitions.
        """
        self.watched = set()
        refusals: list[str] = []
        second: Choice | None = None
        for manifest in self._in_order(pointer, served, refusals):
            if manifest is None:
                return Choice(None, tuple(refusals), {})
            damage = _refuted(manifest) or self._view_damage(manifest)
            if damage:
                refusals.append(damage)
                continue
            refused = self._refused_views(manifest)
            damage = self._archive_damage(manifest)
            choice = Choice(manifest, (*refusals, *filter(None, (damage, _forced(manifest)))), refused)
            if not refused and not damage:
                return choice
            if second is None and len(refused) < len(names_of(self._views)):
                second = choice
            refusals += [*refused.values(), *([damage] if damage else [])]
        if second is None:
            raise NothingWholeError(" ".join(refusals) or "No version is whole.")
        return second

    def refresh(self) -> None:
        """See whether a file that the last choice was made by changed; the inspector's revision says so."""
        self._inspector.refresh(self.watched)

    def check(self, manifest: Manifest) -> None:
        """Compare a version's view files with its manifest.

        Raises:
            DamagedFileError
        """
        self._inspector.check(self.view_files(manifest))

    def view_files(self, manifest: Manifest) -> list[StoredFile]:
        """The files of the served views."""
        names = names_of(self._views)
        return [file.file for file in manifest.parts if file.view in names]

    def _in_order(self, pointer: Pointer | str, served: int | None, refusals: list[str]) -> Iterator[Manifest | None]:
        """The pointer's version first, then those below it, newest first, none that was rolled back from.

        A reason is added where one is left out.
        """
        if pointer == NOTHING:
            yield None
            return
        below = None
        if isinstance(pointer, str):
            refusals.append(pointer)
        else:
            below = pointer.version
            self._watch(self._store.manifest_path(below))
            try:
                yield self._store.pointed(pointer)
            except VersionError as error:
                refusals.append(str(error))
        try:
            withdrawn = self._store.withdrawn()
        except RecordError as error:
            refusals.append(str(error))
            withdrawn = set(self._store.numbers()) - set(self._store.line(below or 0))
        whole = [manifest for manifest in self._store.whole() if manifest.version not in withdrawn]
        if below is None:
            whole.sort(key=lambda manifest: manifest.version != served)
        for manifest in whole:
            if manifest.version != served and latest_proof(self._store, manifest).outcome == "different":
                continue  # proven wrong after it was published: it does not take another's place
            if below is None or manifest.version < below:
                self._watch(self._store.manifest_path(manifest.version))
                yield manifest

    def _watch(self, path: Path) -> None:
        self._inspector.refresh([path])
        self.watched.add(path)

    def _view_damage(self, manifest: Manifest) -> str:
        files = self.view_files(manifest)
        self.watched.update(self._inspector.path(file) for file in files)
        try:
            self._inspector.check(files)
        except DamagedFileError as error:
            return f"Version {manifest.version} is not served: {self._store.data.name_of(error.path)} is damaged."
        return ""

    def _archive_damage(self, manifest: Manifest) -> str:
        """What is known of the archive: it is large, so it is read before it is used, and slowly by the scrub."""
        files = self._inspector.known_damage(manifest.dataset)
        self.watched.update(self._inspector.path(file) for file in files)
        return f"Version {manifest.version} is not whole: {files[0].path} is damaged." if files else ""

    def _refused_views(self, manifest: Manifest) -> dict[str, str]:
        found = {}
        for view in in_force(self._views, manifest.definitions):
            if view.stream.name not in manifest.streams:
                continue  # all of that stream is in its chains, as before the first version
            definition = manifest.definitions.get(view.name)
            if definition is None:
                found[view.name] = f"Version {manifest.version} was published without the view {view.name}."
            elif definition != view.definition:
                known = ", ".join(each.definition for each in self._views if each.name == view.name)
                found[view.name] = (
                    f"Version {manifest.version} holds definition {definition} of {view.name}, this server has {known}."
                )
        return found


def _refuted(manifest: Manifest) -> str:
    if manifest.proof.outcome != "different" or manifest.proof.forced is not None:
        return ""
    return f"Version {manifest.version} is not served: the proof of its hand-off failed."


def _forced(manifest: Manifest) -> str:
    proof = manifest.proof
    if proof.forced is None:
        return ""
    by, why = proof.forced.by, proof.forced.reason
    return f"Version {manifest.version} was published by force, its proof says {manifest.proof.outcome}. {by}: {why}"
