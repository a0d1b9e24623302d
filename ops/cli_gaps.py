"""`slackwater gaps`: ids that are missing where a venue's ids are dense, and what fills them."""

import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from typing import Any

import click
import httpx

from ingest.chunk import Source
from ingest.duplicates import DuplicateFilter
from ingest.feeds.registry import FEEDS
from ingest.holes import Holes, holes_of_venue
from ingest.repair import Missing, OnlyMissing, VenuePages
from ops.cli_capture import options_of
from ops.cli_ingest import import_facts, show_summary
from ops.context import CLOCK, Context
from ops.output import command, console, emit, plain, table
from ops.source_options import open_input, source_options
from slackwater.streams.entities import Entity
from slackwater.streams.registry import stream_named
from slackwater.streams.stream import Stream
from slackwater.streams.trades import SYMBOL

TIMEOUT_S = 30.0
SHOWN = 100
"""Gaps that are printed at most; `--json` has all."""


@click.group("gaps")
def gaps() -> None:
    """Ids that are missing where a venue's ids are dense: gaps in the data."""


@command("list", "slackwater gaps list", "slackwater gaps list kraken binance_spot:BTCUSDT --json", of=gaps)
@click.argument("wanted", nargs=-1, metavar="VENUE[:SYMBOL,SYMBOL]...")
@click.option("--stream", "stream_name", default="trades", metavar="NAME", help="The stream; default: trades.")
def list_command(context: Context, /, wanted: tuple[str, ...], stream_name: str, as_json: bool) -> None:
    """What is missing, of the archive and of the log up to its end; of all venues whose ids are dense by default."""
    stream = stream_named(stream_name, context.streams)
    facts = _facts(stream, missing_now(context, stream, chosen(stream, wanted)))
    emit(as_json, facts, lambda: _show(stream, facts))


@command(
    "repair",
    "slackwater gaps repair binance_spot:BTCUSDT --from-venue",
    "slackwater gaps repair binance_spot --from BTCUSDT-trades-2026-11-30.zip --preset binance_spot_trades",
    of=gaps,
)
@click.argument("wanted", nargs=-1, metavar="VENUE[:SYMBOL,SYMBOL]...")
@click.option("--from", "files", multiple=True, metavar="FILE", help="Take what is missing from this file; repeatable.")
@click.option("--from-venue", is_flag=True, help="Ask the venue's REST interface for it.")
@source_options
def repair_command(
    context: Context,
    /,
    wanted: tuple[str, ...],
    files: tuple[str, ...],
    from_venue: bool,
    stream_name: str,
    as_json: bool,
    **options: Any,
) -> None:
    """Fill gaps: from files, of which nothing else is taken, or from the venue itself. Then publish a version.

    The bars that change are restated with the cause `repair`. What stays missing is listed, and the exit code is 1.
    """
    if bool(files) == from_venue:
        raise click.UsageError("Give --from FILE or --from-venue.")
    stream = stream_named(stream_name, context.streams)
    before = missing_now(context, stream, chosen(stream, wanted))
    before = {entity: of for entity, of in before.items() if of.missing}
    facts: dict[str, Any] = {"missing_before": sum(of.missing for of in before.values())}
    if before:
        with ExitStack() as stack:
            if files:
                source: Source = OnlyMissing(stream, open_input(stream, files, **options), Missing(before))
                _repair(context, stream, stack.enter_context(closing(source)), facts)
            else:
                for venue in sorted({entity[0] for entity in before}):
                    own = {entity: of for entity, of in before.items() if entity[0] == venue}
                    if venue not in FEEDS:
                        facts.setdefault("given_up", []).append(f"There is no feed of {venue}: --from FILE.")
                        continue
                    pages = _pages(context, venue, own, stack)
                    _repair(context, stream, pages, facts)
                    facts.setdefault("given_up", []).extend(pages.given_up)
    after = missing_now(context, stream, {entity[0]: None for entity in before})
    left = {entity: of for entity, of in after.items() if entity in before and of.missing}
    facts |= _facts(stream, left)

    def show() -> None:
        for summary in facts.get("sources", []):
            show_summary(summary["file"], summary)
        console.print(f"  missing    {facts['missing_before']:,} ids before, {facts['missing']:,} now")
        for why in facts.get("given_up", []):
            console.print(f"  [yellow]given up[/]   {plain(why)}", soft_wrap=True)
        if "version" in facts:
            console.print(f"  published  version {facts['version']}")
        _show(stream, facts)

    emit(as_json, facts, show)
    if left:
        sys.exit(1)


def chosen(stream: Stream, wanted: Sequence[str]) -> dict[str, set[str] | None]:
    """Venue -> its symbols that are wanted, None: all. By default all venues whose ids are dense.

    Raises click.UsageError.
    """
    dense = stream.dense_venues
    if not wanted:
        return dict.fromkeys(dense)
    found: dict[str, set[str] | None] = {}
    for each in wanted:
        venue, colon, symbols = each.partition(":")
        if venue not in dense:
            raise click.UsageError(f"The ids of {venue!r} are not dense; those of {', '.join(dense)} are.")
        names = {name for name in symbols.split(",") if name}
        if colon and (not names or any(not re.fullmatch(SYMBOL, name) for name in names)):
            raise click.UsageError(f"{each!r} is not VENUE or VENUE:SYMBOL,SYMBOL.")
        found[venue] = names or None
    return found


def missing_now(context: Context, stream: Stream, wanted: Mapping[str, set[str] | None]) -> dict[Entity, Holes]:
    """What is known of the wanted entities: of the archive and of the log up to its end."""
    with closing(DuplicateFilter(stream, context.log, context.names, context.store, CLOCK)) as known:
        found: dict[Entity, Holes] = {}
        for venue, symbols in wanted.items():
            of = holes_of_venue(known.known, venue)
            found |= {entity: holes for entity, holes in of.items() if symbols is None or entity[-1] in symbols}
        return found


def _pages(context: Context, venue: str, holes: Mapping[Entity, Holes], stack: ExitStack) -> VenuePages:
    feed = FEEDS[venue]
    options = options_of(context.settings, None)
    client = httpx.Client(base_url=options.rest_of(feed), headers=options.headers_of(feed), timeout=TIMEOUT_S)
    return VenuePages(feed, Missing(holes), stack.enter_context(client))


def _repair(context: Context, stream: Stream, source: Source, facts: dict[str, Any]) -> None:
    """Import a source, and publish what was new of it."""
    found = import_facts(context, stream, source, quiet=True)
    facts.setdefault("sources", []).append({"file": source.name, **found})
    if "version" in found:
        facts["version"] = found["version"]


def _facts(stream: Stream, found: Mapping[Entity, Holes]) -> dict[str, Any]:
    entities = [
        {
            **dict(zip(stream.entity, entity, strict=True)),
            "first": of.first,
            "last": of.last,
            "missing": of.missing,
            "gaps": of.holes,
        }
        for entity, of in found.items()
    ]
    return {"missing": sum(of.missing for of in found.values()), "entities": entities}


def _show(stream: Stream, facts: Mapping[str, Any]) -> None:
    shown, rows = table(*stream.entity, "gap", "ids"), 0
    for one in facts["entities"]:
        for first, last in one["gaps"][: SHOWN - rows]:
            names = [plain(str(one[name])) for name in stream.entity]
            shown.add_row(*names, str(first) if first == last else f"{first}..{last}", f"{last - first + 1:,}")
            rows += 1
    if rows:
        console.print(shown)
    total = sum(len(one["gaps"]) for one in facts["entities"])
    if total > rows:
        console.print(f"  and {total - rows:,} more; --json has them")
    if not facts["missing"]:
        console.print("  nothing is missing")
