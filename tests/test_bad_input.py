"""Bad input, from a file to the answer: refused with its own reason or summed exactly; good records are unharmed.

The real program on a real broker: `slackwater ingest`, a batch run, the service, and the proof.
"""

import json
import os
import subprocess
import threading
from collections import Counter
from pathlib import Path
from uuid import uuid4

import pytest
import uvicorn

from ops.broker import free_port
from serving.http.app import create_app
from slackwater.core.clock import SystemClock
from slackwater.log.kafka_log import KafkaLog
from slackwater.log.log import read_range
from slackwater.log.names import TopicNames
from slackwater.log.topics import create_topics
from slackwater.streams.registry import STREAMS
from slackwater.versions.store import VersionStore
from tests.forked import call
from tests.proof_kit import OF_BARS, prove
from verify.client import Client

T0_US = 1_723_161_240_000_000
GOOD = {"venue": "v", "symbol": "BTC", "time": T0_US, "price": "100.5", "quantity": "2", "side": "buy"}


def good(trade_id: int, **changes: object) -> bytes:
    return json.dumps({**GOOD, "trade_id": trade_id, **changes}).encode()


BAD: list[tuple[str, bytes]] = [
    ("too-late", good(900, time=4_102_444_800_000_000)),  # 2100
    ("too-early", good(901, time=T0_US // 1000)),  # milliseconds
    ("not-json", good(902).replace(b'"100.5"', b"NaN")),
    ("wrong-type", good(903, price=True)),
    ("duplicate-key", good(904)[:-1] + b',"price":"1"}'),
    ("bad-price", good(905, price="1.123456789")),
    ("bad-price", good(906, price="1e3")),
    ("bad-price", good(907, price=" 1")),
    ("bad-price", good(908, price="\uff11\uff12")),
    ("not-utf8", good(909).replace(b"BTC", b"B\xffC")),
    ("empty-line", b""),
    ("bad-symbol", good(910, symbol="../etc")),
    ("missing-field", b'{"venue":"v"}'),
    ("not-positive", good(911, quantity="0")),
    ("notional-too-large", good(912, price="9999999999", quantity="9999999999")),
    ("two-objects", good(913) + good(914)),
    ("byte-order-mark", b"\xef\xbb\xbf" + good(915)),
]
LARGE = [good(1000 + i, symbol="BIG", price="9999999999.99999999", quantity="999.99999999") for i in range(101)]


def program(*arguments: str, environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return call(*arguments, environ={**os.environ, **environ})


@pytest.mark.broker
def test_bad_lines_are_dead_letters_and_their_neighbours_count(broker: str, tmp_path: Path) -> None:
    names, log, store = TopicNames(f"bad-{uuid4().hex[:12]}"), KafkaLog(broker), VersionStore(tmp_path / "home")
    environ = {
        "KAFKA_BOOTSTRAP_SERVERS": broker,
        "SLACKWATER_PREFIX": names.prefix,
        "SLACKWATER_HOME": str(store.home),
        "SLACKWATER_PROOF_SECONDS": "0",  # no speed layer runs, whose cells a run would wait for
    }
    create_topics(log, names, STREAMS, 2)
    lines = [good(0)]
    for number, (_, line) in enumerate(BAD):
        lines += [line, good(number + 1, time=T0_US + number * 1_000_000)]
    file = tmp_path / "trades.jsonl"
    file.write_bytes(b"\n".join([*lines, *LARGE]) + b"\n")

    done = program("ingest", str(file), "--json", environ=environ)
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts["accepted"] == len(BAD) + 1 + len(LARGE)
    assert facts["refused"] == dict(sorted(Counter(reason for reason, _ in BAD).items()))

    ends = {p: bounds.end for p, bounds in log.bounds(names.dead_letters).items()}
    found = {}
    for piece in read_range(log, names.dead_letters, {0: 0}, ends):
        for record in piece.records:
            headers = {name: value.decode() for name, value in record.headers}
            found[record.value or b""] = headers["reason"]
            assert headers["error"]
            assert headers["source"].endswith("trades.jsonl")
    assert found == {line: reason for reason, line in BAD}

    writer = log.writer()  # past ingest: an empty record and one of bad bytes must not stop anything
    writer.append(names.topic("trades"), 0, b"k", None).offset()
    writer.append(names.topic("trades"), 1, b"k", b"\x00\xff").offset()
    writer.close()
    assert program("batch", "run", environ=environ).returncode == 0
    manifest = store.current()
    assert manifest is not None
    assert manifest.count("refused") == 2
    _prove(log, names, store)


def _prove(log: KafkaLog, names: TopicNames, store: VersionStore) -> None:
    """The service answers what the oracle has: 101 trades of nearly 10^13 each are one exact sum."""
    port = free_port()
    app = create_app(log, names, store, clock=SystemClock())
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        with Client(f"http://127.0.0.1:{port}") as client:
            deadline = SystemClock().elapsed_s() + 30
            while not server.started and SystemClock().elapsed_s() < deadline:
                thread.join(0.05)
            while client._http.get("/health/ready").status_code != 200 and SystemClock().elapsed_s() < deadline:
                thread.join(0.05)
            proof = prove(client, log, names, store)
            assert proof.holds, proof.differences or proof.refusals
            answer = client.answer(OF_BARS, ("v", "BIG"), "1d")
            assert answer.rows[0]["trades"] == 101
            exact = 101 * 999_999_999_999_999_999 * 99_999_999_999
            assert answer.rows[0]["notional"].replace(".", "") == str(exact).rstrip("0")
    finally:
        server.should_exit = True
        thread.join(20)


@pytest.mark.parametrize(
    ("name", "content", "options", "fact"),
    [
        ("empty.jsonl", b"", [], "empty"),
        ("no-column.csv", b"a,b\n1,2\n", [], "column"),
        ("no-unit.csv", b"venue,symbol,trade_id,time,price,quantity,side\nv,B,1,1,1,1,buy\n", [], "--time-unit"),
        ("torn.parquet", b"PAR1 and no more", [], "torn.parquet"),
        ("missing.jsonl", None, [], "missing.jsonl"),
        ("x.csv", b"venue\nv\n", ["--map", "prize=p"], "prize"),
        ("x.csv", b"venue\nv\n", ["--time-unit", "minutes"], "minutes"),
    ],
)
@pytest.mark.broker
def test_a_bad_file_is_refused_with_the_fact(
    broker: str, tmp_path: Path, name: str, content: bytes | None, options: list[str], fact: str
) -> None:
    prefix = f"badfile-{uuid4().hex[:12]}"
    create_topics(KafkaLog(broker), TopicNames(prefix), STREAMS, 1)
    if content is not None:
        (tmp_path / name).write_bytes(content)
    environ = {
        "KAFKA_BOOTSTRAP_SERVERS": broker,
        "SLACKWATER_PREFIX": prefix,
        "SLACKWATER_HOME": str(tmp_path / "home"),
    }
    done = program("ingest", str(tmp_path / name), *options, environ=environ)
    assert done.returncode == 1, done.stdout + done.stderr
    assert fact in done.stderr.replace("\n", " ")
    assert "Traceback" not in done.stderr
