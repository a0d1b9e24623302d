"""Query parameters as fields of pydantic models: how each is read, and what the OpenAPI document says of it.

    class InstrumentsQuery(Parameters):
        limit: Limit = Field(500, description=LIMIT_TEXT)

FastAPI reads them of its own routes (`Annotated[InstrumentsQuery, Query()]`), `parsed` those of the direct way; both
refuse what is unknown, repeated, missing or wrong with the same problem. Not here: the readers of texts
(`serving.query.parameters`).
"""

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, TypeVar
from urllib.parse import parse_qsl

from fastapi import Path
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema

from serving.http.formats.negotiation import BY_NAME, FORMATS
from serving.http.formats.table import OutputForm
from serving.http.problems import unknown_version
from serving.query.parameters import (
    FIRST_US,
    LATEST_US,
    MOST_VERSIONS,
    Point,
    ValueRefusedError,
    as_of,
    interval,
    interval_of,
    matching,
    one_of,
    point,
    time_us,
    whole,
)
from slackwater.http.validation import refuse_repeated, refused
from slackwater.versions.pins import NAME_PATTERN
from slackwater.views.interval import INTERVALS, Interval

_LEAP = "(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:0[48]|[2468][048]|[13579][26])00)"
_DATE = (
    "(?:(?:(?:19[7-9]|[2-9][0-9]{2})[0-9])-(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])"
    "|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31)"
    f"|(?!0|1[0-8]|19[0-6]){_LEAP}-02-29)"
)
_ISO = rf"^{_DATE}(?:T(?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:\.[0-9]{{1,6}})?)?(?:Z|\+00:00))?$"
_TIME: dict[str, Any] = {
    "anyOf": [
        {"type": "integer", "minimum": FIRST_US, "maximum": LATEST_US - 1},
        {"type": "string", "pattern": _ISO},
    ],
    "examples": ["2026-01-31T09:30:00Z", 1769851800000000],
}
_END = {**_TIME, "examples": ["2026-01-31T10:30:00Z", 1769855400000000]}
"""Its examples lie behind those of a start, so that all examples of a route are one question."""

_POINT = {"anyOf": [{"type": "integer", "minimum": 0, "maximum": MOST_VERSIONS - 1}, *_TIME["anyOf"]], "examples": [7]}
_AS_OF = {**_POINT, "anyOf": [*_POINT["anyOf"], {"type": "string", "pattern": f"^{NAME_PATTERN}$"}]}
_CURSOR = "[A-Za-z0-9_-]{1,2000}"


_FORMATS = {"enum": [each.name for each in FORMATS]}


def interval_field(base: Interval, default: Interval) -> Any:
    """The type of an interval that the bars of `base` make up."""
    texts = [text for text, each in INTERVALS.items() if base.tiles(each)]
    schema = {"enum": texts, "default": default.text, "examples": [default.text]}
    return Annotated[Interval, BeforeValidator(interval_of(base, default.text)), WithJsonSchema(schema)]


IntervalField = Annotated[Interval, BeforeValidator(interval), WithJsonSchema({"enum": list(INTERVALS)})]
TimeField = Annotated[int | None, BeforeValidator(time_us), WithJsonSchema(_TIME)]
TimeNeeded = Annotated[int, BeforeValidator(time_us), WithJsonSchema(_TIME)]
EndField = Annotated[int | None, BeforeValidator(time_us), WithJsonSchema(_END)]
EndNeeded = Annotated[int, BeforeValidator(time_us), WithJsonSchema(_END)]
AtField = Annotated[int | None, BeforeValidator(time_us), WithJsonSchema({"anyOf": _TIME["anyOf"]})]
_read_cursor = matching(_CURSOR, "give the text of `next` as it came")
CursorField = Annotated[
    str | None, BeforeValidator(_read_cursor), WithJsonSchema({"type": "string", "pattern": f"^{_CURSOR}$"})
]
if TYPE_CHECKING:
    PointField: TypeAlias = Point | None
    UntilField: TypeAlias = Point | None
    AsOfField: TypeAlias = Point | str | None
else:  # FastAPI takes a tuple for a parameter that is given more than once
    PointField = Annotated[Any, BeforeValidator(point), WithJsonSchema(_POINT)]
    UntilField = Annotated[Any, BeforeValidator(point), WithJsonSchema({**_POINT, "examples": [9]})]
    AsOfField = Annotated[Any, BeforeValidator(as_of), WithJsonSchema(_AS_OF)]
FlagField = Annotated[bool, BeforeValidator(one_of("true", "false")), WithJsonSchema({"type": "boolean"})]

TimesField = Literal["us", "iso"]
TIMES_TEXT = "How times are written: microseconds, or ISO 8601."
IdsField = Literal["auto", "text"]
IDS_TEXT = "How ids are given in JSON: as numbers up to 2^53 - 1 and as text above that, or all as text."


def word_field(words: Sequence[str]) -> Any:
    """The type of one of some words, or None."""
    return Annotated[Literal[*words] | None, WithJsonSchema({"enum": [*words]})]


def whole_field(low: int, high: int, optional: bool = False) -> Any:
    """The type of a whole number in [low, high]."""
    schema = {"type": "integer", "minimum": low, "maximum": high}
    kind: Any = int | None if optional else int
    return Annotated[kind, BeforeValidator(whole(low, high)), WithJsonSchema(schema)]


def _version(text: str) -> int:
    try:
        return whole(0, 2**31)(text)
    except ValueRefusedError as error:
        raise unknown_version(text) from error


VersionPath = Annotated[
    int,
    Path(description="A version's number; `/v1/versions` lists them."),
    BeforeValidator(_version),
    WithJsonSchema({"type": "integer", "minimum": 1, "maximum": 2**31, "examples": [7]}),
]
"""A version of a path; what is none is as unknown as one that there is not."""


class Parameters(BaseModel):
    """The query of a route; without fields, of one that takes none."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class TableParameters(Parameters):
    """How a table is given."""

    times: TimesField = Field("us", description=TIMES_TEXT)
    format: Annotated[Literal["json", "ndjson", "csv", "arrow", "parquet"] | None, WithJsonSchema(_FORMATS)] = Field(
        None, description="The format; without it the one that `Accept` prefers."
    )

    @cached_property
    def output(self) -> OutputForm:
        """The same as a value."""
        return OutputForm(BY_NAME[self.format] if self.format else None, self.times == "iso", False)


class DecimalParameters(TableParameters):
    """How a table with decimals and ids is given."""

    numbers: Literal["exact", "float"] = Field(
        "exact",
        description="How decimals are given: exactly (as text, in Arrow and Parquet as decimals), or as the nearest "
        "doubles.",
    )
    ids: IdsField = Field("auto", description=IDS_TEXT)

    @cached_property
    def output(self) -> OutputForm:
        """The same as a value."""
        chosen = BY_NAME[self.format] if self.format else None
        return OutputForm(chosen, self.times == "iso", self.numbers == "float", self.ids == "text")


_P = TypeVar("_P", bound=Parameters)


def parsed(model: type[_P], query_string: bytes) -> _P:
    """The query of a request.

    Raises:
        ProblemError: 422, naming every parameter that is unknown, repeated, missing or wrong.
    """
    items = parse_qsl(query_string.decode("latin-1"), keep_blank_values=True)
    refuse_repeated(items)
    try:
        return model.model_validate(dict(items))
    except ValidationError as error:
        raise refused(error.errors(include_url=False), model) from error
