"""Correct at every moment: the real stack on a real broker, asked all the time while trades flow and versions change.

Each answer is compared with the oracle at the answer's own positions, after the fact: the oracle walks the log once
and stops wherever an answer stood.
"""

import random
import time
from pathlib import Path
from typing import Any

import pytest

from slackwater.settings import Settings
from stack.broker import free_port
from stack.context import Context
from stack.up import Stack, stopping
from stack.verify import Answer, Client, Proof, compare, verify
from views.interval import parse_interval

ANSWERS = 500
BOTH = 100
VERSIONS = 5
DEADLINE_S = 150.0
INTERVALS = [parse_interval(text) for text in ("1s", "1m", "5m", "1h", "1d", "1w")]


@pytest.fixture
def context(broker: str, tmp_path: Path) -> Context:
    return Context(
        Settings(
            home=tmp_path,
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


@pytest.mark.broker
@pytest.mark.timeout(300)
def test_every_answer_equals_the_oracle_at_its_own_positions(context: Context) -> None:
    lines: list[str] = []
    with (
        stopping() as stop,
        Stack(context, demo=True, on_line=lambda name, line: lines.append(f"{name}: {line}")) as stack,
    ):
        stack.wait_ready(stop)
        client = Client(context.url)
        answers, both = _collect(client, stack)
        assert len(answers) >= ANSWERS, "\n".join(lines[-30:])
        assert both >= BOTH
        assert len({answer.version for answer in answers if answer.version}) >= VERSIONS

        proof = Proof()
        compare(answers, context.log, context.names, context.store, proof)
        assert proof.answers == len(answers)
        assert proof.differences == []
        assert proof.differ == 0

        whole = verify(client, context.log, context.names, context.store)
        client.close()
        assert whole.holds, whole.differences or whole.refusals
        assert len(whole.instruments) == 6
        assert len(whole.intervals) == 18


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
                versions.add(answer.version)
                both += seen
    return answers, both


def _answer(query: dict[str, str], interval: Any, found: Any) -> tuple[Answer, bool]:
    seen = False
    for bar in found["bars"]:
        parts = bar.pop("explain")
        seen |= parts["batch"] is not None and bool(parts["deltas"])
    about = found["answer"]
    assert "refusal" not in about
    ((partition, applied),) = about["applied"].items()
    assert about["cut"][partition] <= applied
    first = found["bars"][0]["start"] if found["bars"] else None
    return (
        Answer(
            query["venue"],
            query["symbol"],
            interval,
            about["version"],
            int(partition),
            applied,
            found["bars"],
            start=first,
        ),
        seen,
    )
