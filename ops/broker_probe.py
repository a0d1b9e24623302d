"""Whether a Kafka broker serves, asked over a bare socket, so that starting a broker needs no Kafka client."""

import socket
import struct

# Metadata, version 1 (the Kafka protocol guide, "Metadata API"): key 3, version 1, correlation 1, no client id, and
# an empty list of topics, which asks for none. ApiVersions would not do: it is answered while the broker is still
# fenced, and a topic cannot be created then. A fenced broker is not in the list that comes back.
_REQUEST = struct.pack(">hhihi", 3, 1, 1, -1, 0)
_LARGEST_ANSWER = 65_536


def serves(host: str, port: int, timeout_s: float = 2.0) -> bool:
    """Whether a Kafka broker answers at `host`:`port` and counts at least one broker, itself, as serving."""
    try:
        with socket.create_connection((host, port), timeout=timeout_s) as connection:
            connection.sendall(struct.pack(">i", len(_REQUEST)) + _REQUEST)
            (size,) = struct.unpack(">i", _read(connection, 4))
            if not 8 <= size <= _LARGEST_ANSWER:
                return False
            correlation, brokers = struct.unpack(">ii", _read(connection, size)[:8])
    except (OSError, EOFError):
        return False
    return bool(correlation == 1 and brokers >= 1)


def _read(connection: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        part = connection.recv(size - len(data))
        if not part:
            raise EOFError
        data += part
    return bytes(data)
