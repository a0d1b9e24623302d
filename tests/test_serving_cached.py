"""Cached replies: bytes that are sent again are those that would be made anew, and each part of a basis is needed."""

import asyncio
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.http.reply import CachedReplies, CachedReply, Sent, encode
from serving.http.routes.bars import BarsRoute
from serving.options import ServingOptions
from serving.query.bases import Bases
from serving.query.basis import BasisId
from serving.store.fold import Ends
from slackwater.views.bars import BARS
from tests.bars_route import bars_route
from tests.profiles import examples
from tests.serving_world import NAMES, NOON, SECOND, World, cut_in_a_minute

QUERIES = (
    "symbol=BTC&interval=1m&limit=3",
    "symbol=BTC&interval=1s&layer=speed",
    "symbol=BTC&interval=1h&layer=batch",
    "symbol=BTC,ETHX&interval=5s",
    f"symbol=BTC&interval=1m&start={NOON}&limit=2",
    f"symbol=ETHX&interval=1m&start={NOON}&fill=previous",
    "symbol=BTC&interval=1m&explain=true",
    "symbol=BTC&as_of=1",
)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    found = World(tmp_path)
    yield found
    found.close()


def route_of(world: World) -> BarsRoute:
    """A route with a cache of its own."""
    return bars_route(world.service, "bars", CachedReplies(world.service.options.cached_reply_bytes))


def sent(route: BarsRoute, query: str) -> tuple[int, bytes, list[Any]]:
    """What a route sends for a question; the status and kind of a problem."""
    scope = {
        "type": "http",
        "method": "GET",
        "headers": [],
        "path": "/v1/bars",
        "query_string": f"venue=x&{query}".encode(),
    }

    async def ask() -> Sent:
        found = await route.respond(scope)
        assert isinstance(found, Sent)
        return found

    found = asyncio.run(ask())
    return found.status_code, found.body, found.raw_headers


def grow(world: World, random: Random) -> None:
    """Something happens: trades, late ones too, in any partition; cells with and without a hole; versions; nothing."""
    step = random.randrange(6)
    if step < 3:
        for _ in range(random.randrange(1, 4)):
            symbol = random.choice(["BTC", "BTC", "ETHX"])
            partition = random.choice([len(symbol) % 2, len(symbol) % 2, 0])
            world.trade(symbol, at_s=random.randrange(200), price=f"{random.randrange(1, 99)}.5", partition=partition)
    if step == 3:
        end = world.log.bounds(NAMES.topic("trades"))[1].end
        if end > 1:  # a cell beyond a hole
            world.send(world.cell(BARS, 1, end - 1, end))
    if step == 4 and len(world.store.readable()) < 3:
        run_id = f"run-{random.randrange(2**32)}"
        cut = world.mark(run_id)
        world.emit()
        world.publish(cut, run_id)
    if step < 2:
        world.emit()
    world.step(random.choice([0.0, 2.0]))


@given(st.integers(0, 2**32))
@examples(3)
def test_a_kept_answer_is_the_one_that_would_be_made_anew(seed: int) -> None:
    random = Random(seed)
    with tempfile.TemporaryDirectory() as home:
        world = World(Path(home))
        for symbol in ("BTC", "ETHX"):
            world.trade(symbol)
        cut = world.mark("run-0")
        world.emit()
        world.publish(cut, "run-0")
        world.step()
        kept = route_of(world)
        for _ in range(10):
            grow(world, random)
            for query in random.sample(QUERIES, 3):
                assert sent(kept, query) == sent(route_of(world), query), query
        world.close()


def test_what_did_not_change_is_not_made_again(world: World) -> None:
    cut_in_a_minute(world)
    route = route_of(world)
    first = sent(route, "symbol=BTC")
    world.step(0.0)
    assert sent(route, "symbol=BTC")[1] is first[1]
    assert sent(route, "symbol=BTC&limit=1")[1] != first[1]


def a_new_trade(world: World) -> None:
    world.trade("BTC", at_s=600)
    world.emit()


def the_instrument_in_another_partition(world: World) -> None:
    world.trade("BTC", at_s=600, partition=0)
    world.emit()


def a_log_that_lost_its_tail(world: World) -> None:
    world.log.truncate(NAMES.topic("trades"), 1, world.log.bounds(NAMES.topic("trades"))[1].end - 2)


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("revision", a_new_trade),
        ("placement_epoch", the_instrument_in_another_partition),
        ("snapshot", a_log_that_lost_its_tail),
    ],
)
def test_without_one_part_of_its_basis_a_kept_answer_would_be_stale(
    world: World, monkeypatch: pytest.MonkeyPatch, part: str, change: Callable[[World], None]
) -> None:
    cut_in_a_minute(world)
    right, blind = route_of(world), route_of(world)
    before = sent(right, "symbol=BTC")
    assert sent(blind, "symbol=BTC") == before
    change(world)
    world.step()
    after = sent(right, "symbol=BTC")
    assert after[1] != before[1]
    assert after == sent(route_of(world), "symbol=BTC")
    service, whole = world.service, Bases.holds

    def holds(bases: Bases, basis_id: BasisId) -> bool:
        now = {
            "snapshot": service.watch.snapshot,
            "placement_epoch": service.hot.placement_epoch,
            "revision": service.hot.revision(basis_id.view, basis_id.partitions),
        }
        return whole(bases, basis_id._replace(**{part: now[part]}))

    monkeypatch.setattr(Bases, "holds", holds)
    assert sent(blind, "symbol=BTC")[1] == before[1]


def test_a_cursor_of_a_kept_page_leads_on_however_many_were_given_since(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kept page is asked for again when the cell that its cursor stands on was about to be forgotten."""
    monkeypatch.setattr("serving.store.hot.MAX_OPEN_CELLS", 2)
    cut_in_a_minute(world)
    first = world.bars(f"symbol=BTC&start={NOON}&limit=1")
    hot, snapshot = world.service.hot, world.service.watch.snapshot
    assert snapshot is not None

    def others(count: int) -> list[Ends]:
        ends = hot.ends(snapshot.key, "bars", [1])
        assert ends is not None
        return [
            Ends(e.fold, e.count, world.cell(BARS, 1, 5, upto), upto, True, e.lock)
            for e in ends.values()
            for upto in range(6, 6 + count)
        ]

    hot.remember(others(1))
    assert world.bars(f"symbol=BTC&start={NOON}&limit=1") == first
    hot.remember(others(1))
    world.trade("BTC", at_s=700)
    world.emit()
    world.step()
    assert world.bars(f"symbol=BTC&start={NOON}&limit=1&cursor={first['next']}")["meta"] == first["meta"]


def test_the_lag_is_told_anew_with_kept_bytes(world: World) -> None:
    cut_in_a_minute(world)
    first = world.get("/v1/bars?venue=x&symbol=BTC")
    world.trade("BTC", at_s=600)
    world.step()
    again = world.get("/v1/bars?venue=x&symbol=BTC")
    assert (first.headers["slackwater-lag-records"], again.headers["slackwater-lag-records"]) == ("0", "1")
    assert again.headers["etag"] == first.headers["etag"]


def test_kept_bytes_are_bounded_and_the_least_recently_asked_go_first() -> None:
    basis_id: Any = None
    kept: CachedReplies[str] = CachedReplies(200_000)
    for number in range(30):
        body = bytes([number]) * 4_000
        kept.put(("", b"%d" % number, None, None), str(number), CachedReply(encode(body), basis_id, None, ()))
        assert kept.get(("", b"0", None, None)) is not None
        assert kept.bytes <= 200_000
    assert kept.get(("", b"1", None, None)) is None
    assert kept.get(("", b"29", None, None)) is not None
    kept.put(("", b"29", None, None), "29", CachedReply(encode(b"x" * 50_000), basis_id, None, ()))
    assert kept.get(("", b"29", None, None)) is None, "one that would drive out the others"
    for number in range(30):
        kept.put(("", b"%d" % number, None, None), "", CachedReply(encode(b""), basis_id, None, ()))
    assert (kept.bytes, len(kept)) == (30 * 4_000 + 3 * (10 + 2 * 20), 30)


def test_nothing_is_kept_where_nothing_may_be(world: World) -> None:
    cut_in_a_minute(world)
    world.serve(ServingOptions(poll_s=0.0, cached_reply_bytes=0))
    world.step()
    route = route_of(world)
    first, again = sent(route, "symbol=BTC"), sent(route, "symbol=BTC")
    assert first == again and first[1] is not again[1]
    assert (NOON + 540 * SECOND) // (60 * SECOND) * 60 * SECOND in [
        b["start"] for b in world.bars("symbol=BTC")["bars"]
    ]
