"""The page at `/` in a real Chromium, against answers made by `page_server`: it draws, follows, and recovers.

Nothing here evaluates texts as code: the page's own Content-Security-Policy forbids it, and stays on. What is shown is
read from `document.body.dataset` and from the chart's pixels.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

from tests.page_server import PARTITION, Market, PageServer

pytestmark = pytest.mark.browser
expect.set_options(timeout=20_000)  # a deadline, not a pace: what is waited for comes within a second

NOW_US = 1_767_614_400_000_000  # 2026-01-05T12:00:00Z
PHONE = {"width": 360, "height": 740}

# How many pixels of the chart have a colour of the style sheet, in its lowest drawn row of the main pane or anywhere.
COUNT_PIXELS = """(chart, [name, lowest]) => {
  const probe = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  probe.fillStyle = getComputedStyle(chart).getPropertyValue("--" + name).trim();
  const wanted = [1, 3, 5].map((at) => parseInt(probe.fillStyle.slice(at, at + 2), 16));
  const canvases = [...chart.querySelectorAll("canvas")].sort((a, b) => b.width * b.height - a.width * a.height);
  let most = 0;
  for (const canvas of canvases.slice(0, 2)) {
    const top = lowest ? canvas.height - 2 : 0;
    Object.assign(probe.canvas, { width: canvas.width, height: canvas.height - top });
    probe.drawImage(canvas, 0, -top);
    const { data } = probe.getImageData(0, 0, probe.canvas.width, probe.canvas.height);
    let found = 0;
    for (let i = 0; i < data.length; i += 4) {
      if (data[i + 3] === 255 && wanted.every((value, at) => data[i + at] === value)) found += 1;
    }
    most = Math.max(most, found);
  }
  return most;
}"""


@pytest.fixture
def market() -> Market:
    """Twelve minutes of trades: a version, and behind its cut some more."""
    market = Market(NOW_US)
    market.trade(1500)
    market.publish()
    market.trade(300)
    return market


@pytest.fixture
def server(market: Market) -> Iterator[PageServer]:
    """The market, served."""
    with PageServer(market) as server:
        yield server


class Visit:
    """One open page, and what it must not do: complain on the console, or ask another host."""

    def __init__(self, context: BrowserContext, server: PageServer) -> None:
        self.page: Page = context.new_page()
        self.complaints: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.url = server.url

    def go(self, fragment: str = "") -> "Visit":
        """Open the page."""
        self.page.goto(self.url + fragment)
        return self

    @property
    def body(self) -> Locator:
        """What carries the data attributes."""
        return self.page.locator("body")

    def shows(self, **data: Any) -> None:
        """Wait until the body's data attributes are these."""
        for name, value in data.items():
            attribute = "data-" + re.sub("([A-Z])", r"-\1", name).lower()
            expect(self.body).to_have_attribute(attribute, value if isinstance(value, re.Pattern) else str(value))

    def data(self, name: str) -> str:
        """One data attribute as it is now."""
        return str(self.page.evaluate("name => document.body.dataset[name]", name))

    def pixels(self, colour: str, lowest: bool = False) -> int:
        """How much of the chart has this colour of the style sheet."""
        return int(self.page.locator("#chart").evaluate(COUNT_PIXELS, [colour, lowest]))

    def wait_for(self, holds: Callable[[], bool]) -> None:
        """Wait, a painted frame after the other, until something holds that no attribute says."""
        for _ in range(600):
            if holds():
                return
            self.page.evaluate("() => new Promise((done) => requestAnimationFrame(done))")
        pytest.fail("It never came to hold.")


Open = Callable[..., Visit]


@pytest.fixture
def visit(browser: Browser, server: PageServer) -> Iterator[Open]:
    """Opens the page with options of a browser context."""
    opened: list[AbstractContextManager[object]] = []

    def open_page(fragment: str = "", **options: Any) -> Visit:
        context = browser.new_context(**options)
        opened.append(context)
        return Visit(context, server).go(fragment)

    yield open_page
    for context in opened:
        context.__exit__(None, None, None)


def parts(market: Market, interval: str = "5s") -> dict[str, int]:
    """How many of the 300 newest bars are of each part."""
    query = {"venue": market.venue, "symbol": market.symbol, "interval": interval, "limit": "300"}
    merged = market.answer("/v1/bars", query)[1]["bars"]
    below = {bar["start"]: bar["trades"] for bar in market.answer("/v1/bars", {**query, "layer": "batch"})[1]["bars"]}
    found = {"batchBars": 0, "bothBars": 0, "speedBars": 0}
    for bar in merged:
        found[
            "speedBars"
            if bar["start"] not in below
            else "bothBars"
            if below[bar["start"]] < bar["trades"]
            else "batchBars"
        ] += 1
    return found


def test_it_draws_candles_and_asks_no_other_host(visit: Open, server: PageServer) -> None:
    seen = visit()
    seen.shows(state="live", version=1, bars=len_of(server.market), venue="binance", symbol="BTCUSDT", interval="5s")
    seen.wait_for(lambda: seen.pixels("up") > 200 and seen.pixels("down") > 200)
    assert {urlsplit(url).netloc for url in seen.asked} == {f"127.0.0.1:{server.port}"}
    assert seen.complaints == []


def test_it_says_what_the_answer_stands_on(visit: Open, market: Market) -> None:
    market.lag_records = 1234
    page = visit().page
    expect(page.locator("#version")).to_have_text("1")
    expect(page.locator("#lag")).to_have_text("1,234 records")
    expect(page.locator("#complete")).to_have_text("yes")
    expect(page.locator("#trades")).to_have_text("1,800")
    expect(page.locator("#partitions tr")).to_have_text(PARTITION + "1,500" + "1,800" + "300")
    expect(page.locator("#layers")).to_contain_text("version 1, proven equal")
    expect(page.locator("#versions li[aria-current]")).to_contain_text("proven equal")
    expect(page.get_by_role("link", name="www.tradingview.com")).to_be_visible()


def test_bars_are_told_apart_by_their_part(visit: Open, market: Market) -> None:
    market.trade(3, late_us=200_000_000)
    seen = visit()
    expected = parts(market)
    assert all(expected.values())
    seen.shows(**expected)
    seen.wait_for(lambda: seen.pixels("batch-volume") > 200 and seen.pixels("speed-volume") > 200)


def test_new_trades_appear_without_a_reload(visit: Open, market: Market) -> None:
    seen = visit()
    seen.shows(state="live", trades=1800)
    market.trade(40)
    seen.shows(trades=1840, bars=len_of(market), last=last_price(market))
    expect(seen.page.locator("#partitions .speed")).to_have_text("340")


def test_a_late_trade_makes_a_bar_between_others(visit: Open, market: Market) -> None:
    market.now_us += 60_000_000
    market.trade(10)
    seen = visit()
    before = len_of(market)
    seen.shows(bars=before)
    market.trade(1, late_us=30_000_000)
    seen.shows(state="live", bars=before + 1, trades=1811)
    market.trade(40)
    seen.shows(state="live", trades=1851, bars=len_of(market))
    assert seen.complaints == []


def test_the_lag_is_new_while_the_answer_is_the_same(visit: Open, market: Market) -> None:
    seen = visit()
    seen.shows(lag=0)
    market.lag_records = 7
    seen.shows(lag=7)
    expect(seen.page.locator("#lag")).to_have_text("7 records")


def test_the_seam_moves_when_a_version_is_published(visit: Open, market: Market) -> None:
    seen = visit()
    seen.shows(version=1, **parts(market))
    before = int(seen.data("seam"))
    seen.wait_for(lambda: seen.pixels("batch", lowest=True) > 0)
    dry = seen.pixels("batch", lowest=True)
    market.publish()
    seen.shows(version=2, speedBars=0, bothBars=0)
    assert int(seen.data("seam")) > before
    seen.wait_for(lambda: seen.pixels("batch", lowest=True) > dry + 50)
    expect(seen.page.locator("#versions li")).to_have_count(2)


def test_a_question_is_kept_in_the_address(visit: Open, market: Market) -> None:
    seen = visit("#venue=binance&symbol=BTCUSDT&interval=1m")
    seen.shows(state="live", interval="1m", bars=len_of(market, "1m"), **parts(market, "1m"))
    seen.page.get_by_label("1s", exact=True).check(force=True)
    seen.shows(state="live", interval="1s", bars=300)
    assert seen.page.url.endswith("#venue=binance&symbol=BTCUSDT&interval=1s")
    seen.page.reload()
    seen.shows(state="live", interval="1s", bars=300)


def test_it_is_used_by_the_keyboard_alone(visit: Open) -> None:
    seen = visit()
    seen.shows(state="live")
    seen.page.keyboard.press("Tab")
    expect(seen.page.get_by_label("Instrument")).to_be_focused()
    seen.page.keyboard.press("Tab")
    seen.page.keyboard.press("ArrowRight")
    seen.shows(state="live", interval="1m")
    seen.page.keyboard.press("Tab")
    expect(seen.page.locator("#chart")).to_be_focused()
    for key in ("ArrowLeft", "+", "-", "End"):
        seen.page.keyboard.press(key)
    assert seen.complaints == []


def test_it_says_that_the_server_is_gone_and_comes_back_by_itself(
    visit: Open, server: PageServer, market: Market
) -> None:
    seen = visit()
    seen.shows(state="live", trades=1800)
    server.stop()
    seen.shows(state="offline")
    expect(seen.page.get_by_role("status")).to_have_text("Server unreachable, trying again")
    expect(seen.page.locator("#layers")).to_have_text("Serviceunreachable")
    market.trade(5)
    market.publish()
    server.start()
    seen.shows(state="live", trades=1805, version=2)


def test_without_a_trade_it_waits_for_the_first(browser: Browser) -> None:
    market = Market(NOW_US)
    with PageServer(market) as server, browser.new_context() as context:
        seen = Visit(context, server).go()
        seen.shows(state="waiting")
        expect(seen.page.locator("#message")).to_contain_text("No trades yet")
        market.trade(30)
        seen.shows(state="live", trades=30, version=0, batchBars=0, seam="")
        expect(seen.page.locator("#message")).to_be_hidden()


def test_a_refused_layer_is_said(visit: Open, market: Market) -> None:
    market.refusal = "The topic was created again: its id is not the version's."
    seen = visit()
    seen.shows(state="live", refused="true", complete="false", speedBars=0, trades=1500)
    expect(seen.page.get_by_role("alert")).to_have_text(market.refusal)
    expect(seen.page.locator("#layers")).to_contain_text("not ready")
    market.refusal = ""
    seen.shows(refused="false", complete="true", trades=1800)
    expect(seen.page.locator("#refusal")).to_be_hidden()


def test_a_service_that_does_not_serve_yet_is_waited_for(visit: Open, market: Market) -> None:
    market.problem = "The delta topic is not read yet: 12 deltas to go. See /health/ready."
    seen = visit("#venue=binance&symbol=BTCUSDT&interval=5s")
    seen.shows(state="waiting")
    expect(seen.page.locator("#message")).to_contain_text(market.problem)
    expect(seen.page.locator("#layers")).to_contain_text("not ready")
    market.problem = ""
    seen.shows(state="live", trades=1800)


@pytest.mark.parametrize("interval", ["1s", "1d"])
def test_a_phone_scrolls_no_way_but_down(interval: str, visit: Open, market: Market) -> None:
    market.symbol = "A-VERY.LONG/SYMBOL:OF-SIXTY-FOUR_CHARACTERS.THAT/NOBODY:EVER-MADE"[:64]
    market.refusal = "x" * 300
    seen = visit(f"#interval={interval}", viewport=PHONE, has_touch=True)
    seen.shows(state="live", interval=interval)
    widths = seen.page.evaluate("() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert widths == [PHONE["width"], PHONE["width"]]


def test_it_is_dark_or_light_as_the_reader_is(visit: Open) -> None:
    seen = visit(color_scheme="dark")
    seen.shows(state="live")
    assert brightness(seen) < 60
    seen.wait_for(lambda: seen.pixels("up") > 200)
    dark = seen.page.locator("#chart").evaluate("chart => getComputedStyle(chart).getPropertyValue('--up')")
    seen.page.emulate_media(color_scheme="light")
    assert brightness(seen) > 200
    seen.wait_for(lambda: seen.pixels("up") > 200)
    assert dark != seen.page.locator("#chart").evaluate("chart => getComputedStyle(chart).getPropertyValue('--up')")


def brightness(seen: Visit) -> float:
    """Of the page's ground, 0 to 255."""
    colour = seen.body.evaluate("body => getComputedStyle(body).backgroundColor")
    return sum(map(int, re.findall(r"\d+", colour)[:3])) / 3


def len_of(market: Market, interval: str = "5s") -> int:
    """How many bars the page has to show."""
    return sum(parts(market, interval).values())


def last_price(market: Market) -> str:
    """The newest trade's price as the service writes it."""
    query = {"venue": market.venue, "symbol": market.symbol, "interval": "5s", "limit": "1"}
    return str(market.answer("/v1/bars", query)[1]["bars"][-1]["close"])
