"""Writes a correction down: its events to a file, then the ledger's next number, under the publish lock."""

import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from slackwater.store.files import holding
from slackwater.streams.stream import Stream
from slackwater.versions.corrections import Added, Correction, Kind
from slackwater.versions.store import VersionStore


class Recording:
    """One correction that is being written down."""

    def __init__(self, store: VersionStore, name: str) -> None:
        self._store = store
        self._name = name

    @property
    def path(self) -> Path:
        """Where its events are to be written."""
        return self._store.data.create(self._name)

    def record(
        self,
        kind: Kind,
        stream: Stream,
        topic_id: str,
        asked: str,
        events: int,
        ends: Mapping[int, int],
        at_us: int,
        by: str,
        reason: str,
        added: Added | None = None,
    ) -> Correction:
        """Write it down durably; every run from now on applies it. Its events are in `path`, `events` of them."""
        file = self._store.stored(self.path, events)
        with self._store.locked():
            number = self._store.corrections.last() + 1
            found = Correction(number, kind, stream.name, topic_id, asked, at_us, by, reason, file, ends, added)
            self._store.corrections.record(found)
        return found


@contextmanager
def recording(store: VersionStore) -> Iterator[Recording]:
    """Write one correction: until the block ends, no expiry removes its file."""
    epoch = f"correct-{uuid.uuid4().hex[:12]}"
    with holding(store.lease(epoch, epochs=[epoch])):
        yield Recording(store, f"archive/{epoch}/gone.parquet")
