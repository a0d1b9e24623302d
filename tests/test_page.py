"""The page at `/` in a real Chromium, on the real service, speed worker and batch run (`page_server`).

It draws, follows, tells the layers apart, says what is down, and recovers. Nothing here evaluates texts as code: the
page's own Content-Security-Policy forbids it, and stays on. What is shown is read from `document.body.dataset`, from
the page's texts and from the chart's pixels, and compared with what the service answers.
"""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, Route, expect

from serving.options import ServingOptions
from slackwater.http.options import GuardOptions
from slackwater.keys.keys import KeyStore
from tests.page_server import SECOND_US, VENUE, Market, PageServer

pytestmark = pytest.mark.browser
expect.set_options(timeout=30_000)  # a deadline, not a pace: what is waited for comes within a second

LIMIT = 500
PHONE = {"width": 360, "height": 740}
LONG_NAME = "1000000MOGUSDT_PERP-260327"
BTC = "#venue=binance&symbol=BTCUSDT&interval=5s"

# Two of the page's modules by themselves: what they make of bars, and of a histogram that grew.
SERIES = """async ([batch, snapshot, changed, older]) => {
  const { Series } = await import("/static/series.js");
  const series = new Series();
  series.replace(snapshot);
  series.takeBatch(batch);
  const change = series.put(changed, "late");
  series.prepend(older);
  const bars = series.bars.map((b) => [b.start, b.part, String(b.delta), String(b.cumulative), b.correction ?? ""]);
  return { change, bars };
}"""
FIGURES = """async (texts) => {
  const { Figures } = await import("/static/figures.js");
  const { signed, units } = await import("/static/format.js");
  const figures = new Figures();
  for (const text of texts) figures.sawMetrics(text);
  return [figures.quantile(0.5), figures.quantile(0.99), signed(-units("12345678901234.00000001")), signed(units("2"))];
}"""

# How many pixels of the chart have a colour of the style sheet, in the lowest drawn rows of the panes or anywhere.
COUNT_PIXELS = """(chart, [name, lowest]) => {
  const probe = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  probe.fillStyle = getComputedStyle(chart).getPropertyValue("--" + name).trim();
  const wanted = [1, 3, 5].map((at) => parseInt(probe.fillStyle.slice(at, at + 2), 16));
  const canvases = [...chart.querySelectorAll("canvas")].sort((a, b) => b.width * b.height - a.width * a.height);
  let most = 0;
  for (const canvas of canvases.slice(0, 4)) {
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

# What a reader with a keyboard can come to: every control, with its name; and whether it shows that it has the focus.
FOCUSED = """() => {
  const { activeElement: at } = document;
  const visible = getComputedStyle(at.matches("input[type=radio]") ? at.parentElement : at);
  return [at.id || at.name || at.textContent.trim(), visible.outlineStyle !== "none" && visible.outlineWidth !== "0px"];
}"""

# Controls without a name, images without a text, ids that stand twice, references to nothing.
FAULTS = """() => {
  const named = (e) => e.ariaLabel || e.title || e.textContent.trim() || e.labels?.length || e.ariaLabelledByElements;
  const controls = [...document.querySelectorAll("a, button, input, select, [tabindex], [role=listbox], dialog")];
  const ids = [...document.querySelectorAll("[id]")].map((e) => e.id);
  const pointers = ["for", "aria-controls", "aria-labelledby", "aria-activedescendant"];
  const aims = pointers.flatMap((name) =>
    [...document.querySelectorAll(`[${name}]`)].map((e) => e.getAttribute(name)));
  return [
    ...controls.filter((e) => !named(e)).map((e) => `no name: ${e.outerHTML.slice(0, 80)}`),
    ...[...document.querySelectorAll("svg:not([aria-hidden])")].map(() => "an image that is read"),
    ...ids.filter((id, at) => ids.indexOf(id) !== at).map((id) => `twice: ${id}`),
    ...aims.filter((id) => !document.getElementById(id)).map((id) => `points at nothing: ${id}`),
    ...(document.querySelectorAll("h1").length === 1 && document.documentElement.lang ? [] : ["no title or language"]),
  ];
}"""

# Texts of the page that are wider or higher than the box that holds them, or that end beyond the window's edge.
CUT_OFF = """(status) => {
  if (status) document.getElementById("status").textContent = status;
  const shown = (e) => e.checkVisibility() && e.clientWidth > 1;
  const cut = (e) => e.scrollWidth > e.clientWidth || e.scrollHeight > e.clientHeight || outside(e);
  const outside = (e) => {
    const [own, card] = [e.getBoundingClientRect(), e.closest(".card, header").getBoundingClientRect()];
    return own.right > card.right || own.left < card.left || own.bottom > card.bottom;
  };
  const held = [...document.querySelectorAll("#readout, #readout > span > span, #instrument, #status, .last, .legend")];
  return held.filter(shown).filter(cut).map((e) => e.id || e.textContent);
}"""

WIDTHS = "() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]"

# Texts whose contrast with what they stand on is below 4.5, as WCAG AA computes it.
PALE = """() => {
  const probe = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    probe.clearRect(0, 0, 1, 1);
    probe.fillStyle = colour;
    probe.fillRect(0, 0, 1, 1);
    return [...probe.getImageData(0, 0, 1, 1).data];
  };
  const light = ([r, g, b]) => [r, g, b]
    .map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, at) => sum + v * [0.2126, 0.7152, 0.0722][at], 0);
  const ground = (e) => {
    for (let at = e; at; at = at.parentElement) {
      const found = rgba(getComputedStyle(at).backgroundColor);
      if (found[3] === 255) return found;
    }
  };
  const texts = [...document.querySelectorAll("body *")].filter((e) =>
    [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim()) && e.checkVisibility() && !e.disabled);
  return texts.flatMap((e) => {
    const [one, other] = [light(rgba(getComputedStyle(e).color)), light(ground(e))];
    const contrast = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    return contrast < 4.5 ? [`${contrast.toFixed(2)} ${e.id || e.className}: ${e.textContent.trim()}`] : [];
  });
}"""


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Market]:
    """Twelve minutes of trades: a version, and behind its cut some more. It only grows."""
    market = Market(tmp_path_factory.mktemp("market"), time.time_ns() // 1000 - 3600 * SECOND_US)
    market.trade(1500)
    market.trade(20, "ETHUSDT")
    market.publish()
    market.trade(300)
    yield market
    market.close()


@pytest.fixture(scope="module")
def server(market: Market) -> Iterator[PageServer]:
    """The market, served."""
    with PageServer(market) as server:
        yield server


class Visit:
    """One open page, and what it must not do: complain on the console, or ask another host."""

    def __init__(self, context: BrowserContext, server: PageServer) -> None:
        self.page: Page = context.new_page()
        self.complaints: list[str] = []
        self.request_headers: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.request_headers.append(request.url))
        self.url = server.url

    def go(self, fragment: str = BTC) -> "Visit":
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
    with ExitStack() as contexts:

        def open_page(fragment: str = BTC, at: PageServer = server, **options: Any) -> Visit:
            return Visit(contexts.enter_context(browser.new_context(**options)), at).go(fragment)

        yield open_page


def answer(server: PageServer, path: str = "v1/bars", **query: Any) -> Any:
    """What the service answers, by default the bars that the page has to show."""
    defaults = {"venue": VENUE, "symbol": "BTCUSDT", "interval": "5s", "limit": LIMIT} if path == "v1/bars" else {}
    return httpx.get(server.url + path, params={**defaults, **query}, timeout=20).json()


def settled(server: PageServer, **query: Any) -> dict[str, Any]:
    """What the page has to show once everything in the log is applied."""
    end = server.market.appended
    for _ in range(2000):
        ready = answer(server, "health/ready")
        if ready["ready"] and ready["layers"]["speed"]["applied"] == end:
            break
        time.sleep(0.01)
    else:
        pytest.fail("The speed layer did not apply the log.")
    merged = answer(server, **query)["bars"]
    below = {bar["start"]: bar["trades"] for bar in answer(server, layer="batch", **query)["bars"]}
    part = [
        "speed" if bar["start"] not in below else "both" if below[bar["start"]] < bar["trades"] else "batch"
        for bar in merged
    ]
    return {
        "bars": len(merged),
        "trades": sum(bar["trades"] for bar in merged),
        "last": merged[-1]["close"],
        **{f"{name}Bars": part.count(name) for name in ("batch", "both", "speed")},
    }


def bar(start: int, bought: str, volume: str, trades: int = 1, **more: Any) -> dict[str, Any]:
    """A bar as far as the page computes with it."""
    return {"start": start, "buy_volume": bought, "volume": volume, "trades": trades, "closed": True, **more}


def test_bars_are_told_apart_and_their_flow_is_exact(visit: Open) -> None:
    # start      1      2      3      4      5
    # batch      x      x      x
    # snapshot          x      x2     x
    # changed           x2            x      x        2 corrected, 4 sent again as it was, 5 new
    # older      x
    page = visit("docs").page
    batch = [bar(start, "1", "1") for start in (1, 2, 3)]
    snapshot = [bar(2, "0.1", "0.3"), bar(3, "0.2", "0.2", 2), bar(4, "0", "0.00000001")]
    changed = [
        bar(2, "0.2", "0.4", 2, correction=True),
        bar(4, "0", "0.00000001", correction=True),
        bar(5, "1", "1.5", closed=False),
    ]
    found = page.evaluate(SERIES, [batch, snapshot, changed, [bar(1, "7", "9")]])
    assert found["change"] == {"first": 0, "inserted": False}
    assert found["bars"] == [
        [1, "batch", "500000000", "500000000", ""],
        [2, "both", "0", "500000000", "late"],
        [3, "both", "20000000", "520000000", ""],
        [4, "speed", "-1", "519999999", ""],
        [5, "speed", "50000000", "569999999", ""],
    ]


def test_latency_is_that_of_what_came_since(visit: Open) -> None:
    name = "slackwater_end_to_end_latency_seconds_bucket"
    before = f'{name}{{le="0.01"}} 90.0\n{name}{{le="0.1"}} 100.0\n{name}{{le="+Inf"}} 100.0\n'
    after = f'{name}{{le="0.01"}} 90.0\n{name}{{le="0.1"}} 180.0\n{name}{{le="+Inf"}} 200.0\n'
    page = visit("docs").page
    assert page.evaluate(FIGURES, [before, after]) == [
        pytest.approx(0.01 + 0.09 * 50 / 80),
        0.1,
        "\u221212,345,678,901,234.00000001",
        "+2",
    ]


def test_it_draws_candles_and_flow_and_asks_no_other_host(visit: Open, server: PageServer) -> None:
    seen = visit("")
    seen.shows(state="live", venue="binance", symbol="BTCUSDT", interval="5s", **settled(server))
    seen.wait_for(lambda: all(seen.pixels(colour) > 100 for colour in ("up", "down", "bought", "sold", "flow")))
    assert {urlsplit(url).netloc for url in seen.request_headers} == {f"127.0.0.1:{server.port}"}
    for path in ("", "static/app.js"):
        found = httpx.get(server.url + path)
        assert found.headers["cache-control"] == "no-cache", "two releases are never mixed"
        assert "script-src 'self'" in found.headers["content-security-policy"]
    assert seen.complaints == []


def test_it_says_what_the_answer_stands_on(visit: Open, server: PageServer) -> None:
    seen = visit()
    seen.shows(state="live", **settled(server))
    about = answer(server)["meta"]
    page = seen.page
    expect(page.locator("#version")).to_have_text(f"v{about['version']}")
    expect(page.locator("#complete")).to_have_text("yes")
    ((partition, cut),) = about["cut"].items()
    applied = about["applied"][partition]
    row = f"{partition}{cut:,}{applied:,}{applied - cut:,}"
    expect(page.locator("#partitions tr")).to_have_text(row)
    for name, text in (("Log", "records retained"), ("Speed", "Everything is applied"), ("Batch", "proven equal")):
        expect(page.locator("#layers li").filter(has_text=name)).to_contain_text(text)
    served = page.locator("#handoffs li[aria-current]")
    proof = answer(server, "v1/versions")["versions"][0]["proof"]
    expect(served).to_contain_text("equal")
    expect(served).to_contain_text(f"{proof['records']:,} records · {proof['compared']:,} cells")
    expect(page.get_by_role("link", name="www.tradingview.com")).to_be_visible()


def test_new_trades_appear_by_the_stream(visit: Open, market: Market, server: PageServer) -> None:
    seen = visit()
    seen.shows(state="live", follows="stream", **settled(server))
    polls = sum("v1/bars" in url for url in seen.request_headers)
    market.trade(40)
    seen.shows(**settled(server))
    assert sum("v1/bars" in url for url in seen.request_headers) == polls
    assert seen.complaints == []


def test_a_late_trade_to_a_closed_bar_is_marked(visit: Open, market: Market, server: PageServer) -> None:
    seen = visit()
    seen.shows(state="live", **settled(server))
    before = int(seen.data("corrected"))
    market.trade(1, late_us=400 * SECOND_US)
    seen.shows(**settled(server))
    seen.shows(corrected=before + 1)
    seen.wait_for(lambda: seen.pixels("fair") > 10)
    market.publish()
    seen.shows(version=answer(server)["meta"]["version"])
    expect(seen.page.locator("#restatements")).to_contain_text("late trade")
    again = visit()
    again.shows(corrected=re.compile("[1-9]"))
    assert seen.complaints == again.complaints == []


def test_the_seam_moves_when_a_version_is_published(visit: Open, market: Market, server: PageServer) -> None:
    market.publish()  # whatever came late in another test is told by this version, not by the next
    market.trade(60)
    seen = visit()
    seen.shows(**settled(server))
    expect(seen.page.locator("#handoffs li[aria-current]")).to_be_visible()  # so the restatements are known, too
    before, dry = int(seen.data("seam")), seen.pixels("batch", lowest=True)
    corrected = seen.data("corrected")
    manifest = market.publish()
    seen.shows(version=manifest.version)  # only then the service answers from it
    seen.shows(**settled(server))
    seen.shows(speedBars=0)
    assert int(seen.data("seam")) > before
    seen.wait_for(lambda: seen.pixels("batch", lowest=True) > dry + 20)
    moved = sum(span.upto - span.start for span in manifest.proof.spans)
    expect(seen.page.locator("#note")).to_have_text(f"v{manifest.version} published, {moved:,} records moved")
    assert seen.data("corrected") == corrected, "what moved is not corrected"


def test_scrolling_back_loads_older_bars(visit: Open, server: PageServer) -> None:
    seen = visit(BTC.replace("5s", "1s"))
    everything = settled(server, interval="1s", limit=10_000)
    assert everything["bars"] > LIMIT
    seen.shows(state="live", bars=LIMIT)
    chart = seen.page.locator("#chart")
    chart.focus()
    for _ in range(100):
        chart.press("Home")
        if int(seen.data("bars")) == everything["bars"]:
            break
    seen.shows(**everything, first=answer(server, interval="1s", limit=10_000)["bars"][0]["start"])
    assert seen.complaints == []


def test_an_instrument_is_found_by_typing(visit: Open) -> None:
    seen = visit()
    seen.shows(state="live", symbol="BTCUSDT")
    seen.page.locator("h1").click()
    seen.page.keyboard.press("/")
    field = seen.page.get_by_role("combobox", name="Instrument")
    expect(field).to_be_focused()
    expect(seen.page.get_by_role("option")).to_have_text(["BTCUSDTbinance", "ETHUSDTbinance"])
    field.fill("eth")
    expect(seen.page.get_by_role("option")).to_have_text(["ETHUSDTbinance"])
    seen.page.keyboard.press("Enter")
    seen.shows(state="live", symbol="ETHUSDT", trades=20)
    expect(field).to_have_value("ETHUSDT · binance")
    assert seen.page.url.endswith("symbol=ETHUSDT&interval=5s")
    seen.page.reload()
    seen.shows(state="live", symbol="ETHUSDT", trades=20)


def test_after_a_search_single_keys_work_again(visit: Open) -> None:
    seen = visit()
    seen.shows(state="live", symbol="BTCUSDT")
    field = seen.page.get_by_role("combobox", name="Instrument")
    for leave in ("Enter", "Escape", "click"):
        before = (seen.data("symbol"), field.input_value())
        seen.page.locator("#chart").focus()
        seen.page.keyboard.press("/")
        field.fill("eth")
        if leave == "click":
            seen.page.get_by_role("option").click()
        else:
            seen.page.keyboard.press(leave)
        expect(seen.page.locator("#chart")).to_be_focused()
        wanted = before if leave == "Escape" else ("ETHUSDT", "ETHUSDT · binance")
        for key, interval in (("4", "1m"), ("2", "5s")):
            seen.page.keyboard.press(key)
            seen.shows(state="live", interval=interval, symbol=wanted[0])
        expect(field).to_have_value(wanted[1])
    field.click()
    seen.page.keyboard.press("Escape")
    expect(field).not_to_be_focused()
    assert seen.complaints == []


@pytest.mark.parametrize("size", [(1440, 900), (1280, 800), (390, 844)], ids=lambda size: f"{size[0]}x{size[1]}")
def test_neither_a_name_nor_the_line_of_a_bar_is_cut_off(size: tuple[int, int], visit: Open, tmp_path: Path) -> None:
    market = Market(tmp_path, time.time_ns() // 1000 - 600 * SECOND_US)
    market.trade(400, LONG_NAME, step_us=60_000)
    market.publish()
    market.trade(400, LONG_NAME, step_us=1)
    market.trade(1, LONG_NAME, late_us=10 * SECOND_US)
    with PageServer(market) as server:
        width, height = size
        seen = visit(
            f"#venue={VENUE}&symbol={LONG_NAME}&interval=1m", server, viewport={"width": width, "height": height}
        )
        seen.shows(state="live", trades=801, bothBars=re.compile("[1-9]"))
        expect(seen.page.get_by_role("combobox", name="Instrument")).to_have_value(f"{LONG_NAME} · {VENUE}")
        seen.page.locator("#chart").focus()
        for _ in range(3):
            assert seen.page.evaluate(CUT_OFF) == []
            seen.page.keyboard.press("ArrowLeft")
        assert seen.page.evaluate(CUT_OFF, "No trade since 2021-01-01, with a fault") == []
        assert seen.page.evaluate(WIDTHS) == [width, width]
    market.close()


def test_it_is_used_by_the_keyboard_alone(visit: Open, server: PageServer) -> None:
    seen = visit()
    seen.shows(state="live", **settled(server))
    reached = []
    for _ in range(40):
        seen.page.keyboard.press("Tab")
        name, shown = seen.page.evaluate(FOCUSED)
        if seen.page.evaluate("() => document.activeElement === document.body"):
            break
        assert shown, f"{name} has the focus and does not show it"
        reached.append(name)
    controls = ["Skip to the chart", "instrument", "interval", "theme", "help-open", "chart"]
    assert reached[: len(controls)] == controls
    assert reached[len(controls) :] == ["API", "Versions", "Metrics", "www.tradingview.com", "notice"]
    seen.page.locator("#chart").focus()
    for key in ("ArrowLeft", "ArrowLeft", "+", "-"):
        seen.page.keyboard.press(key)
    bar = answer(server)["bars"][-2]
    expect(seen.page.locator("#spoken")).to_contain_text(f"{bar['trades']} (")
    seen.page.keyboard.press("4")
    seen.shows(state="live", interval="1m")
    seen.page.keyboard.press("?")
    expect(seen.page.get_by_role("dialog", name="Keys")).to_be_visible()
    seen.page.keyboard.press("Escape")
    assert seen.complaints == []


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_it_can_be_read_and_every_control_has_a_name(scheme: str, visit: Open, server: PageServer) -> None:
    seen = visit(color_scheme=scheme)
    seen.shows(state="live", **settled(server))
    expect(seen.page.locator("#handoffs li[aria-current]")).to_be_visible()
    assert seen.page.evaluate(FAULTS) == []
    assert seen.page.evaluate(PALE) == []
    seen.page.get_by_role("button", name="Keys").click()
    assert seen.page.evaluate(PALE) == []


def test_it_survives_a_restart_of_the_server(visit: Open, market: Market, server: PageServer) -> None:
    seen = visit()
    seen.shows(state="live", **settled(server))
    server.stop()
    seen.shows(state="offline")
    expect(seen.page.get_by_role("status").first).to_have_text("Server unreachable, trying again")
    expect(seen.page.get_by_role("alert").first).to_contain_text("The server has not answered since")
    market.trade(5)
    version = market.publish().version
    server.start()
    seen.shows(state="live", version=version, **settled(server))
    expect(seen.page.locator("#banner")).to_be_hidden()


def test_a_speed_layer_that_is_down_is_said_with_what_the_bars_still_are(
    visit: Open, market: Market, server: PageServer
) -> None:
    seen = visit()
    seen.shows(state="live", **settled(server))
    market.speaks = False
    try:
        market.trade(30)
        banner = seen.page.locator("#banner")
        expect(banner).to_contain_text("The speed layer has been down since")
        expect(banner).to_contain_text("30 records of the log are not in these bars")
        expect(seen.page.locator("#layers li").filter(has_text="Speed")).to_contain_text("down for")
        seen.shows(lag=30, state="live", fault="true")
        expect(seen.page.get_by_role("status").first).to_have_text("Live, with a fault")
    finally:
        market.speaks = True
    expect(banner).to_be_hidden()
    seen.shows(**settled(server))


def test_without_a_trade_it_waits_for_the_first(visit: Open, tmp_path: Path) -> None:
    market = Market(tmp_path, time.time_ns() // 1000 - 60 * SECOND_US)
    with PageServer(market) as server:
        seen = visit("", at=server)
        seen.shows(state="waiting")
        expect(seen.page.locator("#message")).to_contain_text("No trades yet")
        expect(seen.page.locator("#handoffs")).to_contain_text("None published yet")
        market.trade(30)
        seen.shows(state="live", trades=30, version=0, batchBars=0, seam="")
        expect(seen.page.locator("#message")).to_be_hidden()
    market.close()


@pytest.mark.parametrize("ago_s", [3 * 365 * 86_400, 2 * 3600], ids=["three years", "two hours"])
def test_an_instrument_without_trades_for_long_is_not_called_live(ago_s: int, visit: Open, tmp_path: Path) -> None:
    market = Market(tmp_path, time.time_ns() // 1000 - ago_s * SECOND_US)
    market.trade(30)
    with PageServer(market) as server:
        seen = visit(at=server)
        seen.shows(state="live", quiet="true", trades=30)
        end = datetime.fromtimestamp((answer(server)["bars"][-1]["start"] / SECOND_US) + 5, UTC)
        today = end.date() == datetime.now(UTC).date()
        text = f"{end:%H:%M:%S}" if today else f"{end:%Y-%m-%d}"
        expect(seen.page.get_by_role("status").first).to_have_text(f"No trade since {text}")
        market.now_us = time.time_ns() // 1000
        market.trade(1, step_us=1)
        seen.shows(quiet="false", trades=31)
        expect(seen.page.get_by_role("status").first).to_have_text("Live")
    market.close()


def test_an_instrument_beyond_the_first_page_is_found_by_typing(visit: Open, tmp_path: Path) -> None:
    """There are more instruments than the page asks for: what is typed is searched for in the service."""
    market = Market(tmp_path, time.time_ns() // 1000 - 3600 * SECOND_US)
    market.trade(20, "BTCUSDT")
    market.trade(20, "ETHUSDT")
    for number in range(600):
        market.trade(1, f"AA{number:03}", step_us=1000)
    with PageServer(market) as server:
        seen = visit(at=server)
        seen.shows(state="live", symbol="BTCUSDT")
        field, options = seen.page.get_by_role("combobox", name="Instrument"), seen.page.get_by_role("option")
        field.click()
        expect(options).to_have_count(60)
        expect(seen.page.get_by_text("and more: type to find them")).to_be_visible()
        field.fill("aa59")
        expect(options).to_have_count(10)
        field.fill("nothing such")
        expect(seen.page.get_by_text("Nothing fits")).to_be_visible()
        field.fill("ethusdt")
        expect(options).to_have_text(["ETHUSDTbinance"])
        seen.page.keyboard.press("Enter")
        seen.shows(state="live", symbol="ETHUSDT", trades=20)
        expect(field).to_have_value("ETHUSDT · binance")
        assert seen.complaints == []
    market.close()


def test_a_log_that_does_not_fit_leaves_batch_alone_and_says_so(visit: Open, tmp_path: Path) -> None:
    market = Market(tmp_path, time.time_ns() // 1000 - 3600 * SECOND_US)
    market.trade(200)
    market.publish()
    market.speaks = False
    market.lose()
    with PageServer(market) as server:
        seen = visit(at=server)
        seen.shows(state="live", refused="true", complete="false", speedBars=0, trades=200)
        expect(seen.page.locator("#banner")).to_contain_text("Batch only: version 1, up to")
        expect(seen.page.locator("#layers")).to_contain_text("was created again")
    market.close()


def test_where_the_stream_is_refused_it_polls_and_says_so(visit: Open, market: Market, server: PageServer) -> None:
    def refuse(route: Route) -> None:
        route.fulfill(status=503, content_type="application/problem+json", body='{"detail": "Too many streams."}')

    seen = visit("#venue=none&symbol=NONE&interval=5s")
    seen.page.route("**/v1/stream/**", refuse)
    seen.page.goto(server.url + BTC)
    seen.page.reload()
    seen.shows(state="live", follows="polling", **settled(server))
    expect(seen.page.get_by_role("status").first).to_have_attribute("title", "The stream is refused: Too many streams.")
    market.trade(7)
    seen.shows(**settled(server))
    market.trade(1, late_us=200 * SECOND_US)
    seen.shows(corrected=re.compile("[1-9]"), **settled(server))


def test_a_key_is_asked_for_and_kept_in_the_tab(visit: Open, market: Market) -> None:
    _, text = KeyStore(market.store.home).create("page", "read", 1)
    with PageServer(market, options=ServingOptions(guard=GuardOptions(require_key=True))) as server:
        seen = visit("", at=server)
        seen.shows(state="locked")
        field = seen.page.get_by_label("Key", exact=True)
        expect(field).to_be_focused()
        field.fill("slackwater_wrong")
        field.press("Enter")
        expect(seen.page.locator("#key-reason")).to_contain_text("This key is not accepted")
        field.fill(text)
        seen.page.get_by_role("button", name="Use this key").click()
        seen.shows(state="live", follows="stream", symbol="BTCUSDT")
        seen.page.reload()
        seen.shows(state="live", follows="stream")
        assert not any(text in url for url in seen.request_headers)
        assert text not in str(seen.page.context.storage_state()), "it is in no cookie and no local storage"
        KeyStore(market.store.home).revoke("page", 2)
        server.stop()
        server.start()
        seen.shows(state="locked")
        expect(seen.page.locator("#key-form")).to_be_visible()


def test_a_phone_scrolls_no_way_but_down(visit: Open) -> None:
    seen = visit(viewport=PHONE, has_touch=True)
    seen.shows(state="live")
    seen.page.locator("#banner").evaluate("banner => { banner.hidden = false; banner.textContent = 'x'.repeat(300); }")
    for interval in ("1s", "1d"):
        seen.page.get_by_text(interval, exact=True).click()
        seen.shows(state="live", interval=interval)
        widths = seen.page.evaluate(WIDTHS)
        assert widths == [PHONE["width"], PHONE["width"]]


def test_it_is_dark_or_light_as_the_reader_is_and_as_he_chooses(visit: Open) -> None:
    seen = visit(color_scheme="dark")
    seen.shows(state="live")
    assert brightness(seen) < 60
    seen.wait_for(lambda: seen.pixels("up") > 100)
    seen.page.emulate_media(color_scheme="light")
    seen.wait_for(lambda: brightness(seen) > 200)
    seen.wait_for(lambda: seen.pixels("up") > 100)
    seen.page.keyboard.press("t")
    seen.wait_for(lambda: brightness(seen) < 60)
    seen.page.reload()
    assert brightness(seen) < 60, "what was chosen is kept"
    seen.shows(state="live")
    seen.page.get_by_role("button", name="Light theme").click()
    seen.wait_for(lambda: brightness(seen) > 200)


def brightness(seen: Visit) -> float:
    """Of the page's ground, 0 to 255."""
    colour = seen.body.evaluate("body => getComputedStyle(body).backgroundColor")
    return sum(map(int, re.findall(r"\d+", colour)[:3])) / 3
