"""The SHA-256 that lies beside a file, in `<file>.CHECKSUM`, as Binance publishes it: lines of `sha256sum`."""

import hashlib
import re
from pathlib import Path

from ingest.errors import ChecksumError

ENDING = ".CHECKSUM"

_LINE = re.compile(r"([0-9a-fA-F]{64})(?: [ *](.+))?")


def check_sum(name: str, path: Path) -> None:
    """Compare a file with the checksum beside it, if there is one.

    Raises:
        ChecksumError: it is another, or is not in the form of `sha256sum`.
    """
    beside = path.with_name(path.name + ENDING)
    if not beside.is_file():
        return
    wanted = _wanted(name, beside, path.name)
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != wanted:
        raise ChecksumError(name, f"its SHA-256 is {found}, and {beside.name} says {wanted}")


def _wanted(name: str, beside: Path, own: str) -> str:
    lines = [line.strip() for line in beside.read_text("utf-8", "replace").splitlines() if line.strip()]
    for line in lines:
        found = _LINE.fullmatch(line)
        if found is None:
            raise ChecksumError(name, f"{beside.name} holds {line[:80]!r}, which is no line of sha256sum")
        if found[2] in (None, own, f"./{own}"):
            return found[1].lower()
    raise ChecksumError(name, f"{beside.name} does not name {own}")
