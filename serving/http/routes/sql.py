"""`POST /v1/sql`: one SELECT over the merged views. Needs a key of the scope admin; not there unless it is turned on.

Not here: what answers it (`serving.sql.routes`), what it takes and gives (`serving.sql.schema`).
"""

from serving.http.route import Route
from serving.options import ServingOptions
from serving.query.bases import Bases
from serving.sql.routes import SqlRoute
from serving.sql.schema import SqlQuery, SqlResult
from serving.status.metrics import Metrics
from serving.store.hot import HotStore
from slackwater.keys.keyring import KeyRing
from slackwater.versions.inspector import Inspector
from slackwater.versions.store import VersionStore


def routes(
    bases: Bases,
    hot: HotStore,
    inspector: Inspector,
    keys: KeyRing,
    store: VersionStore,
    metrics: Metrics,
    options: ServingOptions,
) -> list[Route]:
    """See `serving.http.route`."""
    if options.sql is None:
        return []
    of = SqlRoute(bases, hot, inspector, keys, store.home, metrics, options.sql)
    text = "One SELECT over the merged views of one basis, read only. Needs a key of the scope admin."
    refusals, lag = (413, 415, 422, 504), ("Slackwater-Lag-Records",)
    return [
        Route(
            *("/v1/sql", of.answer, text, "data", SqlResult, refusals, "POST"),
            cached=False,
            headers=lag,
            body=SqlQuery,
            close=of.close,
        )
    ]
