"""The files in a zip archive, each unpacked as it is read. Its checksum is compared when the file's end is reached."""

import zipfile
import zlib
from pathlib import Path, PurePosixPath

from ingest.errors import FormatError, UnreadableFileError
from ingest.files import inlet
from ingest.files.inlet import Inlet, TornError

_READ = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
"""The ways to compress that unpack a block at a time."""

_ENCRYPTED = 0x1


def members(name: str, path: Path) -> list[str]:
    """The files in an archive, in the order of their names, without those that a desktop hides.

    Raises:
        FormatError: one cannot be unpacked.
        UnreadableFileError: it is no archive, or a torn one.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            found = sorted((info for info in archive.infolist() if not info.is_dir()), key=lambda info: info.filename)
    except (zipfile.BadZipFile, OSError) as error:
        hint = "It may have been copied in part: get it again."
        raise UnreadableFileError(name, "as a zip archive", error, hint) from error
    found = [info for info in found if not _hidden(info.filename)]
    for info in found:
        if info.flag_bits & _ENCRYPTED:
            raise FormatError(f"{name}:{info.filename}", "is encrypted; unpack it first")
        if info.compress_type not in _READ:
            raise FormatError(f"{name}:{info.filename}", "is compressed in a way that is not read; unpack it first")
    return [info.filename for info in found]


def _hidden(member: str) -> bool:
    path = PurePosixPath(member)
    return path.name.startswith(".") or "__MACOSX" in path.parts


class Member(Inlet):
    """The bytes of one file in an archive. `done` and `total` count them unpacked."""

    def __init__(self, path: Path, member: str) -> None:
        self._archive = zipfile.ZipFile(path)
        try:
            self._file = self._archive.open(member)
        except BaseException:
            self._archive.close()
            raise
        self.total = self._archive.getinfo(member).file_size

    def read(self, timeout_s: float) -> bytes | None:
        try:
            block = self._file.read(inlet.BLOCK_BYTES)
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise TornError(f"it is damaged ({error or 'it ends too early'})") from error
        self.done += len(block)
        return block or None

    def close(self) -> None:
        self._file.close()
        self._archive.close()


def open_member(name: str, path: Path, member: str) -> Member:
    """One file in an archive. Raises UnreadableFileError."""
    try:
        return Member(path, member)
    except (zipfile.BadZipFile, KeyError, OSError) as error:
        raise UnreadableFileError(f"{name}:{member}", "at all", error) from error
