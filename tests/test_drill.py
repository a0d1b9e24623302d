"""The drill, with a real broker and real processes: publish a wrong definition on purpose, see the alarm, roll back,
fix, recompute, expire. Somebody asks all the while; each answer equals the oracle at its own positions.

    versions   1 -------- 2 wrong -- back to 1 ------- 3 right
    served     1          1, and says why               3
    answers    . . . . .  r r r r r  . . . . . . . . .  . . . .      r: with a refusal
"""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from ops.broker import free_port
from ops.evidence import LogEvidence
from slackwater.streams.trades import TRADES
from slackwater.views.bars import BARS
from slackwater.views.interval import parse_interval
from tests import forked
from tests.beam_world import SYMBOLS, World, call, kafka_world, program
from tests.proof_kit import OF_BARS, compared
from verify.client import Answer, Client
from verify.errors import ServiceError

pytestmark = pytest.mark.broker

DEADLINE_S = 120.0
INTERVALS = [parse_interval(text) for text in ("1s", "1m", "1h")]


@pytest.fixture
def world(broker: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setenv("SLACKWATER_PORT", str(free_port()))
    monkeypatch.setenv("SLACKWATER_PROOF_SECONDS", "30")
    with kafka_world(broker, tmp_path / "home") as made:
        yield made


def run(world: World, *words: str, module: str = "ops", code: int = 0) -> dict[str, Any]:
    """A command as a process; what it said."""
    if module == "ops":
        done = forked.call(*words, "--json", environ=world.environ())
    else:
        done = call(module, *words, "--json", environ=world.environ())
    assert done.returncode == code, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1]) if code == 0 else {}
    return found


@dataclass
class Asker(threading.Thread):
    """Asks for every instrument again and again; keeps each answer."""

    url: str
    answers: list[Answer] = field(default_factory=list)
    stopped: threading.Event = field(default_factory=threading.Event)
    failed: BaseException | None = None

    def __post_init__(self) -> None:
        super().__init__()

    __hash__ = threading.Thread.__hash__

    def run(self) -> None:
        try:
            with Client(self.url) as client:
                while not self.stopped.wait(0.05):
                    for instrument in client.get("/v1/instruments")["instruments"]:
                        interval = INTERVALS[len(self.answers) % len(INTERVALS)]
                        entity = instrument["venue"], instrument["symbol"]
                        self.answers.append(client.answer(OF_BARS, entity, interval.text))
        except ServiceError as error:
            self.failed = error


@contextmanager
def asking(url: str) -> Iterator[Asker]:
    asker = Asker(url)
    asker.start()
    try:
        yield asker
    finally:
        asker.stopped.set()
        asker.join(30)


def wait(what: str, there: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not there():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)  # between two looks


def ready(url: str) -> tuple[int, str]:
    """The status of readiness, and its text."""
    try:
        found = httpx.get(f"{url}/health/ready", timeout=10)
    except httpx.TransportError as error:
        return 0, str(error)
    return found.status_code, found.text


@pytest.mark.crash
@pytest.mark.timeout(300)
def test_a_wrong_definition_is_seen_rolled_back_fixed_and_expired_and_no_answer_is_ever_wrong(world: World) -> None:
    environ = world.environ()
    url = f"http://127.0.0.1:{environ['SLACKWATER_PORT']}"
    world.produce(80)
    with ExitStack() as programs:
        programs.enter_context(program(world, "ops", "speed", "run"))
        wait("deltas", lambda: all(b.end for b in world.log.bounds(world.names.deltas("trades")).values()))
        assert run(world, "batch", "run")["version"] == 1
        # A service that was there before version 1 would lease version 0, and keep every delta, for its cursors.
        programs.enter_context(program(world, "ops", "serve"))
        wait("version 1 is served", lambda: ready(url)[0] == 200)

        def version() -> int:
            found: int = httpx.get(f"{url}/v1/versions", timeout=10).json()["served"]
            return found

        wait("version 1 is served", lambda: version() == 1)
        with asking(url) as asker:

            def asked_again() -> None:
                """A round of answers that began after now."""
                goal = len(asker.answers) + 2 * len(SYMBOLS)
                wait("somebody asks", lambda: len(asker.answers) >= goal or asker.failed is not None)
                assert asker.failed is None

            asked_again()
            # Publish a wrong definition.
            world.produce(40)
            wrong = run(world, "batch", "run", module="tests.wrong_definition")
            assert wrong["version"] == 2
            assert wrong["definitions"]["bars"] != BARS.definition
            assert wrong["proof"]["outcome"] == "unproven"
            # See the alarm.
            wait("the alarm", lambda: ready(url)[0] == 503)
            assert f"Version 2 holds definition {wrong['definitions']['bars']} of bars" in ready(url)[1]
            assert version() == 1
            alarmed = len(asker.answers)
            asked_again()
            refused = [answer.refusal for answer in asker.answers[alarmed + len(SYMBOLS) :]]
            assert refused and all(refused)
            # Roll back, over REST, with a key.
            key = run(world, "key", "create", "--scope", "admin", "--name", "drill")["key"]
            back = httpx.post(
                f"{url}/v1/versions/1/rollback",
                json={"reason": "bought volume counts what was sold"},
                headers={"Authorization": f"Bearer {key}"},
                timeout=30,
            )
            assert (back.status_code, back.json()["from"], back.json()["to"]) == (200, 2, 1), back.text
            wait("the alarm is over", lambda: ready(url)[0] == 200)
            quiet = len(asker.answers)
            asked_again()
            assert not any(answer.refusal for answer in asker.answers[quiet + len(SYMBOLS) :])
            listed = run(world, "batch", "list")
            assert [(v["version"], v["state"]) for v in listed["versions"]] == [(2, "rolled back"), (1, "current")]
            # Fix and recompute.
            world.produce(40)
            right = run(world, "batch", "run")
            assert (right["version"], right["parent"], right["proof"]["outcome"]) == (3, 1, "equal")
            wait("version 3 is served", lambda: version() == 3)
            asked_again()
            assert ready(url)[0] == 200
        assert asker.failed is None
        # The log keeps everything, so each answer is compared after the fact.
        evidence = LogEvidence(world.log, world.names, world.store)
        proof = compared(evidence, asker.answers)
        assert proof.answers == len(asker.answers)
        assert proof.differ == 0, proof.differences
        assert {answer.version for answer in asker.answers} == {1, 3}
        # Expire: the rolled back version and its deltas go, on the real broker, under the running service.
        done = run(world, "batch", "expire", "--keep", "1")
        assert (done["retained"], done["retired"]) == ([3, 1], [2])
        assert world.store.numbers() == [1, 3]
        first = world.store.manifest(1).of(TRADES).delta_start
        assert all(first.values())
        assert {p: b.start for p, b in world.log.bounds(world.names.deltas("trades")).items()} == first
        assert httpx.get(f"{url}/v1/versions/2", timeout=10).status_code == 410
        for _ in range(2):
            world.produce(10)
            newest = run(world, "batch", "run")
        wait("version 5 is served", lambda: version() == newest["version"] == 5)
        # Four versions stay leased by the service for its cursors; a new service holds none of them.
    done = run(world, "batch", "expire", "--keep", "1")
    assert (done["retained"], world.store.numbers()) == ([5, 4], [4, 5])
    needed = world.store.manifest(4).of(TRADES).delta_start
    assert {p: b.start for p, b in world.log.bounds(world.names.deltas("trades")).items()} == needed
    assert {b.start for b in world.log.bounds(world.names.topic("trades")).values()} == {0}
    world.check(world.store.manifest(5))
    with program(world, "ops", "speed", "run"), program(world, "ops", "serve"):
        wait("a new service is ready", lambda: ready(url)[0] == 200)
        with asking(url) as asker:
            wait("somebody asks", lambda: len(asker.answers) >= len(SYMBOLS))
        last = compared(evidence, asker.answers)
        assert last.differ == 0 and last.answers
