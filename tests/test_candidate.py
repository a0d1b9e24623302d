"""Candidates: built beside the served version, never served by themselves, promoted exactly or not at all.

log        e e M e e e e e
V          [--)             served, bars        cells B
W          [--)             candidate, swapped  cells S      promoted: W (+) S from the same cut
"""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from batch_layer.candidate import CandidateRun
from batch_layer.errors import CandidateError, ProofFailedError
from batch_layer.promote import Promotion
from batch_layer.run import BatchRun
from serving.http.app import create_app
from serving.options import ServingOptions
from slackwater.context import Context
from slackwater.streams.trades import TRADES
from slackwater.versions.errors import LostRaceError, RollbackError
from slackwater.versions.manifest import Manifest
from slackwater.versions.moves import Move
from slackwater.versions.retention import plan
from slackwater.versions.rollback import rollback
from slackwater.views.bars import BARS
from slackwater.views.errors import DefinitionError
from slackwater.views.view import View
from tests.beam_world import SYMBOLS, memory_world
from tests.serving_world import SECOND, FakeClock, offsets
from tests.simulation.light import compute_with
from tests.speed_in_memory import Speed
from tests.test_definitions import SWAPPED

BOTH = (BARS, SWAPPED)
LIGHT = compute_with(lambda _: None)  # the runs here are many; the real pipeline has its own test


class House:
    """Both layers and a server over a log in memory, all with both definitions."""

    def __init__(self, home: Path) -> None:
        self.world = memory_world(home)
        self.log, self.names, self.store = self.world.log, self.world.names, self.world.store
        self.clock = FakeClock()
        self.app = create_app(self.log, self.names, self.store, BOTH, self.clock, ServingOptions(poll_s=0.0))
        self.speed = Speed(self.log, self.names, self.store, BOTH)  # type: ignore[arg-type]

    def grow(self, records: int = 15) -> None:
        self.world.produce(records)
        self.speed.step()

    def batch(self, views: tuple[View, ...] = BOTH) -> Manifest:
        run = BatchRun(Context(self.log, self.names, self.store, views, self.clock), compute=LIGHT)
        run.on_step = lambda _: self.speed.step()  # it meets the marks before the proof
        return run.run()

    def candidate(self, views: tuple[View, ...] = BOTH, **more: Any) -> Manifest:
        more = {"compute": LIGHT, **more}
        return CandidateRun(Context(self.log, self.names, self.store, views, self.clock), **more).run()

    def promote(self, version: int, views: tuple[View, ...] = BOTH) -> Move:
        return Promotion(Context(self.log, self.names, self.store, views, self.clock)).promote(version, "better", "who")

    def check(self, view: View, version: int, query: str = "") -> None:
        """Everything that is answered is of this version and definition, to the log's end; `query` asks otherwise."""
        self.speed.step()
        self.clock.sleep(1.1)
        service = self.app.state.service
        for _ in range(3):
            service.step()
        assert not service.readiness.check().reasons
        for symbol in SYMBOLS:
            found = self.get(f"/v1/bars?venue=v&symbol={symbol}&interval=1s&start=1970-01-01&limit=10000{query}")
            about = found["meta"]
            assert (about["definition"], about["version"], about["complete"]) == (view.definition, version, True)
            applied = offsets(about["applied"])
            assert query or applied == {p: self.world.ends[p] for p in applied}
            expected = {}
            for bar in self.world.oracle({**self.world.ends, **applied}).bars("v", symbol, SECOND):
                fields = {name: bar[name] for name in BARS.answers}
                if view == SWAPPED:
                    fields.update(high=bar["low"], low=bar["high"])
                expected[bar["start"]] = fields
            assert expected == {bar["start"]: {name: bar[name] for name in BARS.answers} for bar in found["bars"]}

    def get(self, url: str) -> dict[str, Any]:
        async def ask() -> httpx.Response:
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app=self.app), base_url="http://t") as client:
                return await client.get(url)

        response = asyncio.run(ask())
        assert response.status_code == 200, response.text
        found: dict[str, Any] = response.json()
        return found

    def close(self) -> None:
        self.app.state.service.stop()
        self.speed.close()
        self.world.close()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path / "home")
    house.grow(60)  # every symbol trades
    yield house
    house.close()


def test_a_candidate_is_never_served_by_itself_and_exact_when_it_is_promoted(house: House) -> None:
    served = house.batch()
    house.grow()
    made = house.candidate(compute=CandidateRun.compute)  # the real pipeline
    assert (made.candidate, made.parent, made.proof.outcome) == (True, served.version, "equal")
    assert made.definitions == {"bars": SWAPPED.definition}
    assert (made.of(TRADES).marks, made.of(TRADES).delta_start, made.archive) == (
        served.of(TRADES).marks,
        served.of(TRADES).delta_start,
        served.archive,
    )
    assert house.store.current() == served
    assert [manifest.version for manifest in house.store.whole()] == [served.version]
    house.check(BARS, served.version)
    house.check(SWAPPED, made.version, f"&as_of={made.version}")
    listed = {each["version"]: each["state"] for each in house.get("/v1/versions")["versions"]}
    assert listed == {served.version: "current", made.version: "candidate"}

    house.grow()
    move = house.promote(made.version)
    assert (move.source, move.target, move.reason) == (served.version, made.version, "better")
    house.check(SWAPPED, made.version)
    assert [manifest.version for manifest in house.store.whole()] == [made.version, served.version]
    house.check(BARS, served.version, f"&as_of={served.version}")

    house.grow()
    later = house.batch()  # goes on in the definition of its parent, proven by that one's cells
    assert later.definitions == {"bars": SWAPPED.definition}
    assert (later.parent, later.proof.outcome) == (made.version, "equal")
    house.grow()
    house.check(SWAPPED, later.version)
    assert house.candidate().definitions == {"bars": BARS.definition}  # now the old one is the other one
    rollback(house.store, served.version, "worse", "who", lambda: 1)
    house.check(BARS, served.version)


def test_a_damaged_pointer_does_not_serve_a_candidate(house: House) -> None:
    served = house.batch()
    house.candidate()
    (house.store.folder / "current").write_bytes(b"torn")
    fresh = create_app(house.log, house.names, house.store, BOTH, house.clock, ServingOptions(poll_s=0.0))
    fresh.state.service.step()
    assert fresh.state.service.bases.snapshot().version == served.version
    fresh.state.service.stop()


def test_there_must_be_something_to_stand_beside_and_another_definition(house: House) -> None:
    with pytest.raises(CandidateError):
        house.candidate()
    house.batch()
    with pytest.raises(DefinitionError, match="CANDIDATES"):
        house.candidate((BARS,))


def test_a_candidate_that_is_not_its_archive_is_not_kept(house: House) -> None:
    house.batch()

    def wrong(segments: Any, views: Any, folder: Path, *more: Any) -> None:
        LIGHT(segments, BOTH[:1], folder, *more)  # the served definition's files under the candidate's name

    with pytest.raises(ProofFailedError):
        house.candidate(compute=wrong)
    assert [manifest.version for manifest in house.store.readable()] == [1]


def test_a_version_published_meanwhile_makes_it_stale(house: House) -> None:
    house.batch()
    first = house.candidate()

    def slow(segments: Any, views: Any, folder: Path, *more: Any) -> None:
        house.batch()
        LIGHT(segments, views, folder, *more)

    with pytest.raises(LostRaceError):
        house.candidate(compute=slow)
    with pytest.raises(CandidateError, match="stale"):
        house.promote(first.version)
    current = house.store.current()
    assert current is not None
    house.check(BARS, current.version)


def test_a_move_between_the_look_and_the_swap_is_refused(house: House) -> None:
    served, made = house.batch(), house.candidate()
    with pytest.raises(LostRaceError):
        house.store.move(made.version, lambda: 1, "who", "why", source=made.version)
    assert house.store.pointer().version == served.version
    assert house.store.moves.last() == 0


def test_short_cells_unknown_definitions_and_versions_that_are_none_are_refused(house: House) -> None:
    served = house.batch()
    made = house.candidate()
    house.speed.close()
    house.speed = Speed(house.log, house.names, house.store, (BARS,))  # type: ignore[arg-type]
    house.grow()
    with pytest.raises(CandidateError, match="do not reach"):
        house.promote(made.version)
    with pytest.raises(CandidateError, match="does not have"):
        house.promote(made.version, (BARS,))
    with pytest.raises(CandidateError, match="no candidate"):
        house.promote(served.version)
    with pytest.raises(RollbackError, match="candidate"):
        rollback(house.store, made.version, "why", "who", lambda: 1)
    house.check(BARS, served.version)
    house.speed.close()
    house.speed = Speed(house.log, house.names, house.store, BOTH)  # type: ignore[arg-type]
    house.speed.step()
    house.promote(made.version)
    house.check(SWAPPED, made.version)
    with pytest.raises(CandidateError, match="no candidate"):
        house.promote(made.version)


def test_a_candidate_takes_no_place_of_a_published_version(house: House) -> None:
    for _ in range(2):
        house.batch()
    made = house.candidate()
    assert [m.version for m in plan(house.store, 2, 2, 1, ()).keep] == [made.version, 2, 1]
    later = house.batch()
    assert [m.version for m in plan(house.store, 1, later.version, 2, ()).keep] == [later.version, 2]
