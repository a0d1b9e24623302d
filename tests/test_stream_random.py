"""Random histories: whatever happens, what clients know by their events is what `/v1/bars` answers.

    feed      trades of any time, cells in any order, some twice, some not at all
    versions  published at marks, proven or not, rolled back to
    clients   come, break off at any event, and come again with their last id

Every answer of `/v1/bars` is compared with the oracle elsewhere (`test_serving_random`).
"""

import asyncio
import tempfile
from pathlib import Path
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from slackwater.versions.proof import Proof
from tests.profiles import examples
from tests.serving_world import World
from tests.stream_kit import Listener, Picture, agrees, settle
from tests.test_serving_random import SYMBOLS, deliver, grow

INTERVALS = ("1s", "1m", "15m", "1d", "1w")


class History:
    """A world in which things happen, and the clients that are there."""

    def __init__(self, world: World, random: Random) -> None:
        self.world = world
        self.random = random
        self.cuts: list[dict[int, int]] = [{}]
        self.listeners: list[tuple[Listener, list[str], list[str]]] = []

    async def happen(self, turn: int) -> None:
        """Something, and the streams give it."""
        random, world = self.random, self.world
        grow(world, random, random.randrange(1, 12))
        for _ in range(random.randrange(3)):
            world.trade(
                random.choice(SYMBOLS), at_s=200_000 + turn * 2 + random.random()
            )  # at the newest end, in order
        kind = random.random()
        if kind < 0.35:
            cut = world.mark(f"run-{turn}")
            if random.random() < 0.7:
                world.emit()  # the speed layer is there when the version is published
                world.step(0.0)
            proof = Proof(random.choice(["equal", "equal", "unproven"]), "")
            world.publish(cut, f"run-{turn}", proof=proof)
            self.cuts.append(cut)
        if kind < 0.2:
            world.emit()
        else:
            deliver(world, random, random.choice([{}, self.cuts[-1]]))
        world.step(random.choice([0.0, 1.1]))
        await settle(world)

    async def come(self) -> None:
        """A new client."""
        random = self.random
        symbols = sorted(random.sample(SYMBOLS, random.randrange(1, 4)))
        intervals = random.sample(INTERVALS, random.randrange(1, 3))
        limit = random.choice([0, 1, 5, 100, 400])
        listener = Listener(self.world, f"symbol={','.join(symbols)}&interval={','.join(intervals)}&limit={limit}")
        await listener.__aenter__()
        self.listeners.append((listener, symbols, intervals))

    async def break_off(self) -> None:
        """A client breaks off, and has lost some of its last events; it comes again later."""
        listener, symbols, intervals = self.listeners.pop(self.random.randrange(len(self.listeners)))
        await listener.__aexit__(None, None, None)
        had = listener.events[: self.random.randrange(1, len(listener.events) + 1)]
        picture = Picture()
        for event in had:
            picture.apply(event, listener.limit)
        if self.random.random() < 0.5:
            await self.happen(1_000 + self.random.randrange(1_000))
        ident = next((event.ident for event in reversed(had) if event.ident), "")
        query = listener.query.removeprefix("venue=x&")
        again = Listener(self.world, query, {"Last-Event-ID": ident}, picture=picture)
        await again.__aenter__()
        again.events[:0] = had
        self.listeners.append((again, symbols, intervals))

    async def check(self) -> None:
        """Every client knows what is answered."""
        for listener, symbols, intervals in self.listeners:
            await agrees(self.world, listener, symbols, intervals)

    async def leave(self) -> None:
        """Everybody goes."""
        for listener, _, _ in self.listeners:
            await listener.__aexit__(None, None, None)


async def play(world: World, random: Random) -> None:
    """One history."""
    world.step()
    history = History(world, random)
    try:
        for turn in range(7):
            if not history.listeners or random.random() < 0.4:
                await history.come()
            if random.random() < 0.3:
                await history.break_off()
            await history.happen(turn)
            await history.check()
    finally:
        await history.leave()
    assert world.service.hub.streams == 0


@given(st.integers(0, 2**32))
@examples(3)
def test_what_clients_know_is_what_is_answered_at_every_step(seed: int) -> None:
    with tempfile.TemporaryDirectory() as home:
        world = World(Path(home))
        asyncio.run(play(world, Random(seed)))
        world.close()
