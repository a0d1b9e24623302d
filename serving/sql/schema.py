"""What `POST /v1/sql` takes and gives, as JSON schemas, and the bounds of a question."""

from typing import Any

MOST_SQL = 16_384
MOST_ROWS = 10_000
DEFAULT_ROWS = 1_000

SQL_BODY: dict[str, Any] = {
    "type": "object",
    "required": ["sql"],
    "additionalProperties": False,
    "properties": {
        "sql": {"type": "string", "minLength": 1, "maxLength": MOST_SQL, "description": "One SELECT."},
        "limit": {
            "type": "integer",
            "minimum": 1,
            "maximum": MOST_ROWS,
            "default": DEFAULT_ROWS,
            "description": "At most so many rows.",
        },
    },
    "example": {"sql": "SELECT symbol, start, close, vwap FROM bars_1h ORDER BY start DESC", "limit": 10},
}

_OFFSETS = {"type": "object", "additionalProperties": {"type": "integer", "minimum": 0}}

SQL_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["columns", "rows", "truncated", "meta"],
    "additionalProperties": False,
    "properties": {
        "columns": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["name", "type"],
                "additionalProperties": False,
                "properties": {
                    "name": {"type": "string"},
                    "type": {"type": "string", "description": "As DuckDB names it."},
                },
            },
        },
        "rows": {
            "type": "array",
            "maxItems": MOST_ROWS,
            "items": {"type": "array", "items": {"type": ["string", "number", "boolean", "null"]}},
        },
        "truncated": {"type": "boolean", "description": "Whether there are more rows than the limit."},
        "meta": {
            "type": "object",
            "required": ["version", "definitions", "stream", "cut", "applied", "complete", "layer"],
            "additionalProperties": False,
            "properties": {
                "version": {"type": "integer", "minimum": 0},
                "definitions": {"type": "object", "additionalProperties": {"type": "string"}},
                "stream": {"type": "string"},
                "cut": _OFFSETS,
                "applied": _OFFSETS,
                "complete": {"type": "boolean"},
                "reason": {"type": "string", "description": "Why it is not complete; only where it is not."},
                "layer": {"enum": ["merged", "batch"]},
                "refusal": {"type": "string", "description": "Why this is not what the pointer asks for."},
            },
        },
    },
    "example": {
        "columns": [{"name": "symbol", "type": "VARCHAR"}, {"name": "vwap", "type": "DECIMAL(38,8)"}],
        "rows": [["BTCUSDT", "61234.50417"], ["ETHUSDT", "2411.9"]],
        "truncated": False,
        "meta": {
            "version": 7,
            "definitions": {"bars": "0f3a9c1d2b4e5f60"},
            "stream": "trades",
            "cut": {"0": 900, "1": 910},
            "applied": {"0": 1024, "1": 911},
            "complete": True,
            "layer": "merged",
        },
    },
}
