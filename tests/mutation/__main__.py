"""`make mutants`: change one operator, number or word of merge, cut, chain and publish at a time; a test must notice.

    .venv-mutants/bin/python -m tests.mutation            every module below
    .venv-mutants/bin/python -m tests.mutation chain      one of them

cosmic-ray (https://cosmic-ray.readthedocs.io) makes the mutants, in the files themselves, and puts each back: do not
edit meanwhile. It ends with 1 where fewer than LEAST of a module's mutants are killed, and prints the survivors.
"""

import os
import shlex
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

LEAST = 0.85
PYTEST = ".venv/bin/python -m pytest -q -x -p no:randomly -p no:cacheprovider -n 0 "

MODULES = {
    "merge": ("views/merge.py", "tests/test_views.py tests/test_view_laws.py"),
    "serving-merge": ("serving/merge.py", "tests/test_serving_answers.py tests/test_serving_bars.py"),
    "cut": ("event_log/mark.py", "tests/test_batch_run.py -m 'not broker and not crash'"),
    "cells": ("speed_layer/tiling.py", "tests/test_speed.py tests/test_hand_off.py -m 'not broker and not crash'"),
    "chain": ("event_log/chain.py", "tests/test_chain.py"),
    "pointer": ("versions/pointer.py", "tests/test_versions.py"),
    "publish": ("versions/store.py", "tests/test_versions.py tests/test_rollback.py"),
}

_CONFIG = """[cosmic-ray]
module-path = "{path}"
timeout = 300.0
excluded-modules = []
test-command = "{command}"

[cosmic-ray.distributor]
name = "local"
"""


def main(names: list[str]) -> int:
    """Print a line a module, and its survivors."""
    unknown = set(names) - MODULES.keys()
    if unknown:
        print(f"error: no module is named {', '.join(sorted(unknown))}; there are {', '.join(MODULES)}")
        return 2
    weak = []
    with tempfile.TemporaryDirectory() as folder:
        for name in names or MODULES:
            killed, total, survivors = run(name, Path(folder))
            print(f"{name}: {MODULES[name][0]}: {killed} of {total} killed, {killed / total:.0%}", flush=True)
            print(survivors, flush=True)
            if killed < LEAST * total:
                weak.append(name)
    if weak:
        print(f"error: fewer than {LEAST:.0%} are killed in {', '.join(weak)}")
    return 1 if weak else 0


def run(name: str, folder: Path) -> tuple[int, int, str]:
    """Killed, total, and what survived as differences."""
    path, tests = MODULES[name]
    os.environ["HYPOTHESIS_PROFILE"] = "mutants"  # that a test fails is enough
    config, session = folder / f"{name}.toml", folder / f"{name}.sqlite"
    config.write_text(_CONFIG.format(path=path, command=PYTEST + tests), encoding="utf-8")
    subprocess.run(shlex.split(PYTEST + tests), check=True, stdout=subprocess.DEVNULL)  # without a mutant all pass
    _tool("cosmic-ray", "init", str(config), str(session), "--force")
    _tool("cosmic-ray", "exec", str(config), str(session))
    with sqlite3.connect(session) as found:
        outcomes = dict(found.execute("SELECT test_outcome, count(*) FROM work_results GROUP BY 1").fetchall())
    total = sum(outcomes.values())
    return (
        total - outcomes.get("SURVIVED", 0),
        total,
        _tool("cr-report", str(session), "--surviving-only", "--show-diff"),
    )


def _tool(*command: str) -> str:
    program = str(Path(sys.executable).with_name(command[0]))
    return subprocess.run([program, *command[1:]], check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
