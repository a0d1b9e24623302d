"""What a soak found, as a table for a person and as facts for a program."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.crash.killer import WEIGHTS, Death
from verify.proof import Proof

READING_S, LEVEL_S = 10.0, 30.0


@dataclass
class Found:
    """What a soak saw. `during` compares the reader's answers, `after` every bar at the end."""

    records: int
    deaths: list[Death]
    lost: int
    doubled: int
    backwards: list[str]
    during: Proof
    after: Proof
    seconds: float
    versions: int
    restarts: int
    refused: Counter[str] = field(default_factory=Counter)
    told: Counter[str] = field(default_factory=Counter)

    @property
    def holds(self) -> bool:
        """Whether nothing was lost, doubled, wrong or went back."""
        right = self.during.holds and self.after.holds
        return right and not self.lost and not self.doubled and not self.backwards

    def facts(self) -> dict[str, Any]:
        """For a program."""
        return {
            "holds": self.holds,
            "records": self.records,
            "seconds": round(self.seconds, 1),
            "kills": len(self.deaths),
            "lost": self.lost,
            "doubled": self.doubled,
            "went_back": len(self.backwards),
            "went_back_and_said_so": self.told.total(),
            "versions": self.versions,
            "answers_checked": self.during.answers + self.after.answers,
            "bars_checked": self.during.rows + self.after.rows,
            "bars_that_differ": self.during.differ + self.after.differ,
            "processes": {name: self._of(name) for name in WEIGHTS},
        }

    def show(self, console: Console) -> None:
        """For a person."""
        table = Table("killed", "times", "back p50", "max", "lag 0 p50", "max", box=None, padding=(0, 2))
        facts = self.facts()
        for name, of in facts["processes"].items():
            cells = (of["back_p50_s"], of["back_max_s"], of["level_p50_s"], of["level_max_s"])
            table.add_row(name, str(of["kills"]), *("-" if cell is None else f"{cell:.1f} s" for cell in cells))
        console.print(table)
        speed = facts["processes"]["speed"]
        for what, limit, value in (
            ("worker reading again", READING_S, speed["back_max_s"]),
            ("lag 0", LEVEL_S, speed["level_max_s"]),
        ):
            if value is not None:
                kept = "kept" if value <= limit else "NOT KEPT"
                console.print(f"  {what} within {limit:.0f} s of SIGKILL: {value:.1f} s at most, {kept}")
        console.print(
            f"{facts['kills']} SIGKILLs in {facts['seconds']:.0f} s over {self.records:,} records and "
            f"{self.versions} versions; {facts['answers_checked']:,} answers, {facts['bars_checked']:,} bars checked"
        )
        console.print(
            f"lost {self.lost}, doubled {self.doubled}, wrong bars {facts['bars_that_differ']}, "
            f"went back in silence {len(self.backwards)}, and said so {self.told.total()}: "
            f"{'holds' if self.holds else 'DOES NOT HOLD'}"
        )
        for text in [
            *self.backwards[:5],
            *map(str, self.during.differences[:5]),
            *map(str, self.after.differences[:5]),
        ]:
            console.print(f"  {text}")
        for text, times in self.told.most_common(5):
            console.print(f"  went back, saying {times} times: {text}")
        for text, times in self.refused.most_common(5):
            console.print(f"  said {times} times: {text}")

    def _of(self, name: str) -> dict[str, Any]:
        deaths = [death for death in self.deaths if death.name == name]
        back = sorted(death.back_s for death in deaths if death.back_s is not None)
        level = sorted(death.level_s for death in deaths if death.level_s is not None)
        return {
            "kills": len(deaths),
            "back_p50_s": back[len(back) // 2] if back else None,
            "back_max_s": back[-1] if back else None,
            "level_p50_s": level[len(level) // 2] if level else None,
            "level_max_s": level[-1] if level else None,
        }
