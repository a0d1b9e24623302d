"""The house of DESIGN.md, section 7: its import-linter contracts hold here, and each one finds what it forbids.

The contracts are in pyproject.toml. import-linter reads source and imports nothing, so that a planted import of Beam
costs nothing; it runs in a process of its own, because a room that this process has imported would be read from where
it was imported.

      a copy of the rooms  +  one planted line    --lint-->    this contract is broken
"""

import ast
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
CONFIG = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
ROOMS = CONFIG["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
CONTRACTS = {contract["id"]: contract["name"] for contract in CONFIG["tool"]["importlinter"]["contracts"]}

# Run in the folder that is checked, which `python -c` puts first on its path.
_LINT = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True, no_logo=True))"


class Plant(NamedTuple):
    """One line in one new module of a room, and the contracts that it breaks at least."""

    room: str
    line: str
    breaks: set[str]


FORBIDDEN = [
    Plant("views", "import versions", {"direction"}),
    Plant("views", "import stack", {"direction"}),
    Plant("event_log", "from versions import manifest", {"direction"}),
    Plant("versions", "from event_log import names", {"direction"}),
    Plant("pipeline", "import event_log.cell", {"direction"}),
    Plant("pipeline", "import versions", {"direction"}),
    Plant("serving", "import ingest", {"direction"}),
    Plant("ingest", "import serving", {"direction"}),
    Plant("batch_layer", "import speed_layer", {"direction"}),
    Plant("speed_layer", "import batch_layer", {"direction"}),
    Plant("batch_layer", "import serving", {"direction"}),
    Plant("serving", "from batch_layer import run", {"direction"}),
    Plant("slackwater", "import views", {"direction"}),
    Plant("ingest", "import stack", {"direction"}),
    Plant("serving", "from pipeline import summarise", {"no-pipeline"}),
    Plant("ingest", "def late() -> None:\n    import pipeline", {"no-pipeline"}),
    Plant("serving", "import apache_beam as beam", {"no-beam"}),
    Plant("event_log", "from apache_beam.io import restriction_trackers", {"no-beam"}),
    Plant("slackwater", "import apache_beam", {"no-beam"}),
    Plant("stack", "import apache_beam", {"no-beam-in-stack"}),
    Plant("speed_layer", "from kafka import KafkaConsumer", {"kafka"}),
    Plant("stack", "import kafka.admin", {"kafka"}),
    Plant("stack", "import uvicorn", {"http"}),
    Plant("ingest", "from fastapi import FastAPI", {"http"}),
    Plant("event_log", "import starlette.responses", {"http"}),
    Plant("views", "import kafka", {"kafka", "pure-views"}),
]
ALLOWED = [
    Plant("stack", "import batch_layer, speed_layer, serving, ingest, slackwater.settings", set()),
    Plant("batch_layer", "import pipeline, event_log, versions, views, apache_beam, slackwater.errors", set()),
    Plant("speed_layer", "import pipeline, event_log, versions, apache_beam", set()),
    Plant("serving", "import event_log, versions, views, fastapi, starlette, uvicorn", set()),
    Plant("ingest", "import event_log, versions, views", set()),
    Plant("event_log", "import kafka, views.answers", set()),
]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the rooms and their contracts."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for room in ROOMS:
        shutil.copytree(ROOT / room, tmp_path / room, ignore=shutil.ignore_patterns("node_modules", "__pycache__"))
    return tmp_path


def broken(folder: Path) -> set[str]:
    """The ids of the contracts that the rooms in `folder` break."""
    command = [sys.executable, "-c", _LINT]
    unwrapped = {**os.environ, "COLUMNS": "1000"}
    run = subprocess.run(command, cwd=folder, env=unwrapped, capture_output=True, text=True, timeout=60, check=False)
    found = {identifier for identifier, name in CONTRACTS.items() if f"{name} BROKEN" in run.stdout}
    assert run.returncode == bool(found), run.stdout + run.stderr
    return found


def named(plant: Plant) -> str:
    return f"{plant.room}: {plant.line.splitlines()[-1].strip()}"


def test_the_rooms_keep_every_contract() -> None:
    assert broken(ROOT) == set()


def test_every_room_is_under_contract() -> None:
    assert CONFIG["tool"]["importlinter"]["root_packages"] == ROOMS
    assert CONFIG["tool"]["mypy"]["packages"] == ROOMS


def test_every_contract_is_broken_by_a_plant() -> None:
    assert set().union(*(plant.breaks for plant in FORBIDDEN)) | {"oracle"} == set(CONTRACTS)


@pytest.mark.parametrize("plant", FORBIDDEN, ids=named)
def test_a_forbidden_import_is_found(plant: Plant, copy: Path) -> None:
    (copy / plant.room / "planted.py").write_text(plant.line + "\n", encoding="utf-8")
    assert broken(copy) >= plant.breaks  # a chain behind the planted line may break another


@pytest.mark.parametrize("plant", ALLOWED, ids=named)
def test_an_allowed_import_is_not(plant: Plant, copy: Path) -> None:
    (copy / plant.room / "planted.py").write_text(plant.line + "\n", encoding="utf-8")
    assert broken(copy) == set()


@pytest.mark.parametrize(
    "line", ["import stack.errors", "import slackwater", "from views import bars", "import duckdb"]
)
def test_the_oracle_is_alone(line: str, copy: Path) -> None:
    oracle = copy / "stack" / "oracle.py"
    oracle.write_text(oracle.read_text(encoding="utf-8") + line + "\n", encoding="utf-8")
    assert broken(copy) == {"oracle"}


def test_an_import_through_a_third_room_is_found(copy: Path) -> None:
    (copy / "serving" / "planted.py").write_text("from versions import planted\n", encoding="utf-8")
    (copy / "versions" / "planted.py").write_text("import apache_beam\n", encoding="utf-8")
    assert broken(copy) == {"no-beam"}


def bare_imports(source: str) -> set[str]:
    """The modules of this folder that a test imports without `tests.`: they would exist twice, with classes of each."""
    here = {path.stem for path in Path(__file__).parent.glob("*.py")}
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add(node.module or "")
    return {name for name in found if name.partition(".")[0] in here}


def test_what_tests_share_has_one_name() -> None:
    bare = {path.name: bare_imports(path.read_text(encoding="utf-8")) for path in Path(__file__).parent.glob("*.py")}
    assert {name: found for name, found in bare.items() if found} == {}
    assert bare_imports("import naive\nfrom memory_log import MemoryLog\nfrom tests.hand import HandClock") == {
        "naive",
        "memory_log",
    }
