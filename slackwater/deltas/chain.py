"""The chain: the cells of one delta key that join without a gap, from a cut on.

    cells     [0,4) [4,6) [6,8)      [9,12)        the last one open, and one that does not join
    chain(0)  [0,4) [4,6) [6,8)                    end 8; complete is False, since a cell beyond 8 is known

Per start the cell with the largest upto is kept, so replays, two workers at once and any order of arrival are
harmless. Two different cells over one slice cannot come from one log; that is an alarm, and the first one stays.
Pure: no Kafka here.
"""

from collections.abc import Iterator

from slackwater.deltas.cell import Cell
from slackwater.deltas.errors import CellConflictError


class Chain:
    """The known cells of one delta key. `furthest` is the largest upto of all that are known."""

    def __init__(self) -> None:
        self._cells: dict[int, Cell] = {}
        self.furthest = 0

    def put(self, cell: Cell) -> bool:
        """Take a cell; whether it changed what is known.

        Raises:
            CellConflictError: another cell over the same slice is known; it stays.
        """
        known = self._cells.get(cell.start)
        if known is not None and known.upto >= cell.upto:
            if known.upto == cell.upto and known.rows != cell.rows:
                raise CellConflictError(f"Two cells of {cell.delta_key} over [{cell.start}, {cell.upto}) differ.")
            return False
        self._cells[cell.start] = cell
        self.furthest = max(self.furthest, cell.upto)
        return True

    def walk(self, start: int) -> Iterator[Cell]:
        """The cells that join from `start` on, in order."""
        cell = self._cells.get(start)
        while cell is not None:
            yield cell
            cell = self._cells.get(cell.upto)

    def last(self, start: int) -> Cell | None:
        """The last cell that joins from `start` on; None if there is none."""
        last = None
        for last in self.walk(start):  # noqa: B007 - the last one is what is wanted
            pass
        return last

    def end(self, start: int) -> int:
        """Where the cells that join from `start` on end."""
        last = self.last(start)
        return start if last is None else last.upto

    def complete(self, end: int) -> bool:
        """Whether no cell beyond `end`, a chain's end, is known."""
        return self.furthest <= end

    def drop_below(self, offset: int) -> None:
        """Forget cells that start below `offset`."""
        self._cells = {start: cell for start, cell in self._cells.items() if start >= offset}
        self.furthest = max((cell.upto for cell in self._cells.values()), default=0)

    def __len__(self) -> int:
        return len(self._cells)
