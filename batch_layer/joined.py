"""The cells of one delta key between two cuts, folded while they are read, so that a long backlog needs little memory.

    cuts     [4 ............... 12)
    cells    [4,6) [6,8)   [9,12)         folded: [4,8); waiting: [9,12), since [8,9) is not known yet

Sealed cells only: a mark seals the cell before it, so the chain of sealed cells reaches the cut once the mark was
read, and a sealed cell never changes. What was folded is remembered by its end and a digest, so that a second cell
over its slice is still noticed.
"""

import hashlib

from slackwater.deltas.cell import Cell, encode_value
from slackwater.deltas.chain import Chain
from slackwater.deltas.errors import CellConflictError
from slackwater.views.rows import Row


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
        last = self._chain.last(self.end)
        return self.end if last is None else last.upto

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


def _digest(cell: Cell) -> bytes:
    return hashlib.blake2b(encode_value(cell), digest_size=16).digest()
