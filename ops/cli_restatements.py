"""`slackwater batch restatements`: the ledger of the served version, from its files."""

from collections.abc import Iterator
from typing import Any

import click
import orjson
import pyarrow.parquet as pq

from ops.context import Context
from ops.output import command, console, emit, table, time_text
from serving.query.parameters import Point, ValueRefusedError, point
from slackwater.core.checked_files import open_checked
from slackwater.restatements.ledger import CAUSES, Entry, ledger_of
from slackwater.versions.store import VersionStore


class _Since(click.ParamType[Point]):
    name = "since"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Point:
        try:
            return value if isinstance(value, Point) else point(value)
        except ValueRefusedError as error:
            self.fail(str(error), param, ctx)


@command(
    "restatements",
    "slackwater batch restatements",
    "slackwater batch restatements --since 7",
    "slackwater batch restatements --json",
)
@click.option(
    "--since",
    type=_Since(),
    default="0",
    metavar="VERSION|TIME",
    help="Versions behind this one, or made at or after this time (ISO 8601 UTC, or microseconds). Default: all.",
)
@click.option("--cause", type=click.Choice(CAUSES), help="Only those of one cause.")
def restatements_command(context: Context, since: Point, cause: str | None, as_json: bool) -> None:
    """Closed bars whose answers changed: before, after, why, and by which version or move; the oldest first.

    The same as GET /v1/restatements.
    """
    store = context.store
    pointer, manifest = store.pointer_and_manifest()
    entries = ledger_of(manifest, store.moves.until(pointer.move))
    found = (
        row
        for entry in entries
        if since.before(entry.ledger.version, entry.ledger.created_us)
        for row in _rows(store, entry)
    )
    rows = (row for row in found if cause in (None, row["cause"]))
    if as_json:
        for row in rows:
            emit(as_json, row, lambda: None)
        return
    shown = table("version", "bar", "start (UTC)", "cause", "first late", "changed")
    for row in rows:
        shown.add_row(*_columns(row))
    console.print(shown if shown.row_count else "No closed bar was changed.")


def _rows(store: VersionStore, entry: Entry) -> Iterator[dict[str, Any]]:
    ledger = entry.ledger
    store.check([ledger.file])
    with open_checked(ledger.file.checked(store.data.fetch)) as file:
        for batch in pq.ParquetFile(file).iter_batches():
            for row in batch.to_pylist():
                if row["cause"] not in entry.counts:
                    continue
                sides = {side: row[side] and orjson.loads(row[side]) for side in ("before", "after")}
                yield {**row, "created_us": ledger.created_us, **sides}


def _columns(row: dict[str, Any]) -> tuple[str, ...]:
    before, after = row["before"] or {}, row["after"] or {}
    changed = [n for n in {**before, **after} if before.get(n) != after.get(n)]
    text = ", ".join(f"{n} {before.get(n, '-')} -> {after.get(n, '-')}" for n in changed)
    return (
        str(row["version"]),
        " ".join([row["view"], row["interval"], ":".join([row["venue"], row["symbol"], *row["key"]])]),
        time_text(row["start"]),
        row["cause"],
        f"{row['partition']}:{row['offset']}" if row["offset"] is not None else "",
        text,
    )
