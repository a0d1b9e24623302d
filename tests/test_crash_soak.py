"""A small `make crash`: a few kills at random moments under `slackwater up`; nothing lost, doubled or wrong."""

from collections import Counter
from pathlib import Path

import pytest
from rich.console import Console

from lesson.memory_log import MemoryLog
from tests.crash.__main__ import soak, taken
from tests.crash.feeder import identity, line
from tests.crash.killer import WEIGHTS, Death
from tests.crash.table import Found
from verify.proof import Proof

NOON_US = 1_787_918_400_000_000
KILLS = 6
RECORDS = 3_000


@pytest.mark.broker
@pytest.mark.crash
@pytest.mark.timeout(600)
def test_a_few_kills_at_random_moments_change_no_answer(tmp_path: Path) -> None:
    found = soak(tmp_path, KILLS, RECORDS, gap_s=4.0, seed=2)
    found.show(Console())
    assert found.holds, (found.facts(), found.backwards, found.during.differences, found.after.differences)
    assert len(found.deaths) == KILLS and found.during.answers > 0


def test_what_the_feeder_expects_is_what_is_found_in_the_log() -> None:
    log = MemoryLog(NOON_US // 1000)
    log.create("t", 1)
    for number in [*range(20), 7]:
        log.append("t", 0, None, line(NOON_US - 60_000_000, number).rstrip(b"\n"))
    assert taken(log, "t") == Counter([*map(identity, range(20)), identity(7)])


def test_what_it_found_is_told_to_programs_and_people(capsys: pytest.CaptureFixture[str]) -> None:
    name = next(iter(WEIGHTS))
    during, after = Proof(), Proof()
    during.part("bars").rows = 7
    found = Found(10, [Death(name, 0.0, 1.5, 2.5)], 0, 1, [], during, after, 60.0, 3, 0)
    facts = found.facts()
    assert (facts["kills"], facts["doubled"], facts["bars_checked"], facts["holds"]) == (1, 1, 7, False)
    assert facts["processes"][name]["back_max_s"] == 1.5
    found.show(Console(width=160))
    assert "doubled 1" in capsys.readouterr().out
