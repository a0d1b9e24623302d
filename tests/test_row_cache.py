"""Batch rows by blocks: a question finds what a search finds, whatever is kept, and no file is read twice for it."""

from collections.abc import Iterator
from random import Random

import pytest

import serving.store.row_cache
from serving.store.batch import BatchReader
from serving.store.request import Keys, Range, RowRequest
from serving.store.row_cache import BLOCK_BARS, MOST_BLOCKS, RowCache
from slackwater.streams.trades import TRADES
from slackwater.views.answers import Column
from slackwater.views.bars import BARS
from slackwater.views.interval import MONDAY_US, WEEK_US, parse_interval
from slackwater.views.measures import Count
from slackwater.views.rows import Row
from slackwater.views.view import View
from tests.serving_world import NOON, SECOND, World

SIDES = View("sides", {"trades": Count()}, {"trades": Column("trades")}, key=("venue", "symbol", "side"), stream=TRADES)
SECONDS = parse_interval("1s")
EARLY_S = -500 * 86_400
EARLY = NOON + EARLY_S * SECOND


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Seconds with trades in dense runs and wide gaps, one instrument in two partitions, and a view with a side."""
    world, random = World(tmp_path_factory.mktemp("home"), views=(BARS, SIDES)), Random(1)
    at_s = EARLY_S
    for _ in range(3_000):
        at_s += random.choice([1] * 30 + [2, 3, 700, 90_000])
        world.trade("BTC", at_s, side=random.choice(["buy", "sell"]), partition=random.randrange(2))
    for second in range(1_500):
        world.trade("DENSE", EARLY_S + second)
    for days in (0, 3, 400):
        world.trade("RARE", EARLY_S + days * 86_400)
    world.publish(world.mark("run-1"), "run-1")
    world.step()
    yield world
    world.close()


@pytest.fixture
def batch(world: World) -> BatchReader:
    snapshot = world.service.watch.snapshot
    assert snapshot is not None
    return snapshot.batch


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[RowRequest]:
    """What is read from files."""
    found: list[RowRequest] = []
    for name in ("whole_rows",):
        real = getattr(serving.store.row_cache, name)

        def counted(*given: object, real: object = real) -> list[Row]:
            found.extend(each for each in given if isinstance(each, RowRequest))
            return real(*given)  # type: ignore[operator]

        monkeypatch.setattr(serving.store.row_cache, name, counted)
    return found


def ask(cache: RowCache, batch: BatchReader, request: RowRequest) -> list[Row]:
    """As the service asks."""
    known = cache.get(batch, request)
    if known is not None:
        return known
    with batch.cursor() as cursor:
        return cache.read(batch, request, cursor)


def dense(low: int, high: int | None, limit: int) -> RowRequest:
    return RowRequest(BARS, Keys((("x", "DENSE"),)), Range(SECONDS, low, high, limit))


@pytest.mark.parametrize("most_bytes", [96_000_000, 500_000], ids=["all kept", "much thrown away"])
@pytest.mark.parametrize("view", [BARS, SIDES], ids=["bars", "sides"])
def test_any_question_finds_what_a_search_finds(world: World, batch: BatchReader, view: View, most_bytes: int) -> None:
    cache, random = RowCache(world.service.inspector, most_bytes), Random(2)
    known = batch.instruments(BARS).of("x", "BTC")
    first, last = min(each.first_start for each in known), max(each.last_start for each in known)
    found = 0
    for _ in range(60):
        interval = parse_interval(random.choice(["1s", "1s", "5s", "1m", "1m", "1h", "4h", "1d", "1w"]))
        low = interval.floor(random.choice([0, first, random.randrange(first, last), last]))
        high = random.choice([None, low + random.randrange(1, 5_000) * interval.us])
        limit = random.choice([1, 3, 100, 501, 10_000])
        after = (low, "x", "BTC", random.choice(["buy", "sell"])) if view is SIDES and random.random() < 0.5 else ()
        where = ((2, random.choice(["buy", "sell"])),) if view is SIDES and random.random() < 0.3 else ()
        of = Range(interval, low, high, limit, not after and random.random() < 0.5, after)
        request = RowRequest(view, Keys((("x", "BTC"),), where), of)
        if batch.nothing(request):
            continue
        with batch.cursor() as cursor:
            expected = batch.rows(request, cursor)
        assert ask(cache, batch, request) == expected
        assert ask(cache, batch, request) == expected
        assert cache.bytes <= most_bytes
        found += len(expected)
    assert found > 2_000 and cache.hits > 40 and cache.misses > 10


def test_neighbours_are_read_once(world: World, batch: BatchReader, reads: list[RowRequest]) -> None:
    cache = RowCache(world.service.inspector, 96_000_000)
    low = EARLY
    assert len(ask(cache, batch, dense(low, None, 200))) == 200
    assert [each.range.limit for each in reads] == [None]
    behind = reads[0].range.high
    for start in range(low, low + 50 * SECOND, SECOND):
        ask(cache, batch, dense(start, start + 100 * SECOND, 200))
    assert len(reads) == 1 and cache.hits == 50
    ask(cache, batch, dense(low, behind + SECOND, 2_000))
    assert [each.range.low for each in reads] == [reads[0].range.low, behind], (
        "the block behind those, and nothing else"
    )
    assert behind is not None and behind - reads[0].range.low >= BLOCK_BARS * SECOND


def test_what_is_rare_is_searched_and_kept_as_it_was_asked(
    world: World, batch: BatchReader, reads: list[RowRequest]
) -> None:
    cache = RowCache(world.service.inspector, 96_000_000)
    request = RowRequest(BARS, Keys((("x", "RARE"),)), Range(SECONDS, 0, None, 10))
    found = ask(cache, batch, request)
    assert [row.start for row in found] == [EARLY + days * 86_400 * SECOND for days in (0, 3, 400)]
    assert reads[-1] == request and sum(each.range.limit is not None for each in reads) == 1
    assert cache.rows < 4 * MOST_BLOCKS, "empty blocks are few"
    count = len(reads)
    assert ask(cache, batch, request) == found and len(reads) == count


def test_weeks_start_on_monday_in_blocks_too(world: World, batch: BatchReader) -> None:
    cache = RowCache(world.service.inspector, 96_000_000)
    weeks = ask(
        cache, batch, RowRequest(BARS, Keys((("x", "BTC"),)), Range(parse_interval("1w"), 0, None, 10_000, True))
    )
    assert weeks and all((row.start - MONDAY_US) % WEEK_US == 0 for row in weeks)


def test_other_versions_and_views_have_rows_of_their_own(world: World, batch: BatchReader) -> None:
    cache = RowCache(world.service.inspector, 96_000_000)
    request = dense(EARLY, None, 5)
    assert ask(cache, batch, request) != ask(cache, batch, request._replace(view=SIDES))
    assert cache.recent(batch.version) == [request, request._replace(view=SIDES)] and cache.recent(0) == []
