"""The keys that hold, in memory: what a request's key is compared with.

    file changed? --(one stat, at most every REFRESH_S)--> read keys.json --> {id: key} without the revoked
    text of a key --(SHA-256, compared in constant time)--> the key, or None

There is no cache of texts: the SHA-256 that is kept at rest is what is compared, and one of 75 bytes costs a
microsecond. Not here: the file and its changes (`slackwater.keys.keys`), how a request carries a key
(`slackwater.http.guard.guard`).
"""

import hashlib
import hmac
import re
from pathlib import Path

from slackwater.core.clock import Clock
from slackwater.keys.keys import Key, KeyStore

REFRESH_S = 0.25
"""How long a revoked key may still be taken for good."""

_KEY = re.compile(rb"slackwater_([0-9a-f]{12})_[A-Za-z0-9_-]{43}")
_NOBODY = hashlib.sha256(b"").digest()
_FileState = tuple[int, int, int] | None


class KeyRing:
    """The keys of one home folder. Belongs to one thread, the event loop's; a call reads a small file at most."""

    def __init__(self, home: Path, clock: Clock) -> None:
        self._store = KeyStore(home)
        self._path = home / "keys.json"
        self._clock = clock
        self._state: _FileState = (-1, -1, -1)
        self._looked_s = -REFRESH_S
        self._keys: dict[bytes, tuple[bytes, Key]] = {}

    def find(self, text: bytes, fresh: bool = False) -> Key | None:
        """The key of a text; None if it is none, or revoked. `fresh` looks at the file whenever it was looked at last.

        Raises:
            RecordError: the file of keys is torn or changed.
            OSError: it cannot be read.
        """
        now_s = self._clock.elapsed_s()
        if fresh or now_s - self._looked_s >= REFRESH_S:
            self._refresh(now_s)
            return self._match(text)
        found = self._match(text)
        if found is None:  # it may have been made since
            self._refresh(now_s)
            found = self._match(text)
        return found

    def _match(self, text: bytes) -> Key | None:
        matched = _KEY.fullmatch(text)
        digest, key = self._keys.get(matched[1], (_NOBODY, None)) if matched else (_NOBODY, None)
        same = hmac.compare_digest(hashlib.sha256(text).digest(), digest)
        return key if same else None

    def _refresh(self, now_s: float) -> None:
        state = self._now()
        if state != self._state:
            held = [key for key in self._store.all() if not key.revoked_us]
            self._keys = {key.id.encode(): (bytes.fromhex(key.sha256), key) for key in held}
            self._state = state  # last: a file that cannot be read is tried again
        self._looked_s = now_s

    def _now(self) -> _FileState:
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size  # each change is a new file under the old name
