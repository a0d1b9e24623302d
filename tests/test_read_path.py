"""How many files one cold read goes through, by a profiler's trace, and how many files serving's root holds.

route's handler --> ... every function of ours that is entered, in any thread ... --> bytes

    serving/http     routes/bars, reply
    serving/query    fields, parameters, questions (the question), bases, basis, read, pool, answer
    serving/store    batch, row_cache (the stored part), hot, fold (the chain's part)
    serving/watch    live, log_watch (whether the answer may miss something, and the lag)
    slackwater       views/interval, views/merge, views/measures/measure, views/rows, views/kinds (bars and states)
                     store/instruments (where an instrument lies), core/checked_files (every block by its checksum),
                     versions/inspector, store/files (whole before and after the read), http/validation

What is made once of a definition, of a version or of a header's text is not of a read: so the same question is asked
once before of the same version by another server.
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
MOST_FILES = 26
"""The aim was 14. A new file on the way is a decision: raise this only with a reason. The last one is the check of a
query's names, which both services share.
"""
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
    entered(world, "venue=x&symbol=BTC&interval=5m")
    world.serve()  # with a pool that has no thread yet, and nothing cached
    world.step()
    found = entered(world, "venue=x&symbol=BTC&interval=5m")
    assert any(name.endswith("store/batch.py") for name in found), "it is not cold"
    assert len(found) <= MOST_FILES, "\n".join(sorted(found))


def test_the_root_of_serving_holds_few_files() -> None:
    assert len(list((ROOT / "serving").glob("*.py"))) <= MOST_AT_ROOT
