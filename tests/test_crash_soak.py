"""A small `make crash`: a few kills at random moments under `slackwater up`; nothing lost, doubled or wrong."""

from pathlib import Path

import pytest
from rich.console import Console

from tests.crash.__main__ import soak

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
