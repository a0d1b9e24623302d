"""Read points of a stream, and which bars changed between two of them.

A read point is the basis of a view in all partitions (`serving.query.basis`); all events of one update are made of one.

    chain   [0,256) [256,512) [512,530)         the read point before
            [0,256) [256,512) [512,541)         this one: the rows of [512,541) that are not those of [512,530)

The place of a client, what it has, is the id of an event: an opaque token.

    base64url of ["7-0f3c...", {"0": 812, "1": 377}] . fingerprint of the query

It is not signed: a forged one names a place that this server does not know, and is answered with a new snapshot, as is
every place that is too old.
"""

import base64
import binascii
import re
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, dropwhile
from typing import NamedTuple

import orjson

from serving.query.basis import Basis
from serving.store.fold import Ends
from serving.store.hot import MAX_SNAPSHOTS
from serving.store.request import Entity
from slackwater.views.rows import Row
from slackwater.views.view import View

TOKEN = re.compile(r"[A-Za-z0-9_-]{1,4000}\.[0-9a-f]{18}")

NOWHERE = "W10"
"""The token of a client that has nothing yet, or only a part; base64url of an empty list."""


class Place(NamedTuple):
    """The key of the standing, and partition -> the offset below which everything is applied."""

    key: str
    applied: Mapping[int, int]


def token_of(basis: Basis) -> str:
    """The token of a read point, without the fingerprint. A chain that may not be used has no place to resume from."""
    if not basis.ends:
        return NOWHERE
    applied = {str(partition): at for partition, at in sorted(basis.applied.items())}
    return base64.urlsafe_b64encode(orjson.dumps([basis.standing.key, applied])).rstrip(b"=").decode()


def decode_place(token: str, fingerprint: str) -> Place | None:
    """The place of an event's id; None if it is none, or one of another query."""
    text, _, query = token.rpartition(".")
    if query != fingerprint:
        return None
    try:
        key, applied = orjson.loads(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
        place = Place(key, {int(partition): at for partition, at in applied.items()})
    except (binascii.Error, ValueError, TypeError, AttributeError):
        return None
    fits = isinstance(key, str) and all(type(at) is int for at in place.applied.values())
    return place if fits else None


class Recent:
    """The last read point of each of the newest snapshots, for clients that resume."""

    def __init__(self) -> None:
        self._of: OrderedDict[str, Basis] = OrderedDict()

    def add(self, basis: Basis) -> None:
        """Retain a read point, in place of the one before it on the same snapshot."""
        self._of[basis.standing.key] = basis
        while len(self._of) > MAX_SNAPSHOTS:
            self._of.popitem(last=False)

    def clear(self) -> None:
        """Nothing before the next read point can be resumed from."""
        self._of.clear()

    def of(self, place: Place) -> Basis:
        """The read point of a place's snapshot; `rows_since` knows the place."""
        return self._of[place.key]

    def rows_since(self, place: Place, now: Basis) -> Iterable[Row] | None:
        """The rows of the cells after a place, through all snapshots since; None if that is not known."""
        if place.key not in self._of or place.applied.keys() != now.applied.keys():
            return None
        at, cut = dict(place.applied), self._of[place.key].standing.cut
        if any(not cut[p] <= at[p] <= now.applied[p] for p in at):
            return None
        rows = []
        for key in dropwhile(lambda key: key != place.key, self._of):
            for p, ends in self._of[key].ends.items():
                rows.append(rows_after(ends, at[p]))
                at[p] = max(at[p], ends.upto)
        return chain.from_iterable(rows)


def same_chains(new: Basis, old: Basis) -> bool:
    """Whether both are of the same chains, so that `changed_rows` gives what changed."""
    return (
        new.standing.key == old.standing.key
        and new.ends.keys() == old.ends.keys()
        and all(of.fold is old.ends[p].fold for p, of in new.ends.items())
    )


def follows(new: Basis, old: Basis) -> bool:
    """Whether only what was applied since `old` is different in `new`, which may be of a newer version.

    That needs a proof that the version is its parent and the deltas between their cuts, and that all of these were
    applied here: then a bar that no cell touched is the same in both.
    """
    here, there = new.standing, old.standing
    if not (here.chain and there.chain) or here.topic_id != there.topic_id or new.view != old.view:
        return False
    if any(new.applied.get(p, -1) < at for p, at in old.applied.items()):
        return False
    if any(old.applied.get(p, 0) < at for p, at in here.cut.items()):
        return False
    now, before = new.snapshot.manifest, old.snapshot.manifest
    if (now.run_id, now.version) == (before.run_id, before.version):
        return True
    return now.parent == before.version and now.proof.outcome == "equal" and not now.proof.imported


def changed_rows(old: Ends, new: Ends) -> Iterator[Row]:
    """The base rows that the cells between two ends of one fold changed."""
    if new.upto == old.upto:
        return
    known = {(row.key, row.start): row.state for row in old.open_cell.rows} if old.open_cell else {}
    cells = new.fold.cells[old.count : new.count]
    for cell in cells if new.open_cell is None else [*cells, new.open_cell]:
        grown = old.open_cell is not None and cell.start == old.open_cell.start
        for row in cell.rows:
            if not grown or known.get((row.key, row.start)) != row.state:
                yield row


def rows_after(ends: Ends, at: int) -> Iterator[Row]:
    """The base rows of all cells that reach beyond `at`: every row that changed since, and maybe some that did not."""
    first, _ = ends.fold.count_at(at)
    for cell in ends.fold.cells[first : ends.count]:
        yield from cell.rows
    if ends.open_cell is not None and ends.open_cell.upto > at:
        yield from ends.open_cell.rows


def newest_before(basis: Basis, entity: Entity, applied: Mapping[int, int]) -> int | None:
    """A second that an event of the entity lies in which was applied at a place; it may not be the newest."""
    found = [known.last_start for known in basis.snapshot.batch.places(basis.view, entity)]
    for p, ends in basis.ends.items():
        with ends.lock:
            count, _ = ends.fold.count_at(applied.get(p, 0))
            newest = ends.fold.newest(entity, min(count, ends.count))
        if newest is not None:
            found.append(newest)
    return max(found, default=None)


def starts_of(view: View, rows: Iterable[Row]) -> dict[Entity, set[int]]:
    """Entity -> the base starts of its rows."""
    found: dict[Entity, set[int]] = {}
    for row in rows:
        found.setdefault(row.key[: len(view.entity)], set()).add(row.start)
    return found
