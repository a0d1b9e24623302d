"""Leases: what a running process reads from, so that nothing of it is retired or removed.

    <home>/versions/leases/<name>       {"versions": [3], "epochs": ["20240809T..."], "run": true}

A lease is a file that its process holds a lock on; it ends with `release` or with the process, never by age. A batch
run leases its parent (and so the parent's `delta_start`, which is not above its own) and its epoch; a server leases the
versions that it answers from. Runs and rollbacks take theirs under the publish lock (`VersionStore`), where expiry
judges them. A server waits for nobody: it takes its lease and then looks whether the version is retired; expiry retires
and then looks for leases, and what it finds is held, though retired.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from slackwater.store.files import Files, Hold
from slackwater.versions.errors import RecordError
from slackwater.versions.record import decode_record, encode_record


@dataclass(frozen=True)
class Lease:
    """What is held. `run`: its holder may take numbers, so folders without a manifest may be its own."""

    name: str
    versions: frozenset[int]
    epochs: frozenset[str]
    run: bool


class Leases:
    """The leases under one folder."""

    def __init__(self, folder: Path, files: Files) -> None:
        self._folder = folder
        self._files = files

    def take(self, name: str, versions: Iterable[int], epochs: Iterable[str] = (), run: bool = False) -> Hold:
        """Write a lease and hold it. `name` was never used before."""
        body = {"versions": sorted(versions), "epochs": sorted(epochs), "run": run}
        return self._files.hold(self._folder / name, encode_record(body))

    def active(self) -> list[Lease]:
        """The leases whose holders live.

        Raises:
            RecordError: one cannot be read, so nobody knows what it holds.
        """
        found = (self._read(name) for name in self._files.names(self._folder) if self._files.held(self._folder / name))
        return [lease for lease in found if lease is not None]

    def expired(self) -> list[str]:
        """The names of leases whose holders died."""
        return [name for name in self._files.names(self._folder) if not self._files.held(self._folder / name)]

    def remove_expired(self, names: Iterable[str]) -> None:
        """Remove leases whose holders have ended."""
        for name in names:
            self._files.remove(self._folder / name)

    def _read(self, name: str) -> Lease | None:
        path = self._folder / name
        try:
            data = self._files.read(path)
        except FileNotFoundError:  # released between two looks
            return None
        body = decode_record(data, path)
        try:
            return Lease(name, frozenset(body["versions"]), frozenset(body["epochs"]), bool(body["run"]))
        except (KeyError, TypeError) as error:
            raise RecordError(path, repr(error)) from error
