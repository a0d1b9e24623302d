"""The command line: every command explains itself, speaks JSON, and fails with a fact and not with a traceback."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import psutil
import pytest
from click.testing import CliRunner

from ops.broker import free_port
from ops.cli import main
from ops.cli_batch import NICE
from ops.services import services, to_environ
from slackwater.core.errors import SettingError
from slackwater.core.settings import SETTINGS, from_environ
from tests import forked


def commands(
    group: click.Command = main, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command that does something, with its words."""
    if isinstance(group, click.Group):
        for name in group.list_commands(click.Context(group)):
            command = group.get_command(click.Context(group), name)
            yield from commands(command, (*path, name))
    else:
        yield path, group


COMMANDS = dict(commands())


def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """A real process of the program."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("SLACKWATER_", "KAFKA_"))} | environ
    return forked.call(*arguments, environ=env)


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_has_help_with_examples_and_json(path: tuple[str, ...]) -> None:
    shown = CliRunner().invoke(main, [*path, "--help"])
    assert shown.exit_code == 0, shown.output
    assert "Examples:" in shown.output
    assert f"slackwater {' '.join(path)}" in shown.output.replace("  slackwater --", "  slackwater ")
    assert any("--json" in option.opts for option in COMMANDS[path].params)


def test_a_time_in_another_unit_is_refused_and_told_in_microseconds(tmp_path: Path) -> None:
    asked = ["--home", str(tmp_path), "batch", "restatements", "--since"]
    shown = CliRunner().invoke(main, [*asked, "1769851800"])
    assert shown.exit_code == 2
    assert "it looks like seconds; in microseconds it is 1769851800000000" in " ".join(shown.output.split())
    assert CliRunner().invoke(main, [*asked, "1769851800000000"]).exit_code == 0


def test_every_setting_is_an_option() -> None:
    shown = CliRunner().invoke(main, ["settings", "--json"], env={"SLACKWATER_PORT": "81"})
    listed = {row["name"]: row for row in json.loads(shown.output)["settings"]}
    assert listed.keys() == {setting.name for setting in SETTINGS}
    assert (listed["SLACKWATER_PORT"]["value"], listed["SLACKWATER_PORT"]["default"]) == ("81", "8000")
    options = {option for parameter in main.params for option in parameter.opts}
    assert {setting.option for setting in SETTINGS if not setting.secret} <= options


def test_the_help_begins_with_the_commands_and_says_where_the_settings_are() -> None:
    shown = CliRunner().invoke(main, ["--help"]).output
    assert shown.index("Commands:") < shown.index("Options:")
    assert "slackwater settings" in shown
    assert "--broker-port" not in shown


def test_settings_survive_the_way_to_a_child_process(tmp_path: Path) -> None:
    settings = from_environ(
        {"SLACKWATER_HOME": str(tmp_path), "KAFKA_BOOTSTRAP_SERVERS": "a:1,b:2", "SLACKWATER_PORT": "81"}
    )
    assert from_environ(to_environ(settings)) == settings


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SLACKWATER_PORT", "eighty"),
        ("SLACKWATER_PORT", "70000"),
        ("SLACKWATER_PARTITIONS", "0"),
        ("SLACKWATER_PREFIX", "a b"),
    ],
)
def test_a_bad_setting_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(SettingError, match=name):
        from_environ({name: value})


def test_the_services_of_the_list_are_commands() -> None:
    for service in services(from_environ({})):
        words = tuple(word for word in service.arguments if not word.startswith("-"))
        assert any(words[: len(path)] == path for path in COMMANDS), service


def test_without_a_broker_the_error_names_the_address_and_what_to_do(tmp_path: Path) -> None:
    port = free_port()
    for arguments in (["topics", "list"], ["batch", "run"], ["ingest", "--preset", "sample"]):
        done = run(*arguments, SLACKWATER_HOME=str(tmp_path), SLACKWATER_BROKER_PORT=str(port))
        assert done.returncode == 75, "try again later"
        assert f"127.0.0.1:{port}" in done.stderr
        assert "slackwater up" in done.stderr
        assert "Traceback" not in done.stderr


def test_unknown_options_and_commands_are_refused() -> None:
    for arguments in (["batch", "run", "--evry", "3"], ["bacth"], ["ingest"], ["ingest", "a", "--preset", "sample"]):
        done = run(*arguments)
        assert done.returncode == 2, arguments
        assert "Error" in done.stderr


def test_a_fresh_home_lists_no_version(tmp_path: Path) -> None:
    done = run("batch", "list", "--json", SLACKWATER_HOME=str(tmp_path))
    assert json.loads(done.stdout) == {"served": 0, "versions": [], "rollbacks": [], "audit": None}
    assert "No version yet" in run("batch", "list", SLACKWATER_HOME=str(tmp_path)).stdout


def test_the_doctor_says_what_is_wrong_and_what_to_do(tmp_path: Path) -> None:
    port = str(free_port())
    well = run("doctor", "--json", SLACKWATER_HOME=str(tmp_path), SLACKWATER_BROKER_PORT=port, SLACKWATER_PORT=port)
    findings = {f["what"]: f for f in json.loads(well.stdout)["findings"]}
    assert findings["Python"]["verdict"] == "ok"
    assert findings["Kafka"]["verdict"] == "ok"
    (tmp_path / "versions").mkdir()
    (tmp_path / "versions" / "current").write_text("")
    ill = run("doctor", "--json", SLACKWATER_HOME=str(tmp_path), KAFKA_BOOTSTRAP_SERVERS=f"127.0.0.1:{port}")
    assert ill.returncode == 1
    findings = {f["what"]: f for f in json.loads(ill.stdout)["findings"]}
    assert findings["Versions"]["verdict"] == "bad"
    assert findings["Kafka"]["verdict"] == "bad"
    assert findings["Kafka"]["advice"]


def test_a_program_does_without_pandas_and_an_importer_of_its_rooms_does_not() -> None:
    pytest.importorskip("pandas")
    rooms = "import batch_layer.run, serving.run, speed_layer.run, pyarrow, sys; pyarrow.array([1])"
    for first, there in (("import ops.__main__", False), ("import ops.cli", True)):
        text = f"{first}; {rooms}; assert ('pandas' in sys.modules) is {there}"
        subprocess.run([sys.executable, "-c", text], check=True, timeout=120, capture_output=True)


def test_runs_that_come_again_step_back_from_the_cores(tmp_path: Path) -> None:
    environ = {**os.environ, "SLACKWATER_HOME": str(tmp_path), "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}
    command = [sys.executable, "-m", "ops", "batch", "run", "--every", "60"]
    with subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        assert any(b"127.0.0.1:1" in line for line in process.stderr)  # the first run has failed: nothing listens there
        nice = psutil.Process(process.pid).nice()
        process.terminate()
    assert nice == psutil.Process().nice() + NICE
