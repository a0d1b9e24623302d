"""API keys: who may do what. A key is shown once, when it is made; what is kept is the SHA-256 of it.

    slackwater_3f9a0c41d2e7_5yUu...       "slackwater", the key's id, 256 random bits
    read, write, admin                    may ask, may post events, may do both and change what is served
    <home>/keys.json, 0600                {id, name, scope, sha256, created_us, revoked_us, rate}

A plain hash is right for 256 random bits: nobody can try them. Not here: what a request's
key is compared with (`slackwater.keys.keyring`), how a request carries one (`slackwater.http.guard.guard`).
"""

import hashlib
import secrets
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal, get_args

from slackwater.core.errors import SlackwaterError
from slackwater.core.rate import Rate
from slackwater.store.files import Files
from slackwater.store.local_files import LocalFiles
from slackwater.versions.errors import RecordError
from slackwater.versions.record import decode_record, encode_record

Scope = Literal["read", "write", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)


class KeyRefusedError(SlackwaterError):
    """A key cannot be made or revoked."""


@dataclass(frozen=True)
class Key:
    """What is kept of a key. Times in microseconds since the epoch, UTC; `revoked_us` 0: it holds.

    `rate` is its own rate limit (`slackwater.core.rate`), empty for the service's.
    """

    id: str
    name: str
    scope: Scope
    sha256: str
    created_us: int
    revoked_us: int = 0
    rate: str = ""

    def may(self, scope: Scope) -> bool:
        """Whether it may do what `scope` asks for: an admin everything; `write` is not `read`, nor the other way."""
        return self.scope in {scope, "admin"}


class KeyStore:
    """The keys of one home folder. Every call reads the file."""

    def __init__(self, home: Path, files: Files | None = None) -> None:
        self._path = home / "keys.json"
        self._files: Files = files or LocalFiles()

    def all(self) -> list[Key]:
        """All keys, revoked ones too, in the order in which they were made.

        Raises:
            RecordError: the file is torn or changed.
        """
        try:
            data = self._files.read(self._path)
        except FileNotFoundError:
            return []
        try:
            return [Key(**entry) for entry in decode_record(data, self._path)["keys"]]
        except (KeyError, TypeError) as error:
            raise RecordError(self._path, repr(error)) from error

    def create(self, name: str, scope: Scope, now_us: int, rate: Rate | None = None) -> tuple[Key, str]:
        """Make a key; what is kept of it, and its text, which is nowhere else. `rate` instead of the service's limit.

        Raises:
            KeyRefusedError: the name is taken, or none.
        """
        if not name.strip() or len(name) > 80 or not name.isprintable():
            raise KeyRefusedError(f"{name[:80]!r} is no name for a key.", "Use 1 to 80 printable characters.")
        with self._files.lock(self._path.with_name("keys.lock")):
            keys = self.all()
            if any(key.name == name and not key.revoked_us for key in keys):
                raise KeyRefusedError(f"There is a key {name!r} already.", "Revoke it first, or take another name.")
            key_id = secrets.token_hex(6)
            text = f"slackwater_{key_id}_{secrets.token_urlsafe(32)}"
            made = Key(key_id, name, scope, _sha256(text), now_us, rate=str(rate or ""))
            self._write([*keys, made])
        return made, text

    def revoke(self, name_or_id: str, now_us: int) -> Key:
        """Revoke a key, for good.

        Raises:
            KeyRefusedError: no key that holds has this name or id.
        """
        with self._files.lock(self._path.with_name("keys.lock")):
            keys = self.all()
            found = [key for key in keys if name_or_id in {key.id, key.name} and not key.revoked_us]
            if not found:
                raise KeyRefusedError("No key of that name or id holds.", "`slackwater key list` shows those that do.")
            revoked = replace(found[0], revoked_us=now_us)
            self._write([revoked if key.id == revoked.id else key for key in keys])
        return revoked

    def _write(self, keys: list[Key]) -> None:
        self._files.replace(self._path, encode_record({"keys": [asdict(key) for key in keys]}), private=True)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
