"""Dead letters: what was refused, with its original bytes, its reason and where it came from.

The key is the source and position, so a run that is repeated writes the same letter again and readers can tell. A
letter is bounded, whatever was refused: it holds the first bytes of a large original, and the length and SHA-256 of
all of it.
"""

import hashlib
from typing import NamedTuple

from slackwater.log.log import Ack, Headers, Writer
from slackwater.streams.refusal import Reason

MAX_VALUE_BYTES = 512 * 1024
"""How much of an original a letter holds: with its headers well below 1 MiB, the default limit of a topic."""

MAX_TEXT_BYTES = 8 * 1024
"""How much of an error, a source or a position it holds."""

MAX_HEADER_BYTES = 64 * 1024
"""How much of the original headers it holds, whole headers only."""


class Whole(NamedTuple):
    """What a value is the beginning of."""

    length: int
    sha256: str


class DeadLetter(NamedTuple):
    """One refusal, of an event of `stream`: `source` is a file or a topic with its id, `position` the place in it,
    `time_us` when it happened.

    `reason` is a `Reason`, or one of those below. `value` is the original, or its beginning if `whole`
    says what all of it is.
    """

    stream: str
    source: str
    position: str
    reason: Reason | str
    error: str
    time_us: int
    value: bytes
    headers: Headers = ()
    whole: Whole | None = None


CONFLICT = "conflict"
"""The reason of an event whose id is taken by an event with other content: the first wins."""

TAKEN = "the id was taken by an event with other content"
"""What a letter of that reason says."""

NO_IDS = "no-ids"
"""The reason of an event of a venue that gives no ids, beside live data."""

OUT_OF_ORDER = "out-of-order"
"""The reason of an event whose second came before the newest of its source, where ids are made of that order."""

TOO_MANY_INSTRUMENTS = "too-many-instruments"
"""The reason of an event of a new instrument where as many are known as there may be."""


def send(writer: Writer, topic: str, letter: DeadLetter) -> Ack:
    """Append a letter. It is stored when the returned promise says so; do not move on before.

    The header `stored` says how many bytes of the original the letter holds, if not all of them.
    """
    length, sha256 = letter.whole or Whole(len(letter.value), hashlib.sha256(letter.value).hexdigest())
    value = letter.value[:MAX_VALUE_BYTES]
    facts = {
        "stream": letter.stream,
        "reason": str(letter.reason),
        "error": letter.error,
        "source": letter.source,
        "position": letter.position,
        "time": str(letter.time_us),
        "length": str(length),
        "sha256": sha256,
    }
    if len(value) < length:
        facts["stored"] = str(len(value))
    headers = [(name, _text(text)) for name, text in facts.items()]
    return writer.append(
        topic, 0, _text(f"{letter.source}:{letter.position}"), value, [*headers, *_kept(letter.headers)]
    )


def _text(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")[:MAX_TEXT_BYTES]


def _kept(headers: Headers) -> Headers:
    kept, size = [], 0
    for name, value in headers:
        size += len(name.encode()) + len(value or b"")  # the protocol allows a header without a value
        if size > MAX_HEADER_BYTES:
            break
        kept.append((f"original-{name}", value or b""))
    return kept
