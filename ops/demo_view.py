"""The terminal view of the demonstration, with rich: what came in, the cut, what batch and speed hold, who is ready."""

from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

SHOWN_VERSIONS = 5
SHOWN_LINES = 6


@dataclass
class State:
    """What was last seen."""

    url: str
    seconds: int | None
    left_s: float | None = None
    records: int = 0
    deltas: int = 0
    dead_letters: int = 0
    versions: list[dict[str, Any]] = field(default_factory=list)
    bars: list[dict[str, Any]] = field(default_factory=list)
    ready: bool = False
    trouble: str = ""


class Lines:
    """The newest lines of the services."""

    def __init__(self) -> None:
        self._lines: deque[tuple[str, str]] = deque(maxlen=SHOWN_LINES)

    def add(self, name: str, line: str) -> None:
        """Take one; from any thread."""
        self._lines.append((name, line))

    def text(self) -> Text:
        """The newest, oldest first."""
        shown = Text(overflow="ellipsis", no_wrap=True)
        for name, line in list(self._lines):
            shown.append(f"{name:>8} │ ", style="dim")
            shown.append(line + "\n", style="dim")
        return shown


def render(state: State, lines: Lines) -> RenderableType:
    """The whole view."""
    health = "[green]ready[/]" if state.ready else "[yellow]not ready[/]"
    left = f"   ends in {state.left_s:.0f} s" if state.left_s is not None else "   Ctrl-C ends"
    head = Text.from_markup(
        f"[bold cyan]≋ Slackwater[/]  {state.url}  {health}{left}\n"
        f"  log [bold]{state.records:,}[/] records   deltas [bold]{state.deltas:,}[/]   "
        f"dead letters [bold]{state.dead_letters:,}[/]"
    )
    parts: list[RenderableType] = [head, _bars(state), _versions(state)]
    if state.trouble:
        parts.append(Text(f"  {state.trouble}", style="yellow"))
    return Group(*parts, Panel(lines.text(), title="services", border_style="dim"))


def _bars(state: State) -> Table:
    names = ("instrument", "last 1m bar", "close", "volume", "trades", "batch to", "speed to", "lag")
    table = Table(*names, box=None, padding=(0, 2), header_style="dim")
    for bar in state.bars:
        meta = bar["meta"]
        ((partition, applied),) = meta["applied"].items()
        start = bar.get("start")
        table.add_row(
            f"{bar['venue']}:{bar['symbol']}",
            f"{datetime.fromtimestamp(start / 1e6, UTC):%H:%M}" if start else "",
            bar.get("close", ""),
            bar.get("volume", ""),
            str(bar.get("trades", "")),
            f"[blue]{meta['cut'][partition]:,}[/]",
            f"[cyan]{applied:,}[/]",
            bar["lag"],
        )
    return table


def _versions(state: State) -> Table:
    table = Table("version", "published", "events", "cut", "proof", box=None, padding=(0, 2), header_style="dim")
    for version in state.versions[:SHOWN_VERSIONS]:
        table.add_row(
            str(version["version"]),
            f"{datetime.fromtimestamp(version['created'] / 1e6, UTC):%H:%M:%S}",
            f"{sum(of['events'] for of in version['counts'].values()):,}",
            " ".join(f"{p}:{at}" for cut in version["cut"].values() for p, at in cut.items()),
            proof_text(version["proof"]),
        )
    return table


def proof_text(proof: dict[str, Any]) -> str:
    """The outcome of a version's proof with what was compared, in a colour."""
    colour = {"equal": "green", "different": "red"}.get(proof["outcome"], "yellow")
    forced = ", forced" if proof["forced"] else ""
    text = f"[{colour}]{proof['outcome']}{forced}[/]"
    return f"{text} [dim]{proof['compared']:,} states, {proof['differ']:,} differ[/]" if proof["compared"] else text
