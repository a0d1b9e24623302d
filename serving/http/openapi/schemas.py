"""The OpenAPI models of what routes answer with, each with an example. Those of rows are made from the view.

Objects are closed (`additionalProperties: false`), so that a member that nobody described is found by the test that
holds real answers against this document. Not here: problems (`serving.http.openapi.problems`), the document itself
(`serving.http.openapi.document`).
"""

from collections.abc import Mapping
from dataclasses import fields, make_dataclass
from typing import Any, get_args

from pydantic import TypeAdapter

from serving.http.routes.handoff import HANDOFF_SCHEMA
from serving.http.routes.restatements_schema import RESTATEMENTS_SCHEMA
from serving.sql.schema import SQL_SCHEMA
from serving.status.layers import State as LayerState
from slackwater.versions.manifest import Manifest
from slackwater.versions.retention import State
from slackwater.views.kinds import LARGEST_EXACT
from slackwater.views.view import View

Schema = dict[str, Any]

TIME: Schema = {
    "oneOf": [{"type": "integer", "minimum": 0}, {"type": "string", "format": "date-time"}],
    "description": "Microseconds since the epoch, UTC; ISO 8601 text where `times=iso` was asked for.",
}
DECIMAL: Schema = {
    "type": ["string", "number"],
    "pattern": r"^-?[0-9]+(\.[0-9]*[1-9])?$",
    "description": "Exact, as text, without exponent and without trailing zeros; or, by `numbers=float`, a number.",
}
INTEGER: Schema = {"type": "integer"}
ID: Schema = {
    "type": ["integer", "string"],
    "minimum": 0,
    "maximum": LARGEST_EXACT,
    "pattern": "^[0-9]+$",
    "description": "A number up to 2^53 - 1, text beyond; text always by `ids=text`.",
}
COUNT: Schema = {"type": "integer", "minimum": 0}
TEXT: Schema = {"type": "string"}
FLAG: Schema = {"type": "boolean"}
CURSOR: Schema = {
    "type": ["string", "null"],
    "description": "What `cursor` takes for the next page, which stands on the same moment; null behind the last.",
}
OFFSETS: Schema = {
    "type": "object",
    "description": "Offsets by partition.",
    "patternProperties": {"^[0-9]+$": COUNT},
    "additionalProperties": False,
}
COUNTS: Schema = {"type": "object", "additionalProperties": COUNT}
TEXTS: Schema = {"type": "object", "additionalProperties": TEXT}

_MEANINGS = {
    "start": "Start of the bar; it is half-open: [start, start + interval).",
    "open": "Price of the trade with the smallest id.",
    "close": "Price of the trade with the largest id.",
    "volume": "Sum of quantities; contracts for COIN-M, see `/v1/instruments`.",
    "notional": "Sum of price x quantity.",
    "vwap": "notional / volume, rounded half-even to 8 digits.",
    "buy_volume": "Quantity that takers bought.",
    "closed": "A trade of the instrument lies 2 s behind the bar's end; a change after that is a restatement.",
}


def closed_object(required: dict[str, Schema], optional: dict[str, Schema] | None = None, **more: Any) -> Schema:
    """An object with these members and no others."""
    return {
        "type": "object",
        "properties": {**required, **(optional or {})},
        "required": list(required),
        "additionalProperties": False,
        **more,
    }


def row_schema(view: View) -> Schema:
    """A row of a view: its further keys, start, answers and `closed`."""
    answers = {name: _answer_schema(view, name) for name in view.answers}
    keys = {column.name: column.kind.schema for column in view.key_columns[len(view.entity) :]}
    members = {**keys, "start": TIME, **answers, "closed": FLAG}
    for name, meaning in _MEANINGS.items():
        if name in members:
            members[name] = {**members[name], "description": meaning}
    optional = {
        "symbol": {**TEXT, "description": "Where several were asked for."},
        "explain": {"$ref": "#/components/schemas/Explanation"},
    }
    return closed_object(members, optional)


def _answer_schema(view: View, name: str) -> Schema:
    answer = view.answers[name]
    plain = dict(answer.schema(view.columns))
    if answer.gap is None:  # null in a bar that `fill` made
        plain["type"] = [*([plain["type"]] if isinstance(plain["type"], str) else plain["type"]), "null"]
    return plain


def events_schema(view: View, row: str) -> Schema:
    """One event of a view's stream; a stream is as many as come. `data` is JSON on one line."""
    changed = {"revision": {**INTEGER, "description": "Grows with every change of the bar."}, "correction": FLAG}
    bar = row_schema(view)
    bar = closed_object({**bar["properties"], "symbol": TEXT, "revision": changed["revision"]}, changed)
    bar["required"] = [name for name in bar["required"] if name != "explain"]
    del bar["properties"]["explain"]
    several = {"type": "array", "items": bar}
    bars = closed_object({"interval": TEXT, "bars": several, "meta": {"$ref": "#/components/schemas/Meta"}})
    beat = closed_object({"applied": OFFSETS, "lag": COUNT, "version": COUNT, "complete": FLAG}, {"reason": TEXT})
    data: dict[str, Schema] = {
        "snapshot": bars,
        view.name: bars,
        "version": {"$ref": "#/components/schemas/Meta"},
        "heartbeat": beat,
        "end": {"$ref": "#/components/schemas/Problem"},
    }
    told = {
        "type": "object",
        "properties": {"event": TEXT, "id": TEXT, "data": TEXT, "retry": COUNT},
        "required": ["event", "data"],
    }
    each = [
        {
            "properties": {
                "event": {"const": name},
                "data": {"contentMediaType": "application/json", "contentSchema": of},
            }
        }
        for name, of in data.items()
    ]
    return {**told, "oneOf": each}


def page_schema(name: str, row: str, example: Any = None) -> Schema:
    """A page of rows: `{"<name>": [...], "next": ..., "meta": {...}}`."""
    rows = {"type": "array", "items": {"$ref": f"#/components/schemas/{row}"}}
    found = closed_object({name: rows, "next": CURSOR, "meta": {"$ref": "#/components/schemas/Meta"}})
    return {**found, "examples": [example]} if example is not None else found


META = closed_object(
    {
        "version": {**COUNT, "description": "The version of the batch views; 0: none was published."},
        "stream": {**TEXT, "description": "The stream that it stands on: the log whose partitions these are."},
        "cut": {**OFFSETS, "description": "Batch is what lies below, of the partitions of the asked instruments."},
        "applied": {**OFFSETS, "description": "The speed layer's part ends here."},
        "complete": {**FLAG, "description": "False where deltas may be missing; `reason` says why."},
        "layer": {"enum": ["merged", "batch", "speed"]},
    },
    {
        "definition": {**TEXT, "description": "The hash of the view's definition."},
        "reason": {**TEXT, "description": "Why it is not complete; only where it is not."},
        "refusal": {**TEXT, "description": "Why it answers from less than the newest."},
    },
    description="What an answer stands on.",
)

TRADE = closed_object(
    {
        "trade_id": {**TEXT, "description": "What tells the trade from all others of its instrument."},
        "sequence": {**ID, "description": "What orders the trades of an instrument."},
        "time": TIME,
        "price": DECIMAL,
        "quantity": DECIMAL,
        "side": {"enum": ["buy", "sell"], "description": "The taker's side."},
        "time_unit": {"enum": ["us", "ms", "s"], "description": "The unit in which the source measured the time."},
        "appended": {
            "anyOf": [TIME, {"type": "null"}],
            "description": "When the log took it; null for imported history.",
        },
        "partition": COUNT,
        "offset": {
            "type": ["integer", "null"],
            "description": "Null for imported history, which never was in the log.",
        },
        "index": {"type": ["integer", "null"], "description": "The place in the record."},
    }
)

INSTRUMENT = closed_object(
    {
        "venue": TEXT,
        "symbol": TEXT,
        "partition": COUNT,
        "first_start": {**TIME, "description": "Start of its first second with a trade."},
        "last_start": {**TIME, "description": "Start of its last second with a trade."},
        "quantity_unit": {"enum": ["base", "contracts"]},
        "duplicates": {**COUNT, "description": "Of the instrument in the batch view, in all partitions together."},
    }
)

_FORCED = {"oneOf": [{"type": "null"}, closed_object({"by": TEXT, "reason": TEXT})]}

PROOF = closed_object(
    {
        "outcome": {"enum": ["equal", "different", "unproven"]},
        "reason": TEXT,
        "records": {**COUNT, "description": "Offsets between the cuts."},
        "gap": COUNT,
        "overlap": COUNT,
        "compared": {**COUNT, "description": "States compared."},
        "differ": COUNT,
        "forced": _FORCED,
    },
    description="The proof of a hand-off in a line.",
)

VERSION = closed_object(
    {
        "version": COUNT,
        "parent": COUNT,
        "created": {**COUNT, "description": "Microseconds since the epoch, UTC."},
        "run_id": TEXT,
        "cut": {"type": "object", "additionalProperties": OFFSETS, "description": "Stream -> partition -> offset."},
        "counts": {"type": "object", "additionalProperties": COUNTS, "description": "Stream -> what -> how many."},
        "restated": COUNTS,
        "definitions": TEXTS,
        "proof": {"$ref": "#/components/schemas/Proof"},
        "state": {"enum": [*get_args(State), "unknown"]},
    }
)

_MOVE = {
    "move": COUNT,
    "from": {"type": ["integer", "null"]},
    "to": COUNT,
    "restated": COUNTS,
    "untold": {**TEXT, "description": "Why the restatements are not all, if they are not."},
    "at": {**COUNT, "description": "Microseconds since the epoch, UTC."},
    "by": TEXT,
    "reason": TEXT,
}
MOVE = closed_object(_MOVE, description="A rollback or a promotion, as it was recorded.")
SERVED = {"type": ["integer", "null"], "description": "The version that is served."}
ROLLED_BACK = closed_object({**_MOVE, "served": SERVED})

_LAYER = {
    "type": "object",
    "properties": {
        "state": {"enum": list(get_args(LayerState))},
        "text": TEXT,
        "since": {"type": ["integer", "null"], "description": "When this began, microseconds; null while it is up."},
        "lag": {**COUNT, "description": "Records of the log that are not applied; of the speed layer."},
        "applied": {**COUNT, "description": "Records that were applied in all; of the speed layer."},
    },
    "required": ["state", "text", "since"],
}

READINESS = {
    "type": "object",
    "properties": {
        "ready": FLAG,
        "reasons": {"type": "array", "items": TEXT, "description": "What is missing, each in a sentence."},
        "version": SERVED,
        "proof": {"$ref": "#/components/schemas/Proof"},
        "layers": {"type": "object", "additionalProperties": _LAYER},
    },
    "required": ["ready", "reasons", "version"],
    "description": "Whether the full promise is kept now. More members may come.",
    "examples": [{"ready": True, "reasons": [], "version": 7, "layers": {}}],
}

EXPLANATION: Schema = {
    "type": "object",
    "description": "With `explain=true`: the batch part of a bar, each delta's part, and their merge.",
    "properties": {
        "batch": {"type": ["object", "null"]},
        "deltas": {
            "type": "array",
            "items": closed_object({"partition": COUNT, "start": COUNT, "upto": COUNT, "part": {"type": "object"}}),
        },
        "merged": {"type": ["object", "null"]},
    },
    "required": ["batch", "deltas", "merged"],
    "additionalProperties": False,
}


def manifest_schemas() -> dict[str, Schema]:
    """The models of one version's manifest, made from its dataclasses; see `serving.http.routes.catalog` for what is
    not given.
    """
    given = [(each.name, Mapping[str, int] if each.name == "instruments" else each.type) for each in fields(Manifest)]
    model: TypeAdapter[Any] = TypeAdapter(make_dataclass("Manifest", given))
    found = model.json_schema(ref_template="#/components/schemas/Manifest{model}", mode="serialization")
    parts = {f"Manifest{name}": part for name, part in found.pop("$defs").items()}
    del found["properties"]["ids"]
    found["required"] = list(found["properties"])
    for part in (found, *parts.values()):
        part.pop("title", None)
        part["additionalProperties"] = False
    return {"Manifest": found, **parts}


_EXAMPLE_BAR = {
    "start": 1795263240000000,
    "open": "61632.13",
    "high": "61700",
    "low": "61626.2",
    "close": "61683.83",
    "volume": "26.96074",
    "notional": "1662765.726949",
    "vwap": "61673.59378671",
    "buy_volume": "15.10691",
    "trades": 1106,
    "first_sequence": 5940165623,
    "last_sequence": 5940166728,
    "closed": False,
}
_EXAMPLE_META = {
    "version": 1,
    "definition": "e87b8e43e1adb4a3",
    "stream": "trades",
    "cut": {"2": 437},
    "applied": {"2": 637},
    "complete": True,
    "layer": "merged",
}
BARS_EXAMPLE = {"bars": [_EXAMPLE_BAR], "next": None, "meta": _EXAMPLE_META}
_EXAMPLE_TRADE = {
    "trade_id": "5940165623",
    "sequence": 5940165623,
    "time": 1795263240012000,
    "price": "61632.13",
    "quantity": "0.00162",
    "side": "buy",
    "time_unit": "us",
    "appended": 1795263240019000,
    "partition": 2,
    "offset": 421,
    "index": 0,
}
_MERGED = {name: value for name, value in _EXAMPLE_META.items() if name != "definition"}
TRADES_EXAMPLE = {"trades": [_EXAMPLE_TRADE], "next": None, "meta": _MERGED}

STREAM_EXAMPLE = """\
retry: 2000

id: MS4yLjYzNw
event: snapshot
data: {"interval":"1m","bars":[{"symbol":"BTCUSDT","start":1795263240000000,"revision":637}],"meta":{"version":1}}

id: MS4yLjYzOQ
event: heartbeat
data: {"applied":{"2":639},"lag":0,"version":1,"complete":true}

"""


def schemas() -> dict[str, Schema]:
    """Every component that does not depend on the views."""
    return {
        "Meta": META,
        "Explanation": EXPLANATION,
        "Trade": TRADE,
        "TradesPage": page_schema("trades", "Trade", TRADES_EXAMPLE),
        "Instrument": INSTRUMENT,
        "Instruments": closed_object(
            {
                "instruments": {"type": "array", "items": {"$ref": "#/components/schemas/Instrument"}},
                "next": CURSOR,
                "version": COUNT,
                "complete": {**FLAG, "description": "False where instruments may be missing; `reason` says why."},
            },
            {"reason": {**TEXT, "description": "Why it is not complete; only where it is not."}},
        ),
        "Restatements": RESTATEMENTS_SCHEMA,
        "Proof": PROOF,
        "Version": VERSION,
        "Move": MOVE,
        "RolledBack": ROLLED_BACK,
        "SqlResult": SQL_SCHEMA,
        "Versions": closed_object(
            {
                "versions": {"type": "array", "items": {"$ref": "#/components/schemas/Version"}},
                "served": SERVED,
                "rollbacks": {"type": "array", "items": {"$ref": "#/components/schemas/Move"}},
            }
        ),
        "Handoff": HANDOFF_SCHEMA,
        "Liveness": closed_object({"live": {"const": True}}),
        "Readiness": READINESS,
        **manifest_schemas(),
    }
