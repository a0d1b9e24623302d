"""`POST /v1/sql`: the tables are `/v1/bars` of one moment, to the digit, and nothing else can be read."""

import hashlib
import logging
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import chdir
from pathlib import Path
from random import Random
from typing import Any

import duckdb
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from serving.http.routes.sql import MOST_ROWS, MOST_SQL, SqlQuery, SqlResult
from serving.options import SqlOptions
from serving.sql.check import ALLOWED, OPERATORS
from serving.sql.landlock import landlock_version
from serving.sql.process import Spare, SqlProcesses
from serving.sql.program import Outcome
from serving.sql.tables import ReadPoint, paths_here, tables_of
from slackwater.http.body import parsed_body
from slackwater.http.problems import ProblemError
from slackwater.views.bars import BARS
from slackwater.views.interval import PUBLISHED_INTERVALS
from tests.profiles import examples
from tests.serving_world import NOON, SECOND, World, cut_in_a_minute, offsets
from tests.sql_world import Here, bearer, here, post, take_read_point, with_sql
from tests.test_serving_random import deliver, grow
from tests.test_toy_view import FLOW

INTERVALS = [interval.text for interval in PUBLISHED_INTERVALS]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Versions 1 and 2, and cells beyond; nothing in it changes."""
    found = World(tmp_path_factory.mktemp("home"))
    found.trade("ETHER", at_s=9, quantity="0.00000003")
    found.publish(found.mark("run-0"), "run-0")
    cut_in_a_minute(found)
    with_sql(found)
    yield found
    found.close()


@pytest.fixture
def database(world: World) -> Iterator[Here]:
    with here(world) as found:
        yield found


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[World]:
    found = World(tmp_path)
    cut_in_a_minute(found)
    yield found
    found.close()


def served(world: World, symbol: str, interval: str) -> list[dict[str, Any]]:
    """The bars of `/v1/bars`, with the instrument."""
    bars = world.bars(f"symbol={symbol}&interval={interval}&start=1970-01-01&limit=10000")["bars"]
    return [{"venue": "x", "symbol": symbol, **bar} for bar in bars]


# ---------------------------------------------------------------------------------------------------------- the tables


@given(st.integers(0, 2**32))
@examples(4)
def test_the_tables_are_the_bars_of_the_same_moment_to_the_digit(seed: int) -> None:
    random = Random(seed)
    with tempfile.TemporaryDirectory() as home:
        world = World(Path(home))
        cuts: list[dict[int, int]] = [{}]
        for turn in range(2):
            grow(world, random, random.randrange(30))
            cut = world.mark(f"run-{turn}")
            grow(world, random, random.randrange(1, 20))
            if random.random() < 0.8:
                world.publish(cut, f"run-{turn}")
                cuts.append(cut)
            deliver(world, random, random.choice(cuts))
        world.step()
        with here(world) as database:
            meta = database.read_point.meta()
            for interval in INTERVALS:
                found = database.rows(f"SELECT * FROM bars_{interval} ORDER BY venue, symbol, start")
                symbols = sorted({row["symbol"] for row in database.rows("FROM instruments")})
                expected = [bar for symbol in symbols for bar in served(world, symbol, interval)]
                assert found == expected
                assert [list(row) for row in found] == [list(bar) for bar in expected]  # the order of columns too
            spans = world.get("/v1/instruments").json()["instruments"]
            assert database.rows("FROM instruments ORDER BY venue, symbol, partition") == spans
            for symbol in symbols:
                answer = world.bars(f"symbol={symbol}")["meta"]
                for fact in ("cut", "applied"):
                    assert answer[fact].items() <= meta["streams"]["trades"][fact].items()
                assert (answer["version"], answer["layer"]) == (meta["version"], meta["streams"]["trades"]["layer"])
                assert answer["complete"] or not meta["complete"]
        world.close()


def test_numbers_are_exact_types_that_can_be_computed_with(database: Here) -> None:
    outcome, _ = database.ask("FROM bars_1m")
    assert dict(outcome.columns) == {
        **dict.fromkeys(("venue", "symbol"), "VARCHAR"),
        **dict.fromkeys(("open", "high", "low", "close"), "DECIMAL(18,8)"),
        **dict.fromkeys(("volume", "notional", "buy_volume"), "DECIMAL(38,16)"),
        **dict.fromkeys(("start", "trades", "first_sequence", "last_sequence"), "BIGINT"),
        "vwap": "DECIMAL(38,8)",
        "closed": "BOOLEAN",
    }


def test_a_condition_on_an_instrument_and_a_time_reaches_the_files(database: Here) -> None:
    condition = f"venue = 'x' AND symbol = 'BTC' AND start >= {NOON + 60 * SECOND}"
    rows = database.con.execute(f"EXPLAIN SELECT vwap FROM bars_1m WHERE {condition}").fetchall()
    (filters,) = re.findall(r"READ_PARQUET.*?Filters: (.*?)~", rows[0][1], re.DOTALL)
    assert "symbol = 'BTC'" in filters
    assert str(NOON + 60 * SECOND) in filters


def test_all_views_are_taken_at_one_position_of_each_partition(tmp_path: Path) -> None:
    """
    log    0 1 2 m 4 5 6 7 m 9
    bars   [- - -|- - - - -|- )   applied 10
    flow   [- - -|- - - - -)      applied 8; a cell up to the mark is not there yet
    """
    world = World(tmp_path, partitions=1, views=(BARS, FLOW))
    for at_s in range(3):
        world.trade(at_s=at_s)
    cut = world.mark("run-1")
    world.publish(cut, "run-1")
    for at_s in range(4):
        world.trade(at_s=60 + at_s)
    world.mark("run-2")
    world.trade(at_s=100)
    for view, upto in ((BARS, 10), (FLOW, 7)):
        for cell in world.cells(view, 0, 0, upto):
            world.send(cell)
    world.step()
    read_point = take_read_point(world)
    assert _applied(read_point) == {"0": 3}  # where both have an end: the cells of `bars` end at 3, 8 and 10
    assert not read_point.meta()["complete"]
    for cell in world.cells(FLOW, 0, 0, 8):
        world.send(cell)
    world.step()
    read_point = take_read_point(world)
    assert (_applied(read_point), read_point.meta()["complete"]) == ({"0": 8}, False)
    with here(world) as database:
        (found,) = database.rows(
            "SELECT sum(b.trades)::BIGINT AS a, sum(f.trades)::BIGINT AS b "
            "FROM bars_1m b JOIN flow_1m f USING (symbol, start)"
        )
        assert found == {"a": 7, "b": 7}
        assert database.rows("SELECT last_start FROM instruments") == [{"last_start": NOON + 63 * SECOND}]
        oracle = world.oracle({0: 8}).bars("x", "BTC", 60 * SECOND)
        assert [row["closed"] for row in database.rows("FROM bars_1m ORDER BY start")] == [b["closed"] for b in oracle]
    world.emit()
    world.step()
    assert (_applied(take_read_point(world)), _applied(read_point)) == ({"0": 10}, {"0": 8})
    world.close()


def _applied(read_point: ReadPoint) -> Mapping[str, int]:
    found: Mapping[str, int] = read_point.meta()["streams"]["trades"]["applied"]
    return found


def test_without_a_chain_the_batch_view_answers_and_says_so(fresh: World) -> None:
    fresh.log.down = True
    with_sql(fresh)
    with here(fresh) as database:
        meta = database.read_point.meta()["streams"]["trades"]
        assert (meta["layer"], meta["complete"], meta["applied"]) == ("batch", False, meta["cut"])
        assert meta["refusal"]
        oracle = fresh.oracle(offsets(meta["cut"])).bars("x", "BTC", 60 * SECOND)
        assert [row["vwap"] for row in database.rows("FROM bars_1m ORDER BY start")] == [bar["vwap"] for bar in oracle]


# ------------------------------------------------------------------------------------------------ what may not be said

STATEMENTS = """
COPY bars_1m TO '{file}' (USE_TMP_FILE false)
COPY bars_1m TO 'stolen.csv'
COPY instruments FROM '{file}'
EXPORT DATABASE 'stolen'
IMPORT DATABASE 'stolen'
ATTACH '{file}'
ATTACH 'new.db'
DETACH memory
USE memory
INSTALL httpfs
LOAD httpfs
FORCE INSTALL httpfs FROM 'http://localhost/'
SET memory_limit = '100GB'
SET SESSION threads = 8
RESET lock_configuration
PRAGMA database_list
PRAGMA enable_profiling
CALL pragma_version()
CREATE TABLE t AS SELECT 1
CREATE OR REPLACE VIEW bars_1m AS SELECT 1
CREATE MACRO f() AS 1
CREATE SECRET s (TYPE s3)
INSERT INTO instruments VALUES (1)
UPDATE instruments SET venue = 'y'
DELETE FROM instruments
DROP VIEW bars_1m
TRUNCATE instruments
ALTER TABLE instruments RENAME TO other
MERGE INTO instruments USING instruments AS b ON true WHEN MATCHED THEN DELETE
WITH x AS (INSERT INTO instruments SELECT * FROM instruments RETURNING *) SELECT * FROM x
WITH x AS (DELETE FROM instruments RETURNING *) SELECT * FROM x
SELECT * FROM (DELETE FROM instruments RETURNING *)
PREPARE p AS SELECT 1
EXECUTE p
EXPLAIN SELECT * FROM bars_1m
EXPLAIN ANALYZE SELECT * FROM bars_1m
BEGIN
CHECKPOINT
VACUUM
SELECT 1; SELECT 2
SELECT 1; DROP VIEW bars_1m
SELECT * FROM '{file}'
SELECT * FROM "/etc/passwd"
SELECT * FROM read_parquet('{file}')
SELECT * FROM read_parquet('versions/2/views/bars/1m/*.parquet')
SELECT * FROM read_parquet('versions/1/views/bars/1m/0.parquet')
SELECT * FROM read_csv('/etc/passwd')
SELECT * FROM read_text('versions/2/manifest.json')
SELECT * FROM read_text('keys.json')
SELECT * FROM read_blob('/proc/self/environ')
SELECT * FROM read_json('versions/current')
SELECT * FROM glob('/*')
SELECT * FROM sniff_csv('/etc/passwd')
SELECT * FROM parquet_metadata('{file}')
SELECT * FROM duckdb_settings()
SELECT * FROM duckdb_secrets()
SELECT * FROM duckdb_views()
SELECT * FROM duckdb_views
SELECT * FROM duckdb_databases
SELECT * FROM pg_catalog.pg_settings
SELECT * FROM information_schema.tables
SELECT * FROM sqlite_master
SELECT * FROM query('SELECT * FROM duckdb_settings()')
SELECT * FROM query_table('duckdb_views')
SELECT * FROM json_execute_serialized_sql('{{}}')
SELECT * FROM speed.bars_1m
SELECT * FROM system.main.duckdb_views
SELECT * FROM given_bars
SELECT * FROM secret_of_this_test
WITH duckdb_views AS (SELECT 1) SELECT * FROM duckdb_views
WITH "{file}" AS (SELECT 1) SELECT (SELECT 2) FROM (SELECT 1), "{file}"
SELECT current_setting('allowed_paths')
SELECT system.main.current_setting('temp_directory')
SELECT getvariable('x')
SELECT pg_get_viewdef(1)
SELECT json_serialize_plan('SELECT * FROM read_parquet(''{file}'')')
SELECT write_log('x')
SELECT nextval('x')
SELECT version()
SELECT system.main.version()
SELECT 'x'.version()
SELECT version() OVER ()
SELECT list_transform([1], lambda x: version())
DESCRIBE SELECT version()
SELECT * FROM pragma_version()
SELECT * FROM pragma_platform()
SELECT pg_sleep(5)
SELECT count(*) FROM bars_1m WHERE sleep_ms(5000) IS NULL
SELECT current_query()
SELECT pg_postmaster_start_time()
SELECT stats(symbol) FROM bars_1m
SELECT sum(x.sleep_ms()) OVER () FROM (SELECT 1 AS x)
SELECT (SELECT current_setting('allowed_paths')) FROM bars_1m
SELECT 1 WHERE 1 IN (SELECT 1 FROM duckdb_settings())
SHOW DATABASES
SHOW ALL TABLES
DESCRIBE duckdb_views
SUMMARIZE duckdb_views
SELECT $1
SELECT ?
PIVOT instruments ON symbol USING first(venue)
SELEC 1
SELECT
;
-- nothing
"""


@pytest.mark.parametrize("statement", STATEMENTS.strip().split("\n"))
def test_what_is_no_select_over_the_tables_is_refused_before_it_is_bound(database: Here, statement: str) -> None:
    secret_of_this_test = 7  # noqa: F841 - a replacement scan would find it
    before = _everything(Path.cwd())
    outcome, table = database.ask(statement.format(file=database.question.files[0]))
    assert (outcome.kind, table) == ("refused", None)
    assert str(Path.cwd()) not in outcome.detail
    assert _everything(Path.cwd()) == before


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM read_text('versions/2/manifest.json')",
        "SELECT * FROM read_text('keys.json')",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM read_blob('/proc/self/environ')",
        "SELECT * FROM glob('/*')",
        "SELECT * FROM read_parquet('versions/1/views/bars/1m/0.parquet')",
        "SELECT * FROM read_parquet('versions/2/views/bars/1m/*.parquet')",
        "COPY instruments TO 'stolen.csv'",
        "COPY instruments FROM 'keys.json'",
        "EXPORT DATABASE 'stolen'",
        "ATTACH 'new.db'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET memory_limit = '100GB'",
        "SET enable_external_access = true",
        "SET allowed_paths = ['/etc/passwd']",
        "RESET lock_configuration",
        "SELECT * FROM secret_of_this_test",
    ],
)
def test_the_second_wall_stands_alone(database: Here, statement: str) -> None:
    """Were the text let through, the settings of the database would refuse it."""
    secret_of_this_test = 7  # noqa: F841
    before = _everything(Path.cwd())
    with pytest.raises(duckdb.Error):
        database.con.execute(statement).fetchall()
    assert _everything(Path.cwd()) == before


THIRD_WALL = """
import duckdb, sys
from serving.sql.landlock import read_only
file, *others = sys.argv[1:]
assert read_only([file])
con = duckdb.connect()
print(con.execute("SELECT count(*) > 0 FROM read_parquet(?)", [file]).fetchone())
for sql in [f"COPY (SELECT 1) TO '{file}' (USE_TMP_FILE false)", "COPY (SELECT 1) TO 'stolen.csv'", "ATTACH 'new.db'"]:
    try:
        con.execute(sql)
    except duckdb.IOException:
        print("refused")
for path in others:
    try:
        open(path)
    except PermissionError:
        print("refused")
"""


def test_the_third_wall_stands_alone(world: World) -> None:
    """Were everything let through, the kernel would let nothing be written, and nothing else be read."""
    if not landlock_version():
        pytest.skip("This kernel has no Landlock: the wall that it makes is NOT tested.")
    file = next(each.file.path for each in world.store.manifest(2).parts if each.interval == "1m")
    before = _everything(world.store.home)
    others = ["/etc/passwd", "versions/2/manifest.json", "versions/current"]
    command = [sys.executable, "-c", THIRD_WALL, file, *others]
    done = subprocess.run(command, cwd=world.store.home, capture_output=True, text=True, check=False)
    assert done.stdout.split("\n") == ["(True,)", *["refused"] * 6, ""], done.stderr
    assert _everything(world.store.home) == before


NOT_CALLED = re.compile(
    r"__.*|(icu_)?collate_.*|.*sort_key|pg_.*|has_.*_privilege|inet_.*|.*_description|st_(crs|setcrs|intersects_extent|as.*|geom.*)"
    r"|current_(catalog|connection_id|database|query|query_id|role|schema|schemas|setting|transaction_id|user)"
    r"|session_user|user|version|sleep_ms|write_log|getvariable|nextval|currval|setval|setseed|stats|vector_type"
    r"|in_search_path|json_serialize_.*|json_deserialize_sql|json_copy_.*|json_transform.*|txid_current|get_block_size"
    r"|hive_partition_component|map_to_pg_oid|format_pg_type|format_type|parse_duckdb_log_message|cast_to_type"
    r"|can_cast_implicitly|replace_type|make_type|get_type|invoke|to_aggregate_state|combine|combine_aggr|finalize"
    r"|bitstring_byte_comparable|timetz_byte_comparable|vertex_extract|index_key|remap_struct|normalized_interval"
    r"|unpivot_list|equi_width_bins|is_histogram_other_bin|generate_subscripts|constant_or_null|variant_.*"
)
"""What tells of the database or changes it, what waits, and what is not for people."""


def test_every_function_of_this_duckdb_is_allowed_or_left_out_on_purpose(database: Here) -> None:
    """A new DuckDB brings new ones: look at what each does, then put it into `functions.ALLOWED` or above."""
    kinds = "('scalar', 'aggregate', 'macro', 'window')"
    sql = f"SELECT DISTINCT lower(function_name) FROM duckdb_functions() WHERE function_type IN {kinds}"
    names = {name for (name,) in database.con.execute(sql).fetchall()}
    words = {name for name in names if re.fullmatch("[a-z_][a-z0-9_]*", name)}
    comparisons = {"=", "!=", "<", "<=", "<=>", ">", ">=", "is distinct from", "is not distinct from"}
    assert {name for name in words if NOT_CALLED.fullmatch(name)} == words - ALLOWED
    assert ALLOWED - words == {"unnest"}, "this DuckDB does not have them"
    assert names - words - comparisons <= OPERATORS


def test_a_function_that_cannot_be_called_is_named_with_one_that_can(database: Here) -> None:
    outcome, _ = database.ask("SELECT symbol, vesion() FROM bars_1m")
    assert (outcome.kind, outcome.column) == ("refused", 16)
    assert outcome.detail.startswith("The function vesion cannot be called here.")
    assert database.ask("SELECT medan(close) FROM bars_1m")[0].detail.endswith("Is median meant?")


def _everything(folder: Path) -> dict[str, str]:
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.rglob("*")) if path.is_file()
    }


@pytest.mark.parametrize(
    "sql",
    [
        "FROM bars_1h",
        "SELECT * FROM main.bars_1m a JOIN memory.main.bars_1m b USING (venue, symbol, start)",
        "WITH a AS (SELECT * FROM bars_1m), b AS (FROM a) SELECT * FROM b",
        "WITH RECURSIVE t AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM t WHERE i < 5) SELECT * FROM t",
        "SELECT unnest(range(3)), g FROM generate_series(1, 3) t(g)",
        "SELECT *, lag(close) OVER (PARTITION BY venue, symbol ORDER BY start) FROM BARS_1M QUALIFY close > 1",
        "SELECT symbol FROM instruments WHERE symbol IN (SELECT symbol FROM bars_1m) AND EXISTS (FROM bars_1s)",
        "PIVOT (SELECT symbol, start, close FROM bars_1m) ON symbol IN ('BTC', 'ETHER') USING first(close)",
        "SELECT * FROM bars_1m a ASOF JOIN bars_1h b ON a.symbol = b.symbol AND a.start >= b.start",
        "VALUES (1), (2)",
        "TABLE instruments;",
        "SELECT 5!, -(3), 2 ^ 2, 2 ** 2, 7 // 2, 7 % 2, 'a' || 'b', 'a' LIKE 'x', 'a' NOT ILIKE 'x!%' ESCAPE '!'",
        "SELECT 'a' SIMILAR TO 'x', 'a' GLOB 'x', 'a' ^@ 'x', '{}'->>'x', @(-1), ~1, 1 & 2, 1 | 2, xor(1, 2)",
        "SELECT extract(year FROM now()), position('a' IN 'b'), substring('a' FROM 1 FOR 2), trim(BOTH FROM 'a')",
        "SELECT [1, 2][1], {'a': 1}.a, MAP {'a': 1}['a'], (1, 2), [x + 1 FOR x IN [1, 2] IF x > 1], 'a' COLLATE nocase",
        "SELECT list_transform([1], lambda x: x + 1), coalesce(NULL, 1), ifnull(NULL, 1), CASE WHEN true THEN 1 END",
        "SELECT current_timestamp, current_date, localtimestamp, INTERVAL (trades) HOURS FROM bars_1m",
        "SELECT quantile_cont(close, 0.5), first(close ORDER BY start), arg_max(close, start) FROM bars_1m",
        "SELECT sum(volume) FILTER (closed), weighted_avg(close, volume), corr(open, close) FROM bars_1m",
        "SELECT row_number() OVER (), sum(volume) OVER (ORDER BY start ROWS 3 PRECEDING) FROM bars_1m",
        "SHOW TABLES",
        "DESCRIBE bars_1m",
        "SUMMARIZE bars_1m",
        "SELECT time_bucket(INTERVAL '5 minutes', make_timestamp(start)) AS t, sum(volume) FROM bars_1m GROUP BY ALL",
    ],
)
def test_a_select_over_the_tables_is_answered(database: Here, sql: str) -> None:
    outcome, table = database.ask(sql)
    assert table is not None, outcome.detail
    assert table.num_columns == len(outcome.columns)


@pytest.mark.parametrize(
    ("sql", "kind", "place", "detail"),
    [
        ("SELECT a FROM bars_1m", "failed", (1, 8), 'Referenced column "a" not found'),
        ("SELECT venue,\n  'é', nope\nFROM bars_1m", "failed", (2, 8), 'Referenced column "nope" not found'),
        (f"SELECT '{'x' * 200}', nope, '{'y' * 200}' FROM bars_1m", "failed", (1, 212), '"nope" not found'),
        ("SELECT 1,\n 'é' FROM trades", "refused", (2, 11), "There is no table 'trades'. There are bars_1h, bars_1m"),
        ("SELECT 1 FORM bars_1m", "refused", (1, 15), 'does not parse: syntax error at or near "bars_1m"'),
        ("SELECT error('no')", "failed", (0, 0), "no"),
        ("SELECT 'x'::BIGINT + trades FROM bars_1m", "failed", (0, 0), "Could not convert string 'x' to INT64"),
        ("SELECT " + "(" * 5000 + "1" + ")" * 5000, "refused", (0, 0), "expression depth"),
        ("SELECT * FROM " + "(SELECT * FROM " * 900 + "bars_1m" + ")" * 900, "refused", (0, 0), "nested too deeply"),
        ("SELECT repeat('x', 9000000)", "size", (0, 0), "more than 8 MB"),
        ("SELECT list(range) FROM range(1000000000)", "memory", (0, 0), "more than 512 MB"),
    ],
)
def test_an_error_says_what_and_where(database: Here, sql: str, kind: str, place: tuple[int, int], detail: str) -> None:
    outcome, _ = database.ask(sql)
    assert (outcome.kind, (outcome.line, outcome.column)) == (kind, place)
    assert detail in outcome.detail
    assert "LINE" not in outcome.detail


def test_a_result_is_cut_at_its_limit_and_says_so(database: Here) -> None:
    for limit, rows, truncated in ((3, 3, True), (4, 4, False), (5, 4, False)):
        outcome, table = database.ask("FROM range(4)", limit)
        assert (table and table.num_rows, outcome.truncated) == (rows, truncated)
    outcome, table = database.ask("WITH RECURSIVE t AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM t) FROM t", 2_000)
    assert (table and table.num_rows, outcome.truncated) == (2_000, True)  # an endless result is not waited for


def test_values_are_written_as_everywhere(database: Here) -> None:
    sql = """
        SELECT 1.50::DECIMAL(38,8) AS a, 100::DECIMAL(18,8) AS b, -0.00000001::DECIMAL(18,8) AS c,
        100::DECIMAL(9,0) AS d,
        170141183460469231731687303715884105727::HUGEINT AS e, 9223372036854775807 AS f,
        18446744073709551615::UBIGINT AS g, TIMESTAMP '1970-01-01 00:00:01.000002' AS h,
        TIMESTAMPTZ '1970-01-01 01:00:00+01' AS i, DATE '2025-10-06' AS j, 0.5::DOUBLE AS k, 'nan'::DOUBLE AS l,
        '-inf'::DOUBLE AS m, NULL AS n, [1.50, NULL] AS o, {'a': 1} AS p, true AS q
    """
    (row,) = database.rows(sql)
    assert list(row.values()) == [
        *("1.5", "100", "-0.00000001", "100"),
        *("170141183460469231731687303715884105727", "9223372036854775807", "18446744073709551615"),
        *(1_000_002, 0, "2025-10-06", 0.5, "nan", "-inf", None, "[1.50, NULL]", "{'a': 1}", True),
    ]
    outcome, table = database.ask("SELECT 1 AS a, 2 AS a")
    assert outcome.columns == [("a", "INTEGER"), ("a", "INTEGER")]
    assert table is not None


# ----------------------------------------------------------------------------------------------------------- the route


def test_an_admin_asks_and_the_answer_says_of_which_moment_it_is(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "slackwater.sql")
    headers = bearer(world)
    response = post(world, headers, sql="SELECT venue, symbol, start, vwap FROM bars_1m ORDER BY ALL", limit=3)
    assert response.status_code == 200
    found = response.json()
    expected = [bar for symbol in ("BTC", "ETHER") for bar in served(world, symbol, "1m")]
    assert found["rows"] == [[bar[name] for name in ("venue", "symbol", "start", "vwap")] for bar in expected][:3]
    assert found["columns"][3] == {"name": "vwap", "type": "DECIMAL(38,8)"}
    assert found["truncated"]
    with chdir(world.store.home):
        assert found["meta"] == take_read_point(world).meta()
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["slackwater-lag-records"] == "0"
    Draft202012Validator(SqlResult.model_json_schema()).validate(found)
    (record,) = [record for record in caplog.records if record.name == "slackwater.sql"]
    text = record.getMessage()
    key = headers[0][1].split("_")[1]
    assert f"SQL of key {key}: answered, 3 rows in" in text
    assert "SELECT venue, symbol" in text
    assert headers[0][1].split("_", 2)[2] not in text
    assert 'slackwater_sql_queries_total{outcome="answered"} 1.0' in world.get("/metrics").text


def test_it_is_off_unless_it_is_turned_on(fresh: World) -> None:
    headers = bearer(fresh)
    fresh.serve()
    assert post(fresh, headers, sql="SELECT 1").status_code == 404
    assert "/v1/sql" not in fresh.get("/openapi.json").json()["paths"]


def test_only_an_admin_may_ask(world: World) -> None:
    assert post(world, [], sql="SELECT 1").status_code == 401
    answer = post(world, bearer(world, "read"), sql="SELECT 1")
    assert (answer.status_code, answer.json()["type"]) == (403, "urn:slackwater:problem:forbidden")


def test_the_document_describes_it(world: World) -> None:
    document = world.get("/openapi.json").json()
    OpenAPIV31SpecValidator(document).validate()
    described = document["paths"]["/v1/sql"]["post"]
    assert described["security"] == [{"key": []}]
    assert {"200", "401", "403", "413", "415", "422", "503", "504"} <= described["responses"].keys()


@pytest.mark.parametrize(
    ("body", "parameter"),
    [
        (b"", "body"),
        (b"SELECT 1", "body"),
        (b"[]", "body"),
        (b"[" * 5000, "body"),
        (b'{"sql": "SELECT 1", "sql": "SELECT 2"}', "body"),
        (b"{}", "sql"),
        (b'{"sql": 1}', "sql"),
        (b'{"sql": " "}', "sql"),
        (b'{"sql": "SELECT \\u0000"}', "sql"),
        (b'{"sql": "SELECT \\ud800"}', "sql"),
        (b'{"sql": "' + b"x" * (MOST_SQL + 1) + b'"}', "sql"),
        (b'{"sql": "SELECT 1", "limits": 1}', "limits"),
        (b'{"sql": "SELECT 1", "limit": 0}', "limit"),
        (b'{"sql": "SELECT 1", "limit": true}', "limit"),
        (b'{"sql": "SELECT 1", "limit": "1"}', "limit"),
        (b'{"sql": "SELECT 1", "limit": 1.5}', "limit"),
        (b'{"sql": "SELECT 1", "limit": %d}' % (MOST_ROWS + 1), "limit"),
    ],
)
def test_a_body_that_is_no_question_is_refused(body: bytes, parameter: str) -> None:
    with pytest.raises(ProblemError) as refused:
        parsed_body(SqlQuery, body)
    assert refused.value.status == 422
    assert [error["parameter"] for error in refused.value.more["errors"]] == [parameter]


def test_what_is_too_large_or_no_json_is_refused_unread(world: World) -> None:
    headers = bearer(world)
    assert post(world, headers, sql="x" * 1_000_000).status_code == 413
    assert world.post("/v1/sql", b'{"sql": "SELECT 1"}', headers).status_code == 415
    assert world.post("/v1/sql?a=1", b'{"sql": "SELECT 1"}', headers).status_code == 422


# --------------------------------------------------------------------------------------------------------- the process


@pytest.mark.parametrize(
    ("sql", "status", "kind"),
    [
        ("SELECT count(*) FROM range(1000000000000)", 504, "deadline"),
        ("SELECT length(repeat('x', 4000000000))", 422, "sql-memory"),  # past DuckDB's own limit, which no value obeys
        ("SELECT nope FROM bars_1m", 422, "sql-failed"),
        ("COPY bars_1m TO 'x.csv'", 422, "sql-refused"),
    ],
)
def test_what_a_query_takes_is_bounded_and_the_service_goes_on(fresh: World, sql: str, status: int, kind: str) -> None:
    with_sql(fresh, SqlOptions(deadline_s=2.0 if kind == "deadline" else 60.0, memory_bytes=256 * 1024 * 1024))
    answer = post(fresh, bearer(fresh), sql=sql)
    assert (answer.status_code, answer.json()["type"]) == (status, f"urn:slackwater:problem:{kind}"), answer.text
    assert str(fresh.store.home) not in answer.text
    assert fresh.bars("symbol=BTC")["bars"]
    assert f'slackwater_sql_queries_total{{outcome="{kind}"}} 1.0' in fresh.get("/metrics").text


def test_a_process_that_dies_takes_nothing_with_it(fresh: World) -> None:
    processes = SqlProcesses(fresh.store.home, SqlOptions(deadline_s=60.0))
    tables = tables_of(fresh.service.hot, take_read_point(fresh), paths_here(fresh.store))
    seen = threading.Event()

    def crash() -> None:
        while not seen.wait(0.01):
            for running in list(processes.running):
                os.kill(running, signal.SIGSEGV)

    crashing = threading.Thread(target=crash)
    crashing.start()
    try:
        with pytest.raises(ProblemError) as died:
            processes.ask("SELECT count(*) FROM range(1000000000000)", 1, tables)
    finally:
        seen.set()
        crashing.join()
        processes.close()
    assert (died.value.status, died.value.kind) == (422, "sql-engine")
    assert not processes.running


def test_the_next_query_is_answered_by_a_process_that_waits(fresh: World) -> None:
    processes = SqlProcesses(fresh.store.home, SqlOptions(deadline_s=60.0))
    tables = tables_of(fresh.service.hot, take_read_point(fresh), paths_here(fresh.store))

    def waiting() -> psutil.Process:
        (found,) = (one for one in psutil.Process().children() if one not in others)
        return found

    others = psutil.Process().children()
    try:
        for _ in range(2):
            _, table = processes.ask("SELECT count(*) AS bars FROM bars_1m", 1, tables)
            assert table is not None
            first = waiting()
            processes.ask("SELECT 1", 1, tables)
            assert waiting() != first, "it was asked"
            waiting().kill()  # another is started in its place
            while waiting().status() != psutil.STATUS_ZOMBIE:
                threading.Event().wait(0.01)
    finally:
        processes.close()
    assert not set(psutil.Process().children()) - set(others)


def test_a_process_that_waits_ends_with_the_service(fresh: World) -> None:
    spare = Spare(fresh.store.home)
    process = spare.take()
    assert process.communicate(timeout=60) == (b"", b"")  # its standard input ends
    assert process.returncode == 0
    spare.close()


def test_what_runs_is_ended_when_the_service_stops(fresh: World) -> None:
    processes = SqlProcesses(fresh.store.home, SqlOptions(deadline_s=60.0))
    tables = tables_of(fresh.service.hot, take_read_point(fresh), paths_here(fresh.store))
    ended: list[int] = []

    def ask() -> None:
        try:
            processes.ask("SELECT count(*) FROM range(1000000000000)", 1, tables)
        except ProblemError as problem:
            ended.append(problem.status)

    asking = threading.Thread(target=ask)
    asking.start()
    pause = threading.Event()
    while not processes.running:
        pause.wait(0.01)
    processes.close()
    asking.join(30)
    assert ended == [504]


def test_a_file_that_is_not_what_the_manifest_says_answers_nothing(fresh: World) -> None:
    with_sql(fresh)
    file = next(each.file for each in fresh.store.manifest(1).parts if each.interval == "1m")
    path = fresh.store.home / file.path
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    answer = post(fresh, bearer(fresh), sql="SELECT * FROM bars_1m")
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:slackwater:problem:files-unreadable")


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT error('DamagedBytesError: {file}: x')",
        "SELECT CAST('DamagedBytesError: {file}: x' AS INT) FROM bars_1m",
        "SELECT CAST('DamagedBytesError: /etc/passwd: x' AS INT)",
    ],
)
def test_the_text_of_a_query_declares_no_file_damaged(fresh: World, sql: str) -> None:
    with_sql(fresh)
    file = fresh.store.manifest(1).parts[0].file
    revision = fresh.service.inspector.revision
    answer = post(fresh, bearer(fresh), sql=sql.format(file=file.path))
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:slackwater:problem:sql-failed"), answer.text
    assert fresh.service.inspector.revision == revision


def test_only_a_file_of_the_tables_is_read_again_for_a_query(fresh: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the process says, which ran a stranger's query."""
    with_sql(fresh)
    said = Outcome(kind="files", detail="x", damaged="../elsewhere")
    monkeypatch.setattr(SqlProcesses, "ask", lambda *_: (said, None))
    revision = fresh.service.inspector.revision
    assert post(fresh, bearer(fresh), sql="SELECT 1").status_code == 503
    assert fresh.service.inspector.revision == revision
