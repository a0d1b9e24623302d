"""The guide's commands for files are run as they are printed, each on a small file of the shape that it is about.

docs/guides.md, "Take in files": `$ slackwater ingest ...` --files below, --dry-run--> these events
"""

import gzip
import json
import re
import shlex
import zipfile
from pathlib import Path
from typing import Any

import click
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from click.testing import CliRunner

from ingest.preset import preset_named
from ops.cli import main
from ops.cli_ingest import ingest
from tests.ingest_kit import line

ROOT = Path(__file__).parents[1]
SECTION = (
    (ROOT / "docs" / "guides.md").read_text(encoding="utf-8").partition("## Take in files\n")[2].partition("\n## ")[0]
)
COMMANDS = re.findall(r"^\$ (?:[^|\n]*\| )?slackwater ((?:ingest|archive import) .*)$", SECTION, re.MULTILINE)

HEADER = "venue,symbol,trade_id,time,price,quantity,side\n"
ROW = "x,BTC-USD,1,1759708800000,100.5,2,buy\n"
DUMP = preset_named("binance_spot_trades").sample

FILES: dict[str, tuple[dict[str, str | bytes], list[dict[str, Any]]]] = {
    "trades.jsonl.zst": ({"trades.jsonl.zst": zstandard.compress(line(1))}, [{"price": "100.5"}]),
    "BTCUSDT-trades-2024-01-31.zip --time-unit": (
        {"BTCUSDT-trades-2024-01-31.zip": DUMP.splitlines()[0]},
        [{"symbol": "BTCUSDT", "price": "17.8018", "side": "sell"}],
    ),
    "ingest - --format csv": ({"-": HEADER + ROW}, [{"time": 1759708800000000}]),
    "dumps/ 'older": (
        {"dumps/a.csv": HEADER + ROW, "older/2023-01.zip": HEADER + ROW, "last.csv.gz": HEADER + ROW},
        [{"trade_id": 1}] * 3,
    ),
    "--list-presets": ({}, []),
    "'dumps/*-trades-*.zip'": ({"dumps/BTCUSDT-trades-2025-11.zip": DUMP}, [{"venue": "binance_spot"}] * 2),
    "coinbase_rest": ({"trades.json": preset_named("coinbase_rest").sample}, [{"symbol": "BTC-USD", "side": "buy"}]),
    "--preset tardis": ({"trades.csv.gz": preset_named("tardis").sample}, [{"venue": "binance_usdm"}] * 2),
    "--lower-venue": (
        {
            "trades.csv": "venue,symbol,trade_id,ts,price,quantity,buyer_is_maker\n"
            "Kraken,BTC/USD,1,1705190401.123456,6e4,0.30000000000000004,True\n"
        },
        [{"venue": "kraken", "time": 1705190401123456, "price": "60000", "quantity": "0.3", "side": "sell"}],
    ),
    "--records": (
        {"answer.json": preset_named("bybit_rest").sample},
        [{"venue": "bybit_spot", "trade_id": 2100000000007764263, "side": "buy"}],
    ),
    "frames.jsonl": (
        {
            "frames.jsonl": '{"stream":"btcusdt@trade","data":{"e":"trade","E":1723161240003,"s":"BTCUSDT","t":7,'
            '"p":"61808.01000000","q":"0.50000000","T":1723161240000,"m":true,"M":true}}\n'
        },
        [{"symbol": "BTCUSDT", "trade_id": 7, "price": "61808.01", "side": "sell", "time_unit": "ms"}],
    ),
    "trades.parquet": ({"trades.parquet": ""}, [{"side": "buy"}, {"side": "sell"}]),
    "dump.csv": (
        {"dump.csv": "1705190401.5,100.5,2,S,9\n"},
        [{"venue": "mine", "symbol": "BTC/USD", "trade_id": 9, "side": "sell", "time": 1705190401500000}],
    ),
    "--dry-run 3": (
        {"trades.csv": "venue,symbol,trade_id,ts,p,q,side\n" + ROW},
        [{"time": 1759708800000000, "price": "100.5"}],
    ),
}
"""What stands in one command alone -> its files, and what is in its events."""


def written(name: str, content: str | bytes) -> None:
    """A file in the working folder, packed as its name says."""
    path = Path(name)
    path.parent.mkdir(exist_ok=True)
    data = content.encode() if isinstance(content, str) else content
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(path.with_suffix(".csv").name, data)
    elif path.suffix == ".parquet":
        columns = {"venue": ["x"] * 2, "trade_id": [1, 2], "time": pa.array([1759708800000000] * 2, pa.timestamp("us"))}
        table = pa.table({**columns, "price": [100.5] * 2, "quantity": [2.0] * 2, "side": pa.array([0, 1], pa.int8())})
        pq.write_table(table, path)
    else:
        path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


@pytest.mark.parametrize("part", FILES)
def test_a_command_of_the_guide_takes_in_the_files_that_it_is_about(
    part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (command,) = [
        each for each in COMMANDS if part in each and not (part == "- --format csv" and "ingest -" not in each)
    ]
    files, events = FILES[part]
    monkeypatch.chdir(tmp_path)
    for name, content in files.items():
        if name != "-":
            written(name, content)
    if not events:
        assert CliRunner().invoke(main, shlex.split(command)).exit_code == 0
        return
    if "-" in files:  # standard input is a descriptor, which the runner has none of
        written("rows.csv", files["-"])
        command = command.replace(" - ", " rows.csv ")
    dry = [] if "--dry-run" in command else ["--dry-run"]
    result = CliRunner().invoke(main, [*shlex.split(command), *dry, "--json"])
    assert result.exit_code == 0, (result.output, result.exception)
    facts = [json.loads(text) for text in result.stdout.splitlines()]
    found = [each["event"] for fact in facts for each in fact["events"]]
    assert [{name: each[name] for name in wanted} for each, wanted in zip(found, events, strict=True)] == events
    assert all(fact["refused"] == {} for fact in facts)


def test_every_command_of_the_section_is_run_and_every_option_that_reads_files_is_in_one() -> None:
    assert len(COMMANDS) == len(FILES)
    shown = " ".join(COMMANDS) + " ".join(re.findall(r"`(--[^`]*)`", SECTION))
    apart = {"--stream", "--speed", "--live", "--json", "--help"}
    options = [name for each in ingest.params if isinstance(each, click.Option) for name in each.opts]
    assert [name for name in options if name not in apart and name not in shown] == []
