"""The crash matrix's house: a log on the real broker, and real processes of `slackwater` that die at fault points.

house.run("batch", "run", fault="publish.pointer:kill")      to its end; its exit code, and what it wrote
house.running("speed", "run")                                a process until the end of the block
house.verify()                                               every merged answer equals the oracle, at the log's end
"""

import contextlib
import itertools
import random
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx

from ops.broker import free_port
from slackwater.core.faults import VARIABLE
from slackwater.views.interval import PUBLISHED_INTERVALS
from tests.beam_world import World, kafka_world
from tests.forked import END_S, Ended, Program
from tests.proof_kit import prove
from verify.client import Client
from verify.errors import ServiceError

AGAIN = 75
"""The exit code of what may succeed when it is run again."""


def drawn(points: Sequence[str], count: int, seed: int) -> list[str]:
    """So many of the points, in their order and spread over it; with another seed others, and in time all of them."""
    ends = [len(points) * number // count for number in range(count + 1)]
    draw = random.Random(seed)
    return [draw.choice(points[low:high]) for low, high in itertools.pairwise(ends)]


def until(
    condition: Callable[[], Any], timeout_s: float = END_S, told: Callable[[], object] = lambda: "it does not hold"
) -> None:
    """Wait until `condition` holds, with a look 20 times a second; fail with what is `told` if it does not in time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, told()
        time.sleep(0.05)


class House:
    """A world and its processes. `served` is a service that runs all the time."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world = world
        self.port = free_port()
        self.partitions = len(world.ends)
        self._folder = folder
        self._count = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self, *arguments: str, fault: str = "", **environ: str) -> Program:
        """Start `slackwater <arguments>` with a fault."""
        self._count += 1
        log = self._folder / f"{self._count:03d}-{'-'.join(arguments[:2])}.log".replace("/", "_")
        own = {"SLACKWATER_PORT": str(self.port), VARIABLE: fault, "PYTHONUNBUFFERED": "1", "COLUMNS": "1000"}
        return Program(arguments, {**self.world.environ(), **own, **environ}, log)

    def run(self, *arguments: str, fault: str = "", **environ: str) -> Ended:
        """Run `slackwater <arguments>` to its end."""
        return self.start(*arguments, fault=fault, **environ).wait()

    @contextlib.contextmanager
    def running(self, *arguments: str, fault: str = "") -> Iterator[Program]:
        """A process that is stopped by SIGTERM at the end, and must end well."""
        program = self.start(*arguments, fault=fault)
        try:
            yield program
        except BaseException:
            program.kill()
            raise
        ended = program.stop()
        assert ended.code in {0, -signal.SIGTERM}, ended.text[-3000:]

    def ready(self) -> bool:
        """Whether the service keeps its full promise."""
        try:
            return httpx.get(f"{self.url}/health/ready", timeout=5.0).status_code == httpx.codes.OK
        except httpx.HTTPError:
            return False

    def applied(self, client: Client) -> dict[int, int]:
        """Partition -> what is applied, asked of one instrument of each partition that holds any; none of a version
        that is not the newest.
        """
        found: dict[int, int] = {}
        newest = self.world.store.pointer().version
        for instrument in client.get("/v1/instruments")["instruments"]:
            query = {"venue": instrument["venue"], "symbol": instrument["symbol"], "limit": 1}
            if self.partition_of(**instrument) not in found:
                answer = client.get("/v1/bars", **query)["meta"]
                if answer["version"] == newest:
                    found |= {int(p): at for p, at in answer["applied"].items()}
        return found

    def partition_of(self, venue: str, symbol: str, **_: object) -> int:
        return self.world.log.partition_of(f"{venue}:{symbol}".encode(), self.partitions)

    def at_the_end(self, client: Client, ends: dict[int, int]) -> bool:
        """Whether the answers stand at these ends of the log."""
        try:
            found = self.applied(client)
        except ServiceError:
            return False
        return bool(found) and all(ends[p] <= at for p, at in found.items())

    def verify(self, to_the_end: bool = True) -> Any:
        """Compare every merged answer with the oracle, at the log's end or at the answers' own positions."""
        with Client(self.url) as client:
            if to_the_end:
                ends = self.world.ends
                until(lambda: self.at_the_end(client, ends))
            return self.proven(client, END_S if to_the_end else 0.0)

    def proven(self, client: Client, wait_s: float) -> Any:
        """The proof, which holds; with no time to wait it may lack the newest events."""
        log, names, store = self.world.log, self.world.names, self.world.store
        deadline = time.monotonic() + END_S
        while True:
            proof = prove(client, log, names, store, PUBLISHED_INTERVALS[:2], wait_s=wait_s)
            if not wait_s:
                proof.tail.clear()
            if not proof.refusals or time.monotonic() >= deadline:
                break
            time.sleep(0.05)
        assert proof.holds, proof
        return proof


@contextlib.contextmanager
def open_house(broker: str, folder: Path, partitions: int = 2) -> Iterator[House]:
    """A house with a service that runs until the end."""
    (folder / "logs").mkdir(parents=True)
    with kafka_world(broker, folder / "home", partitions) as world:
        house = House(world, folder / "logs")
        with house.running("serve"):
            until(house.ready)
            yield house
