"""The documentation is true: every command, setting and route that it names exists, and those that exist are named."""

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from lesson.memory_log import MemoryLog
from ops.cli import main
from serving.http.app import create_app
from slackwater.core.settings import SETTINGS
from slackwater.log.names import TopicNames
from slackwater.versions.store import VersionStore
from tests.test_cli import COMMANDS

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


def parsed(words: list[str]) -> None:
    """Read a command line as the program does, without running it. Raises click.UsageError."""
    command: click.Command = main
    context = click.Context(main, info_name="slackwater")
    while isinstance(command, click.Group):
        _, words, _ = command.make_parser(context).parse_args(words)
        name, found, words = command.resolve_command(context, words)
        assert name is not None
        assert found is not None
        command, context = found, click.Context(found, context, name)
    command.make_context(command.name, words, parent=context.parent)


COMMAND = re.compile(
    r"(?P<shell>^\$ |^)?(?<![\w.-])slackwater (?P<words>(?:--[a-z-]+ \S+ )*(?:"
    + "|".join(" ".join(path) for path in sorted(COMMANDS, reverse=True))
    + r")(?![\w-])[^`\n]*)",
    re.MULTILINE,
)
END = re.compile(r"  |[|;,.)]( |$)| (#|[0-9]?>|&&) ?|[.)]$")
"""Where a command ends on its line: before an explanation, a pipe, another command or the rest of a sentence."""


def complete_commands(text: str) -> Iterator[str]:
    """The commands of a text that are more than a name: with arguments, or to be typed as they stand."""
    for found in COMMAND.finditer(text):
        command = END.split(found["words"])[0]
        if tuple(command.split()) not in COMMANDS or found["shell"] is not None:
            yield command


def texts() -> dict[str, str]:
    """Where commands are shown: the pages, what is deployed, and the strings of the program itself."""
    shown = {*PAGES, ROOT / "docker-compose.yml", *(ROOT / "deploy").rglob("*.*")}
    found = {path: path.read_text(encoding="utf-8") for path in shown if path.is_file()}
    for room in ("batch_layer", "ingest", "ops", "serving", "slackwater", "speed_layer", "verify"):
        for path in (ROOT / room).rglob("*.py"):
            source = path.read_text(encoding="utf-8")
            if "slackwater " in source:  # most modules show no command, and every process of a run asks them all
                found[path] = "\n".join(strings(source))
    return {path.relative_to(ROOT).as_posix(): text for path, text in sorted(found.items()) if COMMAND.search(text)}


def strings(source: str) -> Iterator[str]:
    """The strings of a module; what is put into one when it runs is a number here."""
    parts = set[ast.AST]()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.JoinedStr):
            parts |= set(node.values)
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "1" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in parts:
            yield node.value


TEXTS = texts()


@pytest.mark.parametrize("place", TEXTS)
def test_every_command_that_is_shown_is_one_that_the_program_takes(place: str) -> None:
    for shown in complete_commands(TEXTS[place]):
        words = [re.sub(r"^[A-Z]$", "1", word) for word in shlex.split(shown)]  # V is a version
        try:
            parsed(words)
        except click.UsageError as error:
            pytest.fail(f"slackwater {shown}: {error.format_message()}")


def test_a_command_that_lacks_what_it_needs_is_found() -> None:
    text = "$ slackwater batch rollback 41\n`slackwater batch rollback` is prose\n$ slackwater batch list\n"
    assert list(complete_commands(text)) == ["batch rollback 41", "batch list"]
    with pytest.raises(click.MissingParameter, match="reason"):
        parsed(["batch", "rollback", "41"])
    with pytest.raises(click.NoSuchOption):
        parsed(["--home", "x", "batch", "list", "--newest"])


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
