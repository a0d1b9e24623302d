"""Dead letters: what was refused, with its original bytes, its reason and where it came from.

The key is the source and position, so a run that is repeated writes the same letter again and readers can tell. A
letter is bounded, whatever was refused: it holds the first bytes of a large original, and the length and SHA-256 of
all of it. A letter whose original was taken after all is settled, by a record of the same key that says so. Not here:
what stands in the topic (`slackwater.log.letters`).
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


_ORIGINAL = "original-"
"""Before the names of the headers that the original had."""


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
    length, sha256 = whole_of(letter)
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
    return writer.append(topic, 0, _key(letter), value, [*headers, *_kept(letter.headers)])


SETTLED = "settled"
"""The header of a record that settles a letter: what became of its original."""


def settle(writer: Writer, topic: str, letter: DeadLetter, outcome: str, now_us: int) -> Ack:
    """Append that a letter's original was handed in again, and what became of it."""
    _, sha256 = whole_of(letter)
    facts = {SETTLED: outcome, "sha256": sha256, "time": str(now_us)}
    return writer.append(topic, 0, _key(letter), None, [(name, _text(text)) for name, text in facts.items()])


def whole_of(letter: DeadLetter) -> Whole:
    """Length and SHA-256 of all of the original."""
    return letter.whole or Whole(len(letter.value), hashlib.sha256(letter.value).hexdigest())


def letter_of(value: bytes, headers: Headers) -> DeadLetter:
    """The letter that `send` made a record of; what it lacks, since somebody else wrote it, is empty."""
    facts = {name: data.decode("utf-8", "replace") for name, data in headers if not name.startswith(_ORIGINAL)}
    originals = [(name.removeprefix(_ORIGINAL), data) for name, data in headers if name.startswith(_ORIGINAL)]
    whole = Whole(_number(facts.get("length", "")), facts.get("sha256", "")) if "stored" in facts else None
    return DeadLetter(
        stream=facts.get("stream", ""),
        source=facts.get("source", ""),
        position=facts.get("position", ""),
        reason=facts.get("reason", ""),
        error=facts.get("error", ""),
        time_us=_number(facts.get("time", "")),
        value=value,
        headers=originals,
        whole=whole,
    )


def _key(letter: DeadLetter) -> bytes:
    return _text(f"{letter.source}:{letter.position}")


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() else 0


def _text(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")[:MAX_TEXT_BYTES]


def _kept(headers: Headers) -> Headers:
    kept, size = [], 0
    for name, value in headers:
        size += len(name.encode()) + len(value or b"")  # the protocol allows a header without a value
        if size > MAX_HEADER_BYTES:
            break
        kept.append((f"{_ORIGINAL}{name}", value or b""))
    return kept
