"""Loads every example of an orchestrator, each in a throw-away environment of its own; needs the network.

    python deploy/orchestrators/check.py [airflow] [dagster] [prefect] [systemd] [cron]

What the examples stand on is pinned in their requirements.txt, outside of this project's lock. The program that they
start is this environment's `slackwater`; no broker is needed, since it is looked at what its failures do.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

HERE = Path(__file__).parent
BIN = Path(sys.executable).parent
UV = str(BIN / "uv")


def run(command: list[str], environ: Mapping[str, str], cwd: Path, expect: int = 0) -> str:
    """What a command prints on standard output. Raises SystemExit with all it said if it does not end with `expect`."""
    done = subprocess.run(command, env=environ, cwd=cwd, capture_output=True, text=True, check=False, timeout=900)
    if done.returncode != expect:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def environment(folder: Path, **more: str) -> dict[str, str]:
    """The environment of what is loaded: nothing of the caller's but the ways to programs and certificates."""
    kept = {
        name: os.environ[name]
        for name in ("PATH", "SSL_CERT_FILE", "UV_INDEX_URL", "UV_CACHE_DIR")
        if name in os.environ
    }
    program, home = str(BIN / "slackwater"), str(folder / "home")
    return {**kept, "HOME": str(folder), "SLACKWATER_PROGRAM": program, "SLACKWATER_HOME": home, **more}


def install(name: str, folder: Path) -> Path:
    """A new virtual environment with what an example stands on; its folder of programs."""
    where = {**os.environ, "UV_NO_PROGRESS": "1"}
    run([UV, "venv", "--quiet", "--python", sys.executable, str(folder / "venv")], where, folder)
    locked = str(HERE / name / "requirements.txt")
    run([UV, "pip", "install", "--quiet", "--python", str(folder / "venv"), "-r", locked], where, folder)
    return folder / "venv" / "bin"


def load(name: str, folder: Path, programs: Path, **more: str) -> None:
    """Run the script that loads an example, in its environment."""
    command = [str(programs / "python"), str(HERE / "load" / f"{name}.py"), str(HERE / name)]
    # Scripts are named as what they load: without -P they would be found in its place.
    environ = environment(folder, PYTHONPATH=str(folder / "both"), PYTHONSAFEPATH="1", **more)
    (folder / "both").mkdir()
    shutil.copy(HERE / "load" / "both_ends.py", folder / "both")
    print("".join(line for line in run(command, environ, folder).splitlines(True) if line.startswith("  ")), end="")


def airflow(folder: Path) -> None:
    """DagBag without errors."""
    load("airflow", folder, install("airflow", folder), AIRFLOW_HOME=str(folder / "airflow"))


def dagster(folder: Path) -> None:
    """`dagster definitions validate`."""
    programs, home = install("dagster", folder), folder / "dagster"
    home.mkdir()
    shutil.copy(HERE / "dagster" / "dagster.yaml", home)
    environ = environment(folder, DAGSTER_HOME=str(home))
    run(
        [str(programs / "dagster"), "definitions", "validate", "-f", str(HERE / "dagster" / "slackwater_batch.py")],
        environ,
        folder,
    )
    print("  dagster definitions validate: ended with 0")
    load("dagster", folder, programs, DAGSTER_HOME=str(home))


def prefect(folder: Path) -> None:
    """The flow, and its deployment's specification."""
    more = {"PREFECT_HOME": str(folder / "prefect"), "PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1"}
    load("prefect", folder, install("prefect", folder), **more)


def systemd(folder: Path) -> None:
    """`systemd-analyze verify`, with the program that is here in place of the one that would be installed."""
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        raise SystemExit("systemd-analyze is not here (Debian: apt-get install systemd)")
    units = sorted((HERE / "systemd").iterdir())
    for unit in units:
        text = unit.read_text(encoding="utf-8").replace("/opt/slackwater/bin/slackwater", str(BIN / "slackwater"))
        (folder / unit.name).write_text(text, encoding="utf-8")
    done = subprocess.run(
        [analyze, "verify", "--man=no", *(str(folder / unit.name) for unit in units)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode or done.stderr.strip():
        raise SystemExit(f"systemd-analyze verify ended with {done.returncode}:\n{done.stderr}")
    print(f"  systemd-analyze verify {' '.join(unit.name for unit in units)}: nothing to say")
    print("  " + run([analyze, "calendar", "*:0/5"], environment(folder), folder).splitlines()[1].strip())


def cron(folder: Path) -> None:
    """The table's form, and the script: tried again after 75 and not after 1, never twice at once."""
    for line in (HERE / "cron" / "slackwater-batch").read_text(encoding="utf-8").splitlines():
        field = r"(?:\*|\d+(?:-\d+)?)(?:/\d+)?(?:,\d+(?:-\d+)?)*"
        if not re.fullmatch(rf"#.*||[A-Z_]+=\S+|(?:{field} ){{5}}[a-z_][a-z0-9_-]* \S.*", line):
            raise SystemExit(f"no line of a table: {line!r}")
    script = str(HERE / "cron" / "run-batch.sh")
    run(["sh", "-n", script], environment(folder), folder)
    port = {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1", "SLACKWATER_TRIES": "2", "SLACKWATER_TRY_WAIT": "0"}
    began = time.monotonic()
    run(["sh", script], environment(folder, **port), folder, expect=75)
    twice_s = time.monotonic() - began
    run(["sh", script], environment(folder, SLACKWATER_PARTITIONS="none", **port), folder, expect=1)
    lock = folder / "home" / "batch-run.lock"
    run(["flock", str(lock), "sh", script], environment(folder), folder)
    print(
        f"  the table has five fields a line; sh -n: nothing to say; 75 after two tries ({twice_s:.0f} s), 1 after one"
    )
    print("  while one runs another ends at once with 0")


CHECKS = {check.__name__: check for check in (airflow, dagster, prefect, systemd, cron)}


def main(names: list[str]) -> int:
    """Check those that are named, all without a name. 0 if every one loads."""
    if unknown := set(names) - set(CHECKS):
        raise SystemExit(f"There is no {sorted(unknown)}; there are {', '.join(CHECKS)}.")
    failed = []
    for name in names or CHECKS:
        began = time.monotonic()
        pinned = HERE / name / "requirements.txt"
        version = (
            re.search(rf"^(?:apache-)?{name}==(\S+)", pinned.read_text(), re.MULTILINE) if pinned.exists() else None
        )
        print(f"{name} {version[1] if version else ''}".rstrip(), flush=True)
        with tempfile.TemporaryDirectory(prefix=f"slackwater-{name}-") as folder:
            try:
                CHECKS[name](Path(folder))
            except (SystemExit, OSError, subprocess.TimeoutExpired) as error:
                print(f"  FAILED: {error}")
                failed.append(name)
        print(f"  {time.monotonic() - began:.0f} s", flush=True)
    print(f"failed: {', '.join(failed)}" if failed else "every example loads")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
