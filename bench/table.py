"""What the benchmark found, as tables: on the terminal, and in docs/benchmarks.md.

    slackwater bench --json > bench.json
    python -m bench.table bench.json docs/benchmarks.md

The second command writes the tables between the two marks of the document, and touches nothing else in it.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.archive import archive_lines
from bench.budget import budget_lines
from bench.bulk import import_lines
from bench.capture import capture_lines
from bench.cold import cold_lines
from bench.export import export_lines
from bench.floor import floor_lines
from bench.full import full_lines
from bench.history import history_lines
from bench.idle import idle_lines
from bench.instruments import instruments_lines
from bench.intake import intake_lines
from bench.serving import serving_lines
from bench.versions import versions_lines

BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"

Results = dict[str, Any]
Line = tuple[str, str, str]


def figures(results: Results) -> list[Line]:
    """What was measured, the figure, and its target."""
    of: dict[str, Callable[[Any], list[Line]]] = {
        "batch": _batch,
        "speed": _speed,
        "floor": floor_lines,
        "latency": _latency,
        "serving": serving_lines,
        "cold": cold_lines,
        "full": full_lines,
        "history": history_lines,
        "versions": versions_lines,
        "archive": archive_lines,
        "import": import_lines,
        "intake": intake_lines,
        "capture": capture_lines,
        "export": export_lines,
        "overload": _overload,
        "stream": _stream,
        "idle": idle_lines,
        "instruments": instruments_lines,
    }
    return [line for part, lines in of.items() if part in results for line in lines(results[part])]


def memory(results: Results) -> list[tuple[str, str, str]]:
    """Part, process, peak memory."""
    parts = [part for part in results if part != "machine"]
    return [(part, name, f"{mb:,} MB") for part in parts for name, mb in results[part]["peak_mb"].items()]


def machine(results: Results) -> str:
    """Where it was measured, in a sentence."""
    found = results["machine"]
    return (
        f"{found['cores']} cores, {found['memory_gb']} GB, {found['system']}, Python {found['python']}; "
        f"load average {found['load_before']} before the run."
    )


def show(results: Results, console: Console) -> None:
    """Print the tables."""
    console.print(machine(results))
    for title, heads, lines in _tables(results):
        table = Table(title=title, title_justify="left", box=None, padding=(0, 2))
        for head in heads:
            table.add_column(head, justify="left" if head in {"what", "part", "process", "target"} else "right")
        for line in lines:
            table.add_row(*line)
        console.print(table)


def markdown(results: Results) -> str:
    """The tables for a document."""
    blocks = [f"Measured on {machine(results)}"]
    for _, heads, lines in _tables(results):
        widths = [max(map(len, column)) for column in zip(heads, *lines, strict=True)]
        rule = tuple("-" * width for width in widths)
        rows = [
            "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |"
            for line in (heads, rule, *lines)
        ]
        blocks.append("\n".join(rows))
    return "\n\n".join(blocks)


def _tables(results: Results) -> list[tuple[str, Line, list[Line]]]:
    return [
        ("Throughput and latency", ("what", "measured", "target"), figures(results)),
        ("Peak memory", ("part", "process", "resident"), memory(results)),
    ]


def _batch(found: Results) -> list[Line]:
    seconds = found["seconds"]
    pairs = found["pairs"]
    ratios = sorted(pair["duckdb_s"] / pair["compute_s"] for pair in pairs)
    return [
        (f"batch run of {found['trades']:,} trades: mark", f"{seconds['mark']:.2f} s", ""),
        ("batch run: archive", f"{seconds['archive']:.1f} s, {_rate(found['archive_trades_per_s'])}", ""),
        ("batch run: compute", f"{seconds['compute']:.2f} s", ""),
        ("batch run: prove", f"{seconds['prove']:.2f} s", ""),
        ("batch run: restate", f"{seconds['restate']:.2f} s", ""),
        ("batch run: publish", f"{seconds['publish']:.2f} s", ""),
        ("compute alone", _rate(found["compute_trades_per_s"]), ""),
        ("plain DuckDB, the same query and files", _rate(found["duckdb_trades_per_s"]), ""),
        (
            f"compute : plain DuckDB, median of {len(pairs)} pairs",
            f"{found['ratio']:.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})",
            "at least 0.75",
        ),
        ("the same by CPU time, not wall time", f"{found['ratio_by_cpu']:.2f}", ""),
        ("plain DuckDB, the query without files", _rate(found["duckdb_query_trades_per_s"]), ""),
        ("compute : the query without files", f"{found['ratio_to_query_alone']:.2f}", ""),
        (f"Beam row at a time, {found['rows_trades']:,} trades", _rate(found["rows_trades_per_s"]), ""),
    ]


def _speed(found: Results) -> list[Line]:
    one, packed = found["one_per_record"], found["packed"]
    lines = []
    for name, drain, target, against in (
        ("one trade a record", one, "at least 60,000 trades/s", ""),
        (f"{packed['per_record']} trades a record", packed, "at least 400,000 trades/s", "at least 0.6"),
    ):
        cpu = drain["cpu_s"]
        lines += [
            (f"drain of {drain['trades']:,}, {name}", _rate(drain["trades_per_s"]), target),
            ("the same from the start of the process", _rate(drain["trades_per_s_with_start"]), ""),
            ("drain : decoding the same records on one core", f"{drain['ratio_to_decoding']:.2f}", against),
            (
                "CPU of speed, broker, this benchmark",
                f"{cpu['speed']:.1f}, {cpu['broker']:.1f}, {cpu['bench']:.1f} s",
                "",
            ),
        ]
    return lines


def _latency(found: Results) -> list[Line]:
    cores = ", ".join(f"{name} {used:.2f}" for name, used in found["cores"].items())
    without, with_batch, around = found["without_batch"], found["with_batch"], found["around_new_versions"]
    return [
        (f"produced to visible over REST, {found['rate']:,} trades/s", _spread(without), "p50 < 25 ms, p99 < 60 ms"),
        *budget_lines(found["budget"]),
        (f"the same with batch runs ({with_batch.get('versions', 0)} versions)", _spread(with_batch), ""),
        ("the same, trades within 0.5 s of a new version", _spread(around), ""),
        ("cores used meanwhile, without batch runs", cores, ""),
        (f"one answer, {found['answer']['per_s']:,} a second", _spread(found["answer"]), ""),
    ]


def _overload(found: Results) -> list[Line]:
    capacity, times = found["capacity"], found["times"]
    lines = [
        (f"hot answers to {capacity['clients']} clients", f"{capacity['per_s']:,.0f}/s, {_waits(capacity)}", ""),
        ("cores of serving, clients", f"{capacity['serving_cores']:.2f}, {capacity['crowd_cores']:.2f}", ""),
    ]
    target = "at least 90 %, p99 at most doubled"
    for name, what in (
        ("overload", f"{times} times the clients, who wait as `Retry-After` says"),
        ("after", "the first clients again, at once"),
        ("rude", f"{times} times the clients, who do not wait"),
        ("after_rude", "the first clients again, at once"),
    ):
        span = found[name]
        by_cpu = (span["per_s"] / span["serving_cores"]) / (capacity["per_s"] / capacity["serving_cores"])
        useful = f"{span['per_s'] / capacity['per_s']:.0%} useful ({by_cpu:.0%} by CPU), {_waits(span)}"
        lines.append((what, useful, "" if name == "rude" else target))
        if span["refused"]["count"]:
            refusals = f"{span['refused_per_s']:,.0f}/s, {_waits(span, 'refused')}, {span['malformed']} malformed"
            lines.append(("refusals", refusals, "0 malformed"))
    for name, what in (
        ("body", "a body of 200 MB"),
        ("header", "a header of 100 KB"),
        ("drip", "100 heads that drip"),
        ("idle", "1,000 connections that do nothing"),
    ):
        each = found["hostile"][name]
        cost = f"{each['grown_mb']:+.1f} MB, others {each['others_ms']:.0f} ms"
        lines.append((what, f"{each['answer']} in {each['seconds']:.0f} s, {cost}", "ended, at most 10 MB"))
    return lines


def _waits(found: Results, which: str = "admitted") -> str:
    return f"p50 {found[which]['p50']:.1f}, p99 {found[which]['p99']:.1f} ms" if found[which]["count"] else "none"


def _stream(found: Results) -> list[Line]:
    lines = []
    for span in found["spans"]:
        clients, memory = f"{span['clients']:,} clients" if span["clients"] > 1 else "one client", span["memory"]
        stalled = f", {span['stalled']} of them stalled" if span["stalled"] else ""
        target = "p50 < 15 ms, p99 < 50 ms" if span["clients"] == 1 else ""
        cores = ", ".join(f"{name} {used:.2f}" for name, used in span["cores"].items())
        lines += [
            (f"produced to event, {found['rate']:,} trades/s, {clients}{stalled}", _spread(span["latency"]), target),
            ("events a second at a client", f"{span['events_per_s']}", ""),
            ("cores used meanwhile", cores, ""),
            (
                "memory of serving before they came, at the begin and the end of the span",
                f"{memory['before']}, {memory['first']}, {memory['last']} MB",
                "",
            ),
        ]
        if span["stalled"]:
            lines.append(("stalled clients that were cut", f"{span['stalled_cut']} of {span['stalled']}", "all"))
    return lines


def _rate(per_s: float) -> str:
    return f"{per_s / 1e6:.1f} M trades/s" if per_s >= 1e6 else f"{per_s:,.0f} trades/s"


def _spread(found: Results) -> str:
    if not found["count"]:
        return "none"
    return f"p50 {found['p50']:.1f}, p90 {found['p90']:.1f}, p99 {found['p99']:.1f}, max {found['max']:.0f} ms"


def main(arguments: list[str]) -> int:
    """Write the tables of a file of results into a document."""
    results, document = json.loads(Path(arguments[0]).read_text(encoding="utf-8")), Path(arguments[1])
    text = document.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, mark, after = rest.partition(END)
    if not mark:
        print(f"{document} has no {BEGIN} ... {END}.", file=sys.stderr)
        return 1
    document.write_text(f"{before}{BEGIN}\n\n{markdown(results)}\n\n{END}{after}", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
