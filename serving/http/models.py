"""The parts that the models of several routes' answers share. They describe answers; none is made of them.

Models are closed, so that a member that nobody described is found by the test that holds real answers against the
document. A route's own models stand in its file.
"""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema, create_model

from slackwater.streams.stream import Stream
from slackwater.views.kinds import LARGEST_EXACT
from slackwater.views.view import View

Schema = dict[str, Any]

TIME: Schema = {
    "oneOf": [{"type": "integer", "minimum": 0}, {"type": "string", "format": "date-time"}],
    "description": "Microseconds since the epoch, UTC; ISO 8601 text where the request has `times=iso`.",
}
DECIMAL: Schema = {
    "type": ["string", "number"],
    "pattern": r"^-?[0-9]+(\.[0-9]*[1-9])?$",
    "description": "Exact, as text, without exponent and without trailing zeros; or, by `numbers=float`, a number.",
}
ID: Schema = {
    "type": ["integer", "string"],
    "maximum": LARGEST_EXACT,
    "description": "A number up to 2^53 - 1, text above; text always by `ids=text`.",
}

Time = Annotated[Any, WithJsonSchema(TIME)]
Count = Annotated[int, Field(ge=0)]
Micros = Annotated[int, Field(ge=0, description="Microseconds since the epoch, UTC.")]
Counts = dict[str, Count]
Offsets = Annotated[
    dict[str, int],
    WithJsonSchema(
        {
            "type": "object",
            "description": "Offsets by partition.",
            "patternProperties": {"^[0-9]+$": {"type": "integer", "minimum": 0}},
            "additionalProperties": False,
        }
    ),
]
Next = Annotated[
    str | None,
    Field(description="What `cursor` takes for the next page, which reads from the same basis; null after the last."),
]
Served = Annotated[int | None, Field(description="The version that is served.")]


class Closed(BaseModel):
    """An object with these members and no others."""

    model_config = ConfigDict(extra="forbid")


def absent(text: str | None = None) -> Any:
    """A member that is not always there."""
    return Field(default_factory=lambda: None, description=text)


def entity_members(streams: Iterable[Stream]) -> dict[str, Any]:
    """The members of an item that name its entity: it has those of its own stream."""
    given = [*streams]
    names = dict.fromkeys(name for stream in given for name in stream.entity)
    return {name: (str, ... if all(name in each.entity for each in given) else absent()) for name in names}


def page_of(title: str, name: str, row: Any, meta: type[BaseModel], example: Schema | None = None) -> type[BaseModel]:
    """A page of rows: `{"<name>": [...], "next": ..., "meta": {...}}`."""
    members: dict[str, Any] = {name: (list[row], ...), "next": (Next, ...), "meta": (meta, ...)}
    made: type[BaseModel] = create_model(title, __base__=Closed, **members)
    if example is not None:
        made.model_config["json_schema_extra"] = {"examples": [example]}
    return made


class Meta(Closed):
    """What an answer was read from."""

    version: Annotated[Count, Field(description="The version of the batch views; 0: none was published.")]
    stream: Annotated[str, Field(description="The stream that it was read from: the log whose partitions these are.")]
    cut: Annotated[Offsets, Field(description="Batch is what lies below, of the partitions of the asked instruments.")]
    applied: Annotated[Offsets, Field(description="The speed layer's part ends here.")]
    complete: Annotated[bool, Field(description="False where deltas may be missing; `reason` says why.")]
    layer: Literal["merged", "batch", "speed"]
    definition: str = absent("The hash of the view's definition.")
    reason: str = absent("Why it is not complete; only where it is not.")
    refusal: str = absent("Why it answers from less than the newest.")


META_EXAMPLE: dict[str, Any] = {
    "version": 1,
    "definition": "516cd7a36bd0bc2c",
    "stream": "trades",
    "cut": {"2": 437},
    "applied": {"2": 637},
    "complete": True,
    "layer": "merged",
}


class ForcedBy(Closed):
    """Who published a version whose proof failed, and why."""

    by: str
    reason: str


class ProofLine(Closed):
    """The proof of a hand-off in a line."""

    outcome: Literal["equal", "different", "unproven"]
    reason: str
    records: Annotated[Count, Field(description="Offsets between the cuts.")]
    gap: Count
    overlap: Count
    compared: Annotated[Count, Field(description="States compared.")]
    differ: Count
    forced: ForcedBy | None


_MEANINGS = {
    "start": "Start of the bar; it is half-open: [start, start + interval).",
    "open": "Price of the first trade.",
    "close": "Price of the last trade.",
    "volume": "Sum of quantities; contracts for COIN-M, see `/v1/instruments`.",
    "notional": "Sum of price x quantity.",
    "vwap": "notional / volume, rounded half-even to 8 digits.",
    "buy_volume": "Quantity that takers bought.",
    "closed": "A trade of the instrument lies 2 s behind the bar's end; a change after that is a restatement.",
}


def row_fields(view: View) -> dict[str, Any]:
    """The members of a row of a view that are always there: further keys, start, answers and `closed`."""
    members: dict[str, Any] = {column.name: column.kind.schema for column in view.key_columns[len(view.entity) :]}
    members |= {"start": TIME, **{name: _answer(view, name) for name in view.answers}, "closed": {"type": "boolean"}}
    return {
        name: Annotated[Any, WithJsonSchema({**schema, **({"description": m} if (m := _MEANINGS.get(name)) else {})})]
        for name, schema in members.items()
    }


def _answer(view: View, name: str) -> dict[str, Any]:
    answer = view.answers[name]
    plain = dict(answer.schema(view.columns))
    of_gap = view.answers.get(answer.gap or "")
    # Null in a bar that `fill` made, or where a state has no value.
    if answer.gap is None or answer.nullable or (of_gap is not None and of_gap.nullable):
        plain["type"] = [*types_of(plain), "null"]
    return plain


def types_of(schema: Mapping[str, Any]) -> list[str]:
    """The types that a schema names."""
    given = schema["type"]
    return [given] if isinstance(given, str) else list(given)
