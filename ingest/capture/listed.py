"""The instruments that venues list, as rows for the ledger of what is declared.

ingest.feeds.listings  ->  listed (REST)  ->  effective (from when each holds)  ->  slackwater.instruments.loading
"""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import replace

import httpx
import orjson

from ingest.capture.options import CaptureOptions
from ingest.capture.rest import MOST_PAGES, NotNowError, client_of, put, said
from ingest.errors import SourceError
from ingest.feeds.feed import Feed, FinalError, FrameError, Request, TooMuchError
from ingest.feeds.listing import Listed, Listing, Values
from ingest.feeds.listings import LISTINGS
from slackwater.instruments.errors import FactsError
from slackwater.instruments.facts import ALWAYS, Facts
from slackwater.instruments.given import facts_of
from slackwater.instruments.rows import SHOWN, Refusal, Row
from slackwater.instruments.table import Table

TRIES = 3


async def listed(feeds: Sequence[Feed], options: CaptureOptions) -> list[Row]:
    """The rows of all venues, in order. Raises SourceError: a venue does not list its instruments."""
    found = await asyncio.gather(*(_of(feed, LISTINGS[feed.venue], options) for feed in feeds))
    return [row for rows in found for row in rows]


def effective(row: Row, declared: Table, now_us: int, from_now: bool) -> Row:
    """A row that holds as if always, or from now on where another one of its name does or that is asked for."""
    if not isinstance(row.read, Facts):
        return row
    known = declared.at(*row.read.name, now_us)
    from_us = ALWAYS if known is None and not from_now else now_us
    return row._replace(read=replace(row.read, effective=from_us))


async def _of(feed: Feed, listing: Listing, options: CaptureOptions) -> list[Row]:
    rows: list[Row] = []
    async with client_of(feed, options) as client:
        for first in listing.first:
            request: Request | None = first
            for _ in range(MOST_PAGES):
                if request is None:
                    break
                page = await _page(feed, listing, client, request, options)
                rows += [_row(feed.venue, len(rows) + i, one) for i, one in enumerate(page.rows, 1)]
                request = page.more
    return rows


async def _page(
    feed: Feed, listing: Listing, client: httpx.AsyncClient, request: Request, options: CaptureOptions
) -> Listed:
    why, wait_s = "", 0.0
    for _ in range(TRIES):
        await asyncio.sleep(wait_s * random.uniform(0.5, 1.0))  # noqa: S311 - no secret
        wait_s = max(options.timing.first_s, wait_s * 4)
        try:
            answer = await client.send(put(client, request))
            return said(answer, lambda body: listing.read(body, request))
        except FinalError as error:
            why = str(error)
            break
        except (httpx.HTTPError, FrameError, TooMuchError, NotNowError) as error:
            why = str(error) or type(error).__name__
    raise SourceError(f"{feed.venue} does not list its instruments: {why}.", "Nothing is loaded.")


def _row(venue: str, number: int, one: Values | FrameError) -> Row:
    place = f"{venue}, instrument {number}"
    if isinstance(one, FrameError):
        return Row(place, Refusal(one.reason, str(one)), "")
    text = orjson.dumps({**one}).decode()[:SHOWN]
    try:
        return Row(place, facts_of(one), text)
    except FactsError as error:
        return Row(place, Refusal(error.reason, str(error)), text)
