"""The parameters that ask for keys of a view, made from its declaration: the entity, and further columns by name.

/v1/bars?venue=x&symbol=BTC,ETH        the entity: its last column may be several values
/v1/flow?venue=x&symbol=BTC&side=buy   of the further columns those that are named; without, all rows
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema

from serving.query.parameters import MOST_SYMBOLS, integer, matching, one_of, several
from slackwater.streams.columns import Choice, Text
from slackwater.streams.entities import Entity
from slackwater.streams.stream import Stream
from slackwater.views.kinds import Value
from slackwater.views.view import View

_BOUND = 2**63
PREFIX = "key_"
"""Of the attributes: a column may have any name, such as one that every model has already."""

_EXAMPLES = {"venue": "binance_spot", "symbol": "BTCUSDT"}


def key_fields(view: View) -> dict[str, Any]:
    """The fields that a view's key gives the model of its query, in order; those of the entity are required."""
    found: dict[str, Any] = {}
    for name in view.entity[:-1]:
        read, schema = _column(view, name)
        found[name] = _field(read, schema, ..., name, f"The {name}.")
    last = view.entity[-1]
    read, schema = _column(view, last)
    text = f"The {last}; several with commas between."
    found[last] = _field(several(last, read), _several_schema(schema), ..., last, text)
    for name in view.rest:
        read, schema = _column(view, name)
        found[name] = _field(read, schema, None, name, f"Rows of this {name} alone.")
    return {PREFIX + name: field for name, field in found.items()}


def entity_fields(stream: Stream) -> dict[str, Any]:
    """The fields that ask for one entity of a stream."""
    found: dict[str, Any] = {}
    for name in stream.entity:
        read, schema = _text(_text_column(stream, name))
        found[PREFIX + name] = _field(read, schema, ..., name, f"The {name}.")
    return found


def entity_of(stream: Stream, query: object) -> Entity:
    """The entity that a query with these fields asks for."""
    return tuple(getattr(query, PREFIX + name) for name in stream.entity)


def filter_fields(streams: Iterable[Stream]) -> dict[str, Any]:
    """The fields that pick among the entities of several streams, by a value of a column or several."""
    patterns: dict[str, dict[str, None]] = {}
    for stream in streams:
        for name in stream.entity:
            patterns.setdefault(name, {})[_text_column(stream, name).pattern] = None
    found: dict[str, Any] = {}
    for name, different in patterns.items():
        read, schema = _text(Text(name, "|".join(different)))
        text = f"The {name}; several with commas between. Default: all."
        found[PREFIX + name] = _field(several(name, read), _several_schema(schema), None, name, text)
    return found


def wanted_values(stream: Stream, query: object) -> tuple[tuple[str, ...], ...] | None:
    """What a query with these fields gives for each entity column of a stream, empty: any value.

    None where it names a column that the stream does not have.
    """
    given = {name.removeprefix(PREFIX): values for name, values in vars(query).items() if name.startswith(PREFIX)}
    wanted = {name: values for name, values in given.items() if values is not None}
    return tuple(wanted.get(name, ()) for name in stream.entity) if wanted.keys() <= {*stream.entity} else None


def _field(read: Callable[[str], Any], schema: Mapping[str, Any], default: Any, name: str, text: str) -> Any:
    kind = Annotated[Any, BeforeValidator(read), WithJsonSchema(dict(schema))]
    return kind, Field(default, alias=name, description=text)


def _column(view: View, name: str) -> tuple[Callable[[str], Value], dict[str, Any]]:
    """How a value of a key column is read, and its JSON schema."""
    column = None if name in view.derived else next((each for each in view.stream.columns if each.name == name), None)
    if isinstance(column, Choice):
        return one_of(*column.values), {"enum": list(column.values)}
    if isinstance(column, Text):
        return _text(column)
    if view.key_columns[view.key.index(name)].kind.python is int:
        return integer, {"type": "integer", "minimum": -_BOUND, "maximum": _BOUND - 1}
    return str, {"type": "string"}


def _text_column(stream: Stream, name: str) -> Text:
    column = stream.column(name)
    assert isinstance(column, Text)  # noqa: S101 - as a stream is declared
    return column


def _text(column: Text) -> tuple[Callable[[str], Value], dict[str, Any]]:
    name, examples = column.name, {}
    if name in _EXAMPLES:
        examples = {"examples": [_EXAMPLES[name]]}
    read = matching(column.pattern, f"a {name} is {column.pattern}")
    whole = f"(?:{column.pattern})" if "|" in column.pattern else column.pattern
    return read, {"type": "string", "pattern": f"^{whole}$", **examples}


def _several_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of one value, or several with commas between."""
    one = schema.get("pattern", "^[^,]+$")[1:-1] if "enum" not in schema else "|".join(map(re.escape, schema["enum"]))
    given = schema.get("examples", [])
    examples = {"examples": [*given, ",".join([*given, "ETHUSDT"])]} if given else {}
    return {"type": "string", "pattern": f"^(?:{one})(?:,(?:{one})){{0,{MOST_SYMBOLS - 1}}}$", **examples}
