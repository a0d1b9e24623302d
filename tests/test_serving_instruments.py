"""`/v1/instruments` in pages: each instrument once and in order, whatever the filters and what comes in between."""

from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pytest

from tests.serving_world import NOON, SECOND, World

SYMBOLS = ("A", "AB", "ABC", "B", "a", "BTC/USD", "BTC-PERP", "Z.9", "ZZ")
VENUES = ("x", "xy", "y")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    found = World(tmp_path)
    yield found
    found.close()


def fill(world: World, random: Random) -> dict[tuple[str, str, int], tuple[int, int]]:
    """Trades of random instruments around a version; place -> its first and last second, the slow way."""
    found: dict[tuple[str, str, int], tuple[int, int]] = {}
    for part in range(3):
        for _ in range(random.randrange(25)):
            place = random.choice(VENUES), random.choice(SYMBOLS), random.randrange(2)
            second = random.randrange(4000)
            world.trade(place[1], at_s=second, venue=place[0], partition=place[2])
            start = NOON + second * SECOND
            first, last = found.get(place, (start, start))
            found[place] = min(first, start), max(last, start)
        if part < random.randrange(3):
            cut = world.mark(f"run-{part}")
            world.emit()
            world.publish(cut, f"run-{part}")
    world.emit()
    world.step(2.0)
    return found


def places(document: dict[str, Any]) -> list[tuple[str, str, int, int, int]]:
    names = ("venue", "symbol", "partition", "first_start", "last_start")
    return [tuple(item[name] for name in names) for item in document["instruments"]]  # type: ignore[misc]


def paged(world: World, query: str, limit: int) -> list[tuple[str, str, int, int, int]]:
    found, following = [], ""
    while True:
        response = world.get(f"/v1/instruments?{query}&limit={limit}{following}")
        assert response.status_code == 200, response.text
        document = response.json()
        assert len(document["instruments"]) <= limit
        found += places(document)
        if document["next"] is None:
            assert "link" not in response.headers
            return found
        assert len(document["instruments"]) == limit
        following = f"&cursor={document['next']}"
        assert f"cursor={document['next']}" in response.headers["link"]


@pytest.mark.parametrize("seed", range(25))
def test_pages_hold_every_wanted_instrument_once_and_in_order(
    world: World, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = Random(seed)
    monkeypatch.setattr("serving.store.listing.PORTION", random.choice([1, 2, 5, 1024]))
    everything = sorted((*place, *span) for place, span in fill(world, random).items())
    since = NOON + random.randrange(4000) * SECOND
    questions = {
        "": lambda v, s, last: True,
        "venue=xy": lambda v, s, last: v == "xy",
        "venue=none": lambda v, s, last: False,
        "symbol=AB,ZZ,none": lambda v, s, last: s in {"AB", "ZZ"},
        "venue=x&symbol=A": lambda v, s, last: (v, s) == ("x", "A"),
        "prefix=AB": lambda v, s, last: s.startswith("AB"),
        "venue=y&prefix=BTC/": lambda v, s, last: v == "y" and s.startswith("BTC/"),
        "q=b+Y": lambda v, s, last: "b" in (s + v).lower() and "y" in (s + v).lower(),
        f"active_since={since}": lambda v, s, last: last >= since,
        f"venue=x&q=a&active_since={since}": lambda v, s, last: v == "x" and "a" in s.lower() and last >= since,
    }
    for query, fits in questions.items():
        expected = [each for each in everything if fits(each[0], each[1], each[4])]
        assert paged(world, query, random.choice([1, 2, 7, 1000])) == expected, query


@pytest.mark.parametrize("seed", range(10))
def test_an_instrument_that_is_there_at_the_first_page_is_in_one_page(world: World, seed: int) -> None:
    random = Random(seed)
    there = {place[:3] for place in (*fill(world, random),)} or {("x", "A", 0)}
    world.trade("A", venue="x", partition=0)
    world.emit()
    world.step(2.0)
    first = world.get("/v1/instruments?limit=3").json()
    found, following = places(first), first["next"]
    while following is not None:
        world.trade(random.choice(SYMBOLS), venue=random.choice(VENUES), at_s=5000, partition=random.randrange(2))
        if random.random() < 0.3:
            cut = world.mark(f"later-{len(found)}")
            world.emit()
            world.publish(cut, f"later-{len(found)}")
        world.emit()
        world.step(2.0)
        page = world.get(f"/v1/instruments?limit=3&cursor={following}").json()
        found, following = found + places(page), page["next"]
    listed = [place[:3] for place in found]
    assert listed == sorted(set(listed))
    assert there <= set(listed)


def test_a_page_is_bounded_by_default(world: World) -> None:
    for number in range(501):
        world.trade(f"S{number:04}", trade_id=1, partition=0)
    world.emit()
    world.step()
    document = world.get("/v1/instruments").json()
    assert len(document["instruments"]) == 500
    assert [item["symbol"] for item in paged_items(world, document["next"])] == ["S0500"]


def paged_items(world: World, cursor: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = world.get(f"/v1/instruments?cursor={cursor}").json()["instruments"]
    return items


def test_every_format_has_the_page_and_its_next_one(world: World) -> None:
    for symbol in SYMBOLS:
        world.trade(symbol, partition=0)
    world.emit()
    world.step()
    items = world.get("/v1/instruments?limit=4").json()["instruments"]
    link = world.get("/v1/instruments?limit=4").headers["link"]
    for name in ("ndjson", "csv", "arrow", "parquet"):
        response = world.get(f"/v1/instruments?limit=4&format={name}")
        assert response.headers["link"].split("cursor=")[1] == link.split("cursor=")[1]
        assert response.headers["etag"].startswith('"')
    table = pa.ipc.open_stream(world.get("/v1/instruments?limit=4&format=arrow").content).read_all()
    assert table.column("symbol").to_pylist() == [item["symbol"] for item in items]


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("limit=0", "limit"),
        ("limit=10001", "limit"),
        ("cursor=abc", "cursor"),
        ("venue=X!", "venue"),
        ("prefix=..x", "prefix"),
        ("prefix=%20", "prefix"),
        (f"q={'a' * 101}", "q"),
        ("active_since=yesterday", "active_since"),
        ("numbers=float", "numbers"),
    ],
)
def test_a_question_that_cannot_be_is_refused_by_its_parameter(world: World, query: str, parameter: str) -> None:
    world.trade("A")
    world.emit()
    world.step()
    response = world.get(f"/v1/instruments?{query}")
    assert response.status_code == 422
    assert [error["parameter"] for error in response.json()["errors"]] == [parameter]


def test_a_cursor_belongs_to_its_question(world: World) -> None:
    for symbol in SYMBOLS:
        world.trade(symbol)
    world.emit()
    world.step()
    following = world.get("/v1/instruments?limit=2").json()["next"]
    assert world.get(f"/v1/instruments?limit=2&cursor={following}").status_code == 200
    for other in ("limit=3", "limit=2&venue=x", "limit=2&q=a", "limit=2&prefix=A"):
        assert world.get(f"/v1/instruments?{other}&cursor={following}").status_code == 422
