"""Quantiles of a range: the rows of whole starts, spread over their buckets (`slackwater.views.quantiles`).

read ROOM rows -> the last start may be cut: leave it for the next read -> spread -> until there are `limit`
"""

from serving.http.problems import ProblemError
from serving.query.basis import Basis
from serving.query.read import BatchRows, place_of, read
from serving.store.batch import Keys, Range
from serving.store.row_cache import first
from slackwater.views.quantiles import QuantileRow, quantile_rows

ROOM = 20_000
"""Rows that are read at once."""


async def read_quantiles(basis: Basis, keys: Keys, of: Range, batch: BatchRows) -> list[QuantileRow]:
    """The first (or last) quantiles of a range with a limit, in order. Raises ProblemError."""
    found: list[QuantileRow] = []
    for one in keys.each():
        found += await _of_entity(basis, one, of._replace(after=()), batch)
    behind = [each for each in found if not of.after or place_of(each) > of.after]
    return first(sorted(behind, key=place_of), of)


async def _of_entity(basis: Basis, one: Keys, of: Range, batch: BatchRows) -> list[QuantileRow]:
    most, found = of.limit or 0, list[QuantileRow]()
    while True:
        rows = await read(basis, one, of._replace(limit=ROOM), batch)
        cut = rows[0 if of.newest_first else -1].start if len(rows) == ROOM else None
        whole = [row for row in rows if row.start != cut]
        if rows and not whole:
            raise ProblemError(422, "too-many-rows", f"A start has more than {ROOM} rows. Ask for fewer keys.")
        made = quantile_rows(basis.view, whole)
        found = [*made, *found] if of.newest_first else [*found, *made]
        if cut is None or len(found) > most:
            return found
        of = of._replace(high=of.interval.end(cut)) if of.newest_first else of._replace(low=cut)
