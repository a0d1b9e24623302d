"""`slackwater ingest`, `slackwater archive import` and `slackwater topics`."""

import json
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

import click
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from ingest.archive_import import import_history, new_epoch
from ingest.chunk import Source
from ingest.files.named import named_files
from ingest.hints import hint_of
from ingest.live import Live, make_loop
from ingest.refusals import MostRefusedOfEach
from ingest.rehearsal import rehearse
from ingest.replay import Replay, parse_speed
from ingest.sample_data import NAME as SAMPLE
from ingest.sample_data import open_sample
from ingest.verdicts import Summary
from ingest.writer import Look
from ops.context import CLOCK, Context, stop_on_signals
from ops.entrance import entrance
from ops.output import command, console, emit, errors, plain, table
from ops.source_options import list_presets as show_presets
from ops.source_options import list_presets_option, open_input, source_options
from slackwater.log.acls import allowed, commands
from slackwater.log.compression import check_codecs
from slackwater.log.topics import create_topics, missing_topics
from slackwater.store.files import holding
from slackwater.streams.registry import stream_named
from slackwater.streams.stream import Stream
from slackwater.streams.trades import TRADES
from slackwater.versions.writer_lock import hold_import


class Share(click.ParamType):  # type: ignore[type-arg]
    """A share, such as 1% or 0.01."""

    name = "share"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        text = str(value)
        try:
            found = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
        except ValueError:
            found = -1.0
        if not 0 <= found <= 1:
            self.fail(f"{text!r} is no share; write it as 1% or 0.01.", param, ctx)
        return found


OnProgress = Callable[[int, int | None], None]


max_refused_option = click.option(
    "--max-refused",
    type=Share(),
    metavar="SHARE",
    help="Stop where more than this share of a source is refused, such as 1%; default: where all of it is.",
)


dry_run_option = click.option(
    "--dry-run",
    is_flag=False,
    flag_value=10,
    type=click.IntRange(1),
    metavar="[N]",
    help="Show the first N events as they would enter (10), and what would be refused; take nothing.",
)


@command(
    "ingest",
    "slackwater ingest trades.jsonl",
    "slackwater ingest trades.jsonl.zst",
    "slackwater ingest monday.csv tuesday.csv.gz more/ 'old/2024-*.zip' --time-unit ms",
    "slackwater ingest --format json - < answer.json",
    "curl -s https://example.org/trades.csv.gz | slackwater ingest - --format csv --time-unit ms",
    "slackwater ingest trades.csv --map price=p,quantity=q,time=ts --time-unit ms",
    "slackwater ingest trades.csv --map time=ts,side=!buyer_is_maker --time-unit digits --lower-venue",
    "slackwater ingest trades.parquet --round-quantity 8 --values side:0=buy,side:1=sell",
    "slackwater ingest --list-presets",
    "slackwater ingest --preset binance_spot_trades BTCUSDT-trades-2024-01-31.zip",
    "slackwater ingest --preset coinbase_rest --symbol BTC-USD trades.json",
    "slackwater ingest dump.zip --columns trade_id,price,quantity,quote,time,maker,best --time-unit ms"
    " --map venue==binance_spot,symbol==BTCUSDT,side=!maker",
    "slackwater ingest --preset sample --speed 10x",
    "slackwater ingest --preset sample --live",
    "slackwater ingest --stream fills fills.csv",
)
@click.argument("files", nargs=-1, metavar="FILE|FOLDER|PATTERN|-...")
@source_options
@max_refused_option
@dry_run_option
@list_presets_option
@click.option("--speed", default="max", show_default=True, metavar="1x|10x|max", help="Replay by event time.")
@click.option("--live", is_flag=True, help="Loop the sample for ever, shifted so that it happens now.")
def ingest(
    context: Context,
    /,
    files: tuple[str, ...],
    speed: str,
    live: bool,
    as_json: bool,
    stream_name: str,
    max_refused: float | None,
    dry_run: int | None,
    list_presets: bool,
    **options: Any,
) -> None:
    """Validate events and append them to the event log, once each.

    Files are read one after the other, those of a folder or a quoted pattern in the order of their names; they may be
    compressed (gzip, zstd, zip).

    What is refused goes to the dead letters with its reason; duplicates are dropped. Ends with a summary. Where all of
    the first 10,000 lines are refused, or more than --max-refused, it stops and the exit code is 1.
    """
    if list_presets:
        show_presets(as_json)
        return
    sample = options["preset"] == SAMPLE
    if bool(files) == sample:
        raise click.UsageError("Name files, or - for standard input, or --preset sample.")
    stream = stream_named(stream_name, context.streams)
    if sample and stream is not TRADES:
        raise click.UsageError(f"The sample holds trades; leave --stream {stream.name} out.")
    if live and not sample:
        raise click.UsageError("--live goes with --preset sample.")
    if live and speed != "max":
        raise click.UsageError("--live keeps real time; leave --speed out.")
    if dry_run is not None:
        show_rehearsals(stream, files, dry_run, as_json, **options)
        return
    check_codecs()
    stop = threading.Event()
    stop_on_signals(stop)
    factor = parse_speed(speed)
    with entrance(context, stream) as writer:
        given = source = open_input(stream, files, **options) if files else open_sample()
        if live:
            source = Live(make_loop(source), CLOCK)
        elif factor is not None or sample:
            source = Replay(stream, source, factor, CLOCK)
        with progress_bar(as_json) as progress:
            refusals = MostRefusedOfEach(source, max_refused)
            summary = writer.ingest(source, progress, stop.is_set, refusals.look)
    name = name_of(files, given) if files else SAMPLE
    facts = {"stream": stream.name, "file": name, **summary_facts(summary, stream), "left_out": [*given.left_out]}
    emit(as_json, facts, lambda: show_summary(name, facts))


@click.group()
def archive() -> None:
    """The master dataset."""


@command(
    "import",
    "slackwater archive import history/*.parquet",
    "slackwater archive import dumps/ --time-unit ms",
    "slackwater archive import trades.csv --map price=p,quantity=q,time=ts --time-unit ms",
    "slackwater archive import --preset binance_usdm_agg_trades 'dumps/*-aggTrades-*.zip'",
    of=archive,
)
@click.argument("files", nargs=-1, metavar="FILE|FOLDER|PATTERN|-...")
@source_options
@max_refused_option
@dry_run_option
@list_presets_option
def import_command(
    context: Context,
    /,
    files: tuple[str, ...],
    as_json: bool,
    stream_name: str,
    max_refused: float | None,
    dry_run: int | None,
    list_presets: bool,
    **options: Any,
) -> None:
    """Validate history and write it straight into the master dataset, past the broker; then publish a version.

    All files together become one epoch and one version, or nothing. Those of a folder or a quoted pattern are read in
    the order of their names; they may be compressed (gzip, zstd, zip). Ids that the archive or the log already has are
    refused: with the same content as duplicates, with another one as dead letters.
    """
    if list_presets:
        show_presets(as_json)
        return
    if not files:
        raise click.UsageError("Name files, or - for standard input.")
    stream = stream_named(stream_name, context.streams)
    if dry_run is not None:
        show_rehearsals(stream, files, dry_run, as_json, names=True, **options)
        return
    source = open_input(stream, files, **options)
    with closing(source):
        name = name_of(files, source)
        found = import_facts(context, stream, source, as_json, MostRefusedOfEach(source, max_refused).look)
    facts = {"stream": stream.name, "file": name, **found}

    def show() -> None:
        show_summary(name, facts)
        made = f"version {facts['version']}" if "version" in facts else "no version: nothing was new"
        console.print(f"  published  {made}")

    emit(as_json, facts, show)


@command("list", "slackwater archive list", "slackwater archive list --json", of=archive)
def list_archive(context: Context, as_json: bool) -> None:
    """The archive files of the served version, one a line: without what corrections took out."""
    current = context.store.current()
    entries = () if current is None else current.archive
    fetch = context.store.data.fetch
    facts = [
        {"file": str(fetch(each.file)), "stream": each.stream, "epoch": each.epoch, "events": each.file.rows}
        for each in entries
    ]

    def show() -> None:
        for each in facts:
            console.print(str(each["file"]), soft_wrap=True, highlight=False, markup=False)

    emit(as_json, {"files": facts}, show)


@click.group()
def topics() -> None:
    """The topics of the event log."""


@command("create", "slackwater topics create", "slackwater --partitions 16 topics create", of=topics)
def create(context: Context, as_json: bool) -> None:
    """Create the topics that are missing; those that exist stay as they are."""
    settings = context.settings
    made = create_topics(context.log, context.names, context.streams, settings.partitions, settings.replication)

    def show() -> None:
        for name, new in made.items():
            console.print(f"{name}  {'created' if new else 'exists'}")

    emit(as_json, {"created": made}, show)


@command("list", "slackwater topics list", of=topics)
def list_topics(context: Context, as_json: bool) -> None:
    """The topics with their ids and retained offsets."""
    names, log = context.names, context.log
    missing = missing_topics(log, names, context.streams)
    found = {
        name: {"id": log.topic_id(name), "bounds": {p: [b.start, b.high] for p, b in log.bounds(name).items()}}
        for name in names.all(context.streams)
        if name not in missing
    }

    def show() -> None:
        shown = table("topic", "id", "partition: start..end")
        for name, about in found.items():
            bounds: Any = about["bounds"]
            shown.add_row(name, str(about["id"]), "  ".join(f"{p}: {b[0]}..{b[1]}" for p, b in bounds.items()))
        for name in missing:
            shown.add_row(name, "[red]missing[/]", "create it with `slackwater topics create`")
        console.print(shown)

    emit(as_json, {"topics": found, "missing": missing}, show)


@command("acls", "slackwater topics acls", "slackwater --prefix desk topics acls", of=topics)
def list_acls(context: Context, as_json: bool) -> None:
    """The commands that allow each process what it needs of Kafka, and nothing else. Nothing is changed."""
    found = [entry._asdict() for entry in allowed(context.names, context.streams)]

    def show() -> None:
        for line in commands(context.names, context.settings.servers, context.streams):
            console.print(line, soft_wrap=True, highlight=False, markup=False)

    emit(as_json, {"allowed": found}, show)


def import_facts(
    context: Context,
    stream: Stream,
    source: Source,
    quiet: bool,
    look: Look = lambda tally, ended: None,
) -> dict[str, Any]:
    """Import a source and publish a version if anything of it was new: the summary, the epoch and the version."""
    from batch_layer.archive import Epoch

    epoch = new_epoch()
    # Both are held until the epoch is published: no writer takes an id of it in between, no expiry removes a file.
    with (
        hold_import(context.settings.home, context.log.topic_id(context.names.topic(stream))) as lock,
        holding(context.store.lease(epoch, epochs=[epoch])),
    ):
        of = stream, source, context.store, context.log, context.names, CLOCK, lock
        with progress_bar(quiet) as progress:
            most = context.settings.max_instruments
            done = import_history(*of, progress, epoch, most_entities=most, look=look)
        facts = {"epoch": done.epoch, **summary_facts(done.summary, stream), "left_out": [*source.left_out]}
        if done.archive:
            extra = Epoch(stream.name, done.archive, done.ids, done.summary.accepted, done.summary.refused)
            facts["version"] = context.batch_run(extra=extra).run().version
    return facts


def name_of(files: Sequence[str], source: Source) -> str:
    """What a summary calls the arguments."""
    return files[0] if len(files) == 1 else source.name


@contextmanager
def progress_bar(as_json: bool) -> Iterator[OnProgress]:
    """A bar on a terminal; nothing elsewhere."""
    if as_json or not sys.stderr.isatty():
        yield lambda _done, _total: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, TextColumn("{task.completed:,.0f}"), console=errors, transient=True) as bar:
        task = bar.add_task("ingest", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def summary_facts(summary: Summary, stream: Stream | None = None) -> dict[str, Any]:
    """A summary, for a program; `stream` is given where it is of a file, which options may read otherwise."""
    facts = {**summary.facts(), "records": summary.records}
    if stream is not None:
        for reason, first in facts["examples"].items():
            if hint := hint_of(stream, reason, first["error"]):
                first["hint"] = hint
    return facts


def show_summary(name: str, facts: dict[str, Any]) -> None:
    """A summary, for a person."""
    console.print(f"[bold]{plain(name)}[/]", soft_wrap=True)
    packed = f" in {facts['records']:,} records" if facts["records"] else ""  # the ingest service does not say
    console.print(f"  accepted   {facts['accepted']:,} events{packed}")
    console.print(f"  duplicate  {facts['duplicates']:,}")
    if facts["conflicts"]:
        console.print(f"  [yellow]conflict[/]   {facts['conflicts']:,}  (id taken with other content; dead letter)")
    if facts["refused"]:
        for reason, count in facts["refused"].items():
            console.print(f"  [yellow]refused[/]    {count:,}  {reason}")
    else:
        console.print("  refused    0")
    for fact in facts.get("left_out", ()):
        console.print(f"  [yellow]left out[/]   {plain(fact)}", soft_wrap=True)
    show_examples(name, facts)
    if facts["examples"]:
        console.print("  `slackwater dead-letters show` prints them all; correct the source and ingest it again.")


def show_rehearsals(
    stream: Stream, files: Sequence[str], most: int, as_json: bool, names: bool = False, **options: Any
) -> None:
    """What the first lines of each file would become, or of the sample; ends with 1 where one of them is nothing."""
    if not files:
        show_rehearsal(stream, "sample", open_sample(), most, as_json, names)
        return
    good = [
        show_rehearsal(stream, name, open_input(stream, [name], **options), most, as_json, names)
        for name in named_files(files, options["file_format"])
    ]
    if not all(good):
        sys.exit(1)


def show_rehearsal(stream: Stream, name: str, source: Source, most: int, as_json: bool, names: bool) -> bool:
    """What the first lines of a source would become; whether any is an event."""
    with closing(source):
        found = rehearse(stream, source, most, CLOCK, names)
    facts = {
        "stream": stream.name,
        "file": name,
        "lines": found.lines,
        "whole": found.ended,
        "events": [{"position": at, "event": json.loads(line)} for at, line in found.events],
        **summary_facts(found.tally, stream),
    }

    def show() -> None:
        console.print(f"[bold]{plain(name)}[/]  nothing is taken")
        for at, line in found.events:
            console.print(f"  {plain(at)}  {plain(line.decode())}", soft_wrap=True)
        of = "all of it" if found.ended else "read so far"
        console.print(f"  {len(found.events):,} events of {found.lines:,} lines, {of}; duplicates are not looked for")
        for reason, count in sorted(found.tally.refused.items()):
            console.print(f"  [yellow]refused[/]    {count:,}  {reason}")
        show_examples(name, facts)

    emit(as_json, facts, show)
    return not found.lines or bool(found.events)


def show_examples(name: str, facts: dict[str, Any]) -> None:
    """The first line of each reason, for a person; `name` is the heading that it stands below."""
    for reason, first in facts["examples"].items():
        place = first["position"] if first["source"] == name else f"{first['source']}, {first['position']}"
        console.print(f"  first {reason}, {plain(place)}: {plain(first['error'])}", soft_wrap=True)
        console.print(f"    {plain(first['line'])}", soft_wrap=True)
        if "hint" in first:
            console.print(f"    [cyan]hint[/]  {plain(first['hint'])}", soft_wrap=True)
