"""A question for restatements, and how it is read from the ledger's files: which of them, and one SELECT."""

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, WithJsonSchema, create_model, model_validator

from serving.http.problems import gone
from serving.query.cursor import Cursor
from serving.query.fields import CursorField, DecimalParameters, PointField, UntilField
from serving.query.keys import filter_fields, wanted_values
from serving.query.parameters import Point
from serving.query.questions import LIMIT_TEXT, Limit, fingerprint, refuse
from slackwater.restatements.ledger import CAUSES, LATE, Entry
from slackwater.views.definitions import streams_of
from slackwater.views.session import files_sql
from slackwater.views.view import View

COLUMNS = (
    *("version", "number", "view", "venue", "symbol", "key", "interval", "start"),
    *("cause", "partition", "offset", "trades", "before", "after"),
)

_POINT = "a version's number, or a time: ISO 8601 UTC or microseconds since the epoch"
CauseName = Literal[*CAUSES]  # type: ignore[valid-type]


class RestatementsQuery(DecimalParameters):
    """Which restatements."""

    since: PointField = Field(
        None,
        description=f"What changed since then: {_POINT}. A number means the versions behind it, a time those made "
        "at or after it. Default: everything.",
    )
    until: UntilField = Field(None, description="Up to and with this version, or before this time.")
    cause: Annotated[CauseName | None, WithJsonSchema({"enum": list(CAUSES)})] = Field(
        None, description="Why it changed. Default: all."
    )
    limit: Limit = Field(500, description=LIMIT_TEXT)
    cursor: CursorField = Field(None, description="`next` of the page before; every other parameter stays as it was.")

    @model_validator(mode="after")
    def _together(self) -> "RestatementsQuery":
        since, until = self.since or Point(0, True), self.until
        behind = until is None or until.is_version != since.is_version or until.value > since.value
        refuse({} if behind else {"until": "is not behind since"})
        return self

    @property
    def fingerprint(self) -> str:
        """What a cursor of this question is bound to."""
        conditions = self.model_dump(exclude={"cursor", "format", "times", "numbers", "ids"})
        return fingerprint(("restatements", sorted(conditions.items())))


def query_of(views: tuple[View, ...]) -> type[RestatementsQuery]:
    """The query where there are these views."""
    names = [view.name for view in views]
    lengths = list(dict.fromkeys(interval.text for view in views for interval in view.intervals))
    return create_model(
        "RestatementsQuery",
        __base__=RestatementsQuery,
        view=(_one_of(names), Field(None, description="The view. Default: all.")),
        interval=(_one_of(lengths), Field(None, description="Length of a bar. Default: all that batch publishes.")),
        **filter_fields(streams_of(views)),
    )


def _one_of(words: list[str]) -> Any:
    return Annotated[Literal[*words] | None, WithJsonSchema({"enum": words})]


def entries_of(entries: Sequence[Entry], query: RestatementsQuery, cursor: Cursor | None) -> list[Entry]:
    """The parts of the ledger that can hold rows of the page."""
    if cursor is not None:
        version = cursor.after[0]
        if not any((entry.ledger.version, entry.ledger.file.sha256) == (version, cursor.pin) for entry in entries):
            raise gone(f"Version {version} was rolled back from.")
        entries = [entry for entry in entries if entry.ledger.version >= int(version)]
    return [
        entry
        for entry in entries
        if (query.since or Point(0, True)).before(entry.ledger.version, entry.ledger.created_us)
        and (query.until is None or not query.until.before(entry.ledger.version, entry.ledger.created_us))
        and (query.cause is None or entry.counts.get(query.cause))
    ]


def select_of(
    paths: Sequence[str], early: Sequence[int], query: RestatementsQuery, cursor: Cursor | None, views: Iterable[View]
) -> tuple[str, list[Any]]:
    """`early` are the versions whose late events are not listed."""
    condition, values = _of_views(views, query)
    conditions = [condition]
    if early:
        conditions.append("(cause <> ? OR NOT list_contains(?, version))")
        values += [LATE, [*early]]
    for name in ("interval", "cause"):
        if (value := getattr(query, name)) is not None:
            conditions.append(f"{name} = ?")
            values.append(value)
    if cursor is not None:
        conditions.append("(version, number) > (?, ?)")
        values += cursor.after
    columns = ", ".join(f'"{name}"' for name in COLUMNS)
    where = " AND ".join(conditions)
    order = f"ORDER BY version, number LIMIT {query.limit + 1}"
    return f"SELECT {columns} FROM {files_sql(paths)} WHERE {where} {order}", values


def _of_views(views: Iterable[View], query: Any) -> tuple[str, list[Any]]:
    """The condition of rows of the wanted views and entities: a view has the columns of its own stream."""
    conditions, found = ["false"], list[Any]()
    for view in views:
        wanted = wanted_values(view.stream, query)
        if wanted is None or query.view not in {None, view.name}:
            continue
        own, values = ["view = ?"], list[Any]([view.name])
        for number, several in enumerate(wanted):
            if several:
                text = f"split_part(symbol, chr(31), {number})" if number else "venue"
                own.append(f"list_contains(?, {text})")
                values.append([*several])
        conditions.append(f"({' AND '.join(own)})")
        found += values
    return f"({' OR '.join(conditions)})", found
