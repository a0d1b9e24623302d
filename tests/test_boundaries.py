"""Random questions around cuts, bar edges and pages, while versions are swapped: each to the byte.

    log       e e e m e e e m e e e m e e      events lie on bar edges, a microsecond before and behind them
    versions        1       2       3          published while the service's own threads follow
    questions start and end on the same instants, in pages, of one symbol or several, filled, of earlier versions

The oracle is shown exactly the records below the offsets that an answer names.
"""

import asyncio
import json
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest

from serving.options import ServingOptions
from slackwater.views.interval import NAMED_INTERVALS, Interval, parse_interval
from tests.bars_oracle import Oracle
from tests.profiles import PROFILE
from tests.serving_world import NOON, SECOND, World, offsets

QUESTIONS = 100 if PROFILE == "repeatable" else 10_000
ROUND = 25
"""Questions between two publications."""
SYMBOLS = ("BTC", "ETHX", "SOL")
PAGES = 4
EDGES = [NOON + minutes * 60 * SECOND for minutes in (0, 1, 2, 5, 59, 60, 61, 720, 1440, 10_080)]

SECONDS = parse_interval("1s")

Bar = dict[str, Any]


class Truth:
    """Oracles by what they were shown of a partition; an instrument lives in one."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._known: dict[tuple[int, int], Oracle] = {}

    def bars(self, symbol: str, interval: Interval, applied: Mapping[int, int]) -> list[Bar]:
        """Every bar of an instrument at these positions."""
        partition = len(symbol) % 2
        place = partition, applied[partition]
        if place not in self._known:
            self._known[place] = self._world.oracle({partition: applied[partition]})
        return self._known[place].bars("x", symbol, interval.us)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    found = World(tmp_path)
    found.serve(ServingOptions(poll_s=0.0, watch_every_s=0.002))
    yield found
    found.close()


def instant(random: Random) -> int:
    """A bar's edge, give or take a microsecond or a second."""
    return random.choice(EDGES) + random.choice([0, 0, -1, 1, -SECOND, SECOND, random.randrange(-5, 5) * SECOND])


def grow(world: World, random: Random, count: int) -> None:
    for _ in range(count):
        fields = {
            "price": f"{random.randrange(1, 9)}.{random.randrange(100):02d}",
            "quantity": f"0.{random.random():.8f}"[2:],
        }
        world.trade(random.choice(SYMBOLS), time=instant(random), side=random.choice(["buy", "sell"]), **fields)


def publish(world: World, random: Random, number: int, cut: dict[int, int]) -> dict[int, int]:
    """Events, a version that holds them, events behind it; the service's threads swap when they see it."""
    grow(world, random, 12)
    world.emit(start=cut)
    marked = world.mark(f"run-{number}")
    world.emit(start=cut)
    grow(world, random, random.randrange(6))
    world.emit(start=marked)
    world.publish(marked, f"run-{number}")
    world.clock.sleep(1.1)
    return marked


class Question:
    """One random question, and what must be answered."""

    def __init__(self, random: Random, versions: int) -> None:
        self.symbols = random.sample(SYMBOLS, random.choice([1, 1, 2, 3]))
        self.interval = random.choice(NAMED_INTERVALS)
        self.start = random.choice([None, instant(random), instant(random)])
        self.end = random.choice([None, instant(random), instant(random)])
        if self.start is not None and self.end is not None:
            self.start, self.end = sorted((self.start, self.end))
            self.end += self.end == self.start  # an empty range is refused
        self.limit = random.choice([1, 2, 3, 7, 500])
        self.fill = random.random() < 0.2
        self.as_of = random.randrange(1, versions + 1) if versions and random.random() < 0.2 else None
        self.layer = random.choice(["merged", "batch"]) if self.as_of is None else None
        if self.fill:
            self.symbols = self.symbols[:1]

    def url(self, cursor: str | None) -> str:
        asked: dict[str, object] = {"symbol": ",".join(self.symbols), "interval": self.interval.text}
        asked |= {"start": self.start, "end": self.end, "limit": self.limit, "as_of": self.as_of, "layer": self.layer}
        asked |= {"fill": "previous" if self.fill else None, "cursor": cursor}
        return "/v1/bars?venue=x&" + "&".join(f"{name}={value}" for name, value in asked.items() if value is not None)

    def expected(self, truth: Truth, applied: Mapping[int, int]) -> list[Bar]:
        """Every bar of all pages, in order."""
        found: list[Bar] = []
        for symbol in self.symbols:
            bars = truth.bars(symbol, self.interval, applied)
            if self.fill and bars:
                bars = self._filled(bars, truth.bars(symbol, SECONDS, applied)[-1]["start"])
            head = {"symbol": symbol} if len(self.symbols) > 1 else {}
            found += [head | bar for bar in bars if self._holds(bar["start"])]
        found.sort(key=lambda bar: (bar["start"], bar.get("symbol", "")))
        return found if self.start is not None else found[-self.limit :]

    def _holds(self, start: int) -> bool:
        return (self.start is None or start >= self.start) and (self.end is None or start < self.end)

    def _filled(self, bars: list[Bar], newest: int) -> list[Bar]:
        """With the last close wherever no bar was, from the first bar to the newest; as far as the pages reach."""
        us, first = self.interval.us, bars[0]["start"]
        count = (bars[-1]["start"] - first) // us + 1
        low, high = 0, count
        if self.end is not None:
            high = max(0, min(count, -(-(self.end - first) // us)))
        if self.start is not None:
            low = max(0, -(-(self.start - first) // us))
            high = min(high, low + PAGES * self.limit + 1)
        else:
            low = max(0, high - self.limit)
        by_start, found = {bar["start"]: bar for bar in bars}, []
        last = max((bar for bar in bars if bar["start"] <= first + low * us), key=lambda bar: bar["start"])
        for start in range(first + low * us, first + high * us, us):
            last = by_start.get(start) or gap(last, start, start + us <= newest - 2 * SECOND)
            found.append(last)
        return found


def gap(last: Bar, start: int, closed: bool) -> Bar:
    """The bar that `fill=previous` puts where none was."""
    close = dict.fromkeys(("open", "high", "low", "close"), last["close"])
    nothing = {"volume": "0", "notional": "0", "buy_volume": "0", "trades": 0}
    return dict.fromkeys(last) | {"start": start, **close, **nothing, "closed": closed}


async def ask(client: httpx.AsyncClient, world: World, truth: Truth, question: Question) -> int:
    """Ask, page after page, and compare; how many answers."""
    response = await client.get(question.url(None))
    assert response.status_code == 200, (question.url(None), response.text)
    first = response.json()["meta"]
    expected = question.expected(truth, offsets(first["applied"]))
    if first["version"]:
        cut = world.store.manifest(first["version"]).cut("trades")
        assert offsets(first["cut"]).items() <= cut.items()
    for page in range(PAGES):
        body, at = response.json(), page * question.limit
        bars = json.dumps(expected[at : at + question.limit], separators=(",", ":"))
        assert response.text.startswith(f'{{"bars":{bars},"next":'), (question.url(None), page, first)
        assert body["meta"] == first
        assert (body["next"] is not None) == (len(expected) > at + question.limit and question.start is not None)
        if body["next"] is None:
            return page + 1
        response = await client.get(question.url(body["next"]))
        if response.status_code == 410:  # four versions on, a cursor's cells are gone
            assert world.service.bases.snapshot().version - first["version"] >= 3
            return page + 1
        assert response.status_code == 200, response.text
    return PAGES


@pytest.mark.crash
@pytest.mark.timeout(3600)
def test_every_answer_equals_the_oracle_at_its_own_positions(world: World) -> None:
    random = Random(20_251_006)
    truth = Truth(world)
    cut = publish(world, random, 1, {0: 0, 1: 0})
    for symbol in SYMBOLS:
        world.trade(symbol, time=NOON)
    cut = publish(world, random, 2, cut)
    world.step()
    world.step()
    world.service.start()

    async def run() -> int:
        nonlocal cut
        transport = httpx.ASGITransport(app=world.app, raise_app_exceptions=True)
        answers, asked, versions = 0, 0, 2
        publication: asyncio.Task[dict[int, int]] | None = None
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            while asked < QUESTIONS:
                if asked % ROUND == 0:
                    if publication is not None:
                        cut, versions = await publication, versions + 1
                    task = asyncio.to_thread(publish, world, random, versions + 1, cut)
                    publication = asyncio.create_task(task)
                answers += await ask(client, world, truth, Question(random, versions))
                asked += 1
            assert publication is not None
            await publication
        return answers

    answers = asyncio.run(run())
    assert answers >= QUESTIONS
    assert threading.active_count() > 1
    assert world.service.readiness.check().reasons == []
