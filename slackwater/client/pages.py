"""Pages of rows, one behind the other, all of one moment. No I/O is done here."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from slackwater.client.answer import LAG_HEADER, Answer
from slackwater.client.errors import ProtocolError
from slackwater.client.exchange import document, exchange
from slackwater.client.http import Call, Reply, Send
from slackwater.client.retry import Retry

MOST_ROWS = 10_000
"""Of one page, in the service."""

Part = Sequence[Mapping[str, Any]]


class Page(NamedTuple):
    """A page of rows, and the cursor of the next one."""

    rows: Part
    next: str | None
    answer: Answer


def pages(request: Send, name: str, retry: Retry, most: int | None = None) -> Call[tuple[list[Part], Answer]]:
    """All rows of a document's member `name`, at most `most`, and what they stand on.

    Raises:
        ProblemError: the service refused; GoneError where what the first page stands on went away meanwhile.
        ConnectionFailedError: it was not reached, or broke off.
        ProtocolError: what came is no answer of this service.
    """
    first = page = yield from _page(request, name, retry)
    parts, count = [page.rows], len(page.rows)
    while page.next is not None and (most is None or count < most):
        page = yield from _page(replace(request, params=(*request.params, ("cursor", page.next))), name, retry)
        if not page.answer.stands_with(first.answer):
            raise ProtocolError("The pages of one cursor stand on different moments.")
        parts.append(page.rows)
        count += len(page.rows)
    if most is not None and count > most:
        parts[-1] = parts[-1][: len(parts[-1]) - (count - most)]
    return parts, first.answer


def _page(request: Send, name: str, retry: Retry) -> Call[Page]:
    reply = yield from exchange(request, retry)
    return _json_page(reply, name)


def _json_page(reply: Reply, name: str) -> Page:
    found = document(reply)
    try:
        return Page(found[name], found["next"], Answer.of(found["answer"], reply.headers.get(LAG_HEADER)))
    except (KeyError, TypeError, ValueError) as error:
        raise ProtocolError(f"The answer has no {name} with their moment: {error!r}.") from error
