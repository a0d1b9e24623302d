"""The options that say of which stream a file is and how it is read, and the source that they name.

Not here: what becomes of its events (`ops.cli_ingest`, `ops.cli_correct`).
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import click

from ingest.chunk import Source
from ingest.files.formats import FORMATS, STDIN
from ingest.files.sources import open_sources
from ingest.preset import OWN, Preset, preset_named, presets
from ops.output import console, emit, plain
from slackwater.streams.mapping import (
    Layout,
    parse_map,
    parse_names,
    parse_records,
    parse_time_unit,
    parse_words,
    readings,
)
from slackwater.streams.stream import Stream
from slackwater.streams.trades import TRADES

SHOWN_LINES = 6
"""Of a preset's sample."""

list_presets_option = click.option(
    "--list-presets", is_flag=True, help="Print the presets, each with a sample and whether that is real, and end."
)

_OPTIONS = (
    click.option(
        "--stream",
        "stream_name",
        default=TRADES.name,
        show_default=True,
        metavar="NAME",
        help="What its events are.",
    ),
    click.option("--preset", metavar="NAME", help="How files of a venue or a program are read; see --list-presets."),
    click.option("--venue", metavar="NAME", help="Of all rows: --map venue==NAME."),
    click.option("--symbol", metavar="NAME", help="Of all rows: --map symbol==NAME."),
    click.option("--format", "file_format", type=click.Choice(sorted(FORMATS)), help="Default: the file's ending."),
    click.option(
        "--map",
        "maps",
        multiple=True,
        metavar="FIELD=COLUMN,...",
        help="Event field = column of the file, or path in JSON such as data.p or trades.0; FIELD==TEXT: the same in"
        " each row; side=!COLUMN: the column says the opposite, such as true where the buyer is the maker.",
    ),
    click.option(
        "--records",
        metavar="PATH",
        help="Where the events are in answers of JSON, such as result.list; one key may be `*`.",
    ),
    click.option(
        "--columns",
        metavar="NAME,NAME,...",
        help="All columns of CSV, in order, where its first line is a row and no header.",
    ),
    click.option(
        "--time-unit",
        metavar="s|ms|us|ns|digits",
        help="Required where the time is a number; digits: 10, 13, 16 and 19 before the point are s, ms, us and ns.",
    ),
    click.option(
        "--values",
        multiple=True,
        metavar="FIELD:TEXT=VALUE,...",
        help="What a text of the file stands for, such as side:0=buy,side:1=sell.",
    ),
    click.option(
        "--round-price",
        type=click.IntRange(0),
        metavar="N",
        help="Round prices half-even to N digits behind the point.",
    ),
    click.option(
        "--round-quantity",
        type=click.IntRange(0),
        metavar="N",
        help="Round quantities so, such as 8 for the noise of doubles; without it more than 8 digits are refused.",
    ),
    click.option("--lower-venue", is_flag=True, help="Capitals in venues become small letters."),
)


def source_options(command: Any) -> Any:
    """Adds the options to a command."""
    for option in _OPTIONS:
        command = option(command)
    return command


def open_input(
    stream: Stream,
    files: Sequence[str],
    maps: tuple[str, ...],
    columns: str | None,
    time_unit: str | None,
    file_format: str | None,
    values: tuple[str, ...],
    round_price: int | None,
    round_quantity: int | None,
    lower_venue: bool,
    records: str | None,
    venue: str | None,
    symbol: str | None,
    preset: str | None = None,
) -> Source:
    """The source that a command's arguments and options name.

    Raises:
        UnknownPresetError: there is no such preset.
        SourceError, MappingError
    """
    said = {"venue": venue, "symbol": symbol}
    rounded = {"price": round_price, "quantity": round_quantity}
    digits = {field: most for field, most in rounded.items() if most is not None}
    layout = Layout(
        parse_map(stream, [*maps, *(f"{field}=={text}" for field, text in said.items() if text is not None)]),
        None if time_unit is None else parse_time_unit(time_unit),
        () if columns is None else parse_names(columns),
        readings(stream, parse_words(stream, values), digits, lower_venue),
        () if records is None else parse_records(records),
    )
    if preset is not None:
        found = preset_named(preset)
        layout = found.merged(stream, layout)
        file_format = file_format or (found.file_format if STDIN in files else None)
    return open_sources(stream, files, layout, file_format)


def list_presets(as_json: bool) -> None:
    """Print every preset: what it is for, a sample, and whether that is real."""
    for each in presets().values():
        facts = {
            **{name: getattr(each, name) for name in ("name", "title", "verified", "source", "note", "file", "sample")},
            "needs": list(each.needs),
            "seen": each.seen,
        }
        emit(as_json, facts, partial(_show_preset, each))
    if not as_json:
        console.print("[bold]sample[/]  verified\n  The real trades that come with Slackwater; no file is named.")


def _show_preset(preset: Preset) -> None:
    console.print(f"[bold]{preset.name}[/]  {'verified' if preset.verified else '[yellow]unverified[/]'}")
    needs = f" Needs {', '.join(f'--{each}' if each in OWN else f'--map {each}==' for each in preset.needs)}."
    console.print(f"  {plain(preset.title)}.{needs if preset.needs else ''} {plain(preset.note)}", soft_wrap=True)
    lines = preset.sample.splitlines()
    for line in lines[:SHOWN_LINES]:
        console.print(f"    {plain(line)}", soft_wrap=True)
    if len(lines) > SHOWN_LINES:
        console.print("    ...")
    console.print(f"  {plain(preset.source)}, seen on {preset.seen}", soft_wrap=True)
