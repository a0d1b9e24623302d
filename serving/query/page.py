"""A page of a table as a reply: in JSON one document, in the other formats the rows alone.

What JSON says around the rows stands in headers there (`Slackwater-Version`, `Slackwater-Applied`, ...), and in the
schema's metadata where a format has some; where the next page is, in `Link` of every format.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode

import orjson
import pyarrow as pa
from starlette.types import Scope

from serving.http.formats.coding import SMALL_BYTES, choose_coding
from serving.http.formats.encoders import encoder
from serving.http.formats.media import JSON
from serving.http.formats.table import Item, table_of_items
from serving.http.reply import Reply, RequestHeaders, encode
from serving.query.output import OutputForm

Headers = list[tuple[str, str]]


@dataclass(frozen=True)
class Page:
    """A page. `meta` is what it says of itself, `following` the cursor of the next one.

    `document` makes the bytes of JSON, `items` the rows of the other formats; `schema` has their types.
    """

    schema: pa.Schema
    items: Callable[[], Sequence[Item]]
    document: Callable[[], bytes]
    meta: Mapping[str, Any]
    following: str | None = None


def page_reply(
    page: Page, output: OutputForm, request_headers: RequestHeaders, scope: Scope, immutable: bool = False
) -> Reply:
    """The page as it is asked for. It may take a while. Raises ProblemError, 406."""
    link = next_link(scope, page.following)
    if output.of is JSON:
        body, more = page.document(), link
    else:
        more = [*link, *fact_headers(page.meta)]
        table = table_of_items(page.items(), described(page.schema, page.meta), output)
        written = encoder(output.of, table.schema)
        body = written.add(table) + written.end()
    coding = choose_coding(request_headers.accept_encoding, output.of.text and len(body) > SMALL_BYTES)
    return encode(body, output.of.media_type, coding, immutable, more)


def fact_headers(meta: Mapping[str, Any]) -> Headers:
    """What an answer says of itself, a header each: text as it is, the rest as JSON."""
    found = []
    for name, value in meta.items():
        text = value if isinstance(value, str) else orjson.dumps(value).decode()
        found.append((f"Slackwater-{name.capitalize()}", " ".join(text.encode("ascii", "replace").decode().split())))
    return found


def described(schema: pa.Schema, meta: Mapping[str, Any]) -> pa.Schema:
    """A schema whose metadata say what an answer says of itself."""
    return schema.with_metadata({"slackwater": orjson.dumps(meta)})


def next_link(scope: Scope, following: str | None) -> Headers:
    """The header that leads to the next page: the same question with its cursor."""
    if following is None:
        return []
    items = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    query = urlencode([*((name, value) for name, value in items if name != "cursor"), ("cursor", following)])
    return [("Link", f'<{scope["path"]}?{query}>; rel="next"')]
