"""The route of one view with a cache of its own, past the application."""

from typing import Any

from serving.http.formats.export import Exporter
from serving.http.reply import CachedReplies
from serving.http.routes.bars import BarsRoute
from serving.query.questions import query_of
from serving.service import Service


def bars_route(service: Service, name: str, cached: CachedReplies[Any] | None = None) -> BarsRoute:
    """The route of the view of a name; without `cached` it sends nothing again."""
    exporter = Exporter(service.bases, service.exports, service.inspector, service.options.exports)
    cached = CachedReplies(0) if cached is None else cached
    views = tuple(view for view in service.views if view.name == name)
    parts = service.bases, service.rows, service.pool, cached, exporter, service.archived_ids
    return BarsRoute(name, views, query_of(views[0]), *parts)
