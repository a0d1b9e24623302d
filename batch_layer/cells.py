"""Reads the speed layer's sealed cells between two cuts, folds them while they are read, and waits for missing ones.

    cuts     [4 ............... 12)
    cells    [4,6) [6,8)   [9,12)         folded: [4,8); waiting: [9,12), since [8,9) is not known yet

Sealed cells only: a mark seals the cell before it, so the chain of sealed cells reaches the cut once the mark was
read, and a sealed cell never changes. What was folded is remembered by its end and a digest, so that a second cell
over its slice is still noticed; so each topic is read to where it ended at the start, and after that only while a chain
is short of its cut, until the deadline.
"""

import hashlib
from collections.abc import Callable, Mapping

from slackwater.core.clock import Clock
from slackwater.deltas.cell import Cell, DeltaKey, encode_value
from slackwater.deltas.chain import Chain
from slackwater.deltas.errors import CellConflictError
from slackwater.deltas.reader import POLL_S, DeltaReader
from slackwater.log.errors import PositionLostError, UnreadableError
from slackwater.log.log import Log
from slackwater.views.rows import Row
from slackwater.views.view import View

Fold = Callable[[DeltaKey, list[Row]], None]


class Joined:
    """Follows the chain of one delta key's sealed cells over [start, upto).

    `end` is where the folded part ends, `cells` how many it has; `conflict` says which two cells differ.
    """

    def __init__(self, start: int, upto: int) -> None:
        self.start, self.upto = start, upto
        self.end = start
        self.cells = 0
        self._furthest = -1
        self.conflict: str | None = None
        self._chain = Chain()
        self._folded: dict[int, tuple[int, bytes]] = {}

    def put(self, cell: Cell) -> list[Row]:
        """Take a cell; the rows of those that are folded by that, in order."""
        if not self.start <= cell.start < self.upto:
            self.see(cell.start)
            return []
        if cell.start < self.end:
            self._compare(cell)
            return []
        try:
            changed = self._chain.put(cell)
        except CellConflictError as error:
            self.conflict = self.conflict or str(error)
            return []
        return self._fold() if changed and cell.start == self.end else []

    def see(self, start: int) -> None:
        """A cell starts there, outside of the cuts; it tells a hole from a speed layer that is behind."""
        self._furthest = max(self._furthest, start)

    def reach(self) -> int:
        """Where the chain ends now; beyond `upto` where a cell runs over the cut."""
        return self._chain.end(self.end)

    def holed(self) -> bool:
        """Whether a cell behind the chain's end is known, which does not join."""
        reach = self.reach()
        return reach < self.upto and (self._furthest > reach or not self._chain.complete(reach))

    def _fold(self) -> list[Row]:
        rows: list[Row] = []
        for cell in list(self._chain.walk(self.end)):
            if cell.upto > self.upto:
                break
            rows += cell.rows
            self._folded[cell.start] = cell.upto, _digest(cell)
            self.cells += 1
            self.end = cell.upto
        self._chain.drop_below(self.end)
        return rows

    def _compare(self, cell: Cell) -> None:
        upto, digest = self._folded.get(cell.start, (cell.upto + 1, b""))
        if cell.upto > upto or (cell.upto == upto and _digest(cell) != digest):
            self.conflict = (
                self.conflict
                or f"Two cells of {cell.delta_key} from {cell.start} on, to {upto} and {cell.upto}, differ."
            )


class Between:
    """The chains of some delta keys. `bad` says of the first delta that does not decode, or cannot be read, why."""

    def __init__(self, delta_keys: Mapping[DeltaKey, tuple[View, Joined]], fold: Fold) -> None:
        self.delta_keys = delta_keys
        self.bad = ""
        self._fold = fold

    @property
    def joined(self) -> bool:
        """Whether every chain reaches its cut."""
        return all(joined.reach() >= joined.upto for _, joined in self.delta_keys.values())

    def read(self, log: Log, topic: str, starts: Mapping[int, int], clock: Clock, deadline_s: float) -> None:
        """Read from `starts`, delta partition -> offset, 0 where none is named; fold the rows of cells that join."""
        wanted = {
            delta_key.partition for delta_key, (_, joined) in self.delta_keys.items() if joined.start < joined.upto
        }
        if not wanted:
            return
        deadline = clock.elapsed_s() + deadline_s
        reader = DeltaReader(log, topic, starts, self._wanted, wanted)
        try:
            for delta in reader.rest():
                self._put(delta.cell)
            while reader.positions and not self.joined and (left_s := deadline - clock.elapsed_s()) > 0:
                self._wait(reader, clock, min(POLL_S, left_s))
        except PositionLostError as error:
            self.bad = str(error)
        finally:
            stuck = next(iter(reader.unread.values()), None)
            self.bad = self.bad or (str(UnreadableError(topic, *stuck)) if stuck else reader.error)
            reader.close()

    def _wait(self, reader: DeltaReader, clock: Clock, wait_s: float) -> None:
        began, before = clock.elapsed_s(), reader.deltas
        for delta in reader.poll(wait_s):
            self._put(delta.cell)
        rest_s = wait_s - (clock.elapsed_s() - began)
        if reader.deltas == before and rest_s > 0:
            clock.sleep(rest_s)  # a log that does not block has nothing new: let the others go on

    def _wanted(self, delta_key: DeltaKey, start: int | None) -> View | None:
        if start is None or delta_key not in self.delta_keys:
            return None
        view, joined = self.delta_keys[delta_key]
        if not joined.start <= start < joined.upto:
            joined.see(start)
            return None
        return view

    def _put(self, cell: Cell) -> None:
        rows = self.delta_keys[cell.delta_key][1].put(cell)
        if rows:
            self._fold(cell.delta_key, rows)


def _digest(cell: Cell) -> bytes:
    return hashlib.blake2b(encode_value(cell), digest_size=16).digest()
