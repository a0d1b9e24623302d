"""Rows that are to be declared, held against the table: what each would add. Pure.

    equal to what holds from its time on              unchanged    nothing is added
    no row of its name begins at its time             added
    another one does                                  in conflict; replaced, where that is asked for

Rows are judged in order of time, whatever their order in the file: else a row that a later one of the file makes
necessary would look unchanged. What was judged unchanged is not kept, so history that is loaded later, of a time before
it, holds on through it: load history whole.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from slackwater.instruments.facts import Facts
from slackwater.instruments.table import Table


@dataclass(frozen=True)
class Conflict:
    """Row `index` says something else than `known`, for the same time on."""

    index: int
    known: Facts

    def error(self, row: Facts) -> str:
        """In a sentence: the first fact that differs."""
        differ = [name for name in self.known.given() | row.given() if getattr(self.known, name) != getattr(row, name)]
        ours, its = (each.given().get(differ[0], "nothing") for each in (self.known, row))
        since = "always" if not row.effective else f"{row.effective} on"
        return f"{row.venue}:{row.symbol} has the {differ[0]} {ours} from {since}, and this says {its}."


@dataclass(frozen=True)
class Judged:
    """`new` are the rows that are to be added, in order of time; `replaced` of them take another one's place."""

    new: tuple[Facts, ...]
    replaced: int
    unchanged: int
    conflicts: tuple[Conflict, ...]

    @property
    def added(self) -> int:
        """Those of the new ones that take nobody's place."""
        return len(self.new) - self.replaced


CONFLICT = "conflict"
"""The reason of a row in conflict."""


def judge(table: Table, rows: Sequence[Facts], replace: bool = False) -> Judged:
    """What rows would add to a table. Two of them with one name and time are in conflict, too, if they differ."""
    new: list[Facts] = []
    conflicts: list[Conflict] = []
    replaced = unchanged = 0
    own: dict[tuple[str, str], Facts] = {}  # what the rows themselves say, at the latest so far
    for index, row in sorted(enumerate(rows), key=lambda each: (each[1].effective, each[0])):
        holding = table.at(*row.name, row.effective)
        mine = own.get(row.name)
        among = mine is not None and (holding is None or mine.effective >= holding.effective)
        if among:
            holding = mine
        if holding is not None and holding.same_but_time(row):
            unchanged += 1
            continue
        if holding is not None and holding.effective == row.effective:
            if among or not replace:
                conflicts.append(Conflict(index, holding))
                continue
            replaced += 1
        new.append(row)
        own[row.name] = row
    return Judged(tuple(new), replaced, unchanged, tuple(sorted(conflicts, key=lambda each: each.index)))
