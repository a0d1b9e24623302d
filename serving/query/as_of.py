"""Answers of earlier versions: which one is asked for, its manifest and batch reader, opened on demand and retained.

A version of the rollback set and a snapshot answer alike: from their parts alone.
"""

from collections import OrderedDict
from threading import Lock

from serving.http.problems import retired
from serving.query.parameters import Point
from serving.query.pool import Pool
from serving.store.batch import BatchReader
from serving.store.snapshot import Snapshot
from serving.watch.standings import alone
from serving.watch.versions_watch import VersionsWatch
from slackwater.core.clock import Clock, iso_text
from slackwater.http.problems import ProblemError
from slackwater.versions.errors import (
    DamagedFileError,
    ManifestError,
    NoSuchVersionError,
    PointerError,
    RecordError,
    RetiredVersionError,
)
from slackwater.versions.history import History
from slackwater.versions.inspector import Inspector
from slackwater.versions.store import VersionStore
from slackwater.views.definitions import in_force
from slackwater.views.view import View

RETAINED_VERSIONS = 4


class AsOf:
    """Snapshots of published versions, each with its batch view alone. Thread safe."""

    def __init__(
        self,
        store: VersionStore,
        views: tuple[View, ...],
        watch: VersionsWatch,
        inspector: Inspector,
        pool: Pool,
        clock: Clock,
    ) -> None:
        self._store = store
        self._views = views
        self._watch = watch
        self._inspector = inspector
        self._pool = pool
        self._clock = clock
        self._history = History(store)
        self._open: OrderedDict[int, Snapshot] = OrderedDict()
        self._lock = Lock()

    async def version(self, asked: Point | str) -> int:
        """The version that a number, a time or the name of a pin means.

        Raises:
            ProblemError: 404 if there is no such pin, or nothing was served then; 410 if what was served then is gone;
                503 if that cannot be read.
        """
        if isinstance(asked, Point) and asked.is_version:
            return asked.value
        return await self._pool.run(lambda: self._found(asked))

    def _found(self, asked: Point | str) -> int:
        try:
            if isinstance(asked, str):
                pin = self._store.pins.get(asked)
                if pin is None:
                    raise ProblemError(404, "unknown-version", f"There is no pin {asked!r}. See /v1/versions.")
                return pin.version
            return self._at(asked.value)
        except (PointerError, RecordError) as error:
            raise ProblemError(503, "not-serving", str(error), retry_after_s=1) from error

    def _at(self, at_us: int) -> int:
        when = iso_text(at_us)
        if at_us > self._clock.now_us():
            detail = f"{when} is yet to come; nobody knows what will be served then."
            raise ProblemError(404, "unknown-version", detail)
        version = self._history.at(at_us).version
        if version == 0:
            _, newer = self._history.around(at_us)
            first = f" The first that answers is version {newer}." if newer else ""
            raise ProblemError(404, "unknown-version", f"Nothing was published by {when}.{first}")
        if version is None or self._store.retirement(version) == "gone":
            older, newer = self._history.around(at_us)
            which = "The version that" if version is None else f"Version {version} that"
            near = [f"version {n} was served {side}" for n, side in ((older, "before"), (newer, "after")) if n]
            detail = f"{which} was served at {when} is gone. Of those that answer, {' and '.join(near)}."
            raise ProblemError(410, "version-retired", detail, older=older, newer=newer)
        return version

    async def snapshot(self, version: int, name: str) -> Snapshot:
        """The snapshot of a version for the view of a name.

        Raises:
            ProblemError: 404 if there is no such version, 410 if it was retired, 409 if its view is of a definition
                that is not known here, 503 if it is not whole.
        """
        snapshot = self._known(version)
        if snapshot is None:
            snapshot = await self._pool.run(lambda: self._opened(version))
        elif snapshot is not self._watch.snapshot:  # what is served is leased
            await self.refuse_retired(version)
        view, held = snapshot.views[name], snapshot.manifest.definitions.get(name)
        if held != view.definition:
            known = ", ".join(each.definition for each in self._views if each.name == name)
            detail = f"Version {version} holds definition {held} of {name}; this server knows {known}."
            raise ProblemError(409, "other-definition", detail)
        return snapshot

    async def refuse_retired(self, version: int) -> None:
        """Raises ProblemError, 410, if the version was retired altogether meanwhile."""
        if await self._pool.run(lambda: self._store.retirement(version) == "gone"):
            raise retired(version)

    def _known(self, version: int) -> Snapshot | None:
        current = self._watch.snapshot
        if current is not None and version and current.version == version:
            return current
        with self._lock:
            return self._open.get(version)

    def _opened(self, version: int) -> Snapshot:
        try:
            manifest = self._store.answering(version)
            self._watch.candidates.check(manifest)
        except RetiredVersionError as error:
            raise retired(version) from error
        except NoSuchVersionError as error:
            raise ProblemError(404, "unknown-version", f"There is no version {version}. See /v1/versions.") from error
        except (ManifestError, DamagedFileError) as error:
            raise ProblemError(503, "version-damaged", f"Version {version} is not whole.") from error
        batch = BatchReader(self._store.data.path, manifest, on_damage=self._inspector.suspect)
        views = {view.name: view for view in in_force(self._views, manifest.definitions)}
        streams = alone(manifest, [view.stream.name for view in views.values()])
        found = Snapshot(manifest, streams, batch, views)
        with self._lock:
            self._open[version] = found
            while len(self._open) > RETAINED_VERSIONS:
                self._open.popitem(last=False)
        return found
