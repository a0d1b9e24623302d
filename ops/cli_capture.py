"""`slackwater capture`: exchanges' live trades, and recordings of them."""

import asyncio
import re
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ingest.capture.figures import CaptureFigures
from ingest.capture.options import Address, CaptureOptions, KnownIds
from ingest.capture.recording import recordings, venue_of
from ingest.capture.replayed import Replayed
from ingest.capture.state import VenueState
from ingest.errors import HandOverError
from ingest.feeds.feed import Feed
from ingest.feeds.registry import FEEDS, feed_of
from ingest.holes import holes_of_venue
from ingest.remote import RemoteWriter
from ingest.writer import IngestWriter
from ops.cli_ingest import show_summary, summary_facts
from ops.cli_instruments import show_loaded
from ops.context import CLOCK, Context, stop_on_signals, user_name
from ops.entrance import entrance
from ops.output import command, console, emit, errors, plain, table
from slackwater.core.clock import iso_text
from slackwater.core.errors import SettingError
from slackwater.core.exposition import process_registry, serve_metrics
from slackwater.core.settings import Settings
from slackwater.instruments.ledger import InstrumentsLedger
from slackwater.instruments.loading import load
from slackwater.streams.trades import SYMBOL, TRADES

if TYPE_CHECKING:
    from ingest.capture.run import Capture
    from ingest.capture.smoke import Smoke

TOLD_S = 10.0
"""How often the state of the venues is told while it runs."""

END_S = 8.0
"""So long what was said by the end may take to be handed over, where it cannot be at once."""

RUN = "run"


class _Group(click.Group):
    """`run` may be left out."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in self.commands:
            args = [RUN, *args]
        return super().resolve_command(ctx, args)


@click.group("capture", cls=_Group)
def capture() -> None:
    """Live trades from exchanges, gaps repaired; raw frames recorded and replayed.

    `run` may be left out: capture VENUE:SYMBOL,... runs until it is ended.
    """


@command(
    RUN,
    "slackwater capture run binance_spot:BTCUSDT,ETHUSDT coinbase:BTC-USD kraken:BTC/USD",
    "slackwater capture run binance_usdm_agg:BTCUSDT --record frames/",
    of=capture,
)
@click.argument("wanted", nargs=-1, required=True, metavar="VENUE:SYMBOL,SYMBOL...")
@click.option("--record", type=click.Path(path_type=Path), metavar="DIR", help="Write raw frames there, compressed.")
@click.option("--only-new", is_flag=True, help="Do not ask for what came since it ended last: only for what comes now.")
@click.option("--old-gaps", is_flag=True, help="Ask for older gaps, too; what a correction removed is one of them.")
def run_command(
    context: Context, /, wanted: tuple[str, ...], record: Path | None, only_new: bool, old_gaps: bool, as_json: bool
) -> None:
    """Connect to venues and append their trades to the event log, once each, until it is ended.

    Connections that end or fall silent are made again. What was missed meanwhile is asked for by REST, and what came
    since it ended last, too; ids that a venue does not show stay listed as gaps. Where the ingest service runs, it
    takes the events.
    """
    from ingest.capture.run import capturing  # its sockets are of an extra

    chosen = chosen_feeds(wanted)
    if only_new and old_gaps:
        raise click.UsageError("--only-new and --old-gaps exclude each other.")
    stop = threading.Event()
    stop_on_signals(stop)
    options = options_of(context.settings, record)
    with entrance(context, TRADES, float("inf")) as writer, ExitStack() as running:
        known = {} if only_new else _known(writer, [feed for feed, _ in chosen], stop, old_gaps)
        live = running.enter_context(capturing(chosen, options, CLOCK, lambda venue: known.get(venue, {})))
        running.enter_context(_figures(live, context.settings))
        besides = [threading.Thread(target=of, args=(live, stop), daemon=True) for of in (_tell, _end)]
        for thread in besides:
            thread.start()
        ended = threading.Event()
        # The source ends once it is told to stop and all that was said by then is taken.
        summary = writer.ingest(live.intake, stop=_Late(stop), look=lambda _, end: ended.set() if end else None)
        stop.set()
        for thread in besides:
            thread.join()
    facts = {**summary_facts(summary), "venues": [state_facts(state) for state in live.states.values()]}
    emit(as_json, facts, lambda: _show_end(live, facts))
    if live.error is not None:
        raise live.error
    if not ended.is_set():
        fact = f"What was said last could not be handed over within {END_S:g} s."
        raise HandOverError(fact, "Where ids are dense, it is asked for when capture starts again.", again=True)


@command(
    "replay",
    "slackwater capture replay frames/",
    "slackwater capture replay frames/binance_spot-20261201T083000Z-0001.gz",
    "slackwater capture replay --venue binance_usdm usdm_btcusdt_20240808_trades.gz",
    of=capture,
)
@click.argument("given", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="DIR|FILE...")
@click.option("--venue", default="", metavar="VENUE", help="Of files whose names do not begin with it.")
def replay_command(context: Context, /, given: tuple[Path, ...], venue: str, as_json: bool) -> None:
    """Append the trades of recorded frames to the event log, once each: what is there already is a duplicate."""
    files = [(feed_of(venue or _named(path)), path) for each in given for path in recordings(each)]
    source = Replayed(files, CLOCK)
    stop = threading.Event()
    stop_on_signals(stop)
    with entrance(context, TRADES) as writer:
        summary = writer.ingest(source, stop=stop.is_set)
    facts = {
        **summary_facts(summary),
        "frames": source.done,
        "venues": [state_facts(state) for state in source.states.values()],
    }
    name = str(given[0]) if len(given) == 1 else f"{len(files)} recordings"

    def show() -> None:
        show_summary(name, facts)
        _show_gaps(source.states.values())

    emit(as_json, facts, show)


@command(
    "smoke",
    "slackwater capture smoke",
    "slackwater capture smoke kraken okx --seconds 60",
    of=capture,
)
@click.argument("venues", nargs=-1, metavar="[VENUE...]")
@click.option("--seconds", default=20.0, show_default=True, type=click.FloatRange(1, 3600), help="Listen for so long.")
def smoke_command(context: Context, /, venues: tuple[str, ...], seconds: float, as_json: bool) -> None:
    """Look whether venues still speak as what the feeds were made from; without VENUE, all of them.

    It connects, subscribes, listens, asks REST for the newest trades, and takes nothing in. What differs from the
    recordings is shown, and the exit code is 1.
    """
    from ingest.capture.smoke import smoke_all

    feeds = [feed_of(venue) for venue in dict.fromkeys(venues)] or [*FEEDS.values()]
    found = asyncio.run(smoke_all(feeds, options_of(context.settings, None), CLOCK, seconds))
    facts = {"venues": [smoke_facts(one) for one in found]}

    def show() -> None:
        shown = table("venue", "frames", "trades", "by REST", "differs")
        for one in found:
            rest = "" if one.rest is None else f"{one.rest:,}"
            text = "[green]nothing[/]" if not one.differs else "\n".join(map(plain, one.differs))
            shown.add_row(one.venue, f"{one.frames:,}", f"{one.trades:,}", rest, text)
        console.print(shown)

    emit(as_json, facts, show)
    if any(one.differs for one in found):
        sys.exit(1)


@command(
    "instruments",
    "slackwater capture instruments kraken okx",
    "slackwater capture instruments --dry-run deribit",
    of=capture,
)
@click.argument("venues", nargs=-1, required=True, metavar="VENUE...")
@click.option("--dry-run", is_flag=True, help="Show what would be added and refused, and load nothing.")
@click.option("--from-now", is_flag=True, help="What is new holds from now on; default: as if it had always held.")
def instruments_command(
    context: Context, /, venues: tuple[str, ...], dry_run: bool, from_now: bool, as_json: bool
) -> None:
    """Declare the instruments that venues list: kind, currencies, multiplier, tick, lot.

    What is declared already and differs from the venue's word holds until now, and the venue's from now on. Rows that
    cannot be stored, such as those of a tick below 1e-8, are shown and left out.
    """
    from ingest.capture.listed import effective, listed

    feeds = [feed_of(venue) for venue in dict.fromkeys(venues)]
    now_us = CLOCK.now_us()
    ledger = InstrumentsLedger(context.store)
    declared = ledger.table()
    given = asyncio.run(listed(feeds, options_of(context.settings, None)))
    rows = [effective(row, declared, now_us, from_now) for row in given]
    reason = f"as listed by {', '.join(feed.venue for feed in feeds)}"
    found = load(ledger, rows, now_us, user_name(), reason, skip_refused=True, dry_run=dry_run)
    facts = {"venues": [feed.venue for feed in feeds], "dry_run": dry_run, "loaded": found.written, **found.facts()}
    emit(as_json, {**facts, "rows": [each._asdict() for each in found.refused]}, lambda: show_loaded(found))


@command("feeds", "slackwater capture feeds", of=capture)
def feeds_command(context: Context, /, as_json: bool) -> None:
    """The feeds that there are, with what their parsers were made from."""
    del context
    facts = [
        {
            "venue": feed.venue,
            "symbols": feed.symbols,
            "ids": TRADES.venue(feed.venue).ids,
            "counted": feed.counted if feed.dense else None,
            "verified": feed.verified,
            "socket": feed.socket,
            "rest": feed.url,
            "source": feed.source,
            "seen": feed.seen,
        }
        for feed in FEEDS.values()
    ]

    def show() -> None:
        shown = table("venue", "such as", "ids", "made from")
        for feed in facts:
            made = "recordings or verbatim examples" if feed["verified"] else "[yellow]unverified[/]"
            ids = f"{feed['ids']}, dense sequence" if feed["counted"] == "sequence" else str(feed["ids"])
            shown.add_row(str(feed["venue"]), feed["symbols"][0], ids, made)  # type: ignore[index]
        console.print(shown)

    emit(as_json, {"feeds": facts}, show)


def chosen_feeds(wanted: Sequence[str]) -> list[tuple[Feed, list[str]]]:
    """The feeds and symbols of arguments such as `kraken:BTC/USD,ETH/USD`; a venue may stand several times.

    Raises:
        UnknownFeedError: there is no such feed.
        click.UsageError: an argument is none.
    """
    found: dict[str, list[str]] = {}
    for each in wanted:
        venue, colon, symbols = each.partition(":")
        names = [name.strip() for name in symbols.split(",") if name.strip()]
        if not colon or not names:
            raise click.UsageError(f"{each!r} is not VENUE:SYMBOL,SYMBOL, such as kraken:BTC/USD,ETH/USD.")
        if wrong := [name for name in names if not re.fullmatch(SYMBOL, name)]:
            raise click.UsageError(f"{wrong[0]!r} is no symbol.")
        of = found.setdefault(feed_of(venue).venue, [])
        of += [name for name in names if name not in of]
    return [(FEEDS[venue], symbols) for venue, symbols in found.items()]


def options_of(settings: Settings, record: Path | None) -> CaptureOptions:
    """How capture runs by the settings.

    Raises:
        SettingError: a venue of SLACKWATER_FEED_URLS is none, or a key cannot be read.
    """
    addresses: dict[str, Address] = {}
    for each in settings.feed_urls:
        name, _, url = each.partition("=")
        venue, _, rest = name.partition(".")
        if venue not in FEEDS:
            raise SettingError(f"SLACKWATER_FEED_URLS names {venue!r}.", f"Feeds are: {', '.join(FEEDS)}.")
        address = addresses.get(venue, Address())
        addresses[venue] = address._replace(rest=url) if rest else address._replace(socket=url)
    headers = {}
    for each in settings.feed_key_files:
        venue, _, file = each.partition("=")
        if venue not in FEEDS or not FEEDS[venue].key_header:
            raise SettingError(f"SLACKWATER_FEED_KEY_FILES names {venue!r}, which takes no key.")
        try:
            headers[venue] = {FEEDS[venue].key_header: Path(file).read_text(encoding="ascii").strip()}
        except (OSError, ValueError) as error:
            raise SettingError(f"SLACKWATER_FEED_KEY_FILES: {venue} cannot be read: {type(error).__name__}.") from error
    return CaptureOptions(addresses, headers, record)


def state_facts(state: VenueState) -> dict[str, Any]:
    """A venue, for a program."""
    return {
        "venue": state.feed.venue,
        "state": state.state,
        "why": state.why,
        "frames": state.frames,
        "trades": state.trades,
        "bad_frames": state.bad_frames,
        "connections": state.connections,
        "refilled": state.refilled,
        "missing_ids": state.missing,
        "gaps": [
            {"symbol": tracker.symbol, "first": one.first, "last": one.last, "lost": one.lost}
            for tracker in state.trackers.values()
            for one in tracker.holes
        ],
        "suspects": [vars(one) for one in state.suspects],
    }


def smoke_facts(one: "Smoke") -> dict[str, Any]:
    """What was seen of a venue, for a program."""
    facts = {**vars(one), "added": sorted(one.added), "lacking": sorted(one.lacking)}
    return {**facts, "differs": one.differs}


def _named(path: Path) -> str:
    venue = venue_of(path)
    if venue not in FEEDS:
        raise click.UsageError(f"{path.name} does not say its venue; give --venue.")
    return venue


def _known(
    writer: IngestWriter | RemoteWriter, feeds: Sequence[Feed], stop: threading.Event, old_gaps: bool
) -> dict[str, Mapping[str, KnownIds]]:
    """What is known of venues with dense ids by who writes them, by symbol: the newest id, and the gaps if wanted."""
    found: dict[str, Mapping[str, KnownIds]] = {}
    for feed in feeds:
        if not feed.dense_ids:
            continue
        if isinstance(writer, RemoteWriter):
            holes = writer.holes(feed.venue, stop.is_set) or {}
        else:
            holes = holes_of_venue(writer.filter.known, feed.venue)
        found[feed.venue] = {
            entity[1]: KnownIds(one.last, one.holes if old_gaps else ()) for entity, one in holes.items()
        }
    return found


@contextmanager
def _figures(live: "Capture", settings: Settings) -> Iterator[None]:
    registry = process_registry()
    registry.register(CaptureFigures(live.states.values()))
    port, name = settings.capture_metrics_port, "SLACKWATER_CAPTURE_METRICS_PORT"
    with serve_metrics(registry, settings.host, port, name):
        yield


class _Late:
    """Whether it was told to stop, and END_S are over since."""

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop
        self._until_s = float("inf")

    def __call__(self) -> bool:
        if not self._stop.is_set():
            return False
        now_s = CLOCK.elapsed_s()
        self._until_s = min(self._until_s, now_s + END_S)
        return now_s >= self._until_s


def _end(live: "Capture", stop: threading.Event) -> None:
    """End the connections once it is told to stop."""
    stop.wait()
    live.stop()


def _tell(live: "Capture", stop: threading.Event) -> None:
    """Say now and then how it goes, on stderr."""
    before = dict.fromkeys(live.states, 0)
    at_s = time.monotonic()
    while not stop.wait(TOLD_S):
        now_s = time.monotonic()
        for venue, state in live.states.items():
            rate = (state.trades - before[venue]) / (now_s - at_s)
            missing = f"  {state.missing:,} missing" if state.missing else ""
            lost = f"  {state.lost:,} lost" if state.lost else ""
            why = f" ({plain(state.why)})" if state.why else ""
            lag = f"lag {state.lag_s * 1e3:,.0f} ms"
            line = f"{venue:20} {state.state}{why}  {state.trades:,} trades, {rate:,.1f}/s, {lag}{missing}{lost}"
            errors.print(line, soft_wrap=True)
            before[venue] = state.trades
        at_s = now_s


def _show_end(live: "Capture", facts: dict[str, Any]) -> None:
    show_summary("capture", facts)
    _show_gaps(live.states.values())


def _show_gaps(states: Any) -> None:
    for state in states:
        for tracker in state.trackers.values():
            for one in tracker.holes:
                kind = "lost" if one.lost else "missing"
                what = f"{one.count:,} {state.feed.counted}s of {state.feed.venue} {plain(tracker.symbol)}"
                console.print(f"  [yellow]{kind}[/]    {what}: {one.first}..{one.last}")
        for one in state.suspects:
            after = iso_text(one.after_us)
            console.print(
                f"  [yellow]suspect[/]    trades of {state.feed.venue} {plain(one.symbol)} between {after} and "
                f"{iso_text(one.before_us)} may be missing"
            )
