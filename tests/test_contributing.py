"""The code that CONTRIBUTING.md shows is real: its stream, view, measure, answer and route work."""

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import settings

from ops.evidence import claims
from serving.http import routes
from slackwater.core.settings import from_environ
from slackwater.streams import registry as streams
from slackwater.streams.decode import events_table
from slackwater.streams.event import decode_event
from slackwater.views import registry as views
from slackwater.views.answers import Column
from slackwater.views.bars import BARS
from slackwater.views.finished import finish_table
from slackwater.views.measures import Count
from slackwater.views.rows import table_of
from slackwater.views.session import Summariser
from slackwater.views.view import View
from tests.laws import laws
from tests.serving_world import World
from tests.test_verify_views import INTERVALS, changed, fill, kind_changed, prove

TEXT = (Path(__file__).parent.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
FILES = {
    found["name"]: found[0].removeprefix("```python\n")
    for found in re.finditer(r'^```python\n"""(?P<name>[a-z_]+)\.py: .*?^(?=```$)', TEXT, re.MULTILINE | re.DOTALL)
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that Python imports from, with the files."""
    found = tmp_path / "outside"
    found.mkdir()
    for name, source in FILES.items():
        (found / f"{name}.py").write_text(source, encoding="utf-8")
    monkeypatch.syspath_prepend(str(found))
    yield found
    for name in FILES:
        sys.modules.pop(name, None)


def module(name: str) -> ModuleType:
    return __import__(name)


def test_every_file_is_found() -> None:
    assert set(FILES) == {"liquidations", "liquidated", "flag", "yes_no", "clock"}


@pytest.mark.usefixtures("folder")
def test_the_stream_and_the_view_are_found_by_their_settings_and_summarised() -> None:
    named = dict(re.findall(r"`(SLACKWATER_(?:STREAMS|VIEWS))=([a-z]+:[A-Z]+)`", TEXT))
    assert from_environ(named).views == (named["SLACKWATER_VIEWS"],)
    *_, stream = streams.registered([named["SLACKWATER_STREAMS"]])
    *_, view = views.registered([named["SLACKWATER_VIEWS"]])
    assert (stream.name, view.name, view.stream) == ("liquidations", "liquidated", stream)
    line = {"venue": "okx", "symbol": "BTC", "time": 1_769_851_800_000_000, "price": "5", "side": "long"}
    lines = [json.dumps({**line, "liquidation_id": f"l-{n}", "quantity": str(n)}).encode() for n in (1, 3)]
    events = [decode_event(stream, line, 2**62) for line in lines]
    rows = Summariser((view,)).rows(view, events_table(stream, events))
    (row,) = finish_table(view, table_of(view, rows)).to_pylist()
    assert {name: int(row[name]) for name in view.answers} == {"events": 2, "volume": 4, "vwap": 5, "largest": 3}


@pytest.mark.usefixtures("folder")
def test_the_measure_and_the_answer_obey_the_laws() -> None:
    flag, yes_no = module("flag").Flag, module("yes_no").YesNo
    measures = {"large": flag("quantity >= 100"), "trades": Count()}
    view = View("seen", measures, {"large": yes_no("large")}, stream=BARS.stream)
    for law in laws(view, quick=settings(max_examples=3)).values():
        law()


@pytest.mark.usefixtures("folder")
def test_the_measure_and_the_answer_are_proven_by_what_their_files_say(tmp_path: Path) -> None:
    flag, yes_no = module("flag").Flag, module("yes_no").YesNo
    measures = {"large": flag("quantity >= 100"), "dear": flag("price < 100")}
    answers = {"large": yes_no("large"), "dear": Column("dear")}
    seen = View("seen", measures, answers, stream=BARS.stream)
    world = World(tmp_path, views=(seen,))
    try:
        fill(world)
        right = claims([seen], INTERVALS)
        found = prove(world, right)
        assert found.holds, (found.differences, found.refusals, found.tail, found.not_proven)
        assert found.parts["seen"].rows
        for kind, name, other in (
            ("measures", "large", {"where": "quantity < 0"}),
            ("answers", "large", {"column": "dear"}),
        ):
            wrong = [changed(kind, name, **other)(view) for view in right.views]
            assert prove(world, replace(right, views=wrong)).parts["seen"].differ
        for kind in ("measures", "answers"):
            unknown = [kind_changed(kind, "large", "Unknown")(view) for view in right.views]
            assert "Unknown" in prove(world, replace(right, views=unknown)).not_proven["seen"]
    finally:
        world.close()


def test_the_route_is_served(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "routes"
    own.mkdir()
    (own / "clock.py").write_text((folder / "clock.py").read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.setattr(routes, "__path__", [*routes.__path__, str(own)])
    world = World(tmp_path / "home")
    try:
        now = world.get("/v1/clock").json()["now"]
        assert world.get("/v1/clock?offset=60").json() == {"now": now + 60_000_000}
        assert world.get("/v1/clock?offset=-1").status_code == 422
    finally:
        world.close()
        sys.modules.pop("serving.http.routes.clock", None)
