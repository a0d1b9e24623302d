"""deploy/Dockerfile and its locks: read, not built. The two locks hold what the project's own lock holds, not more."""

import re
import tomllib
from pathlib import Path
from typing import NamedTuple

import pytest
from packaging.specifiers import SpecifierSet

from tests.test_lock import PYPROJECT, entries, pins, unmet

ROOT = Path(__file__).parents[1]
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8")
IGNORED = (ROOT / ".dockerignore").read_text(encoding="utf-8")
LOCKS = ["deploy/build.lock", "deploy/run.lock"]
IMAGE = {"python_version": "3.11", "python_full_version": "3.11.0", "sys_platform": "linux", "platform_system": "Linux"}


class Instruction(NamedTuple):
    """One instruction: its stage (counted from 0), its word and the rest of the logical line."""

    stage: int
    word: str
    rest: str


def instructions(text: str) -> list[Instruction]:
    """Every instruction, continuation lines joined, comments left out."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    found: list[Instruction] = []
    stage = -1
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        if line.strip():
            word, _, rest = line.strip().partition(" ")
            stage += word == "FROM"
            found.append(Instruction(stage, word, rest.strip()))
    return found


def problems(text: str) -> list[str]:
    """What is wrong with a Dockerfile."""
    found = instructions(text)
    last = found[-1].stage
    final = [each for each in found if each.stage == last]
    wrong = [] if last else ["one stage"]
    wrong += _base_problems(found)
    users = [each.rest for each in final if each.word == "USER"]
    if not users or not re.fullmatch(r"[1-9]\d*:[1-9]\d*", users[-1]):
        wrong.append(f"runs as {users[-1:]}")
    wrong += [f"takes files past the stages: {each.rest}" for each in final if _from_context(each)]
    wrong += [f"installs in the last stage: {each.rest}" for each in final if re.search(r"\b(pip|apt)\b", each.rest)]
    for each in found:
        for path in each.rest.split()[:-1] if _from_context(each) else []:
            if not (ROOT / path).exists():
                wrong.append(f"copies {path}, which is not there")
        if each.word == "RUN" and "apt-get" in each.rest:
            wrong.append(f"not locked: {each.rest}")
        for command in re.findall(r"-m pip .*?install (.*?)(?:&&|$)", each.rest if each.word == "RUN" else ""):
            wrong += _pip_problems(command)
    return wrong


def _base_problems(found: list[Instruction]) -> list[str]:
    names: set[str] = set()
    wrong = []
    for each in (each for each in found if each.word == "FROM"):
        image, _, name = each.rest.partition(" AS ")
        tag = re.fullmatch(r"python:(3\.\d+)-slim-[a-z]+", image)
        supported = SpecifierSet(PYPROJECT["project"]["requires-python"])
        if image not in names and not (tag and supported.contains(tag[1])):
            wrong.append(f"from {image}")
        names.add(name)
    return wrong


def _from_context(each: Instruction) -> bool:
    return each.word in {"COPY", "ADD"} and "--from=" not in each.rest


def _pip_problems(arguments: str) -> list[str]:
    words = arguments.split()
    if {"--no-index", "--no-deps"} <= set(words):
        return []
    lock = words[words.index("-r") + 1].lstrip("/") if "-r" in words else ""
    wanted = {"--require-hashes", "--no-deps", "--only-binary"}
    if not wanted <= set(words) or Path("deploy", Path(lock).name).as_posix() not in LOCKS:
        return [f"not locked: {arguments}"]
    return []


def test_the_file_passes_every_check() -> None:
    assert problems(DOCKERFILE) == []


@pytest.mark.parametrize(
    ("here", "there", "expected"),
    [
        ("USER 10001:10001\n", "", "runs as []"),
        ("USER 10001:10001", "USER root", "runs as ['root']"),
        ("USER 10001:10001", "USER 0:0", "runs as ['0:0']"),
        ("WORKDIR /var", "COPY . .\nWORKDIR /var", "takes files past the stages: . ."),
        ("WORKDIR /var", "RUN python -m pip install x\nWORKDIR /var", "installs in the last stage"),
        (
            "COPY serving/page/web serving/page/web",
            "COPY serving/site serving/page/web",
            "copies serving/site, which is not there",
        ),
        ("--require-hashes --no-deps --only-binary :all: -r deploy/build.lock", "hatchling", "not locked: hatchling"),
        ("-r /run.lock", "-r /other.lock", "not locked"),
        ("--only-binary :all: -r /run", "-r /run", "not locked"),
        ("COPY . .\n", "RUN apt-get install gcc\n", "not locked: apt-get"),
        ("python:3.11-slim-bookworm\n", "python:latest\n", "from python:latest"),
        ("python:3.11-slim-bookworm\n", "python:3.14-slim-bookworm\n", "from python:3.14-slim-bookworm"),
    ],
)
def test_a_planted_mistake_is_found(here: str, there: str, expected: str) -> None:
    assert here in DOCKERFILE
    assert [found for found in problems(DOCKERFILE.replace(here, there)) if expected in found]


def test_one_stage_is_too_few() -> None:
    assert "one stage" in problems("FROM python:3.11-slim-bookworm\nUSER 1:1\n")


def test_the_stages_are_of_one_image() -> None:
    images = {each.rest.partition(" AS ")[0] for each in instructions(DOCKERFILE) if each.word == "FROM"} - {"base"}
    assert len(images) == 1


def test_the_image_starts_the_program_of_the_project() -> None:
    (entry,) = [each.rest for each in instructions(DOCKERFILE) if each.word == "ENTRYPOINT"]
    assert entry == '["slackwater"]'
    assert "slackwater" in PYPROJECT["project"]["scripts"]


def test_the_context_holds_nothing_that_git_ignores() -> None:
    def names(text: str) -> set[str]:
        lines = (line.strip() for line in text.splitlines())
        return {line.removeprefix("**/").strip("/") for line in lines if line and not line.startswith("#")}

    ignored = names(IGNORED)
    assert names((ROOT / ".gitignore").read_text(encoding="utf-8")) <= ignored
    assert {".git", ".env*"} <= ignored


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_has_exact_versions_with_hashes_and_names_no_host(lock: str) -> None:
    for entry in entries(lock):
        assert re.fullmatch(r"[a-z0-9.-]+==[^\s;=*]+( ; [^-]+)?( +--hash=sha256:[0-9a-f]{64})+", entry), entry
    assert not re.search(r"https?:|://|index-url|find-links", (ROOT / lock).read_text(encoding="utf-8"))


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_pins_what_the_projects_own_lock_pins(lock: str) -> None:
    assert pins(lock, IMAGE).items() <= pins("requirements.lock", IMAGE).items()
    hashed = {entry.partition(" ; ")[0].partition(" ")[0]: entry for entry in entries("requirements.lock")}
    for entry in entries(lock):
        known = set(re.findall(r"sha256:\w+", hashed[entry.partition(" ; ")[0].partition(" ")[0]]))
        assert set(re.findall(r"sha256:\w+", entry)) <= known


def test_the_lock_of_the_image_is_that_of_the_services_without_the_broker() -> None:
    extras = PYPROJECT["project"]["optional-dependencies"]
    wanted = [*PYPROJECT["project"]["dependencies"], *extras["beam"], *extras["serving"], *extras["cli"]]
    assert unmet(wanted, "deploy/run.lock", IMAGE) == []
    left_out = {*_names(extras["broker"]), *_names(PYPROJECT["dependency-groups"]["web"]), "hatchling"}
    assert not left_out & set(pins("deploy/run.lock", IMAGE))
    assert left_out <= set(pins("requirements.lock", IMAGE))


def test_the_lock_of_the_build_makes_the_wheel_and_the_page() -> None:
    groups = PYPROJECT["dependency-groups"]
    backend = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["build-system"]["requires"]
    assert unmet([*groups["build"], *groups["web"], *backend], "deploy/build.lock", IMAGE) == []


def test_the_makefile_makes_both_locks() -> None:
    made = re.findall(r"-o (\S+)", (ROOT / "Makefile").read_text(encoding="utf-8"))
    assert set(LOCKS) <= set(made)


def _names(requirements: list[str]) -> set[str]:
    return {re.split(r"[<>=\[]", requirement)[0] for requirement in requirements}
