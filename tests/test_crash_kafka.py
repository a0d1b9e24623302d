"""Kafka at its worst, on a broker of its own: each part goes on or refuses exactly as the contract says, never guessed.

                          batch               speed               service                   ingest
killed, started again     refuses meanwhile   goes on             batch and chain stay      goes on
paused for 20 s           goes on             goes on             goes on                   goes on
topic created again       refuses             begins anew         batch alone               refuses
start above the cut       refuses             goes on, a hole     batch alone               refuses
start below the cut       goes on             goes on             goes on                   goes on
end below the cut         refuses             refuses             batch alone               refuses
end below what is applied goes on             goes on, says so    batch alone until then    goes on
more partitions           goes on             goes on             goes on                   goes on
"""

import gc
import os
import signal
import struct
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from ops.broker import Broker, BrokerSettings, free_port
from slackwater.streams.schema import GRID
from slackwater.versions.manifest import Manifest
from slackwater.views.bars import BARS
from slackwater.views.interval import PUBLISHED_INTERVALS
from speed_layer.beginning import read_chains
from tests.beam_world import add_partitions, delete_records, recreate_topics
from tests.crash_kit import AGAIN, House, open_house, until
from tests.test_crash_ingest import COUNT, facts, taken, write
from verify.client import Client

pytestmark = [
    pytest.mark.broker,
    pytest.mark.crash,
    # The test's own clients lose their broker, and kafka-python leaves the sockets to the garbage collector then.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

PAUSE_S = 20.0
MINUTE = PUBLISHED_INTERVALS[1]


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """Collects those sockets here, where the warning is expected."""
    yield
    gc.collect()


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A broker that only these tests use."""
    with Broker(BrokerSettings(tmp_path_factory.mktemp("own"), free_port())) as running:
        yield running


@pytest.fixture
def house(own: Broker, tmp_path: Path) -> Iterator[House]:
    """A house whose service stands on version 1 with some trades behind its cut; a worker is started by the test."""
    with open_house(own.bootstrap, tmp_path) as found:
        found.world.produce(40, bad=False)
        assert found.run("batch", "run", SLACKWATER_PROOF_SECONDS="0").code == 0
        yield found


def served(house: House) -> Manifest:
    found = house.world.store.current()
    assert found is not None
    return found


def reasons(house: House) -> str:
    found = httpx.get(f"{house.url}/health/ready", timeout=10.0)
    return " ".join(found.json()["reasons"]) if found.status_code != httpx.codes.OK else ""


def expected(house: House) -> dict[tuple[str, str], list[dict[str, object]]]:
    """The oracle's bars of one minute below the version's cut."""
    oracle = house.world.oracle(served(house).cut("trades"), [MINUTE])
    return {instrument: oracle.bars(*instrument, MINUTE.us) for instrument in oracle.instruments}


def batch_alone(house: House, fact: str, bars: dict[tuple[str, str], list[dict[str, object]]]) -> None:
    """The service says `fact`, and answers `bars` at its version's own cut: nothing is added."""
    until(lambda: fact in reasons(house), told=lambda: reasons(house))
    cut = served(house).cut("trades")
    with Client(house.url) as client:
        for (venue, symbol), wanted in bars.items():
            found = client.get("/v1/bars", venue=venue, symbol=symbol, interval="1m", start="1970-01-01", limit=10_000)
            assert found["bars"] == wanted
            assert fact in found["meta"]["refusal"]
            assert {int(p): at for p, at in found["meta"]["applied"].items()}.items() <= cut.items()


def refused(house: House, fact: str, *arguments: str, code: int = 1) -> None:
    """A command ends with `code` and one line that holds `fact`; the version stays."""
    before = house.world.store.pointer()
    ended = house.run(*arguments)
    assert ended.code == code and len(ended.errors) == 1 and fact in ended.errors[0], ended.text
    assert house.world.store.pointer() == before


def goes_on(house: House) -> None:
    """Lag 0, every answer right; and the next batch run publishes, and it is right."""
    house.verify()
    ended = house.run("batch", "run", "--always")
    assert ended.code == 0, ended.text
    house.world.check(served(house))
    house.verify()


def trades(house: House, tmp_path: Path, symbol: str) -> str:
    path = tmp_path / f"{symbol}.jsonl"
    write(path, symbol)
    return str(path)


def end_broker(own: Broker) -> None:
    assert own.pid is not None
    os.kill(own.pid, signal.SIGKILL)
    until(lambda: not own.running)


def start_broker(own: Broker) -> None:
    own.start()
    own.wait_ready()


# Away for a while


def test_a_broker_that_is_killed_and_started_again_costs_time_alone(own: Broker, house: House, tmp_path: Path) -> None:
    with house.running("speed", "run"):
        house.verify()
        writer = house.start("ingest", trades(house, tmp_path, "killed"), "--speed", "0.2x")  # 10 s
        until(lambda: len(taken(house, "killed")) > 5)
        end_broker(own)
        refused(house, "No Kafka broker answers", "batch", "run", code=AGAIN)
        until(lambda: "No Kafka broker answers" in reasons(house))
        with Client(house.url) as client:
            assert client.get("/v1/instruments")["instruments"]
        start_broker(own)
        ended = writer.wait()
        if ended.code == AGAIN:  # a broker that was away for longer than a record is waited for
            ended = house.run("ingest", trades(house, tmp_path, "killed"))
        assert ended.code == 0, ended.text
        assert taken(house, "killed") == Counter(range(COUNT))
        until(lambda: not reasons(house), told=lambda: reasons(house))
        goes_on(house)


def test_a_broker_that_stands_still_for_20_seconds_costs_time_alone(own: Broker, house: House, tmp_path: Path) -> None:
    assert own.pid is not None
    with house.running("speed", "run"):
        house.verify()
        writer = house.start("ingest", trades(house, tmp_path, "paused"), "--speed", "0.1x")  # 20 s
        until(lambda: len(taken(house, "paused")) > 5)
        os.kill(own.pid, signal.SIGSTOP)
        try:
            batch = house.start("batch", "run")
            ends = time.monotonic() + PAUSE_S
            with Client(house.url) as client:
                known, *_ = client.get("/v1/instruments")["instruments"]
                asked = {"venue": known["venue"], "symbol": known["symbol"], "limit": 1}
                said = []
                while time.monotonic() < ends:
                    said.append(client.get("/v1/bars", **asked)["meta"])
                    time.sleep(0.5)  # the pause itself is what is tested
            silent = [about["reason"] for about in said if not about["complete"]]
            assert len(silent) > len(said) / 2 and len(set(silent)) == 1, said
            assert silent[0].startswith("The log has not been seen since ")
            assert silent[0] in reasons(house)
        finally:
            os.kill(own.pid, signal.SIGCONT)
        ended = writer.wait()
        assert ended.code == 0, ended.text
        assert taken(house, "paused") == Counter(range(COUNT))
        ended = batch.wait()
        assert ended.code == 0, ended.text
        goes_on(house)


# Another log


def test_a_topic_that_is_created_again_is_refused_but_by_the_speed_layer_which_begins_anew(
    house: House, tmp_path: Path
) -> None:
    bars = expected(house)
    with house.running("speed", "run") as worker:
        house.verify()
        recreate_topics(house.world)
        house.world.reopen()
        house.world.produce(30, bad=False)
        refused(house, "was created again", "batch", "run")
        refused(house, "was created again", "ingest", trades(house, tmp_path, "anew"))
        batch_alone(house, "was created again", bars)
        until(lambda: "begins at {0: 0, 1: 0}" in worker.text, told=lambda: worker.text[-3000:])
        ends = house.world.ends
        until(lambda: house.world.chain(dict.fromkeys(ends, 0))[1] == ends)


def test_a_log_that_starts_above_the_cut_is_refused_and_the_speed_layer_says_that_there_is_a_hole(
    house: House, tmp_path: Path
) -> None:
    bars, cut = expected(house), served(house).cut("trades")
    house.world.produce(40, bad=False)
    delete_records(house.world, house.world.names.topic("trades"), 0, cut[0] + 3)
    refused(house, f"the cut is {cut[0]}", "batch", "run")
    refused(house, "Partition 0 of", "ingest", trades(house, tmp_path, "above"))
    batch_alone(house, f"is above the cut {cut[0]} in partition 0", bars)
    with house.running("speed", "run") as worker:
        until(lambda: f"the log starts at {cut[0] + 3}, above {cut[0]}: a hole" in worker.text)
        house.world.produce(900, bad=False)  # past a grid line in each partition
        first = {p: -(-(at + 3) // GRID) * GRID for p, at in cut.items()}
        until(lambda: house.world.chain(first)[1] == house.world.ends)
    chain = read_chains(house.world.log, house.world.names.deltas("trades"), (BARS,), house.world.topic_id, {0: 0})[
        BARS, 0
    ]
    assert chain.last(cut[0]) is None, "a cell begins below where the reading began"


def test_a_log_that_starts_below_the_cut_costs_nothing(house: House, tmp_path: Path) -> None:
    with house.running("speed", "run"):
        house.verify()
        delete_records(house.world, house.world.names.topic("trades"), 0, served(house).cut("trades")[0] - 1)
        assert house.run("ingest", trades(house, tmp_path, "below")).code == 0
        house.verify()
        assert house.run("batch", "run").code == 0
        house.verify()


def lose_tail(own: Broker, house: House, partition: int, below: int) -> int:
    """Kill the broker, cut the partition's file at the last batch that begins below `below`, start it; the new end."""
    end_broker(own)
    folder = own.settings.home / "broker" / "data" / f"{house.world.names.topic('trades')}-{partition}"
    (path,) = folder.glob("*.log")
    data, at, base, cut = path.read_bytes(), 0, 0, 0
    while at < len(data):  # a batch: its first offset, its length, and so much more
        first, length = struct.unpack_from(">qi", data, at)
        if first >= below:
            break
        base, cut = first, at
        at += 12 + length
    path.write_bytes(data[:cut])
    for index in folder.glob("*.*index"):
        index.unlink()  # made again from the file when an unclean broker starts
    start_broker(own)
    assert house.world.ends[partition] == base
    house.world.reopen()
    return base


def test_a_log_that_ends_below_the_cut_is_refused_by_all_also_when_it_has_grown_again(
    own: Broker, house: House, tmp_path: Path
) -> None:
    bars, cut = expected(house), served(house).cut("trades")
    with house.running("speed", "run") as worker:
        house.verify()
        end = lose_tail(own, house, 0, cut[0])
        until(lambda: "its tail was lost" in worker.text or f"beyond the log's end {end}" in worker.text)
        refused(house, f"partition 0 holds [0, {end})", "batch", "run")
        refused(house, "Partition 0 of", "ingest", trades(house, tmp_path, "tail"))
        batch_alone(house, f"end {end} is below the cut {cut[0]} in partition 0", bars)
    house.world.produce(100, bad=False)
    refused(house, "partition 0 holds no mark of its run", "batch", "run")
    batch_alone(house, f"The record at the cut {cut[0]} in partition 0 is not the mark", bars)


def test_a_log_that_ends_below_what_is_applied_is_refused_until_a_version_has_passed_it(
    own: Broker, house: House
) -> None:
    bars, cut = expected(house), served(house).cut("trades")
    house.world.produce(60, bad=False)
    with house.running("speed", "run") as worker:
        house.verify()
        applied = house.world.ends[0]
        end = lose_tail(own, house, 0, applied - 2)
        assert end > cut[0]
        batch_alone(house, f"The log lost its tail below {applied} in partition 0", bars)
        until(lambda: f"cells reach {applied}: its tail was lost" in worker.text, told=lambda: worker.text[-3000:])
        house.world.produce(400, bad=False)
        assert house.run("batch", "run").code == 0
        until(lambda: not reasons(house), told=lambda: reasons(house))
        house.world.check(served(house))
        house.verify()


def test_partitions_that_are_added_are_read_by_all(house: House, tmp_path: Path) -> None:
    path = trades(house, tmp_path, "grown")
    assert house.run("ingest", path).code == 0
    with house.running("speed", "run") as worker:
        house.verify()
        add_partitions(house.world, 3)
        house.world.produce(60, bad=False)
        ended = house.run("ingest", path, "--json")
        assert (ended.code, facts(ended.text)["accepted"]) == (0, 0), ended.text
        assert house.run("ingest", trades(house, tmp_path, "more")).code == 0
        until(lambda: "has 3 partitions now, it had 2" in worker.text)
        until(house.world.reached)
        assert not moved_differ(house)
        assert house.run("batch", "run").code == 0
        house.world.check(served(house))  # the hash of a key leads elsewhere from now on
        assert house.world.ends.keys() == served(house).cut("trades").keys()
        until(lambda: not reasons(house), told=lambda: reasons(house))
        assert not moved_differ(house)
    house.world.check_chain()


def moved_differ(house: House) -> list[tuple[str, str]]:
    """Instruments whose bars differ from the oracle at the log's end. Instruments that stand in two partitions close
    their bars in each of them, so `closed` is left out."""
    oracle, differ = house.world.oracle(house.world.ends, [MINUTE]), []
    with Client(house.url) as client:
        for venue, symbol in oracle.instruments:
            bars = client.get("/v1/bars", venue=venue, symbol=symbol, interval="1m", start="1970-01-01", limit=10_000)[
                "bars"
            ]
            if [bar | {"closed": None} for bar in bars] != [
                bar | {"closed": None} for bar in oracle.bars(venue, symbol, MINUTE.us)
            ]:
                differ.append((venue, symbol))
    return differ
