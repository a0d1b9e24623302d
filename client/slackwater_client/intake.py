"""Events handed to the ingest service: bodies of whole lines, each bounded, and what became of their events."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from slackwater_client.errors import ArgumentError

MOST_EVENTS = 5_000
MOST_BYTES = 4 * 1024 * 1024
"""Of a request; the service takes four times as many."""

Given = Mapping[str, Any] | str | bytes
"""An event: its fields, or its line of JSON."""


@dataclass(frozen=True, slots=True)
class Ingested:
    """Events by fate, all of them durable. A conflict is an identity that is known with another content.

    `refused` maps a reason to how many; `examples` to the first of them: `source`, `position`, `error`, `line`.
    """

    accepted: int
    duplicates: int
    conflicts: int
    refused: Mapping[str, int]
    examples: Mapping[str, Mapping[str, str]]

    def plus(self, item: Mapping[str, Any]) -> "Ingested":
        """These and those of an answer."""
        refused = dict(self.refused)
        for reason, count in item["refused"].items():
            refused[reason] = refused.get(reason, 0) + count
        return Ingested(
            self.accepted + item["accepted"],
            self.duplicates + item["duplicates"],
            self.conflicts + item["conflicts"],
            refused,
            {**item["examples"], **self.examples},
        )


NOTHING = Ingested(0, 0, 0, {}, {})


def bodies(events: Iterable[Given]) -> Iterator[bytes]:
    """The lines of some events, together up to the bounds.

    Raises:
        ArgumentError: one is no event that can be sent.
    """
    lines, size = list[bytes](), 0
    for event in events:
        line = _line(event)
        if lines and (len(lines) == MOST_EVENTS or size + len(line) > MOST_BYTES):
            yield b"\n".join(lines)
            lines, size = [], 0
        lines.append(line)
        size += len(line) + 1
    if lines:
        yield b"\n".join(lines)


def _line(event: Given) -> bytes:
    if isinstance(event, Mapping):
        try:
            return json.dumps(event, default=_text, ensure_ascii=False, separators=(",", ":")).encode()
        except (TypeError, ValueError) as error:
            raise ArgumentError(f"An event cannot be written as JSON: {error}.") from error
    line = event.encode() if isinstance(event, str) else bytes(event)
    if b"\n" in line.strip(b"\n"):
        raise ArgumentError("A line of an event holds a line feed.", "Give each event by itself.")
    return line.strip(b"\n")


def _text(value: Any) -> str:
    """A decimal as its digits: the service takes no price that went through a double."""
    if isinstance(value, Decimal):
        return format(value, "f")
    raise TypeError(f"{type(value).__name__} is no value of an event")
