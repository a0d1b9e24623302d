"""`slackwater bench --before`: two checkouts in turn, and the ratio of each figure. The checkouts are scripts."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from bench.answers import compare
from bench.command import bench
from bench.house import BenchError
from bench.pairs import run_pairs

BEFORE = {"machine": {"cores": 2}, "speed": {"one": {"trades_per_s": 100, "drain_s": 4.0, "trades": 7}, "old_s": 1.0}}
NOW = {"machine": {"cores": 2}, "speed": {"one": {"trades_per_s": 150, "drain_s": 5.0, "trades": 7}}}


def checkout(folder: Path, found: object, code: int = 0) -> Path:
    """A checkout whose benchmark prints `found`, and notes that it ran."""
    command = folder / ".venv" / "bin" / "slackwater"
    command.parent.mkdir(parents=True)
    lines = [
        "#!/bin/sh",
        f"echo {folder.name} $@ >> {folder.parent}/calls",
        f"echo '{json.dumps(found)}'",
        f"exit {code}",
    ]
    command.write_text("\n".join(lines))
    command.chmod(0o755)
    return folder


def test_each_figure_is_a_ratio_that_is_above_one_where_now_is_better(tmp_path: Path) -> None:
    found = run_pairs(checkout(tmp_path / "a", BEFORE), ["speed"], 1000, 2, checkout(tmp_path / "b", NOW))
    assert {name: each["speed"] for name, each in found.items()} == {
        "speed.one.trades_per_s": [1.5, 1.5, 1.5],
        "speed.one.drain_s": [0.8, 0.8, 0.8],
    }
    words = "bench speed --trades 1000 --json"
    assert (tmp_path / "calls").read_text().splitlines() == [f"{name} {words}" for name in "abba"]


def test_of_a_list_the_median_member_is_compared(tmp_path: Path) -> None:
    many = [{"compute_s": s, "name": "x"} for s in (3.0, 1.0, 2.0)]
    found = run_pairs(
        checkout(tmp_path / "a", {"pairs": many}), ["batch"], 1, 1, checkout(tmp_path / "b", {"pairs": many[1:]})
    )
    assert found == {"pairs.compute_s": {"before": [2.0], "now": [1.5], "speed": [2 / 1.5] * 3}}


def test_what_cannot_be_compared_is_said(tmp_path: Path) -> None:
    good = checkout(tmp_path / "good", NOW)
    with pytest.raises(BenchError, match=r"No .*slackwater"):
        run_pairs(tmp_path / "none", [], 1, 1, good)
    with pytest.raises(BenchError, match="code 3"):
        run_pairs(checkout(tmp_path / "bad", NOW, 3), [], 1, 1, good)
    with pytest.raises(BenchError, match="nothing in common"):
        run_pairs(checkout(tmp_path / "other", {"export": {"seconds": 1}}), [], 1, 1, good)


def test_answers_are_equal_in_value_whatever_their_fields_are_called() -> None:
    before = {("before the run", "merged", "v", "s", "1m"): [{"start": 1, "first_trade_id": 7}, {"start": 2}]}
    now = {key: [{"start": 1, "first_sequence": 7}, {"start": 2}] for key in before}
    assert compare(before, now) == (2, [])
    now[next(iter(now))].pop()
    now["after the run", "batch", "v", "s", "1m"] = []
    bars, faults = compare(before, now)
    assert (bars, len(faults)) == (2, 2)


@pytest.mark.parametrize("more", [["--sizes", "3000"], ["--runs", "3"]])
def test_what_pairs_do_not_hand_on_is_refused(tmp_path: Path, more: list[str]) -> None:
    older = checkout(tmp_path / "a", BEFORE)
    done = CliRunner().invoke(bench, ["history", "--before", str(older), *more])
    assert done.exit_code == 2
    assert "--sizes and --runs go without --before" in done.output
    assert not (tmp_path / "calls").exists()
