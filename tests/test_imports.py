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
BESIDE = ["bench", "lesson", "client"]
"""What is not in the wheel."""
CONTRACTS = {contract["id"]: contract["name"] for contract in CONFIG["tool"]["importlinter"]["contracts"]}

# Run in the folder that is checked, which `python -c` puts first on its path.
_LINT = (
    "import sys; sys.path.insert(1, 'client'); from importlinter.cli import lint_imports; "
    "sys.exit(lint_imports(no_cache=True, no_logo=True))"
)


class Plant(NamedTuple):
    """One line in one new module of a room, and the contracts that it breaks at least."""

    room: str
    line: str
    breaks: set[str]


FORBIDDEN = [
    Plant("slackwater/views", "import slackwater.versions", {"shared"}),
    Plant("slackwater/views", "import ops", {"direction"}),
    Plant("slackwater/log", "from slackwater.versions import manifest", {"shared"}),
    Plant("slackwater/log", "import slackwater.deltas.cell", {"shared"}),
    Plant("slackwater/streams", "from slackwater.views import view", {"shared"}),
    Plant("slackwater/versions", "import slackwater.restatements.ledger", {"shared"}),
    Plant("slackwater/core", "import slackwater.streams.schema", {"shared"}),
    Plant("serving", "import ingest", {"direction"}),
    Plant("ingest", "import serving", {"direction"}),
    Plant("batch_layer", "import speed_layer", {"direction"}),
    Plant("speed_layer", "import batch_layer", {"direction"}),
    Plant("batch_layer", "import serving", {"direction"}),
    Plant("serving", "from batch_layer import run", {"direction"}),
    Plant("slackwater", "import serving", {"direction"}),
    Plant("ingest", "import ops", {"direction"}),
    Plant("verify", "import ops", {"direction"}),
    Plant("ops", "import bench.suite", {"direction"}),
    Plant("serving", "from slackwater.pipeline import summarise", {"no-pipeline"}),
    Plant("ingest", "def late() -> None:\n    import slackwater.pipeline", {"no-pipeline"}),
    Plant("serving", "import apache_beam as beam", {"no-beam"}),
    Plant("slackwater/log", "from apache_beam.io import restriction_trackers", {"no-beam"}),
    Plant("slackwater/core", "import apache_beam", {"no-beam"}),
    Plant("ops", "import apache_beam", {"no-beam-in-ops"}),
    Plant("speed_layer", "from kafka import KafkaConsumer", {"kafka"}),
    Plant("ops", "import kafka.admin", {"kafka"}),
    Plant("ops", "import uvicorn", {"http"}),
    Plant("ingest", "from fastapi import FastAPI", {"http"}),
    Plant("slackwater/log", "import starlette.responses", {"http"}),
    Plant("slackwater/keys", "import uvicorn", {"http"}),
    Plant("slackwater/keys", "import slackwater.http.problems", {"shared"}),
    Plant("slackwater/pipeline", "import slackwater.http.problems", {"shared"}),
    Plant("slackwater/http", "import slackwater.pipeline.summarise", {"no-beam"}),
    Plant("slackwater/http", "import serving.options", {"direction"}),
    Plant("slackwater/views", "import kafka", {"kafka", "pure-views"}),
    Plant("client/slackwater_client", "import slackwater.core.errors", {"client"}),
]
ALLOWED = [
    Plant("ops", "import batch_layer, speed_layer, serving, ingest, verify, slackwater.core.settings", set()),
    Plant("batch_layer", "import slackwater.pipeline, slackwater.log, slackwater.versions, apache_beam", set()),
    Plant("speed_layer", "import slackwater.pipeline, slackwater.log, slackwater.versions, apache_beam", set()),
    Plant("serving", "import slackwater.log, slackwater.versions, slackwater.views, fastapi, uvicorn", set()),
    Plant("ingest", "import slackwater.log, slackwater.versions, slackwater.views, slackwater.http.server", set()),
    Plant("slackwater/http", "import slackwater.keys, slackwater.versions, fastapi, starlette, uvicorn", set()),
    Plant("slackwater/log", "import kafka, slackwater.views.answers", set()),
]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the rooms and their contracts."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for room in [*ROOMS, *BESIDE]:
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
    packages = [*ROOMS, "bench", "lesson", "slackwater_client"]
    assert sorted(CONFIG["tool"]["importlinter"]["root_packages"]) == sorted(packages)
    programs = ["tests.crash", "tests.fuzz"]  # what `make crash` and `make fuzz` run takes long to fail by itself
    assert sorted(CONFIG["tool"]["mypy"]["packages"]) == sorted([*packages, *programs])


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


@pytest.mark.parametrize("line", ["import slackwater", "from slackwater.views import bars", "import duckdb"])
def test_the_oracle_is_alone(line: str, copy: Path) -> None:
    oracle = copy / "verify" / "oracle.py"
    oracle.write_text(oracle.read_text(encoding="utf-8") + line + "\n", encoding="utf-8")
    assert broken(copy) == {"oracle"}


def test_an_import_through_a_third_room_is_found(copy: Path) -> None:
    (copy / "serving" / "planted.py").write_text("from slackwater.versions import planted\n", encoding="utf-8")
    (copy / "slackwater" / "versions" / "planted.py").write_text("import apache_beam\n", encoding="utf-8")
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
