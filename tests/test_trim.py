"""Trimming the log: what no kept version needs and the archive holds goes, and nothing else ever does.

log       [ 0 ...... 700 )[ 700 .... )      700: the smallest cut that a kept version stands on
"""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest

from batch_layer.errors import BatchError
from batch_layer.expire import expire
from batch_layer.trim import TrimError, positions, trim_log
from ops.broker import free_port
from slackwater.context import Context
from slackwater.core.clock import SystemClock
from slackwater.core.faults import arm
from slackwater.versions.rollback import rollback
from tests import forked
from tests.beam_world import World, kafka_world
from tests.test_drill import ready, run, wait
from tests.test_prove import Bench, forge


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """Four versions, and records behind the last."""
    made = Bench(tmp_path_factory.mktemp("four") / "home")
    for _ in range(4):
        made.world.produce(40)
        made.publish()
    made.world.produce(10)
    made.speed.close()
    return made


@pytest.fixture
def bench(four: Bench, tmp_path: Path) -> Iterator[Bench]:
    """A copy of them, of home and log, with a speed layer of its own."""
    shutil.copytree(four.world.home, tmp_path / "home")
    made = Bench(tmp_path / "home", four.views)
    vars(made.log).update(deepcopy(vars(four.log)))
    made.world.ids = four.world.ids
    made.restart()
    yield made
    made.speed.close()


FEW = ("--interval", "1s", "--interval", "1h")
"""Intervals for all comparisons but the last, which takes every one."""


def context(bench: Bench) -> Context:
    return Context(bench.log, bench.world.names, bench.world.store, bench.views, SystemClock())


def starts(bench: Bench) -> dict[int, int]:
    return {p: at.start for p, at in bench.log.bounds(bench.world.names.topic("trades")).items()}


def test_the_log_is_trimmed_to_the_smallest_cut_that_is_kept_and_everything_goes_on(bench: Bench) -> None:
    expire(context(bench), keep=2)
    before = starts(bench)
    kept = bench.world.store.retained()
    assert [manifest.version for manifest in kept] == [4, 3]
    rehearsed = trim_log(context(bench), rehearsed=[3, 4])
    assert starts(bench) == before
    trims = trim_log(context(bench))
    assert trims == rehearsed and all(trim.files for trim in trims)
    assert starts(bench) == kept[1].cut("trades")
    assert positions(trims) == {"trades": sum(kept[1].cut("trades").values()) - sum(before.values())}
    assert trim_log(context(bench)) == []
    bench.restart()
    bench.world.produce(20)
    rollback(bench.world.store, 3, "a test", "me", lambda: 1)
    made = bench.publish()
    assert made.parent == 3 and made.proof.outcome == "equal"
    bench.restart()
    bench.world.produce(20)
    assert bench.publish(full=True).proof.outcome == "equal"


def test_a_rehearsal_says_what_goes_when_older_versions_are_gone(bench: Bench) -> None:
    trims = trim_log(context(bench), rehearsed=[4])
    assert {trim.partition: trim.upto for trim in trims} == bench.world.store.manifest(4).cut("trades")
    assert starts(bench) == dict.fromkeys(starts(bench), 0)


def test_what_a_server_stands_on_though_it_retired_is_not_trimmed(bench: Bench) -> None:
    store = bench.world.store
    cut = store.manifest(2).cut("trades")
    hold = store.lease_served("a-server", 2)
    store.retire(2, 5)
    store.retire(1, 5)
    trim_log(context(bench))
    assert starts(bench) == cut
    hold.release()
    trim_log(context(bench))
    assert starts(bench) == store.manifest(3).cut("trades")


def test_a_process_on_version_0_keeps_the_whole_log(bench: Bench) -> None:
    hold = bench.world.store.lease_served("a-server", 0)
    with pytest.raises(BatchError, match="stand on the whole log"):
        trim_log(context(bench))
    hold.release()
    assert starts(bench) == dict.fromkeys(starts(bench), 0)


def test_a_damaged_file_of_the_archive_keeps_the_log(bench: Bench) -> None:
    expire(context(bench), keep=2)
    path = bench.world.home / bench.world.store.retained()[0].archive[0].file.path
    data = path.read_bytes()
    for wrong in (data[:-1], bytes([data[0] ^ 1]) + data[1:]):
        path.write_bytes(wrong)
        with pytest.raises(TrimError, match=r"is not trimmed: .* is damaged"):
            trim_log(context(bench))
        assert starts(bench) == dict.fromkeys(starts(bench), 0)
    path.write_bytes(data)
    assert trim_log(context(bench))


def test_an_archive_with_a_hole_keeps_the_log(bench: Bench) -> None:
    expire(context(bench), keep=2)
    store = bench.world.store
    manifest = store.current()
    assert manifest is not None
    first, *others = manifest.archive
    assert first.start == 0 and first.upto is not None
    forge(store, manifest, replace(first, start=first.upto - 2))
    with pytest.raises(TrimError, match=r"no file of version 4's archive covers \[0, \d+\) of partition 0, which hold"):
        trim_log(context(bench))
    assert starts(bench) == dict.fromkeys(starts(bench), 0)
    hole = replace(first, start=first.upto - 2)
    forge(store, manifest, hole, replace(first, late=True))  # whose offsets are those of the whole run
    with pytest.raises(TrimError, match=r"covers \[0, \d+\) of partition 0"):
        trim_log(context(bench))
    forge(store, manifest, replace(first, late=True))  # all that the run took in was late
    assert trim_log(context(bench)) and others


def test_a_range_of_marks_and_refused_records_alone_needs_no_file(bench: Bench) -> None:
    for p in starts(bench):
        bench.log.append(bench.world.names.topic("trades"), p, b"", b"no event")
    for _ in range(3):
        bench.publish()
    expire(context(bench), keep=1)
    entries = bench.world.store.retained()[0].archive
    cut = bench.world.store.retained()[-1].cut("trades")
    assert any(max(e.upto or 0 for e in entries if e.partition == p) < at for p, at in cut.items())
    trim_log(context(bench))
    assert starts(bench) == cut


def test_a_log_that_was_created_again_is_not_touched(bench: Bench) -> None:
    manifest = bench.world.store.current()
    assert manifest is not None
    topic = bench.world.names.topic("trades")
    parts = len(starts(bench))
    del bench.log.topics[topic]
    bench.log.create(topic, parts)
    with pytest.raises(TrimError, match="created again"):
        trim_log(context(bench))


def test_a_trim_that_dies_is_done_by_the_next(bench: Bench) -> None:
    expire(context(bench), keep=2)
    arm({"SLACKWATER_FAULT": "expire.log:eio"})
    try:
        with pytest.raises(OSError, match=r"expire\.log"):
            trim_log(context(bench))
    finally:
        arm({})
    assert starts(bench) == dict.fromkeys(starts(bench), 0)
    assert bench.world.store.files.names(bench.world.store.folder / "leases") == []
    assert trim_log(context(bench))


@pytest.fixture
def world(broker: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setenv("SLACKWATER_PORT", str(free_port()))
    monkeypatch.setenv("SLACKWATER_PROOF_SECONDS", "30")
    with kafka_world(broker, tmp_path / "home") as made:
        yield made


@pytest.mark.broker
@pytest.mark.timeout(300)
def test_after_a_trim_every_process_goes_on_and_every_answer_equals_the_oracle(world: World) -> None:
    url = f"http://127.0.0.1:{world.environ()['SLACKWATER_PORT']}"
    topic = world.names.topic("trades")

    def trimmed() -> list[int]:
        return [at.start for _, at in sorted(world.log.bounds(topic).items())]

    with ExitStack() as programs:
        speed = programs.enter_context(ExitStack())
        speed.enter_context(forked.running("speed", "run", environ=world.environ()))
        for version in (1, 2, 3):
            world.produce(60)
            assert run(world, "batch", "run")["version"] == version
        programs.enter_context(forked.running("serve", environ=world.environ()))
        wait("version 3 is served", lambda: ready(url)[0] == 200)
        said = run(world, "batch", "expire", "--keep", "1", "--log", "--dry-run")
        assert said["log_positions"]["trades"] > 0 and said["bytes"] > 0 and trimmed() == [0, 0]
        done = run(world, "batch", "expire", "--keep", "1", "--log")
        assert done["log"] == said["log"] and done["retained"] == [3, 2]
        assert trimmed() == [at for _, at in sorted(world.store.manifest(2).cut("trades").items())]
        assert run(world, "verify", *FEW)["answers"]
        speed.close()
        world.produce(40)
        speed.enter_context(forked.running("speed", "run", environ=world.environ()))
        assert run(world, "verify", *FEW)["answers"]
        assert run(world, "batch", "run")["version"] == 4
        run(world, "batch", "rollback", "2", "--reason", "a test")
        assert run(world, "verify", *FEW)["answers"]
        assert run(world, "batch", "run", "--full")["proof"]["outcome"] == "equal"
        assert run(world, "verify")["answers"]
