"""Each preset reads its own sample into exactly these events; the samples are real where a preset says so.

ingest/presets/NAME.toml: sample --written as its `file`--> one command --> the events below
"""

import json
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ingest.files.sources import open_source
from ingest.preset import Preset, preset_named, presets
from ops.cli import main
from slackwater.streams.errors import MappingError
from slackwater.streams.mapping import Layout, parse_map
from slackwater.streams.trades import TRADES
from tests.ingest_kit import read_all


def trade(
    venue: str, symbol: str, trade_id: int | str, time: int, price: str, quantity: str, side: str, **more: Any
) -> dict[str, Any]:
    """A line's fields."""
    first = {"venue": venue, "symbol": symbol, "trade_id": trade_id}
    order = {"sequence": more.pop("sequence")} if "sequence" in more else {}
    return {**first, **order, "time": time, "price": price, "quantity": quantity, "side": side, **more}


MS, S = {"time_unit": "ms"}, {"time_unit": "s"}
EXPECTED: dict[str, tuple[list[str], list[dict[str, Any]]]] = {
    "binance_spot_trades": (
        [],
        [
            trade("binance_spot", "BNBUSDT", 51175358, 1583709433583000, "17.8018", "5.69", "sell", **MS),
            trade("binance_spot", "BNBUSDT", 5415228673, 1761955200098001, "109608.01", "0.001", "buy"),
        ],
    ),
    "binance_spot_agg_trades": (
        [],
        [trade("binance_spot_agg", "BNBUSDT", 0, 1608872400000000, "0.2", "50", "buy", **MS)],
    ),
    "binance_usdm_trades": (
        [],
        [trade("binance_usdm", "BTCUSDT", 28457, 1499865549590000, "4.000001", "12", "sell", **MS)],
    ),
    "binance_usdm_agg_trades": (
        [],
        [trade("binance_usdm_agg", "BTCUSDT", 26129, 1498793709153000, "0.01633102", "4.70443515", "sell", **MS)],
    ),
    "binance_coinm_trades": (
        [],
        [trade("binance_coinm", "BTCUSD_PERP", 28457, 1591250192508000, "9635", "1", "sell", **MS)],
    ),
    "binance_coinm_agg_trades": (
        [],
        [trade("binance_coinm_agg", "BTCUSD_PERP", 26129, 1498793709153000, "0.01633102", "4.70443515", "sell", **MS)],
    ),
    "kraken_rest": (
        [],
        [
            trade("kraken", "XXBTZUSD", 61044952, 1688669597827736, "30243.4", "0.34507674", "buy"),
            trade("kraken", "XXBTZUSD", 61044953, 1688669598280411, "30243.3", "0.0037696", "sell"),
            trade("kraken", "XXBTZUSD", 61044956, 1688669602698379, "30243.3", "0.01235716", "sell"),
        ],
    ),
    "kraken_csv": (
        ["--map", "side==buy"],
        [
            trade("kraken_history", "XBTUSD", "*-1381095255-0", 1381095255000000, "122", "0.1", "buy", **S),
            trade("kraken_history", "XBTUSD", "*-1381179030-0", 1381179030000000, "123.61", "0.1", "buy", **S),
        ],
    ),
    "coinbase_rest": (
        ["--symbol", "BTC-USDT"],
        [trade("coinbase", "BTC-USDT", 18502034, 1710327617710679, "73271.63", "0.00007448", "buy")],
    ),
    "okx_csv": (
        [],
        [
            trade("okx", "MATIC-USDT-SWAP", 104136693, 1692547262958000, "0.5747", "38", "buy", **MS),
            trade("okx", "MATIC-USDT-SWAP", 104136694, 1692547262958000, "0.5747", "19", "buy", **MS),
            trade("okx", "MATIC-USDT-SWAP", 104136697, 1692547268461000, "0.5748", "1", "sell", **MS),
        ],
    ),
    "okx_rest": (
        [],
        [
            trade("okx", "BTC-USDT", 242720720, 1654161646974000, "29963.2", "0.00001", "sell", **MS),
            trade("okx", "BTC-USDT", 242720719, 1654161641568000, "29964.1", "0.00001", "sell", **MS),
        ],
    ),
    "bybit_linear_csv": (
        [],
        [
            trade(
                *("bybit_linear", "BTCUSDT", "08ff9568-cb50-55d6-b497-13727eec09dc"),
                *(1585180700064700, "6698.5", "0.042", "buy"),
            ),
            trade(
                *("bybit_linear", "BTC-14MAR25", "26bb8b97-1991-503f-b2c2-f4e8d0b94721"),
                *(1741910443735700, "81095", "0.001", "buy"),
            ),
        ],
    ),
    "bybit_inverse_csv": ([], []),
    "bybit_spot_csv": (
        [],
        [
            trade(
                *("bybit_spot_history", "BTCUSDT", "*-1696118403-0"),
                *(1696118403019000, "26965.24", "0.000055", "buy"),
                **MS,
            )
        ],
    ),
    "bybit_rest": (
        [],
        [trade("bybit_spot", "BTCUSDT", 2100000000007764263, 1672052955758000, "16618.49", "0.00012", "buy", **MS)],
    ),
    "bitstamp_rest": (
        ["--symbol", "BTC/USDT"],
        [trade("bitstamp", "BTC/USDT", 326595342, 1710327533000000, "73254", "0.00055284", "buy", **S)],
    ),
    "deribit_rest": (
        [],
        [
            trade(
                *("deribit", "BTC_USDT", "BTC_USDT-1097032", 1710326420359000, "73260.86", "0.0001", "sell"),
                sequence=53466,
                **MS,
            )
        ],
    ),
    "ccxt": (
        ["--venue", "coinbase"],
        [trade("coinbase", "BTC/USDT", 18502034, 1710327617710000, "73271.63", "0.00007448", "buy", **MS)],
    ),
    "tardis": (
        [],
        [
            trade("binance-futures", "BTCUSDT", 42377944, 1582329602111000, "9682", "0.132", "buy"),
            trade("binance-futures", "BTCUSDT", 42377952, 1582329604065000, "9681.62", "0.001", "sell"),
        ],
    ),
    "freqtrade_csv": (
        ["--venue", "binance_usdm"],
        [
            trade("binance_usdm", "ETH_USDT", 1206419187, 1675329600138000, "1666.8", "26.062", "buy", **MS),
            trade("binance_usdm", "ETH_USDT", 1206419188, 1675329600214000, "1666.79", "0.152", "sell", **MS),
        ],
    ),
    "freqtrade_json": (
        ["--venue", "binance_usdm"],
        [
            trade("binance_usdm", "ETH_USDT", 1206419187, 1675329600138000, "1666.8", "26.062", "buy", **MS),
            trade("binance_usdm", "ETH_USDT", 1206419188, 1675329600214000, "1666.79", "0.152", "sell", **MS),
        ],
    ),
    "nautilus_csv": (
        ["--venue", "binance_spot", "--symbol", "ETHUSDT"],
        [
            trade("binance_spot", "ETHUSDT", 148568980, 1597399200223000, "423.76", "2.679", "sell"),
            trade("binance_spot", "ETHUSDT", 148568981, 1597399200976000, "423.74", "2.31976", "sell"),
        ],
    ),
    "nautilus_json": (
        ["--venue", "sim"],
        [trade("sim", "AUD/USD.SIM", 123456789, 1597399200223000, "1", "10000", "buy")],
    ),
}
"""Preset -> what its command says besides, and its events. The content's hash in an id that is made of it is a *."""

UNVERIFIED = {
    *("bybit_inverse_csv", "bybit_linear_csv", "bybit_spot_csv"),
    *("freqtrade_json", "kraken_csv", "nautilus_csv", "nautilus_json"),
}


def run(path: Path, preset: Preset, *words: str, command: str = "ingest") -> Result:
    options = ["--preset", preset.name, "--dry-run", "--json", *words]
    return CliRunner().invoke(main, [*command.split(), str(path), *options])


def shape(found: dict[str, Any]) -> dict[str, Any]:
    """An event, with a * in the place of the hash of its content."""
    made = str(found["trade_id"])
    unnamed = found["venue"] in TRADES.unnamed
    return {**found, "trade_id": f"*-{made.partition('-')[2]}"} if unnamed else found


@pytest.mark.parametrize("name", presets())
def test_each_preset_reads_its_sample_by_one_command(name: str, tmp_path: Path) -> None:
    preset, (words, events) = preset_named(name), EXPECTED[name]
    path = tmp_path / preset.file
    path.write_text(preset.sample)
    if not events:
        assert "holds no events" in str(run(path, preset, *words).exception)
        return
    for command in ("archive import", *(() if TRADES.unnamed & {each["venue"] for each in events} else ("ingest",))):
        found = run(path, preset, *words, command=command)
        assert found.exit_code == 0, found.output
        facts = json.loads(found.stdout)
        assert [shape(each["event"]) for each in facts["events"]] == events
        assert (facts["refused"], facts["whole"]) == ({}, True)


@pytest.mark.parametrize("name", sorted({name for name, each in presets().items() if each.needs}))
def test_what_the_files_do_not_say_is_asked_for(name: str, tmp_path: Path) -> None:
    preset = preset_named(name)
    (tmp_path / preset.file).write_text(preset.sample)
    result = run(tmp_path / preset.file, preset)
    assert result.exit_code == 1
    assert f"Files of {name} do not say the {' and the '.join(preset.needs)}. Say it: " in str(result.exception)


@pytest.mark.parametrize("name", sorted({name for name, each in presets().items() if each.from_name}))
def test_a_name_that_does_not_say_the_symbol_is_refused_unless_somebody_says_it(name: str, tmp_path: Path) -> None:
    preset, (words, events) = preset_named(name), EXPECTED[name]
    path = tmp_path / ("-renamed" + Path(preset.file).suffix)
    path.write_text(preset.sample)
    result = run(path, preset, *words, command="archive import")
    assert result.exit_code == 1 and "does not say the symbol of its rows" in str(result.exception)
    facts = json.loads(run(path, preset, *words, "--symbol", "S", command="archive import").stdout)
    assert [shape(each["event"]) for each in facts["events"]] == [{**each, "symbol": "S"} for each in events]


def test_what_is_not_real_says_so_and_what_is_has_an_address() -> None:
    assert {name for name, each in presets().items() if not each.verified} == UNVERIFIED
    assert all("https://" in each.source for each in presets().values() if each.verified)
    assert set(EXPECTED) == set(presets())


def test_each_preset_is_listed_with_its_sample() -> None:
    for words in (["ingest"], ["archive", "import"]):
        text = CliRunner().invoke(main, [*words, "--list-presets"]).stdout
        for each in presets().values():
            assert f"{each.name}  {'verified' if each.verified else 'unverified'}" in text
            assert each.title in text and each.sample.splitlines()[0] in text
        assert "sample  verified" in text
    lines = CliRunner().invoke(main, ["ingest", "--list-presets", "--json"]).stdout.splitlines()
    assert {json.loads(line)["name"]: json.loads(line)["sample"] for line in lines} == {
        name: each.sample for name, each in presets().items()
    }


def test_an_unknown_preset_names_those_that_there_are(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a\n")
    result = CliRunner().invoke(main, ["ingest", str(tmp_path / "a.csv"), "--preset", "nowhere", "--dry-run"])
    assert result.exit_code == 1
    assert "There are binance_coinm_agg_trades" in str(result.exception)
    result = CliRunner().invoke(main, ["ingest", str(tmp_path / "a.csv"), "--preset", "sample", "--dry-run"])
    assert result.exit_code == 2 and "Name files" in result.output


# ------------------------------------------------------------------------------------------------- headers, zips, names


@pytest.mark.parametrize("name", [name for name in presets() if name.startswith("binance")])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_a_known_header_is_passed_over_and_lines_keep_their_numbers(name: str, ending: str, tmp_path: Path) -> None:
    preset = preset_named(name)
    path = tmp_path / preset.file
    path.write_bytes((preset.headers[0] + "\n" + preset.sample).replace("\n", ending).encode())
    facts = json.loads(run(path, preset).stdout)
    assert [each["event"] for each in facts["events"]] == EXPECTED[name][1]
    assert facts["events"][0]["position"] == "line 2"
    path.write_text(preset.headers[0] + "\n")
    assert "holds no events" in str(run(path, preset).exception)


def test_another_header_is_a_bad_row_alone(tmp_path: Path) -> None:
    preset = preset_named("binance_spot_trades")
    path = tmp_path / preset.file
    path.write_text("a,b,c,d,e,f,g\n" + preset.sample)
    facts = json.loads(run(path, preset).stdout)
    assert (len(facts["events"]), sum(facts["refused"].values())) == (2, 1)
    assert facts["events"][0]["position"] == "line 2"


def test_the_files_of_an_archive_say_their_own_symbols_else_the_archive_does(tmp_path: Path) -> None:
    preset = preset_named("binance_usdm_trades")
    path = tmp_path / "BTCUSDT-trades-2024-01.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("ETHUSDT-trades-2024-01.csv", preset.sample)
        archive.writestr("other.csv", preset.sample)
    facts = json.loads(run(path, preset).stdout)
    assert [each["event"]["symbol"] for each in facts["events"]] == ["ETHUSDT", "BTCUSDT"]


def test_a_pipe_is_read_by_a_preset_and_asks_for_what_a_name_would_say(tmp_path: Path) -> None:
    preset = preset_named("binance_usdm_trades")
    said = preset.merged(TRADES, Layout(parse_map(TRADES, ["symbol==BTCUSDT"])))
    for text in (preset.sample, preset.headers[0] + "\n" + preset.sample):
        out, into = os.pipe()
        source = open_source(TRADES, "-", said, "csv", out)
        os.write(into, text[:7].encode())
        first = source.read(0.0)
        assert first is not None and not first.lines
        os.write(into, text[7:].encode())
        os.close(into)
        assert len([line for chunk in read_all(source) for line in chunk.lines]) == 1
    with pytest.raises(MappingError, match="'stdin' does not say the symbol"):
        open_source(TRADES, "-", preset.merged(TRADES, Layout()), "csv")


def test_what_is_said_overrides_a_preset(tmp_path: Path) -> None:
    preset = preset_named("tardis")
    path = tmp_path / preset.file
    path.write_text(preset.sample)
    facts = json.loads(run(path, preset, "--values", "venue:binance-futures=binance_usdm").stdout)
    assert {each["event"]["venue"] for each in facts["events"]} == {"binance_usdm"}
    facts = json.loads(run(path, preset, "--venue", "mine", "--map", "time=local_timestamp").stdout)
    assert facts["events"][0]["event"]["time"] == 1582329602418379
    assert {each["event"]["venue"] for each in facts["events"]} == {"mine"}


def test_a_file_of_another_kind_is_refused_with_what_it_has(tmp_path: Path) -> None:
    path = tmp_path / "BTCUSDT2020-03-25.csv"
    path.write_text(preset_named("okx_csv").sample)
    result = run(path, preset_named("bybit_linear_csv"))
    assert result.exit_code == 1
    assert "has no column 'symbol' for the field 'symbol'. Its columns are instrument_name" in str(result.exception)
    agg = preset_named("binance_spot_agg_trades")
    path = tmp_path / agg.file
    path.write_text(agg.sample)
    result = run(path, agg, "--venue", "binance_spot")
    assert "so it is no file of 'binance_spot'" in str(result.exception)
