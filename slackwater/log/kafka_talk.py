"""Questions to a Kafka server over a socket of our own, in the words of kafka-python's protocol, without a client."""

import socket
import struct
import time
from typing import Any

from kafka.protocol.metadata import MetadataRequest, MetadataResponse

_LARGEST_ANSWER = 16 * 1024 * 1024
_TLS_RECORD = (20, 21, 22, 23)
"""The first byte of what a server sends that speaks TLS; an answer of Kafka's begins with the 0 of its length."""

_CANNOT_BE_READ = (OSError, EOFError, ValueError, struct.error)


class SpeaksTlsError(Exception):
    """What came back is a record of TLS."""


class Talk:
    """Questions and answers over one connection; `left_s` is what is left to the server for all of its answers."""

    def __init__(self, connection: socket.socket, left_s: float) -> None:
        self._connection = connection
        self._left_s = left_s
        self._asked = 0

    def ask(self, request: Any, answer: Any) -> Any:
        """The answer to a request, by the class that reads it.

        Raises:
            SpeaksTlsError: the server speaks TLS.
            OSError, EOFError, ValueError, struct.error: there is no answer, or it cannot be read.
        """
        until_s = time.monotonic() + self._left_s
        self._asked += 1
        request.with_header(correlation_id=self._asked, client_id="slackwater")
        self._wait_until(until_s)
        self._connection.sendall(request.encode(framed=True, header=True))
        head = self._read(1, until_s)
        if head[0] in _TLS_RECORD:
            raise SpeaksTlsError
        (size,) = struct.unpack(">i", head + self._read(3, until_s))
        if not 4 <= size <= _LARGEST_ANSWER:
            raise ValueError(f"an answer of {size} bytes")
        found = answer.decode(self._read(size, until_s), header=True)
        if found.header.correlation_id != self._asked:
            raise ValueError("the answer to another question")
        self._left_s = until_s - time.monotonic()  # not less the time that our own token takes
        return found

    def brokers(self) -> int:
        """How many brokers the server counts as serving. One that has just started does not count itself."""
        # Not ApiVersions, which is answered while a broker is still fenced and no topic can be created.
        return len(self.ask(MetadataRequest[1](topics=[]), MetadataResponse[1]).brokers)

    def _read(self, size: int, until_s: float) -> bytes:
        data = bytearray()
        while len(data) < size:
            self._wait_until(until_s)
            part = self._connection.recv(size - len(data))
            if not part:
                raise EOFError("the server closed the connection")
            data += part
        return bytes(data)

    def _wait_until(self, until_s: float) -> None:
        left_s = until_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        self._connection.settimeout(left_s)


def serves(host: str, port: int, timeout_s: float = 2.0) -> bool:
    """Whether a Kafka broker answers at `host`:`port` and counts at least one broker, itself, as serving."""
    try:
        with socket.create_connection((host, port), timeout=timeout_s) as connection:
            return Talk(connection, timeout_s).brokers() >= 1
    except (*_CANNOT_BE_READ, SpeaksTlsError):
        return False
