"""What a stream is asked for: its parameters, checked before it begins."""

from collections.abc import Iterable
from dataclasses import dataclass

from serving.http.problems import parameter_problem
from serving.query.keys import key_parameters, keys_of
from serving.query.parameters import (
    Parameter,
    ValueRefusedError,
    interval,
    one_of,
    read_parameters,
    whole,
)
from serving.query.questions import IDS, fingerprint
from serving.store.batch import Keys
from serving.stream.place import TOKEN
from slackwater.views.interval import Interval, parse_interval
from slackwater.views.view import View

MOST_INTERVALS = 8
MOST_SERIES = 64
MOST_SNAPSHOT_BARS = 1_000
MOST_BARS_OF_ALL = 20_000


def intervals(text: str) -> tuple[Interval, ...]:
    """Reads one interval, or several with commas between, each once, in their order."""
    found = tuple(interval(each) for each in text.split(",", MOST_INTERVALS))
    if len({each.us for each in found}) != len(found) or len(found) > MOST_INTERVALS:
        raise ValueRefusedError(f"give each interval once, at most {MOST_INTERVALS}")
    return found


def event_id(text: str) -> str:
    """Reads the id of an event."""
    if not TOKEN.fullmatch(text):
        raise ValueRefusedError("give the `id` of an event as it came")
    return text


_PARAMETERS: tuple[Parameter, ...] = (
    Parameter("interval", "Length of a bar; several with commas between. Default 1m.", intervals),
    Parameter(
        "limit",
        f"Bars of each symbol and interval in a snapshot, up to {MOST_SNAPSHOT_BARS}.",
        whole(0, MOST_SNAPSHOT_BARS),
        100,
        schema={"type": "integer", "minimum": 0, "maximum": MOST_SNAPSHOT_BARS},
    ),
    Parameter(
        "times",
        "How times are written: microseconds, or ISO 8601.",
        one_of("us", "iso"),
        "us",
        schema={"enum": ["us", "iso"]},
    ),
    IDS,
    Parameter(
        "last_event_id",
        "Go on behind the event of this id; the header `Last-Event-ID` says the same and counts more.",
        event_id,
    ),
)


def stream_parameters(view: View) -> tuple[Parameter, ...]:
    """The parameters of `GET /v1/stream/<view>`. An entity that is unknown is waited for."""
    return (*key_parameters(view), *_PARAMETERS)


@dataclass(frozen=True)
class StreamQuery:
    """A question for a stream."""

    keys: Keys
    intervals: tuple[Interval, ...]
    limit: int
    iso: bool
    text_ids: bool
    after: str | None

    @property
    def fingerprint(self) -> str:
        """What the ids of this stream are bound to."""
        return fingerprint((self.keys, [each.text for each in self.intervals], self.iso, self.text_ids))


def stream_query(view: View, items: Iterable[tuple[str, str]], last_event_id: str | None) -> StreamQuery:
    """The question of a query string and the header `Last-Event-ID`.

    Raises:
        ProblemError: 422.
    """
    found = read_parameters(stream_parameters(view), items)
    lengths = found["interval"] or (parse_interval("1m"),)
    keys = keys_of(view, found)
    series = len(keys.entities) * len(lengths)
    after = found["last_event_id"]
    if last_event_id:  # empty where a client was told to forget it
        try:
            after = event_id(last_event_id)
        except ValueRefusedError as error:
            raise parameter_problem([{"parameter": "Last-Event-ID", "detail": str(error)}]) from error
    if series > MOST_SERIES:
        detail = f"times the symbols these are {series} series; a stream holds {MOST_SERIES}"
        raise parameter_problem([{"parameter": "interval", "detail": detail}])
    if series * found["limit"] > MOST_BARS_OF_ALL:
        detail = f"of each of {series} series are too many; at most {MOST_BARS_OF_ALL} bars in all"
        raise parameter_problem([{"parameter": "limit", "detail": detail}])
    iso, text_ids = found["times"] == "iso", found["ids"] == "text"
    return StreamQuery(keys, lengths, found["limit"], iso, text_ids, after)
