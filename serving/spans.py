"""From when to when there are events: of every instrument in every partition, in the batch view and the chains."""

from collections.abc import Mapping
from typing import NamedTuple

from serving.ends import Ends
from serving.hot import HotStore
from serving.snapshot import Snapshot
from views.view import View


class Place(NamedTuple):
    """An instrument in one partition."""

    venue: str
    symbol: str
    partition: int


def spans(snapshot: Snapshot, hot: HotStore, view: View, ends: Mapping[int, Ends]) -> dict[Place, tuple[int, int]]:
    """Place -> the first and the last base start below `ends`, in order of place. `ends` may be empty."""
    found = {
        Place(known.venue, known.symbol, known.partition): (known.first_start, known.last_start)
        for known in snapshot.batch.instruments
    }
    for (venue, symbol, *_), partitions in hot.instruments(view).items() if ends else ():
        for partition in partitions & ends.keys():
            span = ends[partition].span((venue, symbol))
            if span is not None:
                place = Place(venue, symbol, partition)
                first, last = found.get(place, span)
                found[place] = min(first, span[0]), max(last, span[1])
    return dict(sorted(found.items()))


def newest(of: Mapping[Place, tuple[int, int]]) -> dict[tuple[str, str], int]:
    """(venue, symbol) -> the newest base start in any partition."""
    found: dict[tuple[str, str], int] = {}
    for (venue, symbol, _), (_, last) in of.items():
        found[venue, symbol] = max(last, found.get((venue, symbol), last))
    return found
