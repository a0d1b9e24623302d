"""The server's leases: the versions that it and its cursors answer from are not expired.

DuckDB reads files by path, so a file that goes is gone for an answer that is being made.
"""

import logging
import os
import uuid
from collections.abc import Iterable

from slackwater.store.files import Hold
from slackwater.versions.store import VersionStore

_LOG = logging.getLogger("slackwater.serving")


class ServedLeases:
    """Leases by version. Belongs to one thread."""

    def __init__(self, store: VersionStore) -> None:
        self._store = store
        self._holds: dict[int, Hold] = {}
        self._warned = False

    def take(self, version: int) -> None:
        """Hold a version before it is served.

        Raises:
            VersionError: it cannot be held any more.
        """
        if version in self._holds:
            return
        name = f"server-{os.getpid()}-{uuid.uuid4().hex[:12]}-{version}"
        try:
            self._holds[version] = self._store.lease_served(name, version)
        except OSError as error:  # a folder that is read only is served all the same; expiry may then cut an answer off
            if not self._warned:
                _LOG.warning("No lease on version %d: %s", version, error)
            self._warned = True

    def retain(self, versions: Iterable[int]) -> None:
        """Let go of all others."""
        for version in self._holds.keys() - set(versions):
            self._holds.pop(version).release()
