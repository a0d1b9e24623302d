"""The parameters of a stream, checked before it begins."""

from functools import cache, cached_property
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field, WithJsonSchema, create_model, model_validator

from serving.query.fields import IDS_TEXT, TIMES_TEXT, IdsField, Parameters, TimesField, whole_field
from serving.query.keys import key_fields
from serving.query.parameters import ValueRefusedError, interval, matching
from serving.query.questions import check_names, fingerprint, keys_of
from serving.store.request import Keys
from serving.stream.read_point import TOKEN
from slackwater.http.problems import refusal
from slackwater.views.interval import INTERVALS, Interval, parse_interval
from slackwater.views.view import View

MOST_INTERVALS = 8
MOST_SERIES = 64
MOST_SNAPSHOT_BARS = 1_000
MOST_BARS_OF_ALL = 20_000


def _intervals(text: str) -> tuple[Interval, ...]:
    """Reads one interval, or several with commas between, each once, in their order."""
    found = tuple(interval(each) for each in text.split(",", MOST_INTERVALS))
    if len({each.us for each in found}) != len(found) or len(found) > MOST_INTERVALS:
        raise ValueRefusedError(f"give each interval once, at most {MOST_INTERVALS}")
    return found


_INTERVALS = {
    "type": "string",
    "pattern": f"^(?:{'|'.join(INTERVALS)})(?:,(?:{'|'.join(INTERVALS)})){{0,{MOST_INTERVALS - 1}}}$",
    "default": "1m",
    "examples": ["1m", "1s,1m"],
}
_event_id = matching(TOKEN.pattern, "give the `id` of an event as it came")
_Intervals = Annotated[Any, BeforeValidator(_intervals), WithJsonSchema(_INTERVALS)]
_EventId = Annotated[
    str | None, BeforeValidator(_event_id), WithJsonSchema({"type": "string", "pattern": f"^{TOKEN.pattern}$"})
]


class StreamQuery(Parameters):
    """A question for a stream."""

    view: ClassVar[View]

    interval: _Intervals = Field(
        default_factory=lambda: (parse_interval("1m"),),
        description="Length of a bar; several with commas between. Default 1m.",
    )
    limit: whole_field(0, MOST_SNAPSHOT_BARS) = Field(  # type: ignore[valid-type]
        100, description=f"Bars of each symbol and interval in a snapshot, up to {MOST_SNAPSHOT_BARS}."
    )
    times: TimesField = Field("us", description=TIMES_TEXT)
    ids: IdsField = Field("auto", description=IDS_TEXT)
    last_event_id: _EventId = Field(
        None, description="Resume after the event of this id; the header `Last-Event-ID` means the same and goes first."
    )

    @model_validator(mode="after")
    def _together(self) -> "StreamQuery":
        base = self.view.intervals[0]
        if wrong := [each.text for each in self.interval if not base.tiles(each)]:
            raise refusal({"interval": f"{base.text} does not make up {', '.join(wrong)}"})
        series = len(self.keys.entities) * len(self.interval)
        if series > MOST_SERIES:
            raise refusal({"interval": f"times the symbols these are {series} series; a stream holds {MOST_SERIES}"})
        if series * self.limit > MOST_BARS_OF_ALL:
            detail = f"of each of {series} series are too many; at most {MOST_BARS_OF_ALL} bars in all"
            raise refusal({"limit": detail})
        return self

    def resumed(self, header: str | None) -> "StreamQuery":
        """The same with the header `Last-Event-ID`, which is empty where a client was to forget it.

        Raises:
            ProblemError: 422, it is no id.
        """
        if not header:
            return self
        try:
            return self.model_copy(update={"last_event_id": _event_id(header)})
        except ValueRefusedError as error:
            raise refusal({"Last-Event-ID": str(error)}) from error

    @cached_property
    def keys(self) -> Keys:
        """The requested keys. An unknown entity is waited for."""
        return keys_of(self.view, self)

    @property
    def fingerprint(self) -> str:
        """What the ids of this stream are bound to."""
        return fingerprint((self.keys, [each.text for each in self.interval], self.times, self.ids))


@cache
def stream_query_of(view: View) -> type[StreamQuery]:
    """The query of a view's stream.

    Raises:
        SettingError: a key has the name of another parameter.
    """
    check_names(view.name, view.key, StreamQuery)
    fields: dict[str, Any] = key_fields(view)
    base = view.intervals[0]
    if not base.tiles(parse_interval("1m")):
        text = f"Length of a bar; several with commas between. Default {base.text}."
        coarse = {"type": "string", "default": base.text, "examples": [base.text]}
        kind: Any = Annotated[Any, BeforeValidator(_intervals), WithJsonSchema(coarse)]
        fields["interval"] = kind, Field(default_factory=lambda: (base,), description=text)
    made = create_model(f"{view.name.title()}StreamQuery", __base__=StreamQuery, **fields)
    made.view = view
    return made
