"""Random schedules of runs, late trades, imports, corrections, merges, rollbacks and faults: see `tests.schedules`.

`make schedules` plays 200 of them.
"""

from pathlib import Path

import pytest

from tests.schedules import play

FEW = 2


@pytest.mark.parametrize("seed", range(FEW))
def test_whatever_happens_every_answer_is_the_oracles(tmp_path: Path, seed: int) -> None:
    counts = play(tmp_path / "home", seed)
    assert counts["rows compared"] > 500
