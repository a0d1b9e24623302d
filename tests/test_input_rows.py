"""`python -m batch_layer --input` judges rows as `slackwater archive import` does, and each id counts once.

a.parquet  1 2 3 3 bad        first come first: files by path, then rows
b.parquet  3 4 bad            the 3 of b is a duplicate, or a conflict where its content is another
"""

import json
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import batch_layer.input as batch_input
from batch_layer.__main__ import main
from ingest.archive_import import import_history
from ingest.files.sources import open_source
from slackwater.streams.decode import decode_lines
from slackwater.streams.mapping import FromColumn, Layout
from slackwater.streams.rows import check_rows, row_lines
from slackwater.streams.tokens import tokens
from slackwater.streams.trades import TRADES
from slackwater.versions.writer_lock import hold_import
from slackwater.views.bars import BARS
from slackwater.views.interval import PUBLISHED_INTERVALS, parse_interval
from slackwater.views.registry import VIEWS
from slackwater.views.rows import rows_of
from tests.bars_oracle import Oracle
from tests.beam_world import oracle_bars
from tests.ingest_kit import NAMES, memory_house
from tests.test_batch_program import IN_PROCESS
from tests.test_toy_stream import REGISTRY
from tests.toy_readings import READINGS

T0 = 1_723_161_240_000_000
LATEST = T0 + 86_400_000_000
NAMED = [name for name in TRADES.fields if name not in TRADES.optional]
NULLABLE = pa.schema([(name, TRADES.column(name).arrow) for name in NAMED]).set(2, pa.field("trade_id", pa.int64()))

Row = dict[str, Any]


def row(trade_id: Any, **fields: Any) -> Row:
    found = {
        "venue": "v",
        "symbol": "A",
        "trade_id": trade_id,
        "time": T0,
        "price": "1.5",
        "quantity": "2",
        "side": "buy",
    }
    return {**found, **fields}


def table(rows: list[Row]) -> pa.Table:
    columns: dict[str, list[Any]] = {name: [each[name] for each in rows] for name in NULLABLE.names}
    for name in ("price", "quantity"):
        columns[name] = [None if value is None else Decimal(value) for value in columns[name]]
    return pa.table(columns, schema=NULLABLE)


ODD: list[tuple[Row, str]] = [
    (row(101, price="-5"), "bad-price"),
    (row(102, price="0"), "not-positive"),
    (row(103, price=None), "missing-field"),
    (row(104, quantity=None), "missing-field"),
    (row(105, quantity="-0.00000001"), "bad-quantity"),
    (row(106, side="BUYER"), "bad-side"),
    (row(107, side=None), "missing-field"),
    (row(108, symbol="../../x"), "bad-symbol"),
    (row(109, symbol="a//b"), "bad-symbol"),
    (row(110, symbol="Ü"), "bad-symbol"),
    (row(111, symbol='say "x"\n'), "bad-symbol"),
    (row(112, venue="Venue"), "bad-venue"),
    (row(113, venue=""), "bad-venue"),
    (row(114, time=2**62), "too-late"),
    (row(115, time=5), "too-early"),
    (row(116, time=None), "missing-field"),
    (row(-1), "bad-trade-id"),
    (row(None), "missing-field"),
    (row(117, price="9999999999", quantity="9999999999"), "notional-too-large"),
]


def write(folder: Path, *parts: list[Row]) -> str:
    for number, rows in enumerate(parts):
        pq.write_table(table(rows), folder / f"part-{number}.parquet")
    return f"{folder}/part-*.parquet"


def called(pattern: str, out: Path, *options: str) -> int:
    return main(["--input", pattern, "--output", str(out), *options])


def bars(out: Path, interval: str = "1s") -> list[Any]:
    return rows_of(BARS, pq.read_table(out / BARS.name / interval / "0.parquet"))


def expected(rows: list[Row], interval: str = "1s") -> list[Any]:
    oracle = Oracle([each.us for each in PUBLISHED_INTERVALS])
    for each in rows:
        oracle.trade(*(each[name] for name in NAMED))
    return sorted(oracle_bars(oracle, parse_interval(interval)))


def refused(out: Path) -> list[dict[str, Any]]:
    path = out / "refused.jsonl"
    return [json.loads(text) for text in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def test_odd_rows_are_refused_with_their_reasons_and_the_others_count(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = [row(i, time=T0 + i * 400_000, symbol="AB"[i % 2]) for i in range(20)]
    odd = [each for each, _ in ODD]
    pattern, out = write(tmp_path, good[:7] + odd[:9], odd[9:] + good[7:]), tmp_path / "out"
    assert called(pattern, out) == 1
    said = capsys.readouterr().err.splitlines()
    counts = ", ".join(f"{count} {reason}" for reason, count in sorted(Counter(why for _, why in ODD).items()))
    assert said[0] == f"20 accepted, 0 duplicates, {len(ODD)} refused, {counts}"
    assert said[1].startswith(f"error: {len(ODD)} rows were refused: {out}/refused.jsonl says which and why. ")
    assert [each["reason"] for each in refused(out)] == [why for _, why in ODD]
    places = [(each["source"][-9:], each["row"]) for each in refused(out)]
    assert places == [("0.parquet", 8 + i) for i in range(9)] + [("1.parquet", 1 + i) for i in range(len(ODD) - 9)]
    assert [(each.key, each.start) for each in bars(out)] == expected(good)
    assert called(pattern, out, "--allow-refused") == 0
    assert "refused" in capsys.readouterr().err
    assert sorted(path.name for path in out.iterdir()) == sorted([*(view.name for view in VIEWS), "refused.jsonl"])


def test_an_id_counts_once_and_the_first_wins_within_a_file_and_across_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, other = [row(1)] * 50 + [row(2), row(2, symbol="B")], [row(2), row(1, price="7"), row(3), row(1)]
    out = tmp_path / "out"
    assert called(write(tmp_path, first, other), out) == 1
    assert "4 accepted, 51 duplicates, 1 refused, 1 conflict\n" in capsys.readouterr().err
    (conflict,) = refused(out)
    assert (conflict["source"], conflict["row"]) == (f"{tmp_path}/part-1.parquet", 2)
    assert conflict["reason"] == "conflict"
    assert sum(each.state[-1] for each in bars(out)) == 4
    assert [(each.key, each.start) for each in bars(out)] == expected([row(1), row(2), row(3), row(2, symbol="B")])


@pytest.mark.parametrize("seed", range(3))
def test_the_same_rows_get_the_same_verdicts_as_from_archive_import(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], seed: int
) -> None:
    random = Random(seed)
    pool = [each for each, _ in ODD] + [
        row(random.randrange(40), symbol=random.choice("AB"), price=random.choice(["1", "2"])) for _ in range(200)
    ]
    rows = random.sample(pool, len(pool))
    parts = [rows[:60], rows[60:61], rows[61:]]
    house, whole = memory_house(tmp_path / "home"), tmp_path / "whole.parquet"
    pq.write_table(table(rows), whole)
    with hold_import(house.store.home, house.log.topic_id(NAMES.topic("trades"))) as lock:
        source = open_source(TRADES, str(whole), Layout({}, "us"))
        summary = import_history(TRADES, source, house.store, house.log, NAMES, house.clock, lock).summary
    assert called(write(tmp_path, *parts), tmp_path / "out") == 1
    found = Counter(each["reason"] for each in refused(tmp_path / "out"))
    assert found == Counter({**summary.refused, "conflict": summary.conflicts})
    assert f"{summary.accepted} accepted, {summary.duplicates} duplicates, " in capsys.readouterr().err


def test_values_of_this_input_are_those_of_events_and_no_words_of_files() -> None:
    events, _, bad = check_rows(TRADES, table([row(1), row(2, side="BUY"), row(3, side="b")]), LATEST)
    assert events.num_rows == 1 and {i: str(error.reason) for i, error in bad.items()} == {1: "bad-side", 2: "bad-side"}


def test_buckets_and_runners_change_no_byte_of_the_views_and_no_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    random = Random(7)
    rows = [row(random.randrange(60), time=T0 + random.randrange(9) * 700_000) for _ in range(150)]
    pattern = write(tmp_path, rows[:50], rows[50:90], rows[90:])
    said: set[str] = set()
    for name, size, options in [
        ("one", 2_000_000, []),
        ("many", 10, []),
        # With several workers this mode of Beam fails now and then: https://github.com/apache/beam/issues/21104
        ("named", 10, [f"--runner={IN_PROCESS}", "--direct_num_workers=1", "--direct_running_mode=multi_threading"]),
    ]:
        monkeypatch.setattr(batch_input, "BUCKET_ROWS", size)
        monkeypatch.setattr(batch_input, "BLOCK_IDS", 4)
        assert called(pattern, tmp_path / name, *options) == 1
        said.add(next(line for line in capsys.readouterr().err.splitlines() if " accepted" in line))
    assert len(said) == 1
    for path in (tmp_path / "one").rglob("*.*"):
        for name in ("many", "named"):
            same = tmp_path / name / path.relative_to(tmp_path / "one")
            assert sorted(same.read_bytes().splitlines()) == sorted(path.read_bytes().splitlines()), same


def test_rows_that_are_all_refused_make_no_view(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert called(write(tmp_path, [row(1, price="0")] * 3), tmp_path / "out", "--allow-refused") == 0
    assert capsys.readouterr().out == ""
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["refused.jsonl"]


def test_a_clean_run_leaves_nothing_of_an_earlier_one_that_refused(tmp_path: Path) -> None:
    assert called(write(tmp_path, [row(1), row(2, price="0")]), tmp_path / "out") == 1
    assert called(write(tmp_path, [row(1), row(2)]), tmp_path / "out") == 0
    assert not refused(tmp_path / "out")


def twice(folder: Path) -> None:
    found = table([row(1)])
    doubled = found.append_column("price", found.column("price"))
    pq.write_table(doubled, folder / "x.parquet")


def empty(folder: Path) -> None:
    pq.write_table(table([]), folder / "x.parquet")


@pytest.mark.parametrize(("make", "fact"), [(twice, "has more than one column 'price'"), (empty, "hold no rows")])
def test_files_that_are_no_table_of_trades_are_one_clear_line(
    make: Callable[[Path], None], fact: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make(tmp_path)
    assert called(f"{tmp_path}/x.parquet", tmp_path / "out") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert fact in line
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("seed", range(20))
def test_the_fast_path_of_rows_takes_what_the_strict_one_takes_and_nothing_else(seed: int) -> None:
    random = Random(seed)
    pool = [each for each, _ in ODD] + [row(i, symbol=random.choice(["A", "a/b", "x:y", "É"])) for i in range(60)]
    rows = random.choices(pool, k=random.choice([1, 5, 90]))
    found = table(rows)
    kinds = [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())]
    for at, name in enumerate(found.column_names):
        if pa.types.is_string(found.column(name).type):
            found = found.set_column(at, name, found.column(name).cast(random.choice(kinds)))
    events, kept, bad = check_rows(TRADES, found, LATEST)
    text = {name: tokens(TRADES, name, found.column(name), FromColumn(name), "us") for name in NAMED}
    strict, strict_kept, strict_bad = decode_lines(
        TRADES, row_lines(TRADES, text, len(rows)), np.full(len(rows), LATEST)
    )
    assert events.equals(strict)
    assert kept.tolist() == strict_kept.tolist()
    assert {i: error.args for i, error in bad.items()} == {i: error.args for i, error in strict_bad.items()}


def test_text_that_is_no_utf8_is_refused() -> None:
    bytes_of = pa.array([b"\xff\xfe", b"A"], pa.binary())
    text = pa.Array.from_buffers(pa.string(), 2, bytes_of.buffers())
    found = table([row(1), row(2)]).set_column(1, "symbol", pa.chunked_array([text]))
    events, _, bad = check_rows(TRADES, found, LATEST)
    assert events.column("sequence").to_pylist() == [2]
    assert [str(error.reason) for error in bad.values()] == ["not-utf8"]


def test_the_views_of_any_registered_stream_are_computed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in REGISTRY.items():
        monkeypatch.setenv(name, value)
    first = {"station": "a", "sensor": "s", "reading_id": "r1", "sequence": 1, "time": T0, "value": Decimal("1.5")}
    rows = [{**first, "quality": "good"}, {**first, "quality": "good"}, {**first, "quality": "poor"}]
    schema = pa.schema([(name, READINGS.column(name).arrow) for name in rows[0]])
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), tmp_path / "readings.parquet")
    assert called(f"{tmp_path}/readings.parquet", tmp_path / "out", "--stream=readings", "--allow-refused") == 0
    assert "1 accepted, 1 duplicates, 1 refused, 1 conflict\n" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "out").iterdir() if path.is_dir()] == ["levels"]
    (answer,) = pq.read_table(tmp_path / "out" / "levels" / "1s" / "answers" / "0.parquet").to_pylist()
    assert (answer["station"], answer["sensor"], answer["quality"], answer["total"]) == ("a", "s", "good", "1.5")
    assert called(f"{tmp_path}/readings.parquet", tmp_path / "out", "--stream=orders") == 1
    assert "orders" in capsys.readouterr().err
