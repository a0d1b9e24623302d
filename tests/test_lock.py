"""The lock files: every dependency pinned with its hashes, and no word about where they come from."""

import json
import re
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
LOCKS = ["requirements.lock", "requirements-dev.lock"]
PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PYTHONS = ["3.11", "3.12", "3.13"]
PLATFORMS = [
    {"sys_platform": "linux", "platform_system": "Linux"},
    {"sys_platform": "darwin", "platform_system": "Darwin"},
]

_HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")


def entries(lock: str) -> list[str]:
    """The logical lines of a lock file, comments removed."""
    text = (ROOT / lock).read_text(encoding="utf-8").replace("\\\n", " ")
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return [line for line in lines if line]


def pins(lock: str, environment: dict[str, str]) -> dict[str, Version]:
    """The version of every package that `environment` installs from a lock file."""
    found: dict[str, Version] = {}
    for requirement in (Requirement(_HASH.sub("", entry)) for entry in entries(lock)):
        if requirement.marker is None or requirement.marker.evaluate(environment):
            (pin,) = requirement.specifier
            assert pin.operator == "=="
            name = canonicalize_name(requirement.name)
            assert name not in found, f"{name} is pinned twice for {environment}"
            found[name] = Version(pin.version)
    return found


def unmet(wanted: Iterable[str], lock: str, environment: dict[str, str]) -> list[str]:
    """The requirements of `wanted` that a lock file does not satisfy in `environment`."""
    locked = pins(lock, environment)
    missing = []
    for requirement in map(Requirement, wanted):
        if requirement.marker is not None and not requirement.marker.evaluate(environment):
            continue
        version = locked.get(canonicalize_name(requirement.name))
        if version is None or not requirement.specifier.contains(version, prereleases=True):
            missing.append(f"{requirement} (locked: {version})")
    return missing


@pytest.fixture(params=[(python, platform) for python in PYTHONS for platform in PLATFORMS], ids=str)
def environment(request: pytest.FixtureRequest) -> dict[str, str]:
    """The marker environment of a supported Python on a supported platform."""
    python, platform = request.param
    return {"python_version": python, "python_full_version": f"{python}.0", **platform}


def wanted(*extras: str) -> list[str]:
    """Every requirement of the project and of these extras, `all` taken apart into those that it names."""
    found = list(PYPROJECT["project"]["dependencies"])
    for line in (line for extra in extras for line in PYPROJECT["project"]["optional-dependencies"][extra]):
        requirement = Requirement(line)
        found += wanted(*requirement.extras) if requirement.name == PYPROJECT["project"]["name"] else [line]
    return found


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_no_host_and_no_option(lock: str) -> None:
    text = (ROOT / lock).read_text(encoding="utf-8")
    assert not re.search(r"https?:|://|index-url|find-links|trusted-host|file:", text)
    assert not [line for line in entries(lock) if line.startswith("-")]
    assert not [line for line in entries(lock) if " @ " in line]


@pytest.mark.parametrize("lock", LOCKS)
def test_every_entry_is_one_exact_version_with_hashes(lock: str) -> None:
    for entry in entries(lock):
        assert re.fullmatch(r"[a-z0-9.-]+==[^\s;=*]+( ; [^-]+)?( +--hash=sha256:[0-9a-f]{64})+", entry), entry


def test_the_web_lock_names_no_registry() -> None:
    for lock in ROOT.glob("serving/page/web/package-lock.json"):
        packages = json.loads(lock.read_text(encoding="utf-8"))["packages"]
        locked = {name: package for name, package in packages.items() if name}
        assert all(package["integrity"].startswith("sha512-") for package in locked.values())
        assert not [name for name, package in locked.items() if "resolved" in package]


def test_the_lock_satisfies_the_project_and_what_it_runs_with(environment: dict[str, str]) -> None:
    groups = PYPROJECT["dependency-groups"]
    every = [*wanted("all"), *groups["build"], *groups["web"], *PYPROJECT["build-system"]["requires"]]
    assert unmet(every, "requirements.lock", environment) == []


def test_the_development_lock_adds_the_tools_and_changes_nothing(environment: dict[str, str]) -> None:
    every = [*wanted(*PYPROJECT["project"]["optional-dependencies"]), *PYPROJECT["dependency-groups"]["dev"]]
    assert unmet(every, "requirements-dev.lock", environment) == []
    run, dev = (pins(lock, environment) for lock in LOCKS)
    assert {name: dev.get(name) for name in run} == run


def test_an_unmet_requirement_is_seen(environment: dict[str, str]) -> None:
    assert unmet(["duckdb<2", "no-such-package"], "requirements.lock", environment) == [
        f"duckdb<2 (locked: {pins('requirements.lock', environment)['duckdb']})",
        "no-such-package (locked: None)",
    ]


def test_the_supported_pythons_are_those_that_are_declared() -> None:
    supported = SpecifierSet(PYPROJECT["project"]["requires-python"])
    assert [minor for minor in range(0, 30) if f"3.{minor}" in supported] == [11, 12, 13]
    classifiers = PYPROJECT["project"]["classifiers"]
    assert [f"Programming Language :: Python :: {python}" for python in PYTHONS] == [
        classifier for classifier in classifiers if "Python :: 3." in classifier
    ]
