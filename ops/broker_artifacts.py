"""Kafka's jars: which they are, where they lie, and that they are the right ones.

`kafka.lock`, next to this file, names every jar with its SHA-256. A missing jar is fetched by its locked coordinates;
nothing is resolved at run time, so a repository cannot add to the class path. Every jar is checked before every start.
`python -m ops.broker_artifacts` makes the lock again, from `ENDPOINTS`.
"""

import hashlib
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from ops.errors import ArtifactDownloadError, ArtifactLockError, ArtifactSumError

KAFKA_VERSION = "4.1.1"
LOCK_NAME = "kafka.lock"
ENDPOINTS = (
    f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}",
    # Named, because resolution by jgo would mix in 3.9.1, and the broker would fail with NoSuchMethodError.
    f"org.apache.kafka:kafka-clients:{KAFKA_VERSION}",
    # Kafka's own jars bind no logger: without one the log would be empty, and an error would have no last lines.
    "org.slf4j:slf4j-simple:1.7.36",
)
_DOWNLOADS_AT_ONCE = 4
_DOWNLOAD_TIMEOUT_S = 30
_PROGRESS_EVERY_S = 3.0

Progress = Callable[[str], None]


@dataclass(frozen=True, order=True)
class Artifact:
    """One jar: its Maven coordinates `group:artifact:version` and its SHA-256 in hex."""

    coordinates: str
    sha256: str

    @property
    def name(self) -> str:
        """The jar's file name."""
        _, artifact, version = self.coordinates.split(":")
        return f"{artifact}-{version}.jar"


def default_folder(environ: Mapping[str, str]) -> Path:
    """Where the jars lie when nothing else was said: in the user's cache folder, so that clones share them."""
    if sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    elif sys.platform == "win32":
        base = Path(environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    else:
        base = Path(environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "slackwater" / f"kafka-{KAFKA_VERSION}"


def locked() -> tuple[Artifact, ...]:
    """The jars that the lock names, in its order.

    Raises:
        ArtifactLockError: a line of the lock is not an artifact and its sum.
    """
    return parse_lock(files("ops").joinpath(LOCK_NAME).read_text(encoding="utf-8"))


def parse_lock(text: str) -> tuple[Artifact, ...]:
    """The jars that `text` names, one a line; empty lines and lines that begin with # say nothing.

    Raises:
        ArtifactLockError: a line is not an artifact and its sum.
    """
    artifacts = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        coordinates, _, checksum = line.partition(" ")
        algorithm, _, digest = checksum.partition(":")
        hexadecimal = len(digest) == 64 and not digest.strip("0123456789abcdef")
        if coordinates.count(":") != 2 or "/" in coordinates or algorithm != "sha256" or not hexadecimal:
            raise ArtifactLockError(number, line)
        artifacts.append(Artifact(coordinates, digest))
    return tuple(artifacts)


def format_lock(artifacts: Iterable[Artifact]) -> str:
    """The text of the lock file that names `artifacts`; `parse_lock` reads it."""
    head = f"# The jars of Apache Kafka {KAFKA_VERSION}. Made by: python -m ops.broker_artifacts\n"
    return head + "".join(f"{each.coordinates} sha256:{each.sha256}\n" for each in sorted(artifacts))


def ensure(
    folder: Path, repository: str = "", on_progress: Progress | None = None, now_s: Callable[[], float] = time.monotonic
) -> tuple[Path, ...]:
    """The locked jars in `folder`, checked; those that are missing are fetched first. Safe for many callers at once.

    Args:
        folder: where the jars lie; made when it is missing. A jar in it that the lock does not name is not used.
        repository: the address of a Maven repository; empty: Maven Central.
        on_progress: called with a line of text, only when something is fetched, from the caller's thread: at the
            beginning, every few seconds, and at the end.
        now_s: a clock that only goes forward.

    Raises:
        ArtifactLockError: the lock cannot be read.
        ArtifactDownloadError: a jar is missing and could not be fetched.
        ArtifactSumError: a jar, there before or fetched, is not the one that the lock names.
    """
    artifacts = locked()
    missing = [artifact for artifact in artifacts if not (folder / artifact.name).is_file()]
    present = [artifact for artifact in artifacts if artifact not in missing]
    for artifact in present:
        _check(folder / artifact.name, artifact.sha256)
    if missing:
        _fetch(missing, folder, repository, on_progress or (lambda line: None), now_s)
    return tuple(folder / artifact.name for artifact in artifacts)


def _check(path: Path, expected: str) -> None:
    found = _sha256(path)
    if found != expected:
        raise ArtifactSumError(path, expected, found)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fetch(
    missing: list[Artifact], folder: Path, repository: str, on_progress: Progress, now_s: Callable[[], float]
) -> None:
    on_progress(f"Downloading Apache Kafka {KAFKA_VERSION} ({len(missing)} jars, about 44 MB, once)")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # A jar gets its name in the folder only whole and checked: a download that is cut off leaves nothing there.
        staging = tempfile.TemporaryDirectory(prefix=".download-", dir=folder)
    except OSError as error:
        raise ArtifactDownloadError(missing[0].name, folder, str(error)) from error
    with staging, ThreadPoolExecutor(_DOWNLOADS_AT_ONCE) as pool:
        maven = _maven(Path(staging.name), repository)
        running = {pool.submit(_fetch_one, maven, artifact, folder): artifact for artifact in missing}
        size, shown_s = 0, now_s()
        try:
            for done, future in enumerate(as_completed(running), 1):
                size += future.result()
                if done == len(missing) or now_s() - shown_s >= _PROGRESS_EVERY_S:
                    on_progress(f"Downloaded {done} of {len(missing)} jars, {size / 1e6:.0f} MB")
                    shown_s = now_s()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _fetch_one(maven: Any, artifact: Artifact, folder: Path) -> int:
    try:
        fetched: Path = maven.create_dependency(artifact.coordinates).artifact.resolve()
        # A jar of a wrong sum must be named as it would be in the folder, since the one fetched is gone at the end.
        found = _sha256(fetched)
        if found != artifact.sha256:
            raise ArtifactSumError(folder / artifact.name, artifact.sha256, found)
        size = fetched.stat().st_size
        fetched.replace(folder / artifact.name)
    except (OSError, RuntimeError) as error:  # of requests and of jgo, in this order
        raise ArtifactDownloadError(artifact.name, folder, str(error)) from error
    return size


def _maven(repository_cache: Path, repository: str = "") -> Any:
    from jgo.maven import MavenContext  # slow to import and not needed once the jars are there

    return MavenContext(
        repo_cache=repository_cache,
        remote_repos={"repository": repository.rstrip("/")} if repository else None,
        timeout=_DOWNLOAD_TIMEOUT_S,
    )


def resolve() -> tuple[Artifact, ...]:
    """The jars that `ENDPOINTS` need, as the repository resolves them today. Only for making the lock."""
    with tempfile.TemporaryDirectory(prefix="slackwater-relock-") as cache:
        maven = _maven(Path(cache))
        inputs, transitive = maven.resolver.resolve([maven.create_dependency(endpoint) for endpoint in ENDPOINTS])
        needed = [*inputs, *(each for each in transitive if each.scope in ("compile", "runtime"))]
        with ThreadPoolExecutor(_DOWNLOADS_AT_ONCE) as pool:
            paths = list(pool.map(lambda dependency: dependency.artifact.resolve(), needed))
        names = [f"{each.groupId}:{each.artifactId}:{each.version}" for each in needed]
        return tuple(sorted(Artifact(name, _sha256(path)) for name, path in zip(names, paths, strict=True)))


def relock() -> None:
    """Write kafka.lock again from what the repository says."""
    artifacts = resolve()
    Path(__file__).with_name(LOCK_NAME).write_text(format_lock(artifacts), encoding="utf-8")
    print(f"{LOCK_NAME}: {len(artifacts)} jars")


if __name__ == "__main__":
    relock()
