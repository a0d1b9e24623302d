"""`slackwater instruments`: what instruments are, loaded from files and listed; the ledger is in the home."""

from pathlib import Path
from typing import Any

import click

from ops.context import CLOCK, Context, user_name
from ops.output import command, console, emit, plain, table, time_text
from ops.time_option import Time
from slackwater.core.errors import StorageError
from slackwater.instruments.errors import RefusedRowsError, UnreadableRowsError
from slackwater.instruments.facts import Facts
from slackwater.instruments.ledger import InstrumentsLedger
from slackwater.instruments.loading import Loaded, load
from slackwater.instruments.rows import Row, form_of, parse

MOST_BYTES = 256 * 1024 * 1024
"""Of a file."""

MOST_SHOWN = 20
"""Refused rows that a person is shown; `--json` has all."""


@click.group()
def instruments() -> None:
    """What instruments are: kind, currencies, multiplier, tick, lot. The unit of quantities follows from it."""


@command(
    "load",
    "slackwater instruments load instruments.csv",
    "slackwater instruments load okx.json deribit.jsonl --dry-run",
    'slackwater instruments load fixed.csv --replace --reason "the multiplier was of another contract"',
    of=instruments,
)
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")
@click.option("--dry-run", is_flag=True, help="Show what would be added and refused, and load nothing.")
@click.option("--skip-refused", is_flag=True, help="Load the others where a row is refused; default: none is loaded.")
@click.option("--replace", is_flag=True, help="Take the place of rows that say something else from the same time on.")
@click.option("--reason", default="", metavar="TEXT", help="Why; it is recorded with who and when. --replace needs it.")
def load_command(
    context: Context,
    /,
    files: tuple[Path, ...],
    dry_run: bool,
    skip_refused: bool,
    replace: bool,
    reason: str,
    as_json: bool,
) -> None:
    """Declare instruments by files: CSV with a header, JSON lines, or a JSON array.

    \b
    venue,symbol,kind,base,quote      kind is spot, linear, inverse or option
    settlement,multiplier             by default the quote (inverse: the base), and 1 (inverse, option: none)
    tick,lot                          steps of price and quantity
    expiry,strike,right,underlying    of options; expiry also of dated futures
    effective                         from when the row holds; by default always

    A row that says what holds already adds nothing. All files are loaded together or not at all.
    """
    if replace and not reason.strip():
        raise click.UsageError("--replace needs --reason; it is recorded with who and when.")
    rows = [row for path in files for row in _rows(path, len(files) > 1)]
    ledger = InstrumentsLedger(context.store)
    found = load(ledger, rows, CLOCK.now_us(), user_name(), reason.strip(), replace, skip_refused, dry_run)
    facts = {"files": [*map(str, files)], "dry_run": dry_run, "loaded": found.written, **found.facts()}
    emit(as_json, {**facts, "rows": [each._asdict() for each in found.refused]}, lambda: show_loaded(found))
    if found.refused and not skip_refused:
        some = f"{len(found.refused):,} of {len(rows):,} rows are refused"
        raise RefusedRowsError(f"Nothing is loaded: {some}.", "Correct them, or --skip-refused loads the others.")


def _rows(path: Path, several: bool) -> list[Row]:
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise StorageError(error) from error
    if len(data) > MOST_BYTES:
        raise UnreadableRowsError(f"{path} has more than {MOST_BYTES:,} bytes.", "Load it in parts.")
    try:
        rows = parse(data, form_of(path.name, data))
    except UnreadableRowsError as error:
        raise UnreadableRowsError(f"{path} holds no instruments. {error.fact}", error.hint) from error
    return [row._replace(place=f"{path}, {row.place}") for row in rows] if several else rows


def show_loaded(found: Loaded) -> None:
    """What became of rows, for a person."""
    word = "added" if found.written else "would add"
    console.print(f"  {word:<10} {found.added:,}")
    if found.replaced:
        console.print(f"  {'replaced' if found.written else 'would replace'} {found.replaced:,}")
    console.print(f"  unchanged  {found.unchanged:,}")
    for reason, count in found.reasons.items():
        console.print(f"  [yellow]refused[/]    {count:,}  {reason}")
    for each in found.refused[:MOST_SHOWN]:
        console.print(f"  {plain(each.place)}: {each.reason}. {plain(each.error)}", soft_wrap=True)
        console.print(f"    {plain(each.row)}", soft_wrap=True)
    if len(found.refused) > MOST_SHOWN:
        console.print(f"  and {len(found.refused) - MOST_SHOWN:,} more; --json shows all")


@command(
    "list",
    "slackwater instruments list",
    "slackwater instruments list --venue okx --at 2024-08-09T00:00Z",
    "slackwater instruments list --json",
    of=instruments,
)
@click.option("--at", "at_us", type=Time(), metavar="TIME", help="What held at that time; default: what holds now.")
@click.option("--venue", default="", metavar="NAME", help="Only those of this venue.")
def list_command(context: Context, at_us: int | None, venue: str, as_json: bool) -> None:
    """What is declared of each instrument, by the row that holds."""
    declared = InstrumentsLedger(context.store).table()
    at_us = CLOCK.now_us() if at_us is None else at_us
    names = [name for name in declared.names() if venue in {"", name[0]}]
    found = [facts for name in names if (facts := declared.at(*name, at_us)) is not None]

    def show() -> None:
        if not found:
            console.print("Nothing is declared; `slackwater instruments load FILE` declares instruments.")
            return
        shown = table("instrument", "kind", "currencies", "of one", "tick", "lot")
        shown.padding = (0, 1)
        shown.columns[0].max_width, shown.columns[0].overflow = 36, "fold"
        for facts in found:
            shown.add_row(*_cells(facts))
        console.print(shown)

    items = [{**facts.given(), "quantity_unit": facts.quantity_unit} for facts in found]
    emit(as_json, {"at_us": at_us, "instruments": items}, show)


def _cells(facts: Facts) -> list[str]:
    given: dict[str, Any] = facts.given()
    lines = [plain(f"{facts.venue}:{facts.symbol}")]
    if facts.kind == "option":
        lines.append(plain(f"  {facts.right} {given['strike']} of {facts.underlying}"))
    lines += [f"  until {time_text(facts.expiry)}"] if facts.expiry is not None else []
    lines += [f"  since {time_text(facts.effective)}"] if facts.effective else []
    currency = {"spot": facts.base, "linear": facts.base, "inverse": facts.quote}.get(facts.kind, "")
    settled = "" if facts.kind == "spot" else f":{facts.settlement}"
    return [
        "\n".join(lines),
        facts.kind,
        plain(f"{facts.base}/{facts.quote}{settled}"),
        plain(f"{given['multiplier']} {currency}".strip()),
        *(str(given.get(step, "")) for step in ("tick", "lot")),
    ]
