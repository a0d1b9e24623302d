"""Pins: names that people gave to versions, which stay as snapshots while they have one.

    <home>/versions/pins/<name>.json        {"name": "audit-2026", "version": 7, "by": ..., "reason": ..., "at_us": ...}

A pin is written and removed durably, under the publish lock, where expiry judges which versions go. It lies outside the
versions, so it stays when the pointer moves.
"""

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from slackwater.store.files import Files
from slackwater.versions.errors import PinError, RecordError
from slackwater.versions.record import decode_record, encode_record

NAME_PATTERN = "[a-z][a-z0-9_-]{0,63}"
"""Begins with a letter, so that no name is taken for a version's number or a time."""

_SUFFIX = ".json"


@dataclass(frozen=True)
class Pin:
    """A version's name; who gave it, why and when, in microseconds, UTC."""

    name: str
    version: int
    by: str
    reason: str
    at_us: int


class Pins:
    """The pins under one folder. Whoever changes them holds the publish lock."""

    def __init__(self, folder: Path, files: Files) -> None:
        self._folder = folder
        self._files = files

    def all(self) -> list[Pin]:
        """Every pin, by name.

        Raises:
            RecordError: one cannot be read, so nobody knows what it holds.
        """
        names = self._files.names(self._folder)
        found = (self.get(name.removesuffix(_SUFFIX)) for name in names if name.endswith(_SUFFIX))
        return [pin for pin in found if pin is not None]

    def of_versions(self) -> Mapping[int, tuple[str, ...]]:
        """Version -> its names. Raises RecordError."""
        found: dict[int, tuple[str, ...]] = {}
        for pin in self.all():
            found[pin.version] = (*found.get(pin.version, ()), pin.name)
        return found

    def get(self, name: str) -> Pin | None:
        """The pin of a name; None if there is none. Raises RecordError."""
        path = self._path(name)
        try:
            body = decode_record(self._files.read(path), path)
        except FileNotFoundError:
            return None
        try:
            found = Pin(**body)
        except TypeError as error:
            raise RecordError(path, str(error)) from error
        if found.name != name:
            raise RecordError(path, "it is another pin's")
        return found

    def write(self, pin: Pin) -> None:
        """Write a pin.

        Raises:
            PinError: its name is no name, or another version's.
        """
        if not re.fullmatch(NAME_PATTERN, pin.name):
            hint = "Use small letters, digits, - and _, a letter first; at most 64."
            raise PinError(f"{pin.name[:80]!r} is no name of a pin.", hint)
        known = self.get(pin.name)
        if known is not None and known.version != pin.version:
            raise PinError(
                f"{pin.name} is version {known.version}'s.", f"`slackwater batch unpin {pin.name}` lets it go."
            )
        with suppress(FileExistsError):
            self._files.make_folder(self._folder)
        self._files.replace(self._path(pin.name), encode_record(asdict(pin)))

    def remove(self, name: str) -> Pin:
        """Remove a pin; what it was.

        Raises:
            PinError: there is none of that name.
        """
        known = self.get(name) if re.fullmatch(NAME_PATTERN, name) else None
        if known is None:
            raise PinError(f"There is no pin {name[:80]!r}.", "`slackwater batch list` shows those that there are.")
        self._files.remove(self._path(name))
        return known

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}{_SUFFIX}"
