"""The OpenAPI model of `/v1/restatements`, with an example."""

from typing import Any

from slackwater.restatements.restatement import CAUSES


def _bar(close: str, trades: int) -> dict[str, Any]:
    return {
        **{"start": 1723161240000000, "open": "60120.5", "high": "60121", "low": "60120.5", "close": close},
        **{"volume": "1.5", "notional": "90181.25", "vwap": "60120.83333333", "buy_volume": "1", "trades": trades},
        **{"first_sequence": 7001, "last_sequence": 7000 + trades, "closed": True},
    }


_TEXT = {"type": "string"}
_NUMBER = {"type": "integer"}
_TIME = {"oneOf": [{"type": "integer"}, {"type": "string", "format": "date-time"}]}
_BAR = {
    "oneOf": [{"type": "null"}, {"type": "object"}],
    "description": "The bar as the route of its view gives it; null where there was none.",
}
_OF_LATE = {"type": ["integer", "null"], "description": "Position of the first late trade; null for other causes."}

_ITEM: dict[str, Any] = {
    "version": {
        **_NUMBER,
        "description": "The version that recorded it; a move of the pointer has a number of its own.",
    },
    "view": _TEXT,
    "venue": _TEXT,
    "symbol": _TEXT,
    "interval": {**_TEXT, "description": "Length of the bar, one that batch publishes."},
    "created": {**_TIME, "description": "When the version was made, or the pointer moved."},
    "start": {**_TIME, "description": "Start of the bar."},
    "cause": {"enum": list(CAUSES)},
    "partition": _OF_LATE,
    "offset": _OF_LATE,
    "trades": {"type": ["integer", "null"], "description": "Trades that changed it; null where it was none."},
    "before": _BAR,
    "after": _BAR,
}

RESTATEMENTS_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "restatements": {
            "type": "array",
            "items": {"type": "object", "properties": _ITEM, "required": list(_ITEM), "additionalProperties": False},
        },
        "next": {"type": ["string", "null"], "description": "The cursor of the next page."},
        "meta": {"type": "object", "properties": {"version": _NUMBER}, "required": ["version"]},
    },
    "required": ["restatements", "next", "meta"],
    "additionalProperties": False,
    "example": {
        "restatements": [
            {
                **{"version": 8, "view": "bars", "venue": "binance", "symbol": "BTCUSDT", "interval": "1m"},
                **{"created": 1723161300000000, "start": 1723161240000000, "cause": "late_trade"},
                **{"partition": 2, "offset": 70411, "trades": 1},
                "before": _bar("60120.5", 2),
                "after": _bar("60121", 3),
            }
        ],
        "next": "eyJ2ZXJzaW9uIjo5fQ",
        "meta": {"version": 9},
    },
}
"""The JSON schema of an answer."""
