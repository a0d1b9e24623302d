"""The bytes of an answer: bars from states, and what the answer says of itself.

A bar's bytes depend on its key, start and state alone (but for `closed`), so they are kept by exactly these: a bar
that did not change since the last request is not finished again.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from typing import Any, NamedTuple

import orjson

from views.merge import State, finisher
from views.rows import Row
from views.view import View

KEPT_BARS = 16_384
"""Encoded bars that are kept per view and form of answer."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Gap(NamedTuple):
    """A bar without events, with the answers that the bar before gives it."""

    key: tuple[str, ...]
    start: int
    answers: dict[str, str | int | None]


Bar = Row | Gap


class Form(NamedTuple):
    """How bars are written: with their symbol, where several were asked for, and their times as text or integers."""

    several: bool
    iso: bool


def time_json(time_us: int, iso: bool) -> int | str:
    """A time as it is written."""
    if not iso:
        return time_us
    text = (_EPOCH + timedelta(microseconds=time_us)).isoformat()
    return text.removesuffix("+00:00") + "Z"


def bar_fields(view: View, form: Form, bar: Bar) -> dict[str, Any]:
    """A bar's fields, without `closed`."""
    head: dict[str, Any] = {"symbol": bar.key[1]} if form.several else {}
    head.update(zip(view.key[2:], bar.key[2:], strict=True))
    answers = bar.answers if isinstance(bar, Gap) else finisher(view)(bar.state)
    return {**head, "start": time_json(bar.start, form.iso), **answers}


@cache
def bar_encoder(view: View, form: Form) -> Callable[[tuple[str, ...], int, State], bytes]:
    """(key, start, state) -> the bytes of `bar_fields` without the closing brace."""

    @lru_cache(KEPT_BARS)
    def encode(key: tuple[str, ...], start: int, state: State) -> bytes:
        return orjson.dumps(bar_fields(view, form, Row(key, start, state)))[:-1]

    return encode


def encode_bars(view: View, form: Form, bars: list[Bar], closed: list[bool], more: list[dict[str, Any]]) -> bytes:
    """A JSON array of bars. `more` holds further fields of each bar; it may be empty."""
    encode = bar_encoder(view, form)
    found = []
    for i, bar in enumerate(bars):
        start = orjson.dumps(bar_fields(view, form, bar))[:-1] if isinstance(bar, Gap) else encode(*bar)
        tail = b',"closed":true' if closed[i] else b',"closed":false'
        rest = b"," + orjson.dumps(more[i])[1:] if more else b"}"
        found.append(start + tail + rest)
    return b"[" + b",".join(found) + b"]"


def partitions_json(offsets: Mapping[int, int]) -> dict[str, int]:
    """Partition -> offset with the partitions as text, in their order."""
    return {str(partition): offsets[partition] for partition in sorted(offsets)}


def document(name: str, items: bytes, following: str | None, answer: Mapping[str, Any]) -> bytes:
    """`{"<name>": [...], "next": ..., "answer": {...}}`."""
    return b'{"%b":%b,"next":%b,"answer":%b}' % (name.encode(), items, orjson.dumps(following), orjson.dumps(answer))
