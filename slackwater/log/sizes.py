"""Which records are larger than their topic takes: one that a broker refuses ends an idempotent producer."""

from collections.abc import Callable

from slackwater.log.errors import RecordTooLargeError
from slackwater.log.log import Headers

SURE_BYTES = 64 * 1024
"""A record of this size fits into any topic; for a larger one its topic is asked first."""


class Sizes:
    """Asks each topic once."""

    def __init__(self, max_record_bytes: Callable[[str], int]) -> None:
        self._max_record_bytes = max_record_bytes
        self._limits: dict[str, int] = {}

    def check(self, topic: str, partition: int, key: bytes | None, value: bytes | None, headers: Headers) -> None:
        """Raises RecordTooLargeError."""
        size = len(key or b"") + len(value or b"") + sum(len(name) + len(held) for name, held in headers)
        if size <= SURE_BYTES:
            return
        if topic not in self._limits:
            self._limits[topic] = self._max_record_bytes(topic)
        if size > self._limits[topic]:
            raise RecordTooLargeError(topic, partition, key, size, self._limits[topic])
