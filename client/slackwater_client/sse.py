"""Server-sent events: from pieces of bytes, however they are cut, to messages (WHATWG HTML, 9.2.6).

Written here because the libraries decode lines, and `iter_lines` of httpx splits at more than CR and LF; and because a
stream that is read for days needs a bound.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from slackwater_client.errors import ProtocolError

MOST_BYTES = 64 * 1024 * 1024
"""Of one message; a snapshot of 64 symbols and 1,000 bars has about 20 MB."""

_BREAK = re.compile(rb"\r\n|\n|\r")
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Message:
    """One message. `id` is the last id that was seen, "" without one."""

    event: str
    data: str
    id: str


@dataclass
class Parser:
    """Feeds on bytes. `retry_ms` is what the service asked to wait before a client comes again, or None."""

    id: str = ""
    retry_ms: int | None = None
    _rest: bytearray = field(default_factory=bytearray)
    _began: bool = False
    _event: str = ""
    _data: list[str] = field(default_factory=list)
    _size: int = 0

    def feed(self, data: bytes) -> Iterator[Message]:
        """The messages that these bytes complete.

        Raises:
            ProtocolError: a message has more than MOST_BYTES.
        """
        self._rest += data
        for line in self._lines():
            message = self._line(line)
            if message is not None:
                yield message
        if self._size + len(self._rest) > MOST_BYTES:
            raise ProtocolError(f"A message of the stream has more than {MOST_BYTES} bytes.")

    def _lines(self) -> Iterator[bytes]:
        if not self._began:
            if len(self._rest) < len(_BOM) and _BOM.startswith(self._rest):
                return
            self._began = True
            if self._rest.startswith(_BOM):
                del self._rest[: len(_BOM)]
        at = 0
        while (found := _BREAK.search(self._rest, at)) is not None:
            if found.end() == len(self._rest) and found.group() == b"\r":
                break  # the LF of this CR may be in the next piece
            yield bytes(self._rest[at : found.start()])
            at = found.end()
        del self._rest[:at]

    def _line(self, line: bytes) -> Message | None:
        if not line:
            return self._dispatch()
        name, _, rest = line.partition(b":")
        value = rest.removeprefix(b" ").decode(errors="replace")
        if name == b"data":
            self._data.append(value)
            self._size += len(line)
        elif name == b"event":
            self._event = value
        elif name == b"id" and "\0" not in value:
            self.id = value
        elif name == b"retry" and value.isascii() and value.isdigit():
            self.retry_ms = int(value[:9])
        return None

    def _dispatch(self) -> Message | None:
        event, data = self._event, self._data
        self._event, self._data, self._size = "", [], 0
        return Message(event or "message", "\n".join(data), self.id) if data else None
