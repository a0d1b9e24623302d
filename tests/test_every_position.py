"""Correct at every moment: the real stack on a real broker, asked all the time while trades flow and versions change.

Each answer is compared with the oracle at the answer's own positions, after the fact: the oracle walks the log once
and stops wherever an answer stood.
"""

import random
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from ops.broker import free_port
from ops.context import Context
from ops.evidence import LogEvidence
from ops.up import Stack
from slackwater.core.settings import Settings
from slackwater.views.interval import parse_interval
from tests.proof_kit import OF_BARS, bars_answer, compared, prove
from verify.client import Answer, Client

pytestmark = [pytest.mark.broker, pytest.mark.crash]

ANSWERS = 500
BOTH = 100
VERSIONS = 5
DEADLINE_S = 150.0
INTERVALS = [parse_interval(text) for text in ("1s", "1m", "5m", "1h", "1d", "1w")]


@pytest.fixture(scope="module")
def context(broker: str, tmp_path_factory: pytest.TempPathFactory) -> Context:
    return Context(
        Settings(
            home=tmp_path_factory.mktemp("home"),
            bootstrap=broker,
            prefix=f"moment-{free_port()}",
            partitions=4,
            replication=1,
            broker_port=free_port(),
            host="127.0.0.1",
            port=free_port(),
            batch_seconds=3,
        )
    )


@pytest.fixture(scope="module")
def stack(context: Context) -> Iterator[Stack]:
    """The whole stack of the demonstration, as `slackwater demo` runs it, on the session's broker."""
    lines: list[str] = []
    with Stack(context, demo=True, on_line=lambda name, line: lines.append(f"{name}: {line}")) as running:
        try:
            running.wait_ready(threading.Event())
            with Client(context.url) as client:
                _wait(lambda: len(client.get("/v1/instruments")["instruments"]) == 6, running)
            yield running
        finally:
            print("\n".join(lines[-60:]))


@pytest.mark.timeout(300)
def test_every_answer_equals_the_oracle_at_its_own_positions(context: Context, stack: Stack) -> None:
    with Client(context.url) as client:
        answers, both = _collect(client, stack)
        assert len(answers) >= ANSWERS
        assert both >= BOTH
        assert len({answer.version for answer in answers if answer.version}) >= VERSIONS

        proof = compared(LogEvidence(context.log, context.names, context.store), answers)
        assert proof.answers == len(answers)
        assert proof.differences == []
        assert proof.differ == 0

        whole = prove(client, context.log, context.names, context.store)
        outcomes = [version["proof"]["outcome"] for version in client.get("/v1/versions")["versions"]]
    assert "equal" in outcomes, "no hand-off was proven while the speed layer ran"
    assert "different" not in outcomes
    assert whole.holds, whole.differences or whole.refusals
    assert len(whole.entities) == 6
    assert len(whole.intervals) == 18


@pytest.mark.timeout(200)
def test_verify_fails_where_an_answer_is_wrong(context: Context, stack: Stack) -> None:
    """The proof looks: one digit of one bar, one bar too few, and one trade too few are each found."""
    with Client(context.url) as client:
        instrument = client.get("/v1/instruments")["instruments"][0]
        right = client.answer(OF_BARS, (instrument["venue"], instrument["symbol"]), "1m")
    for wrong in (
        replace(right, rows=[{**right.rows[0], "close": right.rows[0]["close"] + "1"}, *right.rows[1:]]),
        replace(right, rows=right.rows[1:]),
        replace(right, rows=[{**bar, "trades": bar["trades"] - 1} for bar in right.rows]),
        replace(right, rows=[*right.rows, right.rows[-1]]),
    ):
        proof = compared(LogEvidence(context.log, context.names, context.store), [wrong])
        assert not proof.holds
        assert proof.differences


@pytest.mark.browser
@pytest.mark.crash
@pytest.mark.timeout(200)
def test_the_page_follows_the_running_stack(context: Context, stack: Stack, browser: Browser) -> None:
    """Live bars, a seam that moves when a version is published, and a state that says when the service is away."""
    page = browser.new_page()
    troubles: list[str] = []
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.goto(f"{context.url}/#venue=binance_spot&symbol=BTCUSDT&interval=1s")
    body = page.locator("body")
    wait_ms = 60_000
    expect(body).to_have_attribute("data-state", "live", timeout=wait_ms)
    expect(body).to_have_attribute("data-version", re.compile("[1-9]"), timeout=wait_ms)
    version, seam = body.get_attribute("data-version"), body.get_attribute("data-seam")
    expect(body).not_to_have_attribute("data-version", version or "", timeout=wait_ms)
    expect(body).not_to_have_attribute("data-seam", seam or "", timeout=wait_ms)
    serving = next(child for child in stack.supervisor.children if child.service.name == "serving")
    serving.stop()
    expect(body).to_have_attribute("data-state", "offline", timeout=wait_ms)
    serving.start()
    expect(body).to_have_attribute("data-state", "live", timeout=wait_ms)
    assert troubles == []
    page.close()


def _wait(there: Callable[[], bool], stack: Stack) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not there():
        assert time.monotonic() < deadline
        stack.keep()
        time.sleep(0.1)  # between two looks


def _collect(client: Client, stack: Stack) -> tuple[list[Answer], int]:
    """Answers about random instruments and intervals until there are enough; how many have a bar of both parts."""
    choose = random.Random(1)
    deadline = time.monotonic() + DEADLINE_S
    answers: list[Answer] = []
    both = 0
    versions: set[int] = set()
    while time.monotonic() < deadline and (len(answers) < ANSWERS or both < BOTH or len(versions) < VERSIONS):
        stack.keep()
        instruments = client.get("/v1/instruments")["instruments"]
        for instrument in instruments:
            for _ in range(4):
                interval = choose.choice(INTERVALS)
                query = {"venue": instrument["venue"], "symbol": instrument["symbol"], "interval": interval.text}
                found = client.get("/v1/bars", **query, limit=30, explain="true")
                answer, seen = _answer(query, interval, found)
                answers.append(answer)
                versions |= {answer.version} - {0}
                both += seen
    return answers, both


def _answer(query: dict[str, str], interval: Any, found: Any) -> tuple[Answer, bool]:
    seen = False
    for bar in found["bars"]:
        parts = bar.pop("explain")
        seen |= parts["batch"] is not None and bool(parts["deltas"])
    about = found["meta"]
    assert "refusal" not in about
    ((partition, applied),) = about["applied"].items()
    assert about["cut"][partition] <= applied
    first = found["bars"][0]["start"] if found["bars"] else None
    return bars_answer((query["venue"], query["symbol"]), interval, found, start=first), seen
