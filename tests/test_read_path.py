"""How much of the house one cold read goes through, by a profiler's trace, and how many files serving's root holds.

route's handler --> ... every function of ours that is entered, in any thread ... --> bytes
"""

import asyncio
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from tests.bars_route import bars_route
from tests.serving_world import World, cut_in_a_minute

ROOT = Path(__file__).parents[1]
MOST_FILES = 44
"""What it takes today; the aim is 14. A new file on the way is a decision: raise this only with a reason."""
MOST_AT_ROOT = 8


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    found = World(tmp_path)
    cut_in_a_minute(found)
    yield found
    found.close()


def entered(world: World, query: str) -> set[str]:
    """The files of the project that a read goes through."""
    scope = {"type": "http", "method": "GET", "headers": [], "path": "/v1/bars", "query_string": query.encode()}
    route, found = bars_route(world.service, "bars"), set[str]()

    def note(frame: FrameType, event: str, _: Any) -> None:
        name = frame.f_code.co_filename
        if event == "call" and name.startswith(str(ROOT)) and "/.venv" not in name and "/tests/" not in name:
            found.add(str(Path(name).relative_to(ROOT)))

    async def ask() -> bytes:
        sys.setprofile(note)
        threading.setprofile(note)
        try:
            response = await route.respond(scope)
        finally:
            sys.setprofile(None)
            threading.setprofile(None)
        return bytes(response.body)

    assert b'"bars":[{' in asyncio.run(ask())
    return found


def test_a_cold_read_goes_through_few_files(world: World) -> None:
    world.bars("symbol=BTC&interval=5m")  # what is made once of a definition is not of a read
    world.serve()  # with a pool that has no thread yet, and nothing cached
    world.step()
    found = entered(world, "venue=x&symbol=BTC&interval=5m")
    assert any(name.endswith("store/batch.py") for name in found), "it is not cold"
    assert len(found) <= MOST_FILES, "\n".join(sorted(found))


def test_the_root_of_serving_holds_few_files() -> None:
    assert len(list((ROOT / "serving").glob("*.py"))) <= MOST_AT_ROOT
