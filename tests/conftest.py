"""Fixtures that several test modules share. Fakes of one room live next to that room's tests."""

import gc
import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from playwright.sync_api import Browser, sync_playwright

from ops.broker import Broker, BrokerSettings, free_port
from tests.crash_kit import House, open_house

CHROMIUM = Path("/usr/bin/chromium")
ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
STATIC = Path(__file__).parent.parent / "serving" / "page" / "static"
VENDOR = ("lightweight-charts.js", "eventsource-parser/parse.js", "eventsource-parser/errors.js")


LONGEST = (
    "test_simulation",
    "test_page",
    "test_view_laws",
    "test_corrections",
    "test_parts",
    "test_audit",
    "test_batch_run",
    "test_secure_broker",
    "test_crash_batch",
    "test_streams_batch",
    "test_schedules",
    "test_hidden",
    "test_idle",
    "test_prove",
    "test_counterexamples",
    "test_crash_correct",
    "test_crash_ingest",
    "test_crash_move",
    "test_sql",
    "test_restating",
    "test_trim",
    "test_backup",
    "test_damaged_log",
    "test_bench",
    "test_crash_speed",
    "test_toy_stream",
    "test_batch_program",
    "test_corruption",
    "test_batch_memory",
)
"""Files that take longest, so that they begin first: with whole files for processes, the last one decides the end."""


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):  # pytest-xdist: the workers' reports come to this process
        config.pluginmanager.register(_Early(config))
        config.pluginmanager.register(_OneBroker())


@pytest.hookimpl(trylast=True)  # behind pytest-randomly, whose order stays among the others
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    rank = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path.stem, len(rank)))


def pytest_collection_finish() -> None:
    """What was imported stays to the end, so the collector need not look at it again: 10 to 20 % of a test's time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000)


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    """What a program that a test ran in this process set up: its handler writes to a stream that is closed by then."""
    root = logging.getLogger()
    before, level = root.handlers, root.level
    yield
    root.handlers, root.level = before, level


class _Early:
    """Says what fails as soon as it does: a run that is stopped by its time limit never comes to its summary."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        terminal = self._config.pluginmanager.get_plugin("terminalreporter")
        if report.failed and terminal is not None:
            terminal.write_line(f"\n{report.nodeid} failed in {report.when}:\n{report.longreprtext[-2000:]}", red=True)


class _OneBroker:
    """One broker for all processes of a parallel run: most of what one costs is that Java compiles it anew."""

    def __init__(self) -> None:
        self._open = ExitStack()
        self._bootstrap = ""

    @pytest.hookimpl(optionalhook=True)  # of pytest-xdist
    def pytest_configure_node(self, node: Any) -> None:
        if os.environ.get("KAFKA_BOOTSTRAP_SERVERS"):
            return
        if not self._bootstrap:
            home = Path(self._open.enter_context(TemporaryDirectory(prefix="slackwater-test-")))
            self._bootstrap = self._open.enter_context(_broker(home)).bootstrap
        node.workerinput["bootstrap"] = self._bootstrap

    def pytest_unconfigure(self) -> None:
        self._open.close()


def _broker(home: Path) -> Broker:
    return Broker(BrokerSettings(home, free_port(), short_lived=True))


@pytest.fixture(scope="session")
def broker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Bootstrap servers of a real Kafka: the cluster of KAFKA_BOOTSTRAP_SERVERS, else one broker for the session.

    Its topics are shared by all tests: take names that no other test takes.
    """
    parallel = getattr(request.config, "workerinput", {})
    named = os.environ.get("KAFKA_BOOTSTRAP_SERVERS") or parallel.get("bootstrap")
    if named:
        yield named
        return
    with _broker(tmp_path_factory.mktemp("broker")) as running:
        yield running.bootstrap


@pytest.fixture(scope="session")
def house(broker: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """The house of the crash matrix: a log with a service beside it. A test leaves no process of its own in it."""
    with open_house(broker, tmp_path_factory.mktemp("crash")) as found:
        found.world.produce(60)
        assert found.run("batch", "run", SLACKWATER_PROOF_SECONDS="0").code == 0
        yield found


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """Another one in each run. pytest-randomly says it at the beginning; `--randomly-seed=<it>` is that run again."""
    return int(request.config.getoption("randomly_seed", default=0))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium. In continuous integration it must be there; elsewhere its absence is a skip, said loudly."""
    if not CHROMIUM.is_file():
        missing = f"Chromium is not at {CHROMIUM}: the page is NOT tested. Debian: apt-get install chromium"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    if missing := [name for name in VENDOR if not (STATIC / "vendor" / name).is_file()]:
        pytest.fail(f"{missing} are not there: run `make web`.")
    with sync_playwright() as playwright, playwright.chromium.launch(executable_path=CHROMIUM, args=ARGS) as launched:
        yield launched
