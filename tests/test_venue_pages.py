"""What a venue's REST interface shows of holes, where it refuses some, or nobody answers."""

import json
from random import Random

import httpx

from ingest.feeds.registry import FEEDS
from ingest.holes import Holes
from ingest.repair import Missing, VenuePages
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
