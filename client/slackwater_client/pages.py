"""Pages of rows, one behind the other, all of one moment, as JSON or as Arrow. No I/O is done here.

JSON says all in one document. Arrow's stream holds the rows alone: what they stand on is in its schema's metadata, and
where the next page is in the header `Link`.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias
from urllib.parse import parse_qs, urlsplit

from slackwater_client.errors import ProtocolError
from slackwater_client.exchange import document, exchange
from slackwater_client.http import Call, Reply, Send
from slackwater_client.meta import LAG_HEADER, Meta
from slackwater_client.retry import Retry

MOST_ROWS = 10_000
"""Of one page, in the service."""

MANY_ROWS = 1_000
"""Beyond so many Arrow is worth its import; fewer are JSON."""

ARROW = "application/vnd.apache.arrow.stream"

if TYPE_CHECKING:
    import pyarrow as pa

    Part: TypeAlias = Sequence[Mapping[str, Any]] | pa.Table

_NEXT = re.compile(r'<([^>]*)>\s*;\s*rel="?next"?')


def has_arrow() -> bool:
    """Whether pyarrow is there."""
    return find_spec("pyarrow") is not None


def takes_arrow(limit: int | None) -> bool:
    """Whether rows whose types are known are asked for as Arrow: there may be many, and pyarrow is there."""
    return (limit is None or limit > MANY_ROWS) and has_arrow()


class Page(NamedTuple):
    """A page of rows, and the cursor of the next one."""

    rows: "Part"
    next: str | None
    meta: Meta


def pages(request: Send, name: str, retry: Retry, most: int | None = None) -> "Call[tuple[list[Part], Meta]]":
    """All rows of a document's member `name`, at most `most`, and what they stand on.

    Raises:
        ProblemError: the service refused; GoneError where what the first page stands on went away meanwhile.
        ConnectionFailedError: it was not reached, or broke off.
        ProtocolError: what came is no answer of this service.
    """
    first = page = yield from _page(request, name, retry)
    parts: list[Part] = [page.rows]
    count = len(page.rows)
    while page.next is not None and (most is None or count < most):
        page = yield from _page(replace(request, params=(*request.params, ("cursor", page.next))), name, retry)
        if not page.meta.stands_with(first.meta):
            raise ProtocolError("The pages of one cursor stand on different moments.")
        parts.append(page.rows)
        count += len(page.rows)
    if most is not None and count > most:
        parts[-1] = parts[-1][: len(parts[-1]) - (count - most)]
    return parts, first.meta


def listed(request: Send, name: str, retry: Retry) -> Call[list[Mapping[str, Any]]]:
    """All items of a document's member `name`, whose pages are each of their own moment.

    Raises:
        ProblemError, ConnectionFailedError, ProtocolError: see `pages`.
    """
    items: list[Mapping[str, Any]] = []
    asked: Send | None = request
    while asked is not None:
        found = document((yield from exchange(asked, retry)))
        try:
            items += found[name]
            following = found["next"]
        except (KeyError, TypeError) as error:
            raise ProtocolError(f"The answer has no {name} with their next page: {error!r}.") from error
        more = (("cursor", following),)
        asked = None if following is None else replace(request, params=(*request.params, *more))
    return items


def _page(request: Send, name: str, retry: Retry) -> Call[Page]:
    reply = yield from exchange(request, retry)
    if reply.headers.get("content-type", "").startswith(ARROW):
        return _arrow_page(reply)
    return _json_page(reply, name)


def _arrow_page(reply: Reply) -> Page:
    import pyarrow as pa

    try:
        table = pa.ipc.open_stream(reply.body).read_all()
        meta = Meta.of(json.loads(table.schema.metadata[b"slackwater"]), reply.headers.get(LAG_HEADER))
    except (pa.ArrowException, KeyError, TypeError, ValueError) as error:
        raise ProtocolError(f"The answer is no Arrow stream with its moment: {error!r}.") from error
    link = _NEXT.search(reply.headers.get("link", ""))
    cursors = parse_qs(urlsplit(link[1]).query).get("cursor") if link else None
    return Page(table, cursors[0] if cursors else None, meta)


def _json_page(reply: Reply, name: str) -> Page:
    found = document(reply)
    try:
        return Page(found[name], found["next"], Meta.of(found["meta"], reply.headers.get(LAG_HEADER)))
    except (KeyError, TypeError, ValueError) as error:
        raise ProtocolError(f"The answer has no {name} with their moment: {error!r}.") from error
