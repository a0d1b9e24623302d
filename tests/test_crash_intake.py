"""The ingest service beside everything else: producers at once, a backfill, and the service killed again and again.

file A --\\
file B ---> slackwater ingest (one process each) -> service, killed three times -> event log      each id once
file C --/                                              archive import of A's and new ids, meanwhile
"""

import json
import signal
import threading
from collections import Counter
from pathlib import Path

import httpx
import pytest

from ops.broker import free_port
from slackwater.log.events import decode
from slackwater.streams.trades import TRADES
from tests.beam_world import T0_US
from tests.crash_kit import Ended, House, Program, until

pytestmark = pytest.mark.broker

COUNT = 30_000
"""Events of a file: some four chunks."""


def write(path: Path, venue: str, first: int, count: int) -> None:
    path.write_bytes(
        b"".join(
            json.dumps(
                {
                    **{"venue": venue, "symbol": f"S{n % 3}", "trade_id": n, "time": T0_US + n * 50_000},
                    **{"price": "7.25", "quantity": "1.5", "side": "buy"},
                }
            ).encode()
            + b"\n"
            for n in range(first, first + count)
        )
    )


def ready(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health/ready", timeout=5.0).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


def known(house: House) -> Counter[tuple[str, int]]:
    """How often each (venue, id) is there: in the log, or imported."""
    found = Counter[tuple[str, int]]()
    records = [record for _, record in house.world.records(house.world.names.topic("trades"))]
    for row in decode(TRADES, records).table.select(["venue", "sequence"]).to_pylist():
        found[row["venue"], row["sequence"]] += 1
    return found


def test_producers_and_a_backfill_beside_a_service_that_is_killed_lose_and_double_nothing(
    house: House, tmp_path: Path
) -> None:
    venues, port = ("desk_a", "desk_b", "desk_c"), free_port()
    settings = {"SLACKWATER_INGEST_PORT": str(port)}
    for venue in venues:
        write(tmp_path / f"{venue}.jsonl", venue, 0, COUNT)
    write(tmp_path / "backfill.jsonl", "desk_a", COUNT // 2, COUNT)  # half of it comes live, too
    with house.running("speed", "run"):
        service = house.start("serve-ingest", **settings)
        until(lambda: ready(port))
        ended: dict[str, Ended] = {}

        def waits(name: str, program: Program) -> threading.Thread:
            thread = threading.Thread(target=lambda: ended.update({name: program.wait()}))
            thread.start()
            return thread

        threads = [waits(venue, house.start("ingest", str(tmp_path / f"{venue}.jsonl"), "--json")) for venue in venues]
        threads.append(waits("import", house.start("archive", "import", str(tmp_path / "backfill.jsonl"), "--json")))
        for _ in range(3):
            before = sum(known(house).values())
            until(lambda before=before: sum(known(house).values()) > before or len(ended) == len(threads))
            service.kill()
            service = house.start("serve-ingest", **settings)
            until(lambda: ready(port))
        for thread in threads:
            thread.join()
        for name, program in ended.items():
            assert program.code == 0, f"{name}: {program.text[-2000:]}"
        stopped = service.stop()
        assert stopped.code in {0, -signal.SIGTERM}, stopped.text[-2000:]
        imported = json.loads(next(line for line in ended["import"].text.splitlines() if line.startswith("{")))
        found = known(house)
        assert set(found.values()) == {1}, [each for each, count in found.items() if count > 1][:5]
        live = Counter(venue for venue, _ in found)
        assert (live["desk_b"], live["desk_c"]) == (COUNT, COUNT)
        assert live["desk_a"] + imported["accepted"] == COUNT + COUNT // 2
        assert imported["conflicts"] == 0
        house.verify()
