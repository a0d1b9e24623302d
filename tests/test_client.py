"""The Python client against the real service on real sockets: what it answers, what it survives, what it raises."""

import inspect
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from slackwater_client import (
    ArgumentError,
    AsyncClient,
    BadRequestError,
    Bar,
    Client,
    ConnectionFailedError,
    GoneError,
    NotFoundError,
    ProtocolError,
    RateLimitedError,
    Retry,
    UnauthorizedError,
    UnavailableError,
)
from slackwater_client.questions import Calls
from slackwater_client.times import datetime_of

from slackwater.keys.keys import KeyStore
from tests.client_kit import KINDS, QUICK, Asker
from tests.live_service import LiveService, Proxy
from tests.serving_world import NOON, SECOND, World, cut_in_a_minute

MINUTE = 60 * SECOND
Make = Callable[..., Asker]


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveService]:
    """A service that tests of this module only read from; the world is that of `cut_in_a_minute`."""
    world = World(tmp_path_factory.mktemp("home"))
    cut_in_a_minute(world)
    with LiveService(world) as service:
        yield service
    world.close()


@pytest.fixture
def mine(tmp_path: Path) -> Iterator[LiveService]:
    """A service that the test may change."""
    world = World(tmp_path)
    cut_in_a_minute(world)
    with LiveService(world) as service:
        yield service
    world.close()


@pytest.fixture(params=KINDS)
def make(request: pytest.FixtureRequest) -> Iterator[Make]:
    """Makes a client of each kind; it is closed behind the test."""
    made: list[Asker] = []

    def one(url: str, **options: Any) -> Asker:
        made.append(KINDS[request.param](url, **options))
        return made[-1]

    yield one
    for each in made:
        each.close()


def served(live: LiveService, query: str) -> list[Bar]:
    """The bars that the service gives when it is asked without the client."""
    return [Bar.of(item, "BTC") for item in live.world.bars(f"symbol=BTC&{query}")["bars"]]


def test_bars_are_typed_exact_and_say_what_they_stand_on(live: LiveService, make: Make) -> None:
    bars = make(live.url)("bars", "x", "BTC", limit=3)
    assert list(bars) == served(live, "limit=3")
    first = bars[0]
    assert (first.symbol, first.time) == ("BTC", datetime(2025, 10, 6, 12, 4, tzinfo=UTC))
    assert (first.open, first.close) == (Decimal("341.5"), Decimal(445))
    assert str(first.notional) == "858.95"
    assert first.buy_volume + first.sell_volume == first.volume
    assert (bars.meta.version, bars.meta.cut, bars.meta.applied) == (1, {1: 4}, {1: 9})
    assert (bars.meta.complete, bars.meta.layer, bars.meta.lag) == (True, "merged", 0)


@pytest.mark.parametrize(
    "start",
    [
        NOON + MINUTE,
        "2025-10-06T12:01:00Z",
        datetime(2025, 10, 6, 12, 1, tzinfo=UTC),
        datetime(2025, 10, 6, 14, 1, tzinfo=timezone(timedelta(hours=2))),
    ],
    ids=str,
)
def test_times_are_datetimes_text_or_microseconds(live: LiveService, make: Make, start: Any) -> None:
    bars = make(live.url)("bars", "x", "BTC", start=start, end=NOON + 5 * MINUTE)
    assert list(bars) == served(live, f"start={NOON + MINUTE}&end={NOON + 5 * MINUTE}")


def test_a_datetime_before_the_first_trade_is_no_number_in_another_unit(live: LiveService, make: Make) -> None:
    everything = make(live.url)("bars", "x", "BTC", start=datetime(1970, 1, 1, tzinfo=UTC))
    assert list(everything) == served(live, "start=1970-01-01&limit=10000")
    assert len(everything) > 0


def test_seconds_are_refused_with_the_microseconds_that_were_meant(live: LiveService, make: Make) -> None:
    for name in ("start", "end"):
        with pytest.raises(BadRequestError, match=f"{name}: .* seconds; in microseconds it is {NOON}"):
            make(live.url)("bars", "x", "BTC", **{"start": NOON - MINUTE, name: NOON // SECOND})


def test_a_time_without_a_zone_is_refused_since_it_could_mean_any(live: LiveService, make: Make) -> None:
    with pytest.raises(ArgumentError, match="zone"):
        make(live.url)("bars", "x", "BTC", start=datetime(2025, 10, 6))  # noqa: DTZ001 - this is what is refused


@pytest.fixture(params=["json pages", "arrow pages", "one arrow stream"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int | None:
    """How many rows come; the limit to ask with, beyond all that there are."""
    monkeypatch.setattr("slackwater_client.questions.MOST_ROWS", 3)  # several pages without thousands of bars
    if request.param == "json pages":
        monkeypatch.setattr("slackwater_client.pages.find_spec", lambda _: None)  # pyarrow is not installed
        return None
    monkeypatch.setattr("slackwater_client.pages.MANY_ROWS", 0)
    return 100 if request.param == "arrow pages" else None


def test_however_many_rows_come_they_are_the_same(live: LiveService, make: Make, way: int | None) -> None:
    asker = make(live.url)
    bars = asker("bars", "x", "BTC", interval="1s", start=NOON, limit=way)
    assert list(bars) == served(live, f"interval=1s&start={NOON}")
    assert [str(bar.notional) for bar in bars] == [
        str(bar.notional) for bar in served(live, f"interval=1s&start={NOON}")
    ]
    assert bars.to_arrow().num_rows == len(bars) == 8
    assert (bars.meta.version, bars.meta.applied, bars.meta.lag) == (1, {1: 9}, 0)
    trades = asker("trades", "x", "BTC", NOON, NOON + 600 * SECOND, limit=way)
    assert [trade.sequence for trade in trades] == [
        1,
        2,
        3,
        4,
        5,
        6,
        7,
        8,
    ]  # the stream's order; 7 is of a time before 4
    assert sorted(trades, key=lambda trade: trade.time_us) != list(trades)
    assert trades.to_arrow().column("price").to_pylist() == [trade.price for trade in trades]
    assert (trades.meta.applied, trades[0].time_us) == ({1: 9}, NOON + SECOND)


def test_pages_are_followed_at_one_moment_while_trades_arrive(mine: LiveService, make: Make, way: int | None) -> None:
    expected = served(mine, f"interval=1s&start={NOON}")
    asker = make(mine.url)
    before = mine.world.log.bounds("slackwater.trades")[1].end

    class Between:
        """Steps into the service's own path: each request finds one trade more than the one before."""

        def __init__(self, app: Any) -> None:
            self._app = app

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            await self._app(scope, receive, send)
            mine.world.trade(at_s=2)
            mine.world.emit()
            mine.world.step()

    mine.stop()
    mine.world.app = Between(mine.world.app)  # type: ignore[assignment]
    mine.start()
    bars = asker("bars", "x", "BTC", interval="1s", start=NOON, limit=way)
    mine.stop()
    mine.world.app = mine.world.app._app
    assert list(bars) == expected
    assert bars.meta.applied == {1: before}
    assert len(expected) == 8


@pytest.mark.parametrize("limit", [1, 3, 4, 100])
def test_a_limit_is_of_all_pages_together(
    live: LiveService, make: Make, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    monkeypatch.setattr("slackwater_client.questions.MOST_ROWS", 3)
    monkeypatch.setattr("slackwater_client.pages.MANY_ROWS", 3)  # 4 and 100 are Arrow
    bars = make(live.url)("bars", "x", "BTC", interval="1s", start=NOON, limit=limit)
    assert list(bars) == served(live, f"interval=1s&start={NOON}&limit={limit}")


def test_tables_hold_the_same_digits(live: LiveService, make: Make) -> None:
    bars = make(live.url)("bars", "x", "BTC", start=NOON)
    table = bars.to_arrow()
    assert table.schema.field("notional").type == pa.decimal128(38, 16)
    assert table.column("start").cast(pa.int64()).to_pylist() == [bar.start for bar in bars]
    for name in ("open", "vwap", "volume", "trades", "closed", "symbol"):
        expected = [getattr(bar, name) for bar in bars]
        assert table.column(name).to_pylist() == expected
        assert bars.to_pandas()[name].tolist() == expected
        assert bars.to_polars()[name].to_list() == expected
    assert bars.to_pandas(floats=True)["vwap"].tolist() == [float(bar.vwap) for bar in bars]
    assert bars.to_polars(floats=True)["close"].to_list() == [float(bar.close) for bar in bars]


def test_an_empty_answer_is_an_empty_table(live: LiveService, make: Make) -> None:
    bars = make(live.url)("bars", "x", "BTC", start=NOON + 3600 * SECOND)
    assert (len(bars), list(bars)) == (0, [])
    assert bars.to_arrow().column_names == list(bars.columns)
    assert bars.to_pandas().empty
    assert bars.to_polars().is_empty()


def test_filled_bars_have_no_vwap(live: LiveService, make: Make) -> None:
    bars = make(live.url)("bars", "x", "BTC", start=NOON, fill="previous")
    assert [bar.vwap is None for bar in bars] == [False, False, True, True, False, False, True, True, True, False]
    assert bars.to_arrow().column("vwap").null_count == 5


def test_several_symbols_come_in_one_answer(mine: LiveService, make: Make) -> None:
    mine.world.trade("ETHER", at_s=5, price="7")
    mine.world.emit()
    mine.world.step()
    bars = make(mine.url)("bars", "x", ["ETHER", "BTC"], start=NOON, limit=2)
    assert [(bar.symbol, bar.start) for bar in bars] == [("BTC", NOON), ("ETHER", NOON)]


def test_parts_and_past_versions_can_be_asked(live: LiveService, make: Make) -> None:
    asker = make(live.url)
    for query, named in (
        ("layer=batch", {"layer": "batch"}),
        ("layer=speed", {"layer": "speed"}),
        ("as_of=1", {"as_of": 1}),
    ):
        assert list(asker("bars", "x", "BTC", **named)) == served(live, query)


def test_what_was_served_at_a_time_or_under_a_name_can_be_asked(live: LiveService, make: Make) -> None:
    asker = make(live.url)
    (version,) = asker("versions").versions
    assert version.published_us >= version.created_us and version.pins == ()
    for at in (version.published_us, datetime_of(version.published_us)):
        assert list(asker("bars", "x", "BTC", as_of=at)) == served(live, "as_of=1")
        rows = asker("view", "bars", venue="x", symbol="BTC", as_of=at, interval="1m")
        assert (rows.meta.version, rows.meta.layer, len(rows)) == (1, "batch", len(served(live, "as_of=1")))
    with pytest.raises(NotFoundError, match="There is no pin 'books'"):
        asker("bars", "x", "BTC", as_of="books")
    with pytest.raises(ArgumentError, match=r"as_of is .* without a zone"):
        asker("bars", "x", "BTC", as_of=datetime(2026, 1, 1))  # noqa: DTZ001


def test_the_trades_behind_a_bar(live: LiveService, make: Make) -> None:
    asker = make(live.url)
    bar = asker("bars", "x", "BTC", start=NOON + MINUTE, limit=1)[0]
    trades = asker("trades", "x", "BTC", bar.start, bar.start + MINUTE)
    assert sum(trade.quantity for trade in trades) == bar.volume
    assert sum(trade.price * trade.quantity for trade in trades) == bar.notional
    assert [(trade.partition, trade.offset, trade.index) for trade in trades] == [(1, 1, 0), (1, 2, 0), (1, 7, 0)]
    assert trades[0].time == datetime(2025, 10, 6, 12, 1, 1, tzinfo=UTC)
    assert trades.to_polars()["price"].to_list() == [trade.price for trade in trades]
    assert trades.meta.applied == {1: 9}


def test_what_there_is(live: LiveService, make: Make) -> None:
    asker = make(live.url)
    (instrument,) = asker("instruments")
    assert (instrument.venue, instrument.symbol, instrument.partition) == ("x", "BTC", 1)
    assert (instrument.first_start, instrument.last_start) == (NOON + SECOND, NOON + 540 * SECOND)
    versions = asker("versions")
    assert (versions.served, [one.version for one in versions.versions]) == (1, [1])
    assert versions.versions[0].cut == {"trades": {0: 0, 1: 4}}
    assert versions.versions[0].proof.outcome == "equal"
    handoff = asker("handoff", 1)
    assert (handoff.version, handoff.published, handoff.proof.outcome) == (1, True, "equal")
    assert len(asker("restatements")) == 0


def test_gaps_of_dense_ids(mine: LiveService, make: Make) -> None:
    for number, at_s in ((1, 0), (2, 1), (5, 2)):
        mine.world.trade("S", at_s=at_s, venue="binance_spot", partition=0, trade_id=number)
    mine.world.emit()
    mine.world.step()
    asker = make(mine.url)
    (gap,) = asker("gaps", "binance_spot", ["S"])
    assert (gap.symbol, gap.first, gap.last, gap.missing, gap.exact) == ("S", 3, 4, 2, True)
    assert (gap.after, gap.before) == (NOON + SECOND, NOON + 2 * SECOND)
    assert asker("gaps", symbol="none") == ()


def test_instruments_come_from_all_pages(mine: LiveService, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slackwater_client.questions.MOST_ROWS", 2)
    for number in range(5):
        mine.world.trade(f"S{number}", at_s=number, venue="y", partition=0)
    mine.world.emit()
    mine.world.step()
    asker = make(mine.url)
    assert [each.symbol for each in asker("instruments", "y")] == ["S0", "S1", "S2", "S3", "S4"]
    assert [each.symbol for each in asker("instruments", symbol=["S4", "S1"])] == ["S1", "S4"]
    assert [each.symbol for each in asker("instruments", q="y s3")] == ["S3"]
    assert [each.symbol for each in asker("instruments", "y", prefix="S", active_since=NOON + 3 * SECOND)] == [
        "S3",
        "S4",
    ]
    assert asker("instruments", "none") == ()


def test_readiness_is_an_answer_even_where_it_is_no(live: LiveService, mine: LiveService, make: Make) -> None:
    assert make(live.url)("ready")
    mine.world.log.down = True
    mine.world.step(60)
    found = make(mine.url)("ready")
    assert not found
    assert found.reasons


def test_problems_are_typed_and_tell_the_fact(live: LiveService, make: Make) -> None:
    asker = make(live.url)
    with pytest.raises(NotFoundError, match="x:NOPE") as unknown:
        asker("bars", "x", "NOPE")
    assert (unknown.value.status, unknown.value.kind, unknown.value.retriable) == (404, "unknown-instrument", False)
    with pytest.raises(BadRequestError, match="interval") as bad:
        asker("bars", "x", "BTC", interval="7m", layer="both")
    assert list(bad.value.parameters) == ["interval", "layer"]
    with pytest.raises(NotFoundError):
        asker("handoff", 99)
    with pytest.raises(ArgumentError, match="limit"):
        asker("bars", "x", "BTC", limit=0)


def test_a_cursor_whose_ground_is_gone_is_said_and_not_papered_over(
    live: LiveService, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first page is the service's own; its cursor is of a version that never was."""
    with Proxy(live.port) as proxy:
        monkeypatch.setattr("slackwater_client.questions.MOST_ROWS", 3)
        first = live.world.get(f"/v1/bars?venue=x&symbol=BTC&interval=1s&start={NOON}&limit=3").json()
        gone = b'{"type":"urn:slackwater:problem:cursor-gone","status":410,"detail":"gone"}'
        page = str(first).replace("'", '"').replace("True", "true").replace("False", "false").encode()
        proxy.answer(http(b"200 OK", page))
        proxy.answer(http(b"410 Gone", gone, b"application/problem+json"))
        with pytest.raises(GoneError) as error:
            make(proxy.url)("bars", "x", "BTC", interval="1s", start=NOON, limit=9)
        assert error.value.kind == "cursor-gone"


def http(status: bytes, body: bytes, media_type: bytes = b"application/json", *headers: bytes) -> bytes:
    """The bytes of a response that ends its connection."""
    lines = [b"HTTP/1.1 " + status, b"Content-Type: " + media_type, b"Connection: close", *headers]
    return b"\r\n".join([*lines, b"Content-Length: %d" % len(body), b"", body])


def test_a_key_is_sent_in_the_header_and_a_wrong_one_is_told(mine: LiveService, make: Make) -> None:
    text = KeyStore(mine.world.store.home).create("me", "admin", mine.world.clock.now_us())[1]
    mine.world.publish(mine.world.mark("run-2"), "run-2", parent=1)
    mine.world.step()
    with pytest.raises(UnauthorizedError):
        make(mine.url, key="no-key")("rollback", 1, "a test")
    assert make(mine.url, key=text)("rollback", 1, "a test")["to"] == 1


def test_an_admin_call_is_sent_once_whatever_comes_of_it(live: LiveService, make: Make) -> None:
    with Proxy(live.port) as proxy:
        proxy.answer(http(b"503 Service Unavailable", b"{}", b"application/problem+json", b"Retry-After: 0"))
        with pytest.raises(UnavailableError):
            make(proxy.url)("rollback", 1, "a test")
        assert proxy.connections == 1


def test_an_answer_that_breaks_off_is_asked_for_again(live: LiveService, make: Make) -> None:
    with Proxy(live.port) as proxy:
        for size in (1, 40, 400):  # in the status line, in the headers, in the body
            proxy.cut_after(size)
        assert list(make(proxy.url)("bars", "x", "BTC", start=NOON)) == served(live, f"start={NOON}")
        assert proxy.connections == 4


def test_a_restart_in_the_middle_is_waited_for(mine: LiveService, make: Make) -> None:
    asker = make(mine.url, retry=Retry(attempts=200, base_s=0.01, most_s=0.02))
    before = list(asker("bars", "x", "BTC", start=NOON))
    mine.stop()
    back = threading.Thread(target=lambda: (mine.world.serve(), mine.start()))  # not loaded yet: 503 and Retry-After
    loaded = threading.Thread(target=lambda: (back.start(), back.join(), mine.world.step()))
    loaded.start()
    assert list(asker("bars", "x", "BTC", start=NOON)) == before
    loaded.join()


@pytest.mark.parametrize(("status", "error"), [(b"429 Too Many", RateLimitedError), (b"503 Away", UnavailableError)])
def test_retry_after_is_waited_for_and_then_given_up(
    live: LiveService, make: Make, status: bytes, error: type[Exception]
) -> None:
    refused = http(status, b"{}", b"application/problem+json", b"Retry-After: 0")
    with Proxy(live.port) as proxy:
        proxy.answer(refused)
        assert len(make(proxy.url)("bars", "x", "BTC"))
        for _ in range(QUICK.attempts):
            proxy.answer(refused)
        with pytest.raises(error) as raised:
            make(proxy.url)("bars", "x", "BTC")
        assert raised.value.retry_after_s == 0
        assert raised.value.retriable
        assert proxy.connections == 2 + QUICK.attempts


def test_a_service_that_asks_to_wait_too_long_is_not_waited_for(live: LiveService, make: Make) -> None:
    with Proxy(live.port) as proxy:
        proxy.answer(http(b"503 Away", b"no problem document", b"text/plain", b"Retry-After: 3600"))
        with pytest.raises(UnavailableError, match="no problem document") as raised:
            make(proxy.url)("bars", "x", "BTC")
        assert (raised.value.retry_after_s, proxy.connections) == (3600, 1)


def test_no_service_is_an_error_of_its_own(live: LiveService, make: Make) -> None:
    with Proxy(live.port) as proxy:
        gone = proxy.url
    with pytest.raises(ConnectionFailedError, match="GET /v1/bars failed"):
        make(gone, retry=Retry(attempts=2, base_s=0.001))("bars", "x", "BTC")


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"{}", b'{"bars": [], "next": null, "meta": 1}'])
def test_another_server_is_told_from_this_one(live: LiveService, make: Make, body: bytes) -> None:
    with Proxy(live.port) as proxy:
        proxy.answer(http(b"200 OK", body))
        with pytest.raises(ProtocolError):
            make(proxy.url)("bars", "x", "BTC")


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://x", "http://", "http://me:secret@x", "http://x?key=secret"])
def test_a_url_that_cannot_be_used_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(ArgumentError) as error:
        Client(url)
    assert "secret" not in str(error.value)


def test_both_clients_take_the_same_and_say_the_same(live: LiveService) -> None:
    calls = [name for name in vars(Calls) if not name.startswith("_")]
    methods = [name for name in vars(Client) if not name.startswith("_")]
    assert methods == [name for name in vars(AsyncClient) if not name.startswith("_")]
    assert methods == [*calls, "carry_out", "follow", "close"]
    for name in calls:
        described = inspect.signature(getattr(Calls, name)).parameters
        assert getattr(Calls, name).__doc__, name
        for kind in (Client, AsyncClient):
            assert inspect.signature(getattr(kind, name)).parameters == described, name
            assert getattr(kind, name).__doc__ == inspect.getdoc(getattr(Calls, name)), name
            assert list(inspect.signature(getattr(kind(live.url), name)).parameters) == [*described][1:], name


def test_the_client_imports_no_room_and_the_package_imports_no_client() -> None:
    program = (
        "import sys, slackwater\n"
        "assert 'httpx' not in sys.modules\n"
        "del sys.modules['slackwater']\n"
        "import slackwater_client\n"
        "rooms = {'slackwater', 'ingest', 'batch_layer', 'speed_layer', 'serving', 'ops', 'verify'}\n"
        "heavy = {'pyarrow', 'pandas', 'polars', 'duckdb', 'kafka', 'orjson', 'numpy'}\n"
        "assert not (rooms | heavy) & {name.partition('.')[0] for name in sys.modules}\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
