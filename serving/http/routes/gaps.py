"""`/v1/gaps`: which ids are missing of entities whose venue's ids are dense, by the version and the chain as one.

A gap is known the moment a later id is there. Which ids it is, is known once a batch run has read what is around it;
before that, how many they are.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import Annotated, Any

import pyarrow as pa
from pydantic import BaseModel, Field, WithJsonSchema, create_model
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from serving.http.formats.negotiation import JSON
from serving.http.formats.table import ID_FIELD, TIME_TYPE, OutputForm
from serving.http.models import ID, TIME, Closed, Count, absent, entity_members, page_of
from serving.http.reply import Reply, read_headers
from serving.http.route import Route, asked
from serving.query.answer import Page, exact_json, page_reply, time_json
from serving.query.bases import Bases
from serving.query.basis import Basis
from serving.query.fields import IDS_TEXT, IdsField, TableParameters, whole_field
from serving.query.id_gaps import gaps_by_entity, id_places, starts_of
from serving.query.keys import filter_fields, wanted_values
from serving.query.pool import Pool
from serving.query.read import reading
from serving.store.archived_ids import ArchivedIds
from serving.store.hot import HotStore
from serving.store.listing import Wanted, listed
from serving.store.request import Entity
from slackwater.http.problems import refusal
from slackwater.store.gaps import Gap
from slackwater.streams.stream import Stream
from slackwater.versions.inspector import Inspector
from slackwater.views.view import View

MOST = 1_000
MOST_ENTITIES = 1_000
"""Entities that one answer looks at."""


class GapsQuery(TableParameters):
    """Which gaps: of entities whose ids are dense; all of them without a filter."""

    limit: whole_field(1, MOST) = Field(100, description=f"At most so many, up to {MOST}.")  # type: ignore[valid-type]
    ids: IdsField = Field("auto", description=IDS_TEXT)


class IdGap(Closed):
    """Ids of an entity that are missing."""

    stream: str
    first: Annotated[Any, WithJsonSchema(ID)]
    last: Annotated[Any, WithJsonSchema({**ID, "description": "In the gap, as `first`."})]
    missing: Annotated[Count, Field(description="How many of them are missing.")]
    exact: Annotated[bool, Field(description="Whether all of them are; else the next batch run says which.")]
    after: Annotated[Any, WithJsonSchema({**TIME, "description": "Start of the second with the id before the gap."})]
    before: Annotated[Any, WithJsonSchema({**TIME, "description": "Start of the second with the id behind the gap."})]


class GapsMeta(Closed):
    """What the list was read from."""

    version: Count
    complete: Annotated[bool, Field(description="False where ids may be there that are not known; `reason` says why.")]
    reason: str = absent("Why it is not complete; only where it is not.")
    gaps: Annotated[Count, Field(description="Of all that were asked for, beyond the limit, too.")]
    missing: Annotated[Count, Field(description="Ids that are missing in them.")]


@cache
def query_of(streams: tuple[Stream, ...]) -> type[GapsQuery]:
    """The query where there are these streams."""
    return create_model("GapsQuery", __base__=GapsQuery, **filter_fields(streams))


@cache
def page_model(streams: tuple[Stream, ...]) -> type[BaseModel]:
    """The answer."""
    item: Any = create_model("IdGap", __base__=IdGap, **entity_members(streams))
    return page_of("Gaps", "gaps", item, GapsMeta)


def gaps_schema(streams: Iterable[Stream]) -> pa.Schema:
    """The types of a row."""
    names = dict.fromkeys(name for stream in streams for name in stream.entity)
    ids = [pa.field(name, pa.int64(), nullable=False, metadata=ID_FIELD) for name in ("first", "last")]
    return pa.schema(
        [
            pa.field("stream", pa.string(), nullable=False),
            *(pa.field(name, pa.string()) for name in names),
            *ids,
            pa.field("missing", pa.int64(), nullable=False),
            pa.field("exact", pa.bool_(), nullable=False),
            pa.field("after", TIME_TYPE),
            pa.field("before", TIME_TYPE),
        ]
    )


@dataclass(frozen=True)
class GapsRoute:
    """Answers `GET /v1/gaps`. `views` are those of each stream that may say which ids their bars hold."""

    views: Mapping[Stream, Sequence[str]]
    schema: pa.Schema
    bases: Bases
    hot: HotStore
    pool: Pool
    ids: ArchivedIds
    inspector: Inspector

    async def answer(self, scope: Scope, query: GapsQuery) -> Response:
        """The gaps. Raises ProblemError."""
        request_headers = read_headers(scope)
        output = query.output.chosen(request_headers.accept)
        snapshot = self.bases.snapshot()  # what is not served is refused before a thread is taken for it

        def made() -> Reply:
            with reading(snapshot.version):
                return page_reply(self._page(query, output), output, request_headers, scope)

        return (await self.pool.run(made)).response(request_headers, scope["method"] == "HEAD")

    def _page(self, query: GapsQuery, output: OutputForm) -> Page:
        items, reasons = list[dict[str, Any]](), list[str]()
        gaps, missing = 0, 0
        for stream, names in self.views.items():
            values = wanted_values(stream, query)
            view = self._view(names)
            if values is None or view is None:
                continue
            basis = self.bases.whole(view)
            if basis.incomplete_reason is not None:
                reasons.append(basis.incomplete_reason)
            found = gaps_by_entity(basis, self.ids, self._entities(basis, values))
            gaps += sum(len(of.gaps) for of in found.values())
            missing += sum(of.missing for of in found.values())
            for entity, of in found.items():
                some = list(islice(reversed(of.gaps), max(0, query.limit - len(items))))
                items += self._items(basis, entity, some, query.ids == "text", output)
        meta: dict[str, Any] = {"version": self.bases.snapshot().version, "complete": not reasons}
        meta |= {"reason": " ".join(reasons)} if reasons else {}
        return Page("gaps", lambda: self.schema, lambda: items, {**meta, "gaps": gaps, "missing": missing})

    def _view(self, names: Sequence[str]) -> str | None:
        """One of these views that the version answers for."""
        snapshot = self.bases.snapshot()
        known = (name for name in names if name in snapshot.views and name not in snapshot.refused_views)
        return next((name for name in known if id_places(snapshot.views[name]) is not None), None)

    def _entities(self, basis: Basis, values: tuple[tuple[str, ...], ...]) -> list[Entity]:
        """The entities that were asked for and whose ids are dense."""
        dense = basis.view.stream.dense_venues
        venues = tuple(venue for venue in values[0] if venue in dense) if values[0] else dense
        if not venues:
            return []
        wanted = Wanted((venues, *values[1:]))
        places = listed(basis.snapshot, self.hot, basis.view, basis.ends, wanted, MOST_ENTITIES * 2)
        found = list(dict.fromkeys(place.entity for place in places))
        if len(found) > MOST_ENTITIES:
            last = basis.view.stream.entity[-1]
            raise refusal({last: f"is needed: there are more than {MOST_ENTITIES} that are looked at for one answer"})
        return found

    def _items(
        self, basis: Basis, entity: Entity, gaps: Sequence[Gap], as_text: bool, output: OutputForm
    ) -> Iterator[dict[str, Any]]:
        beside = {number for gap in gaps for number in (gap.first - 1, gap.last + 1)}
        starts = starts_of(basis, entity, beside, self.inspector)
        text = output.of.text
        for gap in gaps:
            times = starts.get(gap.first - 1), starts.get(gap.last + 1)
            yield {
                "stream": basis.view.stream.name,
                **dict(zip(basis.view.stream.entity, entity, strict=True)),
                "first": exact_json(gap.first, as_text) if output.of is JSON else gap.first,
                "last": exact_json(gap.last, as_text) if output.of is JSON else gap.last,
                "missing": gap.missing,
                "exact": gap.exact,
                **{
                    name: at if at is None else time_json(at, output.iso and text)
                    for name, at in zip(("after", "before"), times, strict=True)
                },
            }


def routes(
    views: tuple[View, ...], bases: Bases, hot: HotStore, pool: Pool, archived_ids: ArchivedIds, inspector: Inspector
) -> list[Route]:
    """See `serving.http.route`."""
    named: dict[Stream, list[str]] = {}
    for view in views:
        if id_places(view) is not None and view.name not in named.setdefault(view.stream, []):
            named[view.stream].append(view.name)
    streams = tuple(named)
    if not streams:
        return []
    of = GapsRoute(named, gaps_schema(streams), bases, hot, pool, archived_ids, inspector)
    model = query_of(streams)

    async def answer(request: Request, query: GapsQuery) -> Response:
        return await of.answer(request.scope, query)

    text = "Ids that are missing where a venue's ids are dense: gaps in the data, with the times beside them."
    return [Route("/v1/gaps", asked(model, answer), text, "data", page_model(streams), (422, 504), table=True)]
