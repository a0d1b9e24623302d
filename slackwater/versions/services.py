"""Which ingest services run on this machine, so that a producer beside them finds one without being told.

<home>/services/<a name of its own>      {"url": "http://127.0.0.1:8001"}, held by the service
"""

import uuid

from slackwater.store.files import Hold
from slackwater.versions.errors import RecordError
from slackwater.versions.record import decode_record, encode_record
from slackwater.versions.store import VersionStore


def announce(store: VersionStore, url: str) -> Hold:
    """Say that a service is reached there, until it lets go or ends."""
    folder = store.home / "services"
    for path in (folder / name for name in store.files.names(folder)):
        if not store.files.held(path):
            store.files.remove(path)  # of one that was killed
    return store.files.hold(folder / uuid.uuid4().hex, encode_record({"url": url}))


def announced(store: VersionStore) -> str | None:
    """Where a service that runs is reached; None if none does.

    Raises:
        RecordError: what one says of itself cannot be read.
    """
    folder = store.home / "services"
    for path in (folder / name for name in store.files.names(folder)):
        if not store.files.held(path):
            continue
        try:
            body = decode_record(store.files.read(path), path)
        except FileNotFoundError:  # it ended just now
            continue
        try:
            return str(body["url"])
        except KeyError as error:
            raise RecordError(path, repr(error)) from error
    return None
