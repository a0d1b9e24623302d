"""Pinning and unpinning of a version, under the publish lock: no expiry judges the version meanwhile.

Not here: where pins lie (`slackwater.versions.pins`), and that what is pinned stays (`slackwater.versions.retention`).
"""

from slackwater.versions.pins import Pin
from slackwater.versions.store import VersionStore


def pin(store: VersionStore, wanted: Pin) -> Pin:
    """Give a version a name; the same one again takes the place of its pin.

    Raises:
        RetiredVersionError, NoSuchVersionError, ManifestError: it does not answer any more, or cannot be read.
        PinError: the name is none, or another version's.
        RecordError: a pin, or the retirement of the version, cannot be read.
    """
    with store.locked():
        store.answering(wanted.version)
        # The process that wrote it may have been killed before its folder's entry was durable.
        store.files.sync(store.manifest_path(wanted.version))
        store.pins.write(wanted)
    return wanted


def unpin(store: VersionStore, name: str) -> Pin:
    """Take a name back; the pin that it was. Raises PinError, RecordError."""
    with store.locked():
        return store.pins.remove(name)
