"""The ledger of moves: rollbacks and promotions, which moved the pointer without a publication; never written again.

    <home>/versions/moves/1.json        {"number": 1, "previous": 0, "from": 5, "to": 3, "highest": 6, ...}

A move is written before the pointer moves, and the pointer names the last one that took place; those that did not are
not on the way back from it (`previous`). A rollback withdraws every number above its target that was taken by then.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from slackwater.store.files import Files
from slackwater.versions.errors import RecordError
from slackwater.versions.manifest import Ledger, ledger_from
from slackwater.versions.record import decode_record, encode_record


class Recorded(NamedTuple):
    """What a move restates (`slackwater.restatements.of_move`).

    `ledger` is the move's own, `left` are those of the version that the pointer leaves, of which the other one knows
    nothing. Both sides were compared at `positions`, stream -> partition -> offset. `incomplete_reason` says why the
    comparison is not whole; empty if it is.
    """

    ledger: Ledger | None
    left: tuple[Ledger, ...]
    positions: Mapping[str, Mapping[int, int]]
    incomplete_reason: str


NOTHING_RECORDED = Recorded(None, (), {}, "")


@dataclass(frozen=True)
class Move:
    """One rollback or its way back, or the promotion of a candidate. Times in microseconds, UTC.

    `source` None: the pointer could not be read.
    `highest` is the highest number that was taken when it happened; `previous` the move before it, 0 for the first.
    The last four are those of `Recorded`.
    """

    number: int
    previous: int
    source: int | None
    target: int
    highest: int
    at_us: int
    by: str
    reason: str
    ledger: Ledger | None = None
    left: tuple[Ledger, ...] = ()
    positions: Mapping[str, Mapping[int, int]] = field(default_factory=dict)
    incomplete_reason: str = ""

    @property
    def restated(self) -> Mapping[str, int]:
        """Cause -> restatements that came with it."""
        return self.ledger.counts if self.ledger is not None else {}

    @property
    def ledgers(self) -> tuple[Ledger, ...]:
        """Its own, and those that it left behind."""
        return (*self.left, *([self.ledger] if self.ledger is not None else []))


class Moves:
    """The moves under one folder."""

    def __init__(self, folder: Path, files: Files) -> None:
        self._folder = folder
        self._files = files

    def last(self) -> int:
        """The highest number of a move, whether it took place or not; 0 where there is none."""
        names = (name.removesuffix(".json") for name in self._files.names(self._folder))
        return max((int(name) for name in names if name.isdigit()), default=0)

    def write(self, move: Move) -> None:
        """Write a move durably, before the pointer moves. Its number was never used."""
        with suppress(FileExistsError):
            self._files.make_folder(self._folder)
        self._files.replace(self._path(move.number), encode_record(asdict(move)))

    def ledgers(self) -> list[Ledger]:
        """The ledgers of every move that was written, whether it took place or not.

        Raises:
            RecordError: one of them cannot be read.
        """
        return [ledger for number in range(1, self.last() + 1) for ledger in self.read(number).ledgers]

    def until(self, last: int) -> list[Move]:
        """The moves that took place up to `last`, the oldest first.

        Raises:
            RecordError: one of them is missing or cannot be read.
        """
        found: list[Move] = []
        number = last
        while number:
            move = self.read(number)
            found.append(move)
            number = move.previous
        return found[::-1]

    def _path(self, number: int) -> Path:
        return self._folder / f"{number}.json"

    def read(self, number: int) -> Move:
        """A move, whether it took place or not. Raises RecordError."""
        path = self._path(number)
        try:
            body = decode_record(self._files.read(path), path)
            body["ledger"] = ledger_from(body["ledger"]) if body.get("ledger") else None
            body["left"] = tuple(map(ledger_from, body.get("left", ())))
            body["positions"] = {
                stream: {int(p): at for p, at in of.items()} for stream, of in body["positions"].items()
            }
            move = Move(**body)
        except (OSError, TypeError, ValueError, KeyError, AttributeError) as error:
            raise RecordError(path, str(error)) from error
        if move.number != number or not 0 <= move.previous < number:
            raise RecordError(path, "it is another move's")
        return move


def _below(move: Move, line: Callable[[int], Any]) -> int:
    """What it goes back to: for a version that was made for it (`batch_layer.remake`), the one that it was made of."""
    made = move.source is not None and move.target > move.source
    ancestors = [*line(move.target)][1:2] if made else []
    return ancestors[0] if ancestors and ancestors[0] < (move.source or 0) else move.target


def withdrawn(moves: list[Move], line: Callable[[int], Any]) -> set[int]:
    """The versions that were rolled back from and not returned to. `line` gives a version and its ancestors."""
    found: set[int] = set()
    for move in moves:
        found |= set(range(_below(move, line) + 1, move.highest + 1))
        found -= set(line(move.target))
    return found
