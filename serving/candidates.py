"""Which version can be served: the one that the pointer names, or the newest that is whole; and why not another.

Judged here is what lies on disk: pointer, manifests, files, definitions. What the log says of a version's cut is
judged in `serving.log_checks`.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from versions.errors import DamagedFileError, VersionError
from versions.manifest import Manifest
from versions.store import NOTHING, VersionStore
from views.view import View


class Choice(NamedTuple):
    """The manifest to serve, None for version 0; why it is not the pointer's; view -> why it cannot answer for it."""

    manifest: Manifest | None
    refusals: tuple[str, ...]
    refused_views: Mapping[str, str]


class NothingWholeError(VersionError):
    """Versions were published, and none can be served."""


class Candidates:
    """Chooses among the versions of a store. Files are hashed once; a damaged one is hashed again when asked again."""

    def __init__(self, store: VersionStore, views: tuple[View, ...]) -> None:
        self._store = store
        self._views = views
        self._checked: set[int] = set()

    def choose(self) -> Choice:
        """The version to serve now.

        Raises:
            NothingWholeError: there are versions, and none is whole and of these definitions.
        """
        refusals: list[str] = []
        second: Choice | None = None
        for manifest in self._in_order(refusals):
            if manifest is None:
                return Choice(None, tuple(refusals), {})
            damage = self._damage(manifest)
            if damage:
                refusals.append(damage)
                continue
            refused = self._refused_views(manifest)
            choice = Choice(manifest, tuple(refusals), refused)
            if not refused:
                return choice
            if second is None and len(refused) < len(self._views):
                second = choice
            refusals += refused.values()
        if second is None:
            raise NothingWholeError(" ".join(refusals) or "No version is whole.")
        return second

    def check(self, manifest: Manifest) -> None:
        """Compare a version's view files with its manifest, once.

        Raises:
            DamagedFileError
        """
        if manifest.version not in self._checked:
            names = {view.name for view in self._views}
            self._store.check(file.file for file in manifest.views if file.view in names)
            self._checked.add(manifest.version)

    def _in_order(self, refusals: list[str]) -> Iterator[Manifest | None]:
        """The pointer's version first, then those below it, newest first. A reason is added where one is left out."""
        below = None
        try:
            pointer = self._store.pointer()
            below = pointer.version
            if pointer == NOTHING:
                # A first publication may have ended between its manifest and its pointer; a second one cannot have.
                if len(self._store.whole()) < 2:
                    yield None
                    return
                below = None
                refusals.append("The pointer is gone, though versions were published.")
            else:
                current = self._store.current()
                if current is not None:
                    below = current.version
                    yield current
        except (VersionError, OSError) as error:
            refusals.append(str(error))
        for manifest in self._store.whole():
            if below is None or manifest.version < below:
                yield manifest

    def _damage(self, manifest: Manifest) -> str:
        try:
            self.check(manifest)
        except DamagedFileError as error:
            return f"Version {manifest.version} is not served: {error.path.name} is damaged."
        return ""

    def _refused_views(self, manifest: Manifest) -> dict[str, str]:
        found = {}
        for view in self._views:
            definition = manifest.definitions.get(view.name)
            if definition is None:
                found[view.name] = f"Version {manifest.version} was published without the view {view.name}."
            elif definition != view.definition:
                found[view.name] = (
                    f"Version {manifest.version} holds definition {definition} of {view.name}, "
                    f"this server has {view.definition}."
                )
        return found
