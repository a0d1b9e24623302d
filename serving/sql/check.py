"""What a query may say: one SELECT over the tables that are given, and nothing about the database that holds them.

    text -> DuckDB's own parser -> its syntax tree -> every node is looked at

The tree is judged by what is allowed: kinds of queries, kinds of relations, tables by name, functions by name. DuckDB
2.0 parses `WITH x AS (INSERT ...) SELECT ...` as a SELECT and `FROM 'file.parquet'` as a table, so that neither the
kind of the statement nor a list of what is forbidden would do. This is the first wall and the one with the clear
messages; behind it stand the settings (`serving.sql.program`) and the limits of the process.
"""

import re
from collections.abc import Iterator, Set
from difflib import get_close_matches
from typing import Any, NamedTuple

import duckdb
import orjson

from slackwater.core.errors import SlackwaterError

# Functions that compute a value from values, and the clock and random numbers. Left out of DuckDB's own: what tells of
# the database (its version, settings, sessions, files), what changes something of it, what waits (`pg_sleep`,
# `sleep_ms`), what takes or makes inner states of functions, and what other programs alone call. A function that a new
# DuckDB brings is not in the list, so it is refused; tests/test_sql.py asks for a decision.
_ALLOWED = """
abs acos acosh add age aggregate ago alias any_value apply approx_count_distinct approx_quantile approx_top_k arbitrary
arg_max arg_max_null arg_max_nulls_last arg_min arg_min_null arg_min_nulls_last argmax argmin array_agg array_aggr
array_aggregate array_append array_apply array_cat array_concat array_contains array_cosine_distance
array_cosine_similarity array_cross_product array_distance array_distinct array_dot_product array_extract array_filter
array_grade_up array_has array_has_all array_has_any array_indexof array_inner_product array_intersect array_length
array_negative_dot_product array_negative_inner_product array_pop_back array_pop_front array_position array_prepend
array_push_back array_push_front array_reduce array_resize array_reverse array_reverse_sort array_select array_slice
array_sort array_to_json array_to_string array_to_string_comma_default array_transform array_unique array_value
array_where array_zip ascii asin asinh assert_true atan atan2 atanh avg bar base64 bin binom bit_and bit_count
bit_length bit_or bit_position bit_xor bitstring bitstring_agg bool_and bool_or cardinality cbrt ceil ceiling century
char_length character_length chr concat concat_ws contains corr cos cosh cot count count_if count_star countif
covar_pop covar_samp cume_dist current_date current_localtime current_localtimestamp damerau_levenshtein date_add
date_diff date_part date_sub date_trunc datediff datepart datesub datetrunc day dayname dayofmonth dayofweek dayofyear
days_in_month decade decimal_average decimal_division decode degrees dense_rank divide editdist3 element_at encode
ends_with entropy enum_code enum_first enum_last enum_range enum_range_boundary epoch epoch_ms epoch_ns epoch_us era
error even exp factorial favg fdiv fill filter first first_value flatten floor fmod format format_bytes
formatreadabledecimalsize formatreadablesize from_base64 from_binary from_hex from_json from_json_strict fsum gamma gcd
gen_random_uuid generate_series geomean geometric_mean get_bit get_current_time get_current_timestamp grade_up greatest
greatest_common_divisor group_concat hamming hash hex histogram histogram_exact hour if ilike_escape instr isfinite
isinf isnan isodow isoyear jaccard jaro_similarity jaro_winkler_similarity json json_array json_array_length
json_contains json_deep_merge json_exists json_extract json_extract_path json_extract_path_text json_extract_string
json_group_array json_group_object json_group_structure json_insert json_keys json_merge_patch json_merge_patch_diff
json_normalize json_object json_pretty json_quote json_remove json_replace json_set json_strip_nulls json_structure
json_type json_valid json_value julian kahan_sum kurtosis kurtosis_pop lag last last_day last_value lcase lcm lead
least least_common_multiple left left_grapheme len length length_grapheme levenshtein lgamma like_escape list list_aggr
list_aggregate list_any_value list_append list_apply list_approx_count_distinct list_avg list_bit_and list_bit_or
list_bit_xor list_bool_and list_bool_or list_cat list_concat list_contains list_cosine_distance list_cosine_similarity
list_count list_distance list_distinct list_dot_product list_element list_entropy list_extract list_filter list_first
list_grade_up list_has list_has_all list_has_any list_histogram list_indexof list_inner_product list_intersect
list_kurtosis list_kurtosis_pop list_last list_mad list_max list_median list_min list_mode list_negative_dot_product
list_negative_inner_product list_pack list_position list_prepend list_product list_reduce list_resize list_reverse
list_reverse_sort list_select list_sem list_skewness list_slice list_sort list_stddev_pop list_stddev_samp
list_string_agg list_sum list_transform list_unique list_value list_var_pop list_var_samp list_where list_zip listagg
ln log log10 log2 lower lpad ltrim lttb mad make_date make_time make_timestamp make_timestamp_ms make_timestamp_ns
make_timestamptz map map_concat map_contains map_contains_entry map_contains_value map_entries map_extract
map_extract_value map_from_entries map_keys map_values max max_by md5 md5_number md5_number_lower md5_number_upper mean
median microsecond millennium millisecond min min_by minute mismatches mod mode month monthname multiply nanosecond
nextafter nfc_normalize not_ilike_escape not_like_escape now nth_value ntile nullif octet_length ord overlay
parse_dirname parse_dirpath parse_filename parse_formatted_bytes parse_path path_join percent_rank pi position pow
power prefix printf product quantile quantile_cont quantile_disc quarter radians random range rank rank_dense reduce
regexp_escape regexp_extract regexp_extract_all regexp_full_match regexp_matches regexp_replace regexp_split_to_array
regexp_split_to_table regr_avgx regr_avgy regr_count regr_intercept regr_r2 regr_slope regr_sxx regr_sxy regr_syy
repeat replace reservoir_quantile reverse right right_grapheme round round_even roundbankers row row_number row_to_json
rpad rtrim second sem set_bit sha1 sha256 sign signbit sin sinh skewness split split_part sqrt starts_with stddev
stddev_pop stddev_samp str_split str_split_regex strftime string_agg string_split string_split_regex string_to_array
strip_accents strlen strpos strptime struct_concat struct_contains struct_extract struct_extract_at struct_has
struct_indexof struct_insert struct_keys struct_pack struct_position struct_update struct_values substr substring
substring_grapheme subtract suffix sum sum_no_overflow sumkahan switch tan tanh time_bucket timezone timezone_hour
timezone_minute to_base to_base64 to_binary to_centuries to_days to_decades to_hex to_hours to_json to_microseconds
to_millennia to_milliseconds to_minutes to_months to_quarters to_seconds to_timestamp to_weeks to_years today
transaction_timestamp translate trim trunc try_strptime typeof ucase unbin unhex unicode union_extract union_tag
union_value unnest upper url_decode url_encode uuid uuid_extract_timestamp uuid_extract_version uuidv4 uuidv7 var_pop
var_samp variance wavg week weekday weekofyear weighted_avg xor year yearweek
"""
_OPERATORS = "! !__postfix !~~ !~~* % & && * ** + - ->> / // <-> << <@ >> @ @> ^ ^@ | || ~ ~~ ~~* ~~~"

ALLOWED = frozenset(_ALLOWED.split())
OPERATORS = frozenset(_OPERATORS.split())
"""Functions that are written as operators."""


_QUERIES = {"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"}
_RELATIONS = {"BASE_TABLE", "EMPTY", "EXPRESSION_LIST", "JOIN", "PIVOT", "SHOW_REF", "SUBQUERY", "TABLE_FUNCTION"}
_TABLE_FUNCTIONS = {"generate_series", "range", "unnest"}
_CALLS = {"FUNCTION", "WINDOW"}
_OWN = {(), ("main",), ("memory",), ("memory", "main")}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_NOWHERE = 2**64 - 1
_SHOW_TABLES = ("SHOW_SPECIAL", '"tables"')
_SELECT_ONLY = "This takes a SELECT and nothing else."


class Place(NamedTuple):
    """A place in a query: line and column, both from 1."""

    line: int
    column: int


class QueryRefusedError(SlackwaterError):
    """The text is no query, or none that is allowed. `place` is where, if that is known."""

    def __init__(self, fact: str, place: Place | None = None) -> None:
        super().__init__(fact)
        self.place = place


def check(con: duckdb.DuckDBPyConnection, sql: str, tables: Set[str]) -> None:
    """Read `sql` with DuckDB's parser and look at every node; nothing is bound or run.

    Raises:
        QueryRefusedError: it does not parse, is no single SELECT, or names anything but `tables`.
    """
    tree = _parsed(con, sql)
    statements = tree["statements"]
    if len(statements) != 1:
        raise QueryRefusedError(f"This takes one statement, not {len(statements)}.")
    catalog = {name for (name,) in con.execute("SELECT view_name FROM duckdb_views() WHERE internal").fetchall()}
    nodes = list(_nodes(statements[0]))
    ours = {name.lower() for node in nodes for name in _named(node)}
    for name in ours:
        if not _NAME.fullmatch(name) or name in catalog:
            raise QueryRefusedError(f"{name[:80]!r} cannot be the name of a common table.")
    for node in nodes:
        fault = _fault(node, tables, ours)
        if fault:
            at = node.get("query_location", _NOWHERE)
            raise QueryRefusedError(fault, None if at == _NOWHERE else place_of(sql, at))


def place_of(sql: str, at: int) -> Place:
    """The place of the byte `at` of a query's UTF-8."""
    before = sql.encode()[:at].decode(errors="ignore")
    return Place(before.count("\n") + 1, len(before) - before.rfind("\n"))


def _parsed(con: duckdb.DuckDBPyConnection, sql: str) -> Any:
    row = con.execute("SELECT json_serialize_sql(?::VARCHAR)", [sql]).fetchone()
    try:
        tree = orjson.loads(row[0] if row else "")
    except orjson.JSONDecodeError as error:  # it reads 1,024 levels
        raise QueryRefusedError("The query is nested too deeply.") from error
    if not tree["error"]:
        return tree
    if tree["error_type"] == "not implemented":
        pivot = " Give a PIVOT its values: `PIVOT ... ON ... IN (...)`." if "pivot" in sql.lower() else ""
        raise QueryRefusedError(f"{_SELECT_ONLY}{pivot}")
    at = tree.get("position", "")
    raise QueryRefusedError(
        f"The query does not parse: {tree['error_message']}", place_of(sql, int(at)) if at else None
    )


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """Every object of a syntax tree, without recursion."""
    waiting = [tree]
    while waiting:
        found = waiting.pop()
        if isinstance(found, dict):
            yield found
            waiting += found.values()
        elif isinstance(found, list):
            waiting += found


def _named(node: dict[str, Any]) -> Iterator[str]:
    """The common tables that a node defines."""
    if isinstance(node.get("cte_map"), dict):
        yield from (entry["key"] for entry in node["cte_map"]["map"])
    if isinstance(node.get("cte_name"), str):
        yield node["cte_name"]


def _fault(node: dict[str, Any], tables: Set[str], ours: Set[str]) -> str:
    """Why a node may not stand in a query, empty if it may."""
    kind = str(node.get("type"))
    if kind == "BASE_TABLE":
        return _table_fault(node["qualified_name"]["path"], tables, ours)
    if kind == "SHOW_REF" and node["query"] is None and (node["show_type"], node["table_name"]) != _SHOW_TABLES:
        return "Use SHOW TABLES, or DESCRIBE with a table."
    if kind.endswith("_NODE") and kind not in _QUERIES:
        return _SELECT_ONLY
    if "sample" in node and "alias" in node and kind not in _RELATIONS:
        return f"A relation of the kind {kind} cannot be read here."
    return _function_fault(node, kind)


def _function_fault(node: dict[str, Any], kind: str) -> str:
    if kind == "TABLE_FUNCTION" and (name := _function(node["function"])) not in _TABLE_FUNCTIONS:
        return f"{name} cannot be read from. There are {_listed(_TABLE_FUNCTIONS)}."
    if node.get("class") in _CALLS and (name := _function(node)) not in ALLOWED | OPERATORS:
        close = get_close_matches(name, ALLOWED, 1)
        return f"The function {name[:80]} cannot be called here.{f' Is {close[0]} meant?' if close else ''}"
    if node.get("class") == "PARAMETER":
        return "A query has no parameters here: write the values."
    return ""


def _table_fault(path: list[str], tables: Set[str], ours: Set[str]) -> str:
    *schema, name = (part.lower() for part in path)
    if name in tables and tuple(schema) in _OWN:
        return ""
    if name in ours and not schema:
        return ""
    return f"There is no table {'.'.join(path)[:80]!r}. There are {_listed(tables)}."


def _function(node: dict[str, Any]) -> str:
    return str(node.get("function_name", "")).lower()


def _listed(names: Set[str]) -> str:
    return ", ".join(sorted(names))
