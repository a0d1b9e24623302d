"""`slackwater batch compact` and `batch list --parts`: the parts that a version is made of, and fewer of them."""

from collections.abc import Iterable
from typing import Any

import click

from ops.context import Context
from ops.output import command, console, emit, table, time_text
from slackwater.store.compaction import Sized, amplification
from slackwater.store.layout import slice_of
from slackwater.versions.audited import AuditState
from slackwater.versions.manifest import Manifest, Part
from slackwater.views.interval import parse_interval


@command("compact", "slackwater batch compact", "slackwater batch compact --all --json")
@click.option("--all", "every", is_flag=True, help="Merge all parts to the layout that a full run gives.")
def compact_command(context: Context, every: bool, as_json: bool) -> None:
    """Merge parts of the served version into fewer, and serve that: a version of its own, over the same cut.

    A batch run does what is due by itself. With --all each view, interval and shard becomes one part for every slice of
    50,000 bars or more, and one for the rest. Parts that are not proven yet stay as they are.
    """
    from batch_layer.compaction_run import CompactionRun

    made = CompactionRun(context.parts, every).run()
    if made is None:
        emit(as_json, {"published": False}, lambda: console.print("There is nothing to merge."))
        return
    facts = {"version": made.version, "parent": made.parent, "published": True, "parts": len(made.parts)}
    emit(as_json, facts, lambda: console.print(f"version {made.version} published: {len(made.parts):,} parts"))


def parts_facts(manifest: Manifest, audited: AuditState) -> list[dict[str, Any]]:
    """Of each view, interval and shard its parts in numbers; `amplification` is how many a bar may be in at most,
    `audited_us` when the one of them was found right that was not for longest; 0 if one never was."""
    groups: dict[tuple[str, str, int], list[Part]] = {}
    for part in manifest.parts:
        groups.setdefault((part.view, part.interval, part.shard), []).append(part)
    return [
        {
            "view": view,
            "interval": interval,
            "shard": shard,
            "parts": len(parts),
            "slices": sum(_is_slice(part) for part in parts),
            "rows": sum(part.file.rows for part in parts),
            "bytes": sum(part.file.size for part in parts),
            "open": sum(_is_open(manifest, part) for part in parts),
            "amplification": amplification(_sized(parts)),
            "never_audited": audited.never(parts),
            "audited_us": min(audited.right_us(part) for part in parts),
            "low_us": min(part.low for part in parts),
            "high_us": max(part.high for part in parts),
        }
        for (view, interval, shard), parts in groups.items()
    ]


def show_parts(manifest: Manifest, audited: AuditState) -> None:
    """The same, for a person."""
    shown = table(
        *("view", "interval", "shard", "parts", "slices", "bars", "MB", "open", "never audited", "all audited"),
        *("read at once", "from", "to"),
    )
    for each in parts_facts(manifest, audited):
        shown.add_row(
            each["view"],
            each["interval"],
            *(f"{each[name]:,}" for name in ("shard", "parts", "slices", "rows")),
            f"{each['bytes'] / 1e6:,.1f}",
            f"{each['open']:,}",
            f"{each['never_audited']:,}",
            f"since {time_text(each['audited_us'])}" if each["audited_us"] else "never",
            f"{each['amplification']:,}",
            *(time_text(each[name]) for name in ("low_us", "high_us")),
        )
    console.print(shown if manifest.parts else f"Version {manifest.version} has no parts.")


def _is_slice(part: Part) -> bool:
    slices = slice_of(parse_interval(part.interval))
    return slices is not None and part.file.path.removesuffix(".parquet").endswith(f"-{slices.floor(part.low)}")


def _is_open(manifest: Manifest, part: Part) -> bool:
    return any(part.holds(number) for number in manifest.open)


def _sized(parts: Iterable[Part]) -> list[Sized]:
    return [Sized(n, part.file.rows, part.file.size, part.low, part.high) for n, part in enumerate(parts)]
