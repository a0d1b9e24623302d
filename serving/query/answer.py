"""The bytes of an answer: bars from states, what the answer says of itself, and a page of a table as a reply.

A bar's bytes depend on its key, start and state alone (but for `closed`), so they are cached by exactly these: a bar
that did not change since the last request is not finished again.

    young | old       a bar that is read comes to the young ones; where they are half of the bound, they are the
                      old ones, and what was old is forgotten

Two dicts a form instead of one list of all by their last use (`cachetools`): a look-up is one of a dict, which hundreds
of bars in each answer feel.

Ids in JSON are numbers while every reader holds them exactly, else text; by `ids=text` all are text. Formats with a
type for integers give integers.

    9007199254740991 = 2^53 - 1    ->  9007199254740991      the largest that a double tells from its neighbours
    9007199254740992               ->  "9007199254740992"    JavaScript and many others would round the next one to it
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from threading import Lock
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlencode

import orjson
import pyarrow as pa
from starlette.types import Scope

from serving.http.formats.encoders import encoder
from serving.http.formats.negotiation import JSON, SMALL_BYTES, choose_coding
from serving.http.formats.table import ID_FIELD, TIME_TYPE, Item, OutputForm, table_of_items
from serving.http.reply import Reply, RequestHeaders, encode
from serving.store.row_cache import row_bytes
from slackwater.core.clock import iso_text
from slackwater.views.finished import finished_schema
from slackwater.views.kinds import LARGEST_EXACT, Value
from slackwater.views.quantiles import QuantileRow, quantile_key, quantile_kinds
from slackwater.views.rows import Row
from slackwater.views.view import View

ENCODED_BYTES = 48 * 1024 * 1024
_AT_ONCE = 64
_FULL = 0.45  # of the bound: with what comes in at once, a half
_SLOT_BYTES = 150  # of a dict, about, and the head of a bytes object


class EncodedBars:
    """The encoded bars of every view and form. Thread safe."""

    def __init__(self, most_bytes: int = ENCODED_BYTES) -> None:
        self.most_bytes = most_bytes
        self._lock = Lock()
        self._young: dict[Any, dict[Row, bytes]] = {}
        self._old: Mapping[Any, Mapping[Row, bytes]] = {}
        self._young_bytes = self._old_bytes = 0

    @property
    def size(self) -> int:
        """What the bars and their encodings take, about, in bytes."""
        return self._young_bytes + self._old_bytes

    def of(self, form: Any, rows: Sequence[Row], encode: Callable[[Row], bytes]) -> list[bytes]:
        """The encodings of rows in a form; `encode` makes those that are not cached."""
        found: list[bytes] = []
        for low in range(0, len(rows), _AT_ONCE):
            found += self._some(form, rows[low : low + _AT_ONCE], encode)
        return found

    def _some(self, form: Any, rows: Sequence[Row], encode: Callable[[Row], bytes]) -> list[bytes]:
        with self._lock:
            young = self._young.setdefault(form, {})
            old = self._old.get(form, {})
        found: list[bytes] = []
        added = 0
        for row in rows:
            known = young.get(row)
            if known is None:
                known = old.get(row)
                if known is None:
                    known = encode(row)
                young[row] = known
                added += row_bytes(row) + len(known) + _SLOT_BYTES
            found.append(known)
        if added:
            self._grown(young, form, added)
        return found

    def _grown(self, young: dict[Row, bytes], form: Any, added: int) -> None:
        with self._lock:
            if self._young.get(form) is not young:  # they are the old ones by now
                self._old_bytes += added
                return
            self._young_bytes += added
            if self._young_bytes > self.most_bytes * _FULL:
                self._old, self._old_bytes = self._young, self._young_bytes
                self._young, self._young_bytes = {}, 0


ENCODED = EncodedBars()
"""Bars that were encoded lately, of all views and forms of answer."""

_CLOSED, _OPEN = b',"closed":true}', b',"closed":false}'


class Gap(NamedTuple):
    """A bar without events, with the answers that the bar before gives it."""

    key: tuple[Value, ...]
    start: int
    answers: dict[str, Value | None]


Bar = Row | Gap | QuantileRow


class Form(NamedTuple):
    """How rows are written. `several`: with the entity's last column, since there may be several; `iso`: times as
    text; `floats`: decimals as doubles; `text_ids`: ids all as text, or the large ones alone; None: integers."""

    several: bool
    iso: bool
    floats: bool = False
    text_ids: bool | None = False


def time_json(time_us: int, iso: bool) -> int | str:
    """A time as it is written."""
    return iso_text(time_us) if iso else time_us


def bar_fields(view: View, form: Form, bar: Bar) -> dict[str, Any]:
    """A bar's fields, without `closed`."""
    at, names, kinds = len(view.entity) - form.several, view.key, view.answer_kinds
    if isinstance(bar, QuantileRow):
        names, kinds = quantile_key(view), quantile_kinds(view)
    head: dict[str, Any] = dict(zip(names[at:], bar.key[at:], strict=True))
    answers: Mapping[str, Any] = view.finish(bar.state) if isinstance(bar, Row) else bar.answers
    if form.floats:
        answers = {n: float(v) if kinds[n].scale and v is not None else v for n, v in answers.items()}
    fields = {**head, "start": time_json(bar.start, form.iso), **answers}
    return fields if form.text_ids is None else ids_json(view, fields, form.text_ids)


def bar_item(view: View, form: Form, bar: Bar, closed: bool) -> dict[str, Any]:
    """A bar as a row of a table that stands alone: with its instrument."""
    return {**dict(zip(view.entity, bar.key, strict=False)), **bar_fields(view, form, bar), "closed": closed}


def bars_schema(view: View, quantiles: bool = False) -> pa.Schema:
    """The types of `bar_item`. Answers may be null, where gaps are filled."""
    finished = finished_schema(view)
    if quantiles:
        bounds = [pa.field(name, kind.arrow) for name, kind in quantile_kinds(view).items()]
        start = pa.field("start", TIME_TYPE, nullable=False)
        keys = [finished.field(name) for name in quantile_key(view)]
        return pa.schema([*keys, start, *bounds, pa.field("closed", pa.bool_(), nullable=False)])
    keys = [finished.field(name) for name in view.key]
    answers = [finished.field(name).with_nullable(True) for name in view.answers]
    start = pa.field("start", TIME_TYPE, nullable=False)
    fields = [*keys, start, *answers, pa.field("closed", pa.bool_(), nullable=False)]
    return pa.schema([each.with_metadata(ID_FIELD) if each.name in id_names(view) else each for each in fields])


def bar_encoder(view: View, form: Form) -> Callable[[Sequence[Row]], list[bytes]]:
    """Rows -> the bytes of their `bar_fields` without the closing brace."""

    def encode(row: Row) -> bytes:
        return orjson.dumps(bar_fields(view, form, row))[:-1]

    return lambda rows: ENCODED.of((view.definition, form), rows, encode)


def encode_bars(view: View, form: Form, bars: list[Bar], closed: list[bool], more: list[dict[str, Any]]) -> bytes:
    """A JSON array of bars. `more` holds further fields of each bar; it may be empty."""
    encode = bar_encoder(view, form)
    if {*map(type, bars)} <= {Row}:
        starts = encode(bars)  # type: ignore[arg-type]
    else:
        rows = iter(encode([bar for bar in bars if isinstance(bar, Row)]))
        starts = [next(rows) if isinstance(bar, Row) else _gap(view, form, bar) for bar in bars]
    tails = [_CLOSED if shut else _OPEN for shut in closed]
    if more:
        tails = [tail[:-1] + b"," + orjson.dumps(each)[1:] for tail, each in zip(tails, more, strict=True)]
    return b"[" + b",".join([start + tail for start, tail in zip(starts, tails, strict=True)]) + b"]"


def _gap(view: View, form: Form, gap: Gap | QuantileRow) -> bytes:
    found: bytes = orjson.dumps(bar_fields(view, form, gap))[:-1]
    return found


def exact_json(value: Any, as_text: bool = False) -> Any:
    """A value as JSON gives it: an integer as text if it is too large for a double, or if all are wanted so."""
    if type(value) is int and (as_text or abs(value) > LARGEST_EXACT):
        return str(value)
    return value


@cache
def id_names(view: View) -> tuple[str, ...]:
    """Key columns and answers that are integers which a double may not hold, such as the order of an event."""
    kinds = {**{column.name: column.kind for column in view.key_columns}, **view.answer_kinds}
    return tuple(name for name, kind in kinds.items() if kind.wide)


def ids_json(view: View, answers: Mapping[str, Any], as_text: bool) -> dict[str, Any]:
    """Fields of a row with the ids as JSON gives them."""
    return {**answers, **{name: exact_json(answers[name], as_text) for name in id_names(view) if name in answers}}


@dataclass(frozen=True)
class Page:
    """A page: in JSON one document, in the other formats the rows alone.

    What JSON says around the rows stands in headers there, and in the schema's metadata where a format has some. `meta`
    is what the answer says of itself, `following` the cursor of the next page.

    `items` makes the rows, of the types of `schema`; `encoded` makes the JSON of all rows, where that is another way.
    """

    name: str
    schema: Callable[[], pa.Schema]
    items: Callable[[], Sequence[Item]]
    meta: Mapping[str, Any]
    following: str | None = None
    encoded: Callable[[], bytes] | None = None

    def document(self) -> bytes:
        """`{"<name>": [...], "next": ..., "meta": {...}}`."""
        items = orjson.dumps(self.items()) if self.encoded is None else self.encoded()
        around = self.name.encode(), items, orjson.dumps(self.following), orjson.dumps(self.meta)
        return b'{"%b":%b,"next":%b,"meta":%b}' % around


def page_reply(
    page: Page, output: OutputForm, request_headers: RequestHeaders, scope: Scope, immutable: bool = False
) -> Reply:
    """The page in the requested form. It may take a while. Raises ProblemError, 406."""
    link, chosen = next_link(scope, page.following), output.format or JSON
    if chosen is JSON:
        body, more = page.document(), link
    else:
        more = [*link, *fact_headers(page.meta)]
        table = table_of_items(page.items(), described(page.schema(), page.meta), output)
        written = encoder(chosen, table.schema)
        body = written.add(table) + written.end()
    coding = choose_coding(request_headers.accept_encoding, chosen.text and len(body) > SMALL_BYTES)
    return encode(body, chosen.media_type, coding, immutable, more)


def fact_headers(meta: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What an answer says of itself, a header each: text as it is, the rest as JSON."""
    found = []
    for name, value in meta.items():
        text = value if isinstance(value, str) else orjson.dumps(value).decode()
        found.append((f"Slackwater-{name.capitalize()}", " ".join(text.encode("ascii", "replace").decode().split())))
    return found


def described(schema: pa.Schema, meta: Mapping[str, Any]) -> pa.Schema:
    """A schema whose metadata say what an answer says of itself."""
    return schema.with_metadata({"slackwater": orjson.dumps(meta)})


def next_link(scope: Scope, following: str | None) -> list[tuple[str, str]]:
    """The header that leads to the next page: the same question with its cursor."""
    if following is None:
        return []
    items = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    query = urlencode([*((name, value) for name, value in items if name != "cursor"), ("cursor", following)])
    return [("Link", f'<{scope["path"]}?{query}>; rel="next"')]
