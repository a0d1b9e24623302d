"""Answers of earlier versions: their manifests and batch readers, opened when asked for and kept for a while."""

from collections import OrderedDict
from threading import Lock

from serving.http.problems import ProblemError, retired
from serving.store.batch import BatchReader
from serving.store.snapshot import Snapshot, snapshot_key
from serving.watch.versions_watch import VersionsWatch
from slackwater.versions.errors import DamagedFileError, ManifestError, NoSuchVersionError, RetiredVersionError
from slackwater.versions.inspector import Inspector
from slackwater.versions.store import VersionStore
from slackwater.views.definitions import in_force
from slackwater.views.view import View

KEPT_VERSIONS = 4


class AsOf:
    """Snapshots of published versions, each with its batch view alone. Thread safe; `snapshot` blocks."""

    def __init__(
        self, store: VersionStore, views: tuple[View, ...], watch: VersionsWatch, topic: str, inspector: Inspector
    ) -> None:
        self._store = store
        self._views = views
        self._watch = watch
        self._topic = topic
        self._inspector = inspector
        self._kept: OrderedDict[int, Snapshot] = OrderedDict()
        self._lock = Lock()

    def known(self, version: int) -> Snapshot | None:
        """A snapshot that is open already."""
        current = self._watch.snapshot
        if current is not None and version and current.version == version:
            return current
        with self._lock:
            return self._kept.get(version)

    def snapshot(self, version: int) -> Snapshot:
        """The snapshot of a version.

        Raises:
            ProblemError: 404 if there is no such version, 410 if it was retired, 503 if it is not whole.
        """
        try:
            manifest = self._store.manifest(version)
            self._watch.candidates.check(manifest)
        except RetiredVersionError as error:
            raise retired(version) from error
        except NoSuchVersionError as error:
            raise ProblemError(404, "unknown-version", f"There is no version {version}. See /v1/versions.") from error
        except (ManifestError, DamagedFileError) as error:
            raise ProblemError(503, "version-damaged", f"Version {version} is not whole.") from error
        topic_id = manifest.topics.get(self._topic, "")
        batch = BatchReader(self._store.home, manifest, on_damage=self._inspector.suspect)
        key = snapshot_key(manifest, topic_id, manifest.cut)
        views = {view.name: view for view in in_force(self._views, manifest.definitions)}
        found = Snapshot(key, manifest, manifest.cut, topic_id, batch, views, chain=False)
        with self._lock:
            self._kept[version] = found
            while len(self._kept) > KEPT_VERSIONS:
                self._kept.popitem(last=False)
        return found
