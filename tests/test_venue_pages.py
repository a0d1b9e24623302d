"""What a venue's REST interface shows of holes, where it refuses some, or nobody answers."""

import json
from dataclasses import replace
from random import Random

import httpx

from ingest.feeds.feed import Hole, Page, Request, Trade
from ingest.feeds.registry import FEEDS
from ingest.holes import Holes
from ingest.repair import FIRST_S, Missing, VenuePages
from tests.beam_world import T0_US
from tests.feeds.dialects import DIALECTS
from tests.feeds.schedule import told

VENUE, SYMBOL = "binance_spot", "BTCUSDT"


def test_a_hole_that_the_venue_refuses_does_not_keep_the_others_out() -> None:
    """Nor does one of a venue that nobody answers for throw away what was shown before it."""
    feed, draw = FEEDS[VENUE], Random(4)
    dialect = DIALECTS[VENUE](VENUE, SYMBOL)
    truth = [told(SYMBOL, n, T0_US + n * 250_000, draw, 1000) for n in range(1, 20)]
    holes = {(VENUE, "AGONE"): Holes(1, 9, 2, [(4, 5)]), (VENUE, SYMBOL): Holes(1, 19, 3, [(2, 3), (9, 9)])}

    def answered(request: httpx.Request) -> httpx.Response:
        asked = dict(request.url.params)
        if asked["symbol"] == "AGONE":
            return httpx.Response(400, text='{"code":-1121,"msg":"Invalid symbol."}')
        if asked["fromId"] == "9":
            raise httpx.ConnectError("refused")
        return httpx.Response(200, content=dialect.rest(request.url.path, asked, truth))

    client = httpx.Client(base_url="http://venue", transport=httpx.MockTransport(answered))
    pages = VenuePages(feed, Missing(holes), client, sleep=lambda seconds: None)
    found = []
    while (chunk := pages.read(0.0)) is not None:
        found += [json.loads(line)["trade_id"] for line in chunk.lines]
    assert found == [2, 3]
    assert [why.partition(":")[0] for why in pages.given_up] == [
        f"{VENUE} does not show AGONE 4..5",
        f"{VENUE} does not answer, asked for {SYMBOL}",
    ]


def test_a_venue_that_is_asked_by_time_is_said_to_need_a_file() -> None:
    pages = VenuePages(FEEDS["kraken"], Missing({("kraken", "A/B"): Holes(1, 9, 1, [(4, 4)])}), httpx.Client())
    assert pages.read(0.0) is None
    assert pages.given_up == ["kraken cannot be asked by id: give a file of the venue, --from FILE."]


def test_what_a_venue_says_instead_of_trades_is_no_end_and_id_0_is_an_id() -> None:
    """Too much with a 200 is asked again; a refusal with a 200 gives one hole up."""
    feed = FEEDS["okx"]
    read = feed.rest.read
    answers = iter([b'{"code":"50011","msg":"Rate limit reached."}', b'{"code":"51001","msg":"no such instrument"}'])

    def shown(body: bytes, request: Request, hole: Hole | None) -> Page:
        if body:
            return read(body, request, hole)
        line = b'{"venue":"binance_spot","symbol":"BTCUSDT","trade_id":0}'
        return Page([Trade(SYMBOL, "0", 0, T0_US, line)])

    bodies = [next(answers), next(answers), b""]
    client = httpx.Client(
        base_url="http://venue", transport=httpx.MockTransport(lambda _: httpx.Response(200, content=bodies.pop(0)))
    )
    spot = FEEDS[VENUE]
    spoken = replace(spot, rest=replace(spot.rest, read=shown))
    holes = {(VENUE, "GONE"): Holes(1, 9, 2, [(4, 5)]), (VENUE, SYMBOL): Holes(0, 9, 1, [(0, 0)])}
    slept: list[float] = []
    pages = VenuePages(spoken, Missing(holes), client, sleep=slept.append)
    (chunk,) = iter(lambda: pages.read(0.0), None)
    assert chunk.lines == [b'{"venue":"binance_spot","symbol":"BTCUSDT","trade_id":0}']
    assert [why.partition(":")[0] for why in pages.given_up] == [f"{VENUE} does not show GONE 4..5"]
    assert FIRST_S in slept
