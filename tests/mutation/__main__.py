"""`make mutants`: change one operator, number or word of merge, cut, chain and publish at a time; a test must notice.

    .venv-mutants/bin/python -m tests.mutation            every module below
    .venv-mutants/bin/python -m tests.mutation chain      one of them
    .venv-mutants/bin/python -m tests.mutation --most 80 publish      80 of its mutants, drawn at random

cosmic-ray (https://cosmic-ray.readthedocs.io) makes the mutants, in the files themselves, and puts each back: do not
edit meanwhile. It ends with 1 where fewer than LEAST of a module's mutants are killed, and prints the survivors.
Annotations of local variables are left alone: Python never evaluates them, so no test can notice.
"""

import argparse
import ast
import os
import random
import shlex
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LEAST = 0.85
WARM = ".venv/bin/python -m tests.mutation.warm"
PYTEST = "-q -x -p no:randomly -p no:cacheprovider -W ignore::pytest.PytestAssertRewriteWarning"

MODULES = {
    "merge": ("slackwater/views/merge.py", "tests/test_views.py tests/test_view_laws.py"),
    "serving-merge": (
        "serving/query/read.py",
        "tests/test_serving_answers.py tests/test_serving_bars.py tests/test_quantiles.py tests/test_serving_prefix.py "
        "tests/test_serving_views.py",
    ),
    "cut": ("slackwater/log/mark.py", "tests/test_mark.py tests/test_batch_run.py -m 'not broker and not crash'"),
    "cells": ("speed_layer/tiling.py", "tests/test_speed.py tests/test_hand_off.py -m 'not broker and not crash'"),
    "chain": ("slackwater/deltas/chain.py", "tests/test_chain.py"),
    "pointer": ("slackwater/versions/pointer.py", "tests/test_versions.py tests/test_rollback.py"),
    "publish": (
        "slackwater/versions/store.py",
        "tests/test_versions.py tests/test_rollback.py tests/test_candidate.py",
    ),
}

_CONFIG = """[cosmic-ray]
module-path = "{path}"
timeout = 300.0
excluded-modules = []
test-command = "{command}"

[cosmic-ray.distributor]
name = "local"
"""


def main(arguments: list[str]) -> int:
    """Print a line a module, and its survivors."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", choices=[[], *MODULES], metavar="MODULE", help=", ".join(MODULES))
    parser.add_argument("--most", type=int, default=0, help="of each module, drawn at random (all)")
    parser.add_argument("--seed", type=int, default=1, help="of the drawing")
    given = parser.parse_args(arguments)
    weak = []
    os.environ["HYPOTHESIS_PROFILE"] = "mutants"  # that a test fails is enough
    with tempfile.TemporaryDirectory() as folder, _warm(Path(folder) / "socket") as pytest:
        for name in given.names or MODULES:
            killed, total, survivors = run(name, Path(folder), pytest, given.most, given.seed)
            print(f"{name}: {MODULES[name][0]}: {killed} of {total} killed, {killed / total:.0%}", flush=True)
            print(survivors, flush=True)
            if killed < LEAST * total:
                weak.append(name)
    if weak:
        print(f"error: fewer than {LEAST:.0%} are killed in {', '.join(weak)}")
    return 1 if weak else 0


@contextmanager
def _warm(path: Path) -> Iterator[str]:
    """The command of pytest, beside the process that its runs are forked from."""
    with subprocess.Popen([*WARM.split(), "serve", path], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        if server.stdout.readline() != b"ready\n":
            raise RuntimeError("the process that imports the libraries ended")
        yield f"{WARM} ask {path} {PYTEST} "
        server.communicate()


def run(name: str, folder: Path, pytest: str, most: int, seed: int) -> tuple[int, int, str]:
    """Killed, total, and what survived as differences."""
    path, tests = MODULES[name]
    config, session = folder / f"{name}.toml", folder / f"{name}.sqlite"
    config.write_text(_CONFIG.format(path=path, command=pytest + tests), encoding="utf-8")
    if subprocess.run(shlex.split(pytest + tests), check=False).returncode:
        sys.exit(f"error: without any mutant the tests of {name} fail:\n{(folder / 'socket.log').read_text('utf-8')}")
    _tool("cosmic-ray", "init", str(config), str(session), "--force")
    _leave(session, _evaluated(session, Path(path)))
    if most:
        _draw(session, most, seed)
    _tool("cosmic-ray", "exec", str(config), str(session))
    with sqlite3.connect(session) as found:
        outcomes = dict(found.execute("SELECT test_outcome, count(*) FROM work_results GROUP BY 1").fetchall())
    total = sum(outcomes.values())
    return (
        total - outcomes.get("SURVIVED", 0),
        total,
        _tool("cr-report", str(session), "--surviving-only", "--show-diff"),
    )


def _jobs(session: Path) -> list[tuple[str, tuple[int, int]]]:
    """The mutants of a session in a fixed order, and where each begins."""
    with sqlite3.connect(session) as found:
        rows = found.execute(
            "SELECT job_id, start_pos_row, start_pos_col FROM mutation_specs "
            "ORDER BY start_pos_row, start_pos_col, operator_name, occurrence"
        )
        return [(job, (row, column)) for job, row, column in rows]


def _evaluated(session: Path, path: Path) -> set[str]:
    """The mutants that do not lie in the annotation of a local variable."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    of_locals = [each.annotation for of in functions for each in ast.walk(of) if isinstance(each, ast.AnnAssign)]
    spans = [((each.lineno, each.col_offset), (each.end_lineno, each.end_col_offset)) for each in of_locals]
    return {job for job, at in _jobs(session) if not any(begin <= at < end for begin, end in spans)}


def _draw(session: Path, most: int, seed: int) -> None:
    """Leave so many of a session's mutants."""
    jobs = [job for job, _ in _jobs(session)]
    _leave(session, set(random.Random(seed).sample(jobs, min(most, len(jobs)))))


def _leave(session: Path, kept: set[str]) -> None:
    """Leave these of a session's mutants alone in it."""
    gone = [(job,) for job, _ in _jobs(session) if job not in kept]
    with sqlite3.connect(session) as found:
        for table in ("mutation_specs", "work_items"):
            found.executemany(f"DELETE FROM {table} WHERE job_id = ?", gone)


def _tool(*command: str) -> str:
    program = str(Path(sys.executable).with_name(command[0]))
    return subprocess.run([program, *command[1:]], check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
