"""An expression as DuckDB's parser writes it in JSON: its parts, what it divides by, and what of it may be null.

Which values are null is nothing that a binder knows, so it is asked of the tree: a function that is not known to have
a value wherever its arguments have one may be null, unless `coalesce` gives it a value there. Columns count as having
one.
"""

from collections.abc import Iterator
from typing import Any

Node = dict[str, Any]

_DIVIDING = frozenset({"//", "/", "%", "divide", "fdiv", "fmod", "mod"})
_NAMES = """
+ - * || & | << >> ~ ~~ !~~ ~~* !~~* ^@ abs ceil ceiling floor greatest if least list_value round sign trunc xor
concat concat_ws contains ends_with left length lower lpad ltrim md5 prefix regexp_extract regexp_full_match
regexp_matches regexp_replace replace reverse right rpad rtrim split_part starts_with strlen strpos substr substring
suffix trim upper date_part date_trunc dayofweek epoch_ms epoch_us hour make_timestamp
"""
_TOTAL = frozenset(_NAMES.split())
"""Functions that have a value wherever their arguments have."""

_NEVER_NULL = frozenset({"OPERATOR_IS_NULL", "OPERATOR_IS_NOT_NULL", "COLUMN_REF"})
_AS_THEIR_PARTS = frozenset({"CASE_EXPR", "COMPARE_IN", "COMPARE_NOT_IN", "FUNCTION", "OPERATOR_CAST", "OPERATOR_NOT"})
_LOGIC = frozenset({"COMPARISON", "CONJUNCTION", "BETWEEN"})


def parts(tree: Any) -> Iterator[Node]:
    """Every expression in a tree, each before its own parts; the name of a type is none."""
    if isinstance(tree, dict):
        if tree.get("class") == "TYPE":
            return
        if "class" in tree:
            yield tree
        tree = [*tree.values()]
    if isinstance(tree, list):
        for each in tree:
            yield from parts(each)


def divisors(tree: Any) -> list[Node]:
    """What is divided by."""
    return [
        _arguments(each)[1] for each in parts(tree) if each.get("function_name") in _DIVIDING and _arguments(each)[1:]
    ]


def is_constant(node: Node) -> bool:
    """Whether it names no column."""
    return all(each["class"] != "COLUMN_REF" for each in parts(node))


def null_by(node: Node) -> str:
    """What may make it null, though no column is; empty where nothing does."""
    kind, within = node["type"], _children(node)
    causes = [*filter(None, map(null_by, within))]
    cause = causes[0] if causes else ""
    if kind == "VALUE_CONSTANT":
        cause = "NULL" if node["literal"]["kind"] == "NULL_LITERAL" else ""
    elif kind == "OPERATOR_COALESCE":
        cause = cause if len(causes) == len(within) else ""
    elif kind == "OPERATOR_CAST" and node.get("try_cast"):
        cause = "TRY_CAST"
    elif kind == "FUNCTION" and node["function_name"] not in _TOTAL | _DIVIDING:
        cause = node["function_name"]
    elif kind in _NEVER_NULL:
        cause = ""
    elif not (kind in _AS_THEIR_PARTS or node["class"] in _LOGIC):
        cause = kind
    return cause


def _arguments(node: Node) -> list[Node]:
    return [each["expression"] for each in node.get("arguments", ())]


def _children(node: Node) -> list[Node]:
    """The expressions that a value is made of; not the conditions of a CASE."""
    if node["type"] == "CASE_EXPR":
        return [*(check["then_expr"] for check in node["case_checks"]), node["else_expr"]]
    named = [node[name] for name in ("child", "left", "right", "input", "lower", "upper") if name in node]
    return [*named, *node.get("children", ()), *_arguments(node)]
