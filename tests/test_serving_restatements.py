"""`GET /v1/restatements`: the whole ledger in pages and by every filter, compared with the files that runs wrote."""

import asyncio
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import orjson
import pyarrow as pa
import pytest

from serving.http.app import create_app
from serving.service import Service
from slackwater.versions.rollback import rollback
from slackwater.views.bars import BARS
from tests.beam_world import T0_US
from tests.test_restatements import SIDES, Story

VIEWS = (BARS, SIDES)


class Asked:
    """A story that is served. `service` is moved by hand."""

    def __init__(self, home: Path, seed: int = 3) -> None:
        self.story = Story(home, seed, VIEWS)
        self.app = create_app(self.story.world.log, self.story.world.names, self.story.world.store, VIEWS)
        self.service: Service = self.app.state.service

    def batch(self) -> None:
        for _ in range(25):
            self.story.draw()
        self.story.batch()
        self.service.step()

    def get(self, path: str = "/v1/restatements", /, **parameters: Any) -> httpx.Response:
        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                return await client.get(f"{path}?{urlencode(parameters)}")

        return asyncio.run(ask())

    def pages(self, **parameters: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        following = None
        while True:
            page = self.get(**parameters, **({"cursor": following} if following else {})).json()
            found += page["restatements"]
            following = page["next"]
            if following is None:
                return found

    def expected(self) -> list[dict[str, Any]]:
        """Every row of every version, in the ledger's order and the route's form."""
        return [
            {
                **{name: row[name] for name in ("view", "venue", "symbol", "interval", "start")},
                **{name: row[name] for name in ("cause", "partition", "offset", "trades")},
                "version": manifest.version,
                "created": manifest.created_us,
                **{side: bar(row, row[side]) for side in ("before", "after")},
            }
            for manifest in self.story.versions
            for row in self.story.rows(manifest)
        ]


def bar(row: dict[str, Any], answers: dict[str, Any] | None) -> dict[str, Any] | None:
    key = {"side": row["key"][0]} if row["key"] else {}
    return None if answers is None else {**key, "start": row["start"], **answers, "closed": True}


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Asked:
    """Three versions; nothing changes them."""
    found = Asked(tmp_path_factory.mktemp("home"))
    for _ in range(3):
        found.batch()
    return found


def test_the_ledger_comes_whole_in_pages_of_any_size(asked: Asked) -> None:
    expected = asked.expected()
    assert {row["version"] for row in expected} == {1, 2, 3}
    for limit in (10_000, 50, len(expected) - 1, len(expected)):
        assert asked.pages(since=0, limit=limit) == expected
    assert asked.get(since=3).json() == {"restatements": [], "next": None, "meta": {"version": 3}}


def test_every_filter_takes_its_rows_and_no_others(asked: Asked) -> None:
    expected, (first, second, third) = asked.expected(), asked.story.versions
    one = expected[len(expected) // 2]
    questions: list[tuple[dict[str, Any], Any]] = [
        ({"since": 1}, lambda r: r["version"] > 1),
        ({"since": 0, "until": 2}, lambda r: r["version"] <= 2),
        ({"since": 1, "until": 2}, lambda r: r["version"] == 2),
        ({"since": second.created_us}, lambda r: r["version"] >= 2),
        ({"since": first.created_us, "until": third.created_us}, lambda r: r["version"] < 3),
        ({"since": "2000-01-01"}, lambda _: True),
        ({"view": "sides"}, lambda r: r["view"] == "sides"),
        ({"venue": "v"}, lambda _: True),
        ({"venue": "w"}, lambda _: False),
        ({"symbol": one["symbol"]}, lambda r: r["symbol"] == one["symbol"]),
        ({"symbol": "A,B", "limit": 9}, lambda r: r["symbol"] in {"A", "B"}),
        ({"interval": "1m", "view": "bars"}, lambda r: (r["interval"], r["view"]) == ("1m", "bars")),
        ({"cause": "late_trade"}, lambda _: True),
        ({"cause": "repair"}, lambda _: False),
    ]
    for parameters, wanted in questions:
        assert asked.pages(**parameters) == [row for row in expected if wanted(row)], parameters


def test_before_and_after_are_what_the_versions_answer(asked: Asked) -> None:
    """Bars that ended below the parent's cut were in it as they were before."""
    compared = 0
    for row in asked.pages(since=0, view="bars"):
        asking = {"venue": "v", "symbol": row["symbol"], "interval": row["interval"], "start": row["start"], "limit": 1}
        now = asked.get("/v1/bars", **asking, as_of=row["version"]).json()["bars"]
        assert now == [row["after"]]
        if row["version"] == 1:
            continue
        then = asked.get("/v1/bars", **asking, as_of=row["version"] - 1)
        bars = then.json().get("bars") if then.status_code == 200 else []
        if row["before"] is not None and bars and bars[0]["trades"] == row["before"]["trades"]:
            assert bars == [{**row["before"], "closed": bars[0]["closed"]}]
            compared += 1
    assert compared


def test_times_are_given_as_text_where_that_is_asked_for(asked: Asked) -> None:
    found = asked.get(since=0, limit=1, times="iso").json()["restatements"][0]
    assert found["start"].endswith("Z") and found["after"]["start"] == found["start"]
    assert found["created"].endswith("Z")


@pytest.mark.parametrize(
    ("parameters", "wrong"),
    [
        ({"since": "x"}, "since"),
        ({"since": "-1"}, "since"),
        ({"since": 3, "until": 3}, "until"),
        ({"since": "2025-01-02", "until": "2025-01-01"}, "until"),
        ({"interval": "7m"}, "interval"),
        ({"cause": "mistake"}, "cause"),
        ({"view": "nothing"}, "view"),
        ({"view": "bars'--"}, "view"),
        ({"venue": "V"}, "venue"),
        ({"symbol": "A,,B"}, "symbol"),
        ({"limit": 0}, "limit"),
        ({"cursor": "made-up"}, "cursor"),
        ({"until": 2, "cursor": "of another question"}, "cursor"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(asked: Asked, parameters: dict[str, Any], wrong: str) -> None:
    if parameters.get("cursor") == "of another question":
        parameters = {**parameters, "cursor": asked.get(limit=1).json()["next"]}
    found = asked.get(**parameters)
    assert (found.status_code, found.headers["content-type"]) == (422, "application/problem+json")
    assert [error["parameter"] for error in found.json()["errors"]] == [wrong]


def test_metrics_and_versions_count_them(asked: Asked) -> None:
    expected = asked.expected()
    text = asked.get("/metrics").text
    assert f'slackwater_restatements{{cause="late_trade"}} {float(len(expected))}' in text
    assert 'slackwater_restatements{cause="repair"} 0.0' in text
    listed = {v["version"]: v["restated"] for v in asked.get("/v1/versions").json()["versions"]}
    assert listed == {m.version: dict(m.restated) for m in asked.story.versions}


def test_a_cursor_of_a_version_that_was_rolled_back_from_is_gone(tmp_path: Path) -> None:
    asked = Asked(tmp_path / "home")
    asked.batch()
    asked.batch()
    first = [row for row in asked.pages() if row["version"] == 1]
    in_second = asked.get(limit=len(first) + 1).json()["next"]
    assert in_second is not None
    rollback(asked.story.world.store, 1, "a test", "me", lambda: T0_US)
    asked.service.step()
    assert asked.pages() == first
    gone = asked.get(limit=len(first) + 1, cursor=in_second)
    assert (gone.status_code, gone.json()["type"]) == (410, "urn:slackwater:problem:cursor-gone")
    asked.batch()  # version 3 stands on version 1: what was late is told once
    lineage = [asked.story.versions[0], asked.story.versions[2]]
    assert asked.story.versions.pop(1).version == 2
    assert [m.parent for m in lineage] == [0, 1]
    asked.story.check()
    assert asked.pages() == asked.expected()


def test_a_damaged_ledger_is_not_answered_from(tmp_path: Path) -> None:
    asked = Asked(tmp_path / "home")
    asked.batch()
    path = asked.story.world.home / asked.story.versions[0].restatements[0].file.path
    data = path.read_bytes()
    path.write_bytes(data[:-20] + bytes([data[-20] ^ 1]) + data[-19:])
    found = asked.get()
    assert (found.status_code, found.json()["type"]) == (503, "urn:slackwater:problem:files-unreadable")
    path.write_bytes(data)
    assert asked.pages() == asked.expected()


def test_other_formats_have_the_rows_of_json_with_the_bars_as_text(asked: Asked) -> None:
    expected = asked.get(limit=20).json()["restatements"]
    assert len(expected) > 3
    texts = [{**row, **{s: row[s] and orjson.dumps(row[s]).decode() for s in ("before", "after")}} for row in expected]
    lines = asked.get(limit=20, format="ndjson")
    assert [json.loads(line) for line in lines.text.splitlines()] == texts
    assert lines.headers["link"].endswith('rel="next"')
    table = pa.ipc.open_stream(asked.get(limit=20, format="arrow").content).read_all()
    for name in ("created", "start"):
        at = table.schema.names.index(name)
        table = table.set_column(at, name, table.column(name).cast(pa.int64()))
    assert table.to_pylist() == texts
    nearest = asked.get(limit=20, numbers="float").json()["restatements"]
    for bar, exact in [(a["after"], b["after"]) for a, b in zip(nearest, expected, strict=True) if b["after"]]:
        assert bar == {name: float(v) if name in _decimals(exact) else v for name, v in exact.items()}


def _decimals(bar: dict[str, Any]) -> set[str]:
    """The names of a bar's decimals: what is text, but for its key."""
    return {name for name, value in bar.items() if isinstance(value, str) and name not in SIDES.key}


def test_the_example_of_the_interface_fits_its_own_schema(asked: Asked) -> None:
    document = asked.get("/openapi.json").json()
    content = document["paths"]["/v1/restatements"]["get"]["responses"]["200"]["content"]["application/json"]
    assert content["schema"] == {"$ref": "#/components/schemas/Restatements"}
    schema = document["components"]["schemas"]["Restatements"]
    example, found = schema["examples"][0], json.loads(asked.get(limit=1, view="bars").content)
    assert set(example) == set(found) == set(schema["required"])
    item = document["components"]["schemas"]["Restatement"]
    assert set(example["restatements"][0]) == set(found["restatements"][0]) == set(item["required"])
