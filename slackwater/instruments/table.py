"""What holds of an instrument at a time: the row with the latest `effective` that is not later.

effective   0            T1           T2
row         a ---------- b ---------- c ----->      at(T1 - 1) is a, at(T1) is b, newest is c
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator

from slackwater.instruments.facts import Facts

Name = tuple[str, str]
"""Venue and symbol."""


class Table:
    """Immutable. Of two rows with one name and one `effective` the later one given counts."""

    def __init__(self, rows: Iterable[Facts] = (), upon: "Table | None" = None) -> None:
        """`upon` is a table whose rows come before these."""
        self._rows: dict[Name, list[Facts]] = {} if upon is None else dict(upon._rows)
        self._times: dict[Name, list[int]] = {} if upon is None else dict(upon._times)
        added: dict[Name, dict[int, Facts]] = {}
        for row in rows:
            added.setdefault(row.name, {})[row.effective] = row
        for name, of in added.items():
            every = {row.effective: row for row in self._rows.get(name, ())} | of
            self._times[name] = sorted(every)
            self._rows[name] = [every[at] for at in self._times[name]]

    def at(self, venue: str, symbol: str, time_us: int) -> Facts | None:
        """The row that holds at a time; None where none does yet, or nothing is declared."""
        times = self._times.get((venue, symbol))
        if times is None:
            return None
        place = bisect_right(times, time_us)
        return self._rows[venue, symbol][place - 1] if place else None

    def exactly(self, venue: str, symbol: str, effective: int) -> Facts | None:
        """The row that begins to hold at just that time."""
        found = self.at(venue, symbol, effective)
        return found if found is not None and found.effective == effective else None

    def newest(self, venue: str, symbol: str) -> Facts | None:
        """The last row, which may hold from a later time on."""
        rows = self._rows.get((venue, symbol))
        return rows[-1] if rows else None

    def names(self) -> list[Name]:
        """Every venue and symbol of which something is declared, in order."""
        return sorted(self._rows)

    def with_rows(self, rows: Iterable[Facts]) -> "Table":
        """These and further ones, which come later."""
        added = [*rows]
        return Table(added, self) if added else self

    def __iter__(self) -> Iterator[Facts]:
        """All rows, in order of venue, symbol and time."""
        return (row for name in sorted(self._rows) for row in self._rows[name])

    def __len__(self) -> int:
        return sum(map(len, self._rows.values()))


NOTHING_DECLARED = Table()
"""Where nobody declared anything."""
