"""When a batch run last found nothing new: a note beside the versions, so that who watches sees that runs take place.

    <home>/versions/idle.json       {"version": 7, "at_us": 1723161240000000}

Nothing is decided by it.
"""

from slackwater.versions.errors import RecordError
from slackwater.versions.record import decode_record, encode_record
from slackwater.versions.store import VersionStore


def note_idle(store: VersionStore, version: int, at_us: int) -> None:
    """A run ended now, in microseconds, UTC, and had nothing to add to `version`."""
    store.files.replace(store.folder / "idle.json", encode_record({"version": version, "at_us": at_us}))


def last_idle_us(store: VersionStore) -> int | None:
    """When the last such run ended; None where there was none, or its note cannot be read."""
    path = store.folder / "idle.json"
    try:
        at_us = decode_record(store.files.read(path), path).get("at_us")
    except (FileNotFoundError, RecordError):  # the next run writes it again
        return None
    return at_us if isinstance(at_us, int) else None
