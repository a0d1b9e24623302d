"""One definition: aggregates are written in `views/` and `restatements/` and nowhere else, and no float is ever summed.

The scanner below reads the syntax tree of every Python file of the other rooms. It finds

- SQL in strings, f-strings included (docstrings not): an aggregate call in what looks like SQL, and GROUP BY anywhere;
- aggregation in Arrow, DuckDB relations and data frames: `.group_by(`, `pc.sum(`, `con.sql(...).max("x")`;
- sums of floats.

Builtins over Python values (`max(offsets)`), `itertools.groupby` and numpy are no second definition of a view and stay
allowed. `verify/oracle.py` is the independent proof; it has to say everything a second time.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("slackwater", "ingest", "batch_layer", "speed_layer", "serving", "ops", "verify", "bench", "lesson")
HERE = (ROOT / "slackwater" / "views", ROOT / "slackwater" / "restatements")
EXEMPT = {ROOT / "verify" / "oracle.py"}

_AGGREGATES = (
    "sum|count|count_star|count_if|min|max|avg|mean|arg_min|arg_max|min_by|max_by|first|last|list|array_agg|string_agg"
    "|group_concat|any_value|arbitrary|fsum|kahan_sum|sumkahan|favg|product|median|mode|quantile(_cont|_disc)?|histogram"
    "|(stddev|var)(_pop|_samp)?|variance|bool_and|bool_or|bit_and|bit_or|bit_xor|approx_count_distinct|approx_quantile"
)
_AGGREGATE_CALL = re.compile(rf"\b({_AGGREGATES})\s*\(", re.IGNORECASE)
_FLOAT_SUM = re.compile(r"\b(sum|avg|mean)\s*\([^()]*(::\s*|\bAS\s+)(DOUBLE|FLOAT|REAL)\b", re.IGNORECASE)
_GROUP = re.compile(r"\bGROUP\s+BY\b", re.IGNORECASE)
_SQL = re.compile(
    r"(?i:\bselect\b.+\bfrom\b|^\s*select\b|\)\s*::\s*\w|\)\s*over\s*\()|\bSELECT\b|\bFROM\b|\bHAVING\b|\)\s*AS\s+[a-z_{]",
    re.DOTALL,
)

_GROUPERS = {"group_by", "groupby", "aggregate", "agg"}
_COMPUTE = {
    *("sum", "min", "max", "min_max", "count", "count_distinct", "mean", "product", "first", "last", "first_last"),
    *("median", "approximate_median", "mode", "quantile", "tdigest", "variance", "stddev"),
}
_RELATION_METHODS = {*_COMPUTE, "avg", "arg_min", "arg_max", "list", "string_agg", "any_value", "fsum", "value_counts"}
_RELATIONS = {"sql", "table", "from_arrow", "from_parquet", "read_parquet"}


class Finding(NamedTuple):
    line: int
    what: str


def findings(source: str) -> list[Finding]:
    """What `source`, a Python module, aggregates."""
    tree = ast.parse(source)
    found = [*_in_strings(tree), *_in_calls(tree), *_in_float_sums(tree)]
    return sorted(set(found))


def _in_strings(tree: ast.AST) -> Iterator[Finding]:
    hidden = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}  # docstrings
    hidden |= {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant | ast.JoinedStr) or id(node) in hidden:
            continue  # a part is read with the rest of its f-string
        text = _text(node)
        if _GROUP.search(text):
            yield Finding(node.lineno, "GROUP BY")
        if _SQL.search(text) and (call := _AGGREGATE_CALL.search(text)):
            yield Finding(node.lineno, f"SQL aggregate {call[1].lower()}")
        if _FLOAT_SUM.search(text):
            yield Finding(node.lineno, "SQL sum of floats")


def _text(node: ast.expr) -> str:
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    assert isinstance(node, ast.JoinedStr)
    return "".join(_text(part) if isinstance(part, ast.Constant) else "{}" for part in node.values)


def _in_calls(tree: ast.AST) -> Iterator[Finding]:
    compute, direct = _compute_names(tree)
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        function = node.func
        if isinstance(function, ast.Name) and function.id in direct:
            yield Finding(node.lineno, f"pyarrow.compute {function.id}")
        if not isinstance(function, ast.Attribute):
            continue
        on, method = ast.unparse(function.value), function.attr
        if method in _GROUPERS and on != "itertools":
            yield Finding(node.lineno, f".{method}(")
        if method in _COMPUTE and on in compute:
            yield Finding(node.lineno, f"pyarrow.compute {method}")
        by_name = bool(node.args) and isinstance(node.args[0], ast.Constant) and isinstance(node.args[0].value, str)
        if method in _RELATION_METHODS and (
            _on_relation(function.value) or (by_name and method in {"sum", "min", "max"})
        ):
            yield Finding(node.lineno, f"relation .{method}(")


def _compute_names(tree: ast.AST) -> tuple[set[str], set[str]]:
    """What `pyarrow.compute` is called in the module, and which of its aggregates are imported by name."""
    modules, names = {"pyarrow.compute", "pa.compute"}, set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules |= {a.asname for a in node.names if a.name == "pyarrow.compute" and a.asname}
        elif isinstance(node, ast.ImportFrom) and node.module == "pyarrow":
            modules |= {a.asname or a.name for a in node.names if a.name == "compute"}
        elif isinstance(node, ast.ImportFrom) and node.module == "pyarrow.compute":
            names |= {a.asname or a.name for a in node.names if a.name in _COMPUTE}
    return modules, names


def _on_relation(node: ast.expr) -> bool:
    """Whether the call chain under a method starts from a DuckDB relation: `con.sql(...).filter(...)`."""
    while isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        if node.func.attr in _RELATIONS:
            return True
        node = node.func.value
    return False


def _in_float_sums(tree: ast.AST) -> Iterator[Finding]:
    for node in ast.walk(tree):
        if isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Add) and _is_float(node.value):
            yield Finding(node.lineno, "sum of floats")
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name in {"fsum", "fmean"} or (name in {"sum", "mean", "cumsum"} and _makes_floats(node)):
            yield Finding(node.lineno, "sum of floats")


def _makes_floats(call: ast.Call) -> bool:
    arguments = [*call.args, *(keyword.value for keyword in call.keywords)]
    values = [a.elt if isinstance(a, ast.GeneratorExp | ast.ListComp) else a for a in arguments]
    return any(_is_float(value) for value in values)


def _is_float(node: ast.expr) -> bool:
    """Whether the expression itself is a float: `float(x)`, `0.0`, `np.float64`, or made of one by + - *."""
    if isinstance(node, ast.Constant):
        return isinstance(node.value, float)
    if isinstance(node, ast.Call):
        return _is_float(node.func)
    if isinstance(node, ast.Name | ast.Attribute):
        return bool(re.fullmatch(r"float(16|32|64|_)?|double", node.id if isinstance(node, ast.Name) else node.attr))
    if isinstance(node, ast.BinOp):
        return isinstance(node.op, ast.Add | ast.Sub | ast.Mult) and (_is_float(node.left) or _is_float(node.right))
    return isinstance(node, ast.UnaryOp) and _is_float(node.operand)


# ----------------------------------------------------------------------------------------------------------- the house


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_aggregates_nothing(room: str) -> None:
    files = sorted((ROOT / room).rglob("*.py"))
    assert files
    found = [
        f"{path.relative_to(ROOT)}:{line}: {what}"
        for path in files
        if path not in EXEMPT and not any(path.is_relative_to(folder) for folder in HERE)
        for line, what in findings(path.read_text(encoding="utf-8"))
    ]
    assert not found, "aggregates belong in views/:\n" + "\n".join(found)


def test_every_room_is_scanned_except_the_one_place() -> None:
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests"}
    assert packages == set(ROOMS)


def test_views_hold_the_aggregates_and_no_float() -> None:
    found = {
        path.name: {what for _, what in findings(path.read_text(encoding="utf-8"))}
        for folder in HERE
        for path in sorted(folder.rglob("*.py"))
    }
    assert {name for name, whats in found.items() if whats} == {
        *("checks.py", "compare.py", "counts.py", "difference.py", "quantiles.py", "sql.py")
    }
    assert not any("float" in what for whats in found.values() for what in whats)


def test_views_neither_name_nor_make_a_float() -> None:
    for path in sorted(HERE[0].rglob("*.py")):
        if path.name == "ratios.py":
            continue  # a double is its first guess, corrected in integers; tests/test_finished.py holds it
        tree = ast.parse(path.read_text(encoding="utf-8"))
        docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            where = f"{path.name}:{getattr(node, 'lineno', 0)}"
            assert not isinstance(node, ast.Div), where
            assert not (isinstance(node, ast.Name) and node.id == "float"), where
            if isinstance(node, ast.Constant) and id(node) not in docstrings:
                assert not isinstance(node.value, float), where
                assert not re.search(r"\b(DOUBLE|FLOAT|REAL)\b", str(node.value)), where


# --------------------------------------------------------------------------------------------------------- the scanner

PLANTED = {
    'q = "SELECT sum(volume) FROM bars"': "SQL aggregate sum",
    'q = "select venue, count(*) from bars"': "SQL aggregate count",
    'q = "SELECT max(start)"': "SQL aggregate max",
    'q = "SELECT arg_max (price, trade_id) FROM t"': "SQL aggregate arg_max",
    'q = "SELECT last(price ORDER BY trade_id) FROM t"': "SQL aggregate last",
    'q = "SELECT list(price) FROM t"': "SQL aggregate list",
    'q = "FROM t SELECT any_value(x)"': "SQL aggregate any_value",
    'q = "HAVING count(*) > 1"': "SQL aggregate count",
    "q = f'SELECT {key}, MIN({column}) FROM {relation}'": "SQL aggregate min",
    "q = f'sum({column})::DECIMAL(38,16)'": "SQL aggregate sum",
    "q = f'sum({column}) AS total'": "SQL aggregate sum",
    "q = f'{run(\"SELECT sum(x) FROM t\")}'": "SQL aggregate sum",
    'q = "SELECT price, " "sum(quantity) " "FROM t"': "SQL aggregate sum",
    'q = """\nSELECT venue,\n  string_agg(symbol, \',\')\nFROM t\n"""': "SQL aggregate string_agg",
    'q = "SELECT x, sum(x) OVER (ORDER BY start) FROM t"': "SQL aggregate sum",
    'def f():\n    "A docstring."\n    return "SELECT avg(x) FROM t"': "SQL aggregate avg",
    'q = base + " GROUP BY ALL"': "GROUP BY",
    'q = "group  by venue"': "GROUP BY",
    "q = f'{select} GROUP BY {keys}'": "GROUP BY",
    'table.group_by(["venue"]).aggregate([("x", "sum")])': ".group_by(",
    'grouped.aggregate([("x", "sum")])': ".aggregate(",
    'frame.groupby("venue")': ".groupby(",
    'frame.agg("sum")': ".agg(",
    "import pyarrow.compute as pc\npc.sum(column)": "pyarrow.compute sum",
    "import pyarrow.compute as c\nc.min_max(column)": "pyarrow.compute min_max",
    "from pyarrow import compute\ncompute.max(column)": "pyarrow.compute max",
    "from pyarrow.compute import sum as total\ntotal(column)": "pyarrow.compute total",
    "import pyarrow as pa\npa.compute.count(column)": "pyarrow.compute count",
    'con.sql("FROM t").sum("x")': "relation .sum(",
    'con.table("t").filter("x > 1").count("*")': "relation .count(",
    'relation.max("start")': "relation .max(",
    "sum(float(x) for x in prices)": "sum of floats",
    "sum([float(x) * 2 for x in prices])": "sum of floats",
    "sum(prices, 0.0)": "sum of floats",
    "math.fsum(prices)": "sum of floats",
    "statistics.fmean(prices)": "sum of floats",
    "numpy.sum(prices, dtype=numpy.float64)": "sum of floats",
    "prices.sum(dtype=float)": "sum of floats",
    "total += float(price)": "sum of floats",
    'q = "sum(price::DOUBLE)"': "SQL sum of floats",
    'q = "SELECT SUM(CAST(price AS FLOAT)) FROM t"': "SQL aggregate sum",
}

CLEAN = (
    '"""SELECT sum(x) FROM t GROUP BY y, in a docstring."""',
    'def f():\n    """It may say GROUP BY and SELECT count(*) FROM t."""',
    "largest = max(offsets)",
    "total = sum(len(part) for part in parts)",
    "total = sum(cell.upto - cell.start for cell in cells)",
    "count += 1",
    'word.count("a")',
    "found.count(3)",
    "ids.max()",
    "numpy.diff(ids).sum()",
    "itertools.groupby(rows, key=key)",
    "from itertools import groupby\ngroupby(rows)",
    "import pyarrow.compute as pc\npc.equal(a, b)",
    'message = f"the first (of {n}) and the last (of {m})"',
    'message = "From the log: count (records) is too large"',
    'message = f"{count(x)} of {max(y)} were read from the list (see the log)"',
    'q = f"SELECT {columns} FROM {files_sql(paths)} WHERE start >= ? ORDER BY start LIMIT ?"',
    'q = "SELECT least(a, b), greatest(a, b) FROM t"',
    'q = "SELECT list_value(1, 2), row_number() OVER (ORDER BY start) FROM t"',
    'con.sql("FROM t").to_arrow_table()',
    "elapsed = end - start + 0.5",
    "waited_s += pause_s",
    "import pyarrow.compute as pc\npc.any(pc.is_null(column))",
    "views.values().first()",
    "half = sum(sizes) / 2",
)


@pytest.mark.parametrize("source", PLANTED)
def test_the_scanner_finds(source: str) -> None:
    assert PLANTED[source] in {what for _, what in findings(source)}


@pytest.mark.parametrize("source", CLEAN)
def test_the_scanner_lets_pass(source: str) -> None:
    assert findings(source) == []


def test_the_scanner_says_the_line() -> None:
    assert findings('x = 1\n\ny = "SELECT sum(x) FROM t"\n') == [Finding(3, "SQL aggregate sum")]
