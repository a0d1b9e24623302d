"""`slackwater dead-letters`: what was refused, why, and handing it in again after a fix."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import click

from ingest.letters import replay
from ops.cli_ingest import summary_facts
from ops.context import CLOCK, Context
from ops.entrance import entrance
from ops.output import command, console, emit, plain, table, time_text
from ops.time_option import Time
from slackwater.log.letters import Chosen, Stored, stored_letters
from slackwater.streams.registry import stream_named
from slackwater.streams.trades import TRADES

SHOWN_BYTES = 500
"""Of an original are shown at most; `--json` has all that the letter holds."""


@click.group("dead-letters")
def dead_letters() -> None:
    """What was refused: a letter holds the original, the reason and the place. Nothing of it is lost."""


def chosen_options(command: Any) -> Any:
    """The options that say which letters."""
    for option in reversed(
        (
            click.option("--reason", default="", metavar="WORD", help="Only those of this reason, such as bad-time."),
            click.option("--source", default="", metavar="TEXT", help="Only those whose source contains this."),
            click.option("--from", "low_us", default=0, type=Time(), metavar="TIME", help="Refused at or after it."),
            click.option("--to", "high_us", default=2**63 - 1, type=Time(), metavar="TIME", help="Refused before it."),
        )
    ):
        command = option(command)
    return command


stream_option = click.option("--stream", default="", metavar="NAME", help="Only those of this stream; default: all.")
all_option = click.option("--all", "settled", is_flag=True, help="Also those that were taken when handed in again.")


@dataclass
class _Group:
    """Letters of one stream, source and reason."""

    letters: int = 0
    settled: int = 0
    last_us: int = 0
    position: str = ""
    error: str = ""

    def add(self, stored: Stored) -> None:
        letter = stored.letter
        self.letters += 1
        self.settled += bool(stored.settled)
        self.last_us = max(self.last_us, letter.time_us)
        if self.letters == 1:
            self.position, self.error = letter.position, letter.error


@command(
    "list",
    "slackwater dead-letters list",
    "slackwater dead-letters list --reason conflict --source binance",
    of=dead_letters,
)
@stream_option
@chosen_options
@all_option
def list_command(context: Context, as_json: bool, **chosen: Any) -> None:
    """How many there are of each stream, source and reason, with the first of each."""
    groups: dict[tuple[str, str, str], _Group] = {}
    for stored in _stored(context, **chosen):
        letter = stored.letter
        groups.setdefault((letter.stream, letter.source, str(letter.reason)), _Group()).add(stored)
    facts = [
        {"stream": stream, "source": source, "reason": reason, **vars(group)}
        for (stream, source, reason), group in sorted(groups.items(), key=lambda item: -item[1].letters)
    ]

    def show() -> None:
        if not facts:
            console.print("No dead letters.")
            return
        found = table("stream", "source", "reason", "letters", "last refused", "first: where, and why")
        for each in facts:
            count = f"{each['letters']:,}" + (f" ({each['settled']:,} taken since)" if each["settled"] else "")
            first = f"{each['position']}: {each['error']}"
            found.add_row(
                *(plain(str(each[name])) for name in ("stream", "source", "reason")),
                count,
                time_text(int(str(each["last_us"]))),
                plain(first[:120]),
            )
        console.print(found)
        console.print("`slackwater dead-letters show` prints them; `... replay` hands them in again after a fix.")

    emit(as_json, {"groups": facts}, show)


@command(
    "show",
    "slackwater dead-letters show --reason bad-time --limit 3",
    "slackwater dead-letters show --json --limit 100000 > letters.jsonl",
    of=dead_letters,
)
@stream_option
@chosen_options
@all_option
@click.option("--limit", default=10, show_default=True, type=click.IntRange(1), help="Print at most so many.")
def show_command(context: Context, limit: int, as_json: bool, **chosen: Any) -> None:
    """The letters, the oldest first: where each stood, what is wrong with it, and its bytes."""
    count = 0
    for stored in _stored(context, **chosen):
        count += 1
        if count > limit:
            break

        def show(stored: Stored = stored) -> None:
            letter = stored.letter
            taken = f"  [green]{stored.settled}[/]" if stored.settled else ""
            head = f"[bold]{plain(letter.source)}[/]  {plain(letter.position)}  [yellow]{plain(letter.reason)}[/]"
            console.print(f"{head}  {time_text(letter.time_us)}{taken}")
            console.print(f"  {plain(letter.error)}")
            console.print(f"  {plain(_text(letter.value[:SHOWN_BYTES]))}", soft_wrap=True)

        emit(as_json, _facts(stored), show)
    if not as_json and not count:
        console.print("No dead letters.")
    if not as_json and count > limit:
        console.print(f"There are more than {limit}; --limit shows them.")


@command(
    "replay",
    "slackwater dead-letters replay --reason conflict",
    "slackwater dead-letters replay --source trades.jsonl --from 2026-11-28T00:00Z",
    of=dead_letters,
)
@click.option(
    "--stream", "stream_name", default=TRADES.name, show_default=True, metavar="NAME", help="What their events are."
)
@chosen_options
def replay_command(context: Context, stream_name: str, as_json: bool, **chosen: Any) -> None:
    """Hand letters in again, after a fix: each is judged like any line, and taken at most once.

    Originals are canonical JSON lines; rows of a file with other columns are ingested from that file again, which
    takes what is new of it.
    """
    stream = stream_named(stream_name, context.streams)
    letters = _stored(context, stream=stream.name, settled=False, **chosen)
    names = context.names
    with entrance(context, stream) as writer:
        log = context.log.writer()
        try:
            done = replay(letters, writer, log, names.dead_letters, CLOCK)
        finally:
            log.close()
        facts = {"stream": stream.name, **vars(done), **summary_facts(writer.summary())}

    def show() -> None:
        console.print(f"  taken      {done.settled:,}: {facts['accepted']:,} are new, the others were known")
        console.print(f"  refused    {done.refused:,} again")
        if done.cut:
            console.print(
                f"  [yellow]cut off[/]    {done.cut:,}: the letters hold no whole line; ingest its source again"
            )

    emit(as_json, facts, show)


def _stored(context: Context, **chosen: Any) -> Iterator[Stored]:
    return stored_letters(context.log, context.names.dead_letters, Chosen(**chosen))


def _facts(stored: Stored) -> dict[str, Any]:
    return {**stored.facts(), "time_us": stored.letter.time_us, "original": stored.text()}


def _text(value: bytes) -> str:
    return value.decode("utf-8", "backslashreplace")
