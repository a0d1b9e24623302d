"""What the three other rules share: both layers as a good team builds them, and exact but for the boundary.

    archive or log --batch run--> states of every trade below the boundary, each id once; all of it each time
    log --speed layer--> states of every trade, ids of the last minutes once, exactly once over crashes
    answer = batch states (+) the speed states that the rule counts as behind the boundary

The same definition, the same exact merge and finish as Slackwater's. A crash of the speed layer costs time alone: what
it took up and what it wrote are committed together. A version is switched at one instant, and nothing is expired
before that. What is left is the boundary: the two questions that a rule answers.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from lesson.play import Play
from lesson.schedule import RUN_EVERY_US, Run
from lesson.score import Answer, Example
from lesson.stream import PARTITIONS, SECOND_US, Arrival, Instrument, Trade
from lesson.truth import Bar
from slackwater.views.bars import BARS
from slackwater.views.merge import State

REMEMBERED_US = 2 * RUN_EVERY_US
"""How long the speed layer remembers an id: bounded state, as windowed deduplication has it. A batch run knows all."""

_MERGE = BARS.merge
_FINISH = BARS.finish


@dataclass
class Seen:
    """An arrival, and what the layers made of it so far. Times are the clock's; None: not yet.

    `delta` are the offsets [start, upto) that the speed layer took up together with it; `again` says that it knew the
    id and dropped the copy.
    """

    arrival: Arrival
    archived_us: int | None = None
    taken_us: int | None = None
    delta: tuple[int, int] = (0, 0)
    again: bool = False

    @property
    def trade(self) -> Trade:
        """The trade."""
        return self.arrival.trade


class Rival(ABC):
    """See `lesson.play.Rule`."""

    def __init__(self, play: Play) -> None:
        self.play = play
        self._log: list[list[Seen]] = [[] for _ in range(PARTITIONS)]
        self._partitions: dict[Instrument, int] = {}
        self._taken = [0] * PARTITIONS
        self._archived = [0] * PARTITIONS
        self._ids: dict[tuple[Instrument, int], int] = {}
        self._next: dict[tuple[Instrument, int], Seen] | None = None
        self._batch: dict[tuple[Instrument, int], Seen] = {}
        self._batch_bars: dict[tuple[Instrument, int], State] = {}
        self._speed_bars: dict[tuple[Instrument, int], State] = {}

    # what a rule says

    @abstractmethod
    def draw(self) -> None:
        """A batch run begins: draw its boundary. The one in force stays until `switch`."""

    @abstractmethod
    def switch(self) -> None:
        """The run has published: its boundary is in force."""

    @abstractmethod
    def below(self, seen: Seen) -> bool:
        """Whether the run that begins counts an arrival."""

    @abstractmethod
    def behind(self, seen: Seen) -> bool:
        """Whether what the speed layer made of an arrival is added to the version in force."""

    @abstractmethod
    def reason(self, seen: Seen) -> str:
        """Why an arrival is counted by both layers, or by neither."""

    # see `Rule`

    def arrive(self, arrivals: Sequence[Arrival]) -> None:
        """See `Rule.arrive`."""
        for arrival in arrivals:
            trade = arrival.trade
            self._log[trade.partition].append(Seen(arrival))
            self._partitions[trade.instrument] = trade.partition

    def step(self) -> None:
        """See `Rule.step`: takes up all that is there, in one transaction for each partition."""
        for p, log in enumerate(self._log):
            start, self._taken[p] = self._taken[p], len(log)
            for seen in log[start:]:
                name, now = (seen.trade.instrument, seen.trade.trade_id), self.play.now_us
                seen.taken_us, seen.delta = now, (start, len(log))
                seen.again = name in self._ids and now - self._ids[name] <= REMEMBERED_US
                if not seen.again:
                    self._ids[name] = now
                    if self.behind(seen):
                        _count(self._speed_bars, seen.trade)

    def kill(self) -> None:  # noqa: B027 - there is nothing to do, for any of them
        """See `Rule.kill`: everything was committed with its step."""

    def archive(self) -> None:
        """See `Rule.archive`."""
        for p, log in enumerate(self._log):
            for seen in log[self._archived[p] :]:
                seen.archived_us = self.play.now_us
            self._archived[p] = len(log)

    def begin(self, run: Run) -> None:
        """See `Rule.begin`: draws the boundary and reads; what is read is the first copy of each id."""
        del run
        self.draw()
        self._next = {}
        for seen in self.arrived():
            if self.below(seen):
                self._next.setdefault((seen.trade.instrument, seen.trade.trade_id), seen)

    def publish(self, run: Run) -> None:
        """See `Rule.publish`: the batch states, and the speed states from the new boundary on, in one instant."""
        if self._next is None or run.dies:
            return
        for name, seen in self._next.items():
            if name not in self._batch:
                _count(self._batch_bars, seen.trade)
        self._batch, self._next = self._next, None
        self.switch()
        self._speed_bars = {}
        for seen in self._added():
            _count(self._speed_bars, seen.trade)

    def answers(self) -> Iterator[tuple[Instrument, Answer]]:
        """See `Rule.answers`: right from what the speed layer has read up to the log's end."""
        bars: dict[Instrument, dict[int, Bar]] = {name: {} for name in self._partitions}
        for instrument, start in self._batch_bars.keys() | self._speed_bars.keys():
            parts = [of[instrument, start] for of in (self._batch_bars, self._speed_bars) if (instrument, start) in of]
            state = parts[0] if len(parts) == 1 else _MERGE(*parts)
            bars[instrument][start] = {"start": start, **_FINISH(state)}
        for instrument, p in self._partitions.items():
            yield instrument, Answer(bars[instrument], self._taken[p], len(self._log[p]))

    def story(self, example: Example) -> str:
        """See `Rule.story`."""
        added: dict[int, list[Seen]] = {}
        for seen in self._added():
            added.setdefault(seen.trade.trade_id, []).append(seen)
        for seen in self.arrived():
            trade = seen.trade
            if (trade.instrument, trade.start) != (example.instrument, example.start) or seen.taken_us is None:
                continue
            batch = self._batch.get((trade.instrument, trade.trade_id))
            speed = [other for other in added.get(trade.trade_id, ()) if other.trade.instrument == trade.instrument]
            if (batch is not None) + len(speed) != 1:
                return self._counted(batch, speed, seen)
        return ""

    def _counted(self, batch: Seen | None, speed: Sequence[Seen], seen: Seen) -> str:
        copies = [*([batch] if batch is not None else []), *speed]
        if len(copies) < 2:
            return f"{name_of(seen)} is counted by neither layer: {self.reason(seen)}"
        first, last = copies[0], copies[-1]
        if first is not last:
            apart = (last.arrival.at_us - first.arrival.at_us) // SECOND_US
            return (
                f"{name_of(seen)} came again after {apart} s, and the speed layer remembers ids for "
                f"{REMEMBERED_US // SECOND_US} s: counted twice until a batch run drops the copy."
            )
        return f"{name_of(seen)} is counted by both layers: {self.reason(seen)}"

    def notes(self) -> dict[str, int]:
        """See `Rule.notes`."""
        return {}

    def close(self) -> None:  # noqa: B027 - the same
        """See `Rule.close`."""

    def arrived(self) -> Iterable[Seen]:
        """Every arrival so far."""
        return (seen for log in self._log for seen in log)

    def _added(self) -> Iterable[Seen]:
        return (seen for seen in self.arrived() if seen.taken_us is not None and not seen.again and self.behind(seen))


def clock_text(us: int) -> str:
    """A time of day, to the millisecond."""
    return datetime.fromtimestamp(us // 1000 / 1000, UTC).strftime("%H:%M:%S.%f")[:-3]


def name_of(seen: Seen) -> str:
    """A trade in a sentence."""
    return f"Trade {seen.trade.trade_id} of {clock_text(seen.trade.time_us)}"


def _count(bars: dict[tuple[Instrument, int], State], trade: Trade) -> None:
    name = trade.instrument, trade.start
    known = bars.get(name)
    bars[name] = trade.state if known is None else _MERGE(known, trade.state)
