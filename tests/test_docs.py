"""The documentation is true: every command, setting and route that it names exists, and those that exist are named."""

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from event_log.memory_log import MemoryLog
from event_log.names import TopicNames
from serving.app import create_app
from slackwater.settings import SETTINGS
from stack.cli import main
from tests.test_cli import COMMANDS
from versions.store import VersionStore

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md")] + sorted(
    (ROOT / "docs").glob("*.md")
)


def routes(tmp_path: Path) -> set[str]:
    app = create_app(MemoryLog(), TopicNames("t"), VersionStore(tmp_path))
    return set(app.openapi()["paths"])


def test_every_command_is_in_the_readme() -> None:
    for path in COMMANDS:
        shown = "slackwater " + " ".join(path)
        assert shown in README or path == ("topics", "list"), shown


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_that_a_page_names_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for found in re.findall(r"(?:^\$ |`)(?:\.venv/bin/)?slackwater ([^`\n]+?)(?:  +#.*)?(?:`|$)", text, re.MULTILINE):
        words = shlex.split(found.split("|")[0])
        while words and words[0].startswith("--"):  # settings in front of the command
            words = words[2:]
        known = [path for path in COMMANDS if tuple(words[: len(path)]) == path]
        if not known:
            assert tuple(words) in {path[:1] for path in COMMANDS}, found
            continue
        shown = CliRunner().invoke(main, [*known[0], "--help"]).output
        for word in words[len(known[0]) :]:
            if word.startswith("--"):
                assert word.split("=")[0] in shown, found


def test_every_setting_is_in_the_readme_with_its_default() -> None:
    for setting in SETTINGS:
        row = next(line for line in README.splitlines() if line.startswith(f"| `{setting.name}`"))
        assert not setting.default or f"`{setting.default}`" in row


def test_every_route_is_in_the_readme(tmp_path: Path) -> None:
    for route in routes(tmp_path):
        assert f"`{route.replace('{version}', '{v}')}`" in README or (route == "/v1/bars" and "/v1/bars?" in README), (
            route
        )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_a_page_names_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for name in re.findall(r"`([a-z_]+/[a-z_/]+\.(?:py|md|json|yml))`", text):
        assert (ROOT / name).exists(), name
    for link in re.findall(r"\]\(((?!http|#)[^)]+)\)", text):
        assert (page.parent / link.split("#")[0]).exists(), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_make_words_exist(page: Path) -> None:
    words = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for word in re.findall(r"(?:`|^\$ )make ([a-z-]+)", page.read_text(encoding="utf-8"), re.MULTILINE):
        assert word in words, word
