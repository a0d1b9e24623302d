"""Canonical lines -> columns, all lines of a block at once, without text between.

    {"venue":"x","symbol":"Y","trade_id":7,"time":9,"price":"1.5","quantity":"2","side":"buy"}
    |-------------- head --------------|               lines of one record mostly have one: it is judged once
                                        |-- a value, what stands before the next one, its value, ...

A line fits where every byte of it is what the form says, so nothing is open of one that does; of the others nothing is
said. This is written by hand since a library costs twice the time: Arrow's CSV reader, which reads the other forms,
makes a text of each value, and needs a pattern to match all lines before it. What a line means the strict decoder says,
and tests/test_scan.py and tests/test_decode.py hold this file to it.

Not here: forms with other text than that of a head (`slackwater.streams.decode` has those read as CSV), and how a
value is read (`slackwater.streams.cursor`).
"""

import re
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from itertools import takewhile
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from slackwater.streams.column import Column
from slackwater.streams.columns import Choice, Decimal, Identity, Integer, Text, Time
from slackwater.streams.columns import Sequence as Order
from slackwater.streams.cursor import FARTHEST, Cursor, words_at
from slackwater.streams.lines import ROOM, Lines
from slackwater.streams.numbers import decimals_of
from slackwater.streams.refusal import RefusedError
from slackwater.streams.stream import TimeUnit

ROWS = 16 * 1024
"""Lines that are read together: what is made of them stays in a core's cache."""

HEAD_BYTES = 512
"""Bytes of the longest head that is read here."""

HEADS = 65_536
"""Heads that stay known, one for each entity."""

ROUNDS = 2
"""How often the lines of a record are parted where their heads differ, before each of them is asked for its own."""

WORD = 8
"""Bytes that are compared at once."""

_QUOTED, _PLAIN = (Decimal, Choice, TimeUnit), (Identity, Integer, Order, Time)


class Field(NamedTuple):
    """A column of a form, and what stands between the value before it and its own."""

    column: Any
    before: bytes

    def read(self, cursor: Cursor) -> Any:
        """The values of all lines."""
        column, before = self
        if isinstance(column, Decimal):
            return cursor.decimal(before, column.signed)
        if isinstance(column, Choice):
            return cursor.choice(before, self.texts)
        return cursor.sixteen(before) if isinstance(column, Time) else cursor.digits(before)

    @property
    def longest(self) -> int:
        """Bytes of the longest value, and how far one is looked at."""
        return 8 + max(map(len, self.texts)) if isinstance(self.column, Choice) else FARTHEST

    @property
    def texts(self) -> list[bytes]:
        """The texts of a choice, each with the quote behind it, so that none is another's begin."""
        return [f'{text}"'.encode() for text in self.column.values]


class Scan:
    """Reads lines of one form, which begin with `texts`; `end` stands behind the value of the last of `fields`."""

    def __init__(self, texts: Sequence[Column], fields: Sequence[Field], end: bytes) -> None:
        self._texts = texts
        self._key = fields[0].before  # behind the head
        self._fields = [Field(fields[0].column, b""), *fields[1:]]
        self._end = end + b"\n"
        head = '","'.join(f'{text.name}":"({text.forms[0][1]})' for text in texts)
        self._match = re.compile(rf'\{{"{head}'.encode()).fullmatch
        self._texts_of = lru_cache(HEADS)(self._judge)

    def read(self, lines: Lines) -> tuple[dict[str, Any], Any]:
        """The columns of the lines that fit, texts as dictionaries and an identity as int64; and which lines these are,
        as booleans, or True: all."""
        data = np.frombuffer(lines.padded, np.uint8)
        first = np.zeros(len(lines), bool)
        first[np.cumsum(lines.counts) - lines.counts] = True
        starts, parts = np.append(0, lines.ends[:-1] + 1), []
        known: dict[bytes, tuple[int, int]] = {}
        texts: list[tuple[str, ...]] = []
        for at in range(0, len(lines), ROWS):
            some = slice(at, at + ROWS)
            asked = partial(self._asked, lines.padded, known=known, texts=texts)
            number, length = _heads(data, starts[some], lines.ends[some], first[some].copy(), asked)
            cursor = Cursor(data, starts[some] + length, number >= 0)
            values = [field.read(cursor) for field in self._fields]
            cursor.literal(self._end)
            parts.append([cursor.fits, number, *values])
        fits, *found = (np.concatenate(each) for each in zip(*parts, strict=True))
        if fits.all():
            return self._columns(texts, found), True
        return self._columns(texts, [values[fits] for values in found]), fits

    def _asked(
        self, text: bytes, starts: Any, ends: Any, known: dict[bytes, tuple[int, int]], texts: list[tuple[str, ...]]
    ) -> Any:
        """(number, length) of the heads of some lines; the number is below 0 where there is none.

        `known` are heads of the block, and `texts` what they say, by number.
        """
        found, key, bound = [], self._key, np.minimum(ends, starts + HEAD_BYTES)
        for start, end in zip(starts.tolist(), bound.tolist(), strict=True):
            at = text.find(key, start, end)
            head = text[start : max(start, at)]
            one = known.get(head)
            if one is None:
                judged = self._texts_of(head)
                if judged is None:
                    found.append((-1, WORD))
                    continue
                one = known[head] = len(texts), len(head) + len(key)
                texts.append(judged)
            found.append(one)
        return np.array(found)

    def _judge(self, head: bytes) -> tuple[str, ...] | None:
        """The texts of a head; None where it is not of the form."""
        found = self._match(head)
        try:
            return found and tuple(text.take(t.decode()) for text, t in zip(self._texts, found.groups(), strict=True))
        except RefusedError:
            return None

    def _columns(self, heads: Sequence[tuple[str, ...]], found: list[Any]) -> dict[str, Any]:
        number, *values = found
        columns: dict[str, Any] = {}
        for i, text in enumerate(self._texts):
            codes: dict[str, int] = {}
            of = [codes.setdefault(texts[i], len(codes)) for texts in heads]
            columns[text.name] = _dictionary(np.array(of, np.int32)[number], list(codes))
        for (column, _), each in zip(self._fields, values, strict=True):
            if isinstance(column, Choice):
                columns[column.name] = _dictionary(each, list(column.values))
            else:
                columns[column.name] = decimals_of(each) if isinstance(column, Decimal) else pa.array(each)
        return columns


def scan_of(form: Sequence[tuple[Column, bool]]) -> Scan | None:
    """What reads the form of these columns, each in quotes or not; None: nothing here does."""
    texts = [column for column, _ in takewhile(lambda each: type(each[0]) is Text, form)]
    fields, behind = [], '"'
    for column, quoted in form[len(texts) :]:
        if type(column) not in (_QUOTED if quoted else _PLAIN) or getattr(column, "low", 0) < 0:
            return None
        quote = '"' if quoted else ""
        fields.append(Field(column, f'{behind},"{column.name}":{quote}'.encode()))
        behind = "" if isinstance(column, Choice) else quote  # the texts of a choice end with theirs
    # However wrong a line is, nothing further behind it is read.
    farthest = HEAD_BYTES + sum(len(field.before) + field.longest for field in fields)
    return Scan(texts, fields, f"{behind}}}".encode()) if texts and fields and farthest < ROOM else None


def _heads(data: Any, starts: Any, ends: Any, first: Any, asked: Callable[[Any, Any], Any]) -> tuple[Any, Any]:
    """The number of each line's head, below 0 if it has none, and its length with what stands before the first value.

    `first` are lines that are asked for theirs. The others should have that of the line before, if that has one.
    """
    first[0] = True
    for left in reversed(range(ROUNDS + 1)):
        number, length = asked(starts[first], ends[first])[np.cumsum(first) - 1].T
        if first.all():
            break
        other = ((number < 0) | ~_as_before(data, starts, length)) & ~first
        if not other.any():
            break
        first |= other | (left == 1)
    return number, length


def _as_before(data: Any, starts: Any, length: Any) -> Any:
    """Which lines begin with as many bytes as their heads have as the line before them does. The first one does not."""
    same = np.ones(len(starts), bool)
    same[0] = False
    for i, word in enumerate(words_at(data, starts, int(length.max()) // WORD * WORD)):
        same[1:] &= (word[1:] == word[:-1]) | (length[1:] < WORD * (i + 1))
    (last,) = words_at(data, starts + length - WORD, WORD)
    same[1:] &= last[1:] == last[:-1]
    return same


def _dictionary(codes: Any, texts: list[str]) -> Any:
    return pa.DictionaryArray.from_arrays(codes, pa.array(texts, pa.string()))
