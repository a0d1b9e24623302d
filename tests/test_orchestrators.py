"""The examples of orchestrators as far as no network is needed: `make check-orchestrators` loads each for real."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from slackwater.core.errors import StorageError

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "deploy" / "orchestrators"
PAGE = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
SCRIPT = FOLDER / "cron" / "run-batch.sh"
PYTHON = ("airflow", "dagster", "prefect")


@pytest.mark.parametrize("name", PYTHON)
def test_an_example_compiles_knows_the_exit_code_and_stands_on_exact_versions(name: str) -> None:
    text = (FOLDER / name / "slackwater_batch.py").read_text(encoding="utf-8")
    compile(text, name, "exec")
    assert f"TRY_AGAIN = {StorageError('full').exit_code}\n" in text
    # A run with nothing to do has no proof: the example asks before it reads one.
    assert text.index('facts["published"]') < text.index('facts["proof"]')
    pins = (FOLDER / name / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert all(re.fullmatch(r"[a-z0-9.\[\]_-]+==[0-9][^ ]*(?: ; .+)?", pin) for pin in pins)
    version = next(pin for pin in pins if re.match(f"(apache-)?{name}==", pin)).partition("==")[2].split()[0]
    assert f"{name.capitalize()} {version}" in PAGE


def test_every_example_is_in_the_documentation() -> None:
    for folder in FOLDER.iterdir():
        if folder.is_dir() and folder.name not in {"load", "__pycache__"}:
            assert f"`deploy/orchestrators/{folder.name}/" in PAGE, folder.name


@pytest.mark.parametrize(
    ("ends", "tries", "code", "ran"),
    [("0", 5, 0, 1), ("75 75 0", 5, 0, 3), ("75 75 75", 2, 75, 2), ("1 0", 5, 1, 1), ("75 2 0", 5, 2, 2)],
)
def test_the_script_for_cron_tries_again_after_75_alone(
    tmp_path: Path, ends: str, tries: int, code: int, ran: int
) -> None:
    program = tmp_path / "program"
    counter = 'n=$(cat "$0.n" 2>/dev/null || echo 0); n=$((n + 1)); echo $n >"$0.n"'
    program.write_text(f"#!/bin/sh\n{counter}\nset -- {ends}\nshift $((n - 1))\nexit $1\n", encoding="utf-8")
    program.chmod(0o755)
    environ = {
        **os.environ,
        "SLACKWATER_HOME": str(tmp_path / "home"),
        "SLACKWATER_PROGRAM": str(program),
        "SLACKWATER_TRIES": str(tries),
        "SLACKWATER_TRY_WAIT": "0",
    }
    run = subprocess.run(["sh", str(SCRIPT)], env=environ, timeout=60, check=False)
    assert (run.returncode, (tmp_path / "program.n").read_text().strip()) == (code, str(ran))


def test_the_script_for_cron_does_nothing_while_another_one_runs(tmp_path: Path) -> None:
    lock = tmp_path / "batch-run.lock"
    environ = {**os.environ, "SLACKWATER_HOME": str(tmp_path), "SLACKWATER_PROGRAM": "false"}
    held = subprocess.run(["flock", str(lock), "sh", str(SCRIPT)], env=environ, timeout=60, check=False)
    assert held.returncode == 0
    assert subprocess.run(["sh", str(SCRIPT)], env=environ, timeout=60, check=False).returncode == 1
