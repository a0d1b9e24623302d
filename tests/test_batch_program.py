"""`python -m batch_layer` and `python -m speed_layer` as any Beam user runs them, with Beam's own options."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batch_layer.__main__ import BatchOptions, main
from ingest.sample_data import open_sample
from slackwater.core.errors import SettingError
from slackwater.pipeline.options import read_options
from slackwater.streams.decode import decode_lines
from slackwater.streams.numbers import MAX_ID
from slackwater.streams.trades import TRADES
from slackwater.views.bars import BARS
from slackwater.views.interval import PUBLISHED_INTERVALS
from slackwater.views.registry import VIEWS
from slackwater.views.rows import rows_of
from tests.bars_oracle import Oracle
from tests.beam_world import call, oracle_bars

IN_PROCESS = "apache_beam.runners.portability.fn_api_runner.FnApiRunner"
FILES = 3
ROWS = 4_000


@pytest.fixture(scope="module")
def trades(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample's first trades as three Parquet files, as ingest reads them."""
    folder = tmp_path_factory.mktemp("trades with 'a quote' [and brackets]")
    source = open_sample()
    try:
        chunk = source.read(1.0)
        assert chunk is not None
    finally:
        source.close()
    lines = chunk.lines[:ROWS]
    events, _, refused = decode_lines(TRADES, lines, pa.array([MAX_ID] * len(lines)).to_numpy())
    assert not refused
    size = -(-events.num_rows // FILES)
    for number in range(FILES):
        pq.write_table(events.slice(number * size, size), folder / f"part-{number}.parquet")
    return folder


def oracle_of(folder: Path) -> Oracle:
    oracle = Oracle([interval.us for interval in PUBLISHED_INTERVALS])
    for path in folder.glob("*.parquet"):
        for row in pq.read_table(path).to_pylist():
            price, quantity = f"{row['price']:f}", f"{row['quantity']:f}"
            oracle.trade(row["venue"], row["symbol"], row["trade_id"], row["time"], price, quantity, row["side"])
    return oracle


@pytest.mark.parametrize(
    "options",
    [
        [],
        [f"--runner={IN_PROCESS}", "--direct_num_workers=2", "--direct_running_mode=multi_threading"],
    ],
    ids=["no runner named", "two workers of a named runner"],
)
def test_views_of_any_parquet_trades_equal_the_oracle_without_a_broker(
    trades: Path, tmp_path: Path, options: list[str]
) -> None:
    pattern = str(trades).replace("[", "[[]") + "/*.parquet"
    done = call("batch_layer", "--input", pattern, "--output", str(tmp_path / "out"), *options)
    assert done.returncode == 0, done.stderr
    oracle = oracle_of(trades)
    assert oracle.events == ROWS
    assert len(done.stdout.splitlines()) == sum(len(view.published) for view in VIEWS)
    for interval in PUBLISHED_INTERVALS:
        folder = tmp_path / "out" / BARS.name / interval.text
        expected = oracle_bars(oracle, interval)
        states = rows_of(BARS, pq.read_table(folder / "0.parquet"))
        assert [(row.key, row.start) for row in states] == sorted(expected)
        answers = {
            ((row["venue"], row["symbol"]), row["start"]): {name: row[name] for name in BARS.answers}
            for row in pq.read_table(folder / "answers" / "0.parquet").to_pylist()
        }
        assert answers == expected


def test_files_that_are_no_trades_are_refused_with_the_column(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = TRADES.schema.empty_table()
    pq.write_table(
        empty.set_column(empty.schema.get_field_index("price"), "price", pa.array([], pa.float64())),
        tmp_path / "double.parquet",
    )
    pq.write_table(empty.drop_columns(["side"]), tmp_path / "sideless.parquet")
    (tmp_path / "text.parquet").write_text("venue,symbol\n")
    for name, fact in {
        "double": "column 'price' is double, not decimal128(18, 8)",
        "sideless": "has no column 'side'. It has venue, symbol",
        "text": "is no Parquet file",
        "none": "No file matches",
    }.items():
        assert main(["--input", f"{tmp_path}/{name}.parquet", "--output", f"{tmp_path}/out"]) == 1
        found = capsys.readouterr()
        assert found.err.startswith("error: ") and fact in found.err
        assert not found.out
    assert not (tmp_path / "out").exists()


def test_input_and_output_go_together(capsys: pytest.CaptureFixture[str]) -> None:
    for half in ("--input=x", "--output=x"):
        assert main([half]) == 1
        assert capsys.readouterr().err == "error: --input and --output go together.\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--inptu=x"], r"Unknown option '--inptu=x'\. Did you mean --input\?"),
        (["--direct_num_worker=2"], r"Did you mean --direct_num_workers\?"),
        (["--zzz"], r"Unknown option '--zzz'\. --help lists the options\."),
        (["trades.parquet"], r"Unknown option 'trades\.parquet'"),
        (["--partitions=0"], r"Unknown option '--partitions=0'"),
        (["--runner=FnApiRunner", "--zzz"], r"Unknown option '--zzz'"),
        (["--direct_num_workers=two"], r"invalid int value: 'two'"),
        (["--input"], r"expected one argument"),
        (["--runner=NoRunner"], r"--runner is 'NoRunner': Unexpected pipeline runner"),
        (["--runner=no.such.Runner"], r"--runner is 'no\.such\.Runner': No module named 'no'"),
        (["--runner=apache_beam.runners.NoRunner"], r"has no attribute 'NoRunner'"),
    ],
)
def test_an_option_that_is_unknown_or_wrong_is_refused_and_never_guessed(arguments: list[str], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        read_options("batch_layer", "", arguments, BatchOptions)


def test_options_that_only_a_job_server_knows_reach_it() -> None:
    for runner in ("FlinkRunner", "flink", "apache_beam.runners.portability.flink_runner.FlinkRunner"):
        options = read_options("batch_layer", "", [f"--runner={runner}", "--max_bundle_size=1"], BatchOptions)
        assert options.get_all_options(retain_unknown_options=True)["max_bundle_size"] in {1, "1"}


def test_a_misspelled_option_ends_the_program_without_a_traceback() -> None:
    done = call("batch_layer", "--inputs=x")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "error: Unknown option '--inputs=x'. Did you mean --input?"
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("layer", "own"), [("batch_layer", "--input"), ("speed_layer", "--partitions")])
def test_help_lists_the_layers_options_and_beams(layer: str, own: str) -> None:
    done = call(layer, "--help")
    assert done.returncode == 0, done.stderr
    for option in (own, "--runner", "--direct_num_workers", "--flink_master"):
        assert option in done.stdout
    assert f"usage: python -m {layer} [options]" in done.stdout
    assert ("--partitions" in done.stdout) == (layer == "speed_layer")
    assert done.stderr == ""
