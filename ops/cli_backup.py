"""`slackwater backup` and `slackwater restore`: a copy of the home, and a home of a copy."""

from pathlib import Path
from typing import Any

import click

from ops.context import CLOCK, Context
from ops.output import command, console, emit, time_text
from slackwater.core.errors import SlackwaterError
from slackwater.versions.backup import Made, back_up
from slackwater.versions.restore import check_backup, restore

_FOLDER = click.Path(file_okay=False, path_type=Path)


@command(
    "backup",
    "slackwater backup /backup/slackwater",
    "slackwater backup /backup/slackwater --check",
    "slackwater backup /backup/slackwater --json",
)
@click.argument("folder", metavar="DIR", type=_FOLDER)
@click.option("--check", is_flag=True, help="Read the backup that is there, and compare every file; copy nothing.")
def backup_command(context: Context, folder: Path, check: bool, as_json: bool) -> None:
    """Copy what the versions of the home stand on, while everything runs; into an earlier backup, what is new alone.

    All versions that answer: the rollback set and the snapshots, with pins, rollbacks, proofs and corrections. Not the
    log, which is the cluster's, and no API keys. What was copied is read again and compared with its SHA-256.
    """
    if check:
        found = check_backup(folder)
        whole = {"version": found.version, "versions": found.versions, "made_us": found.made_us}
        emit(
            as_json,
            {**whole, "files": len(found.files), "bytes": found.size},
            lambda: console.print(
                f"whole: {len(found.files):,} files, {found.size:,} bytes, version {found.version}, made "
                f"{time_text(found.made_us)}"
            ),
        )
        return
    made = back_up(context.store, folder, CLOCK.now_us())
    facts: dict[str, Any] = {
        "version": made.backup.version,
        "versions": made.backup.versions,
        "made_us": made.backup.made_us,
    }
    counts: dict[str, Any] = {"files": len(made.backup.files), "bytes": made.backup.size}
    facts |= {**counts, "copied": made.copied, "copied_bytes": made.copied_bytes, "unreadable": made.backup.unreadable}
    emit(as_json, facts, lambda: _show(made))


def _show(made: Made) -> None:
    backup = made.backup
    console.print(
        f"version {backup.version} and {len(backup.versions) - 1} others: {len(backup.files):,} files, "
        f"{backup.size:,} bytes, of which {made.copied:,} files, {made.copied_bytes:,} bytes were copied now"
    )
    if backup.unreadable:
        console.print(f"not copied, as they cannot be read: versions {', '.join(map(str, backup.unreadable))}")


@command(
    "restore",
    "slackwater restore /backup/slackwater",
    "slackwater --home /data/new restore /backup/slackwater",
    "slackwater restore /backup/slackwater --no-log",
)
@click.argument("folder", metavar="DIR", type=_FOLDER)
@click.option("--no-log", is_flag=True, help="Do not look whether the log still reaches the cut.")
def restore_command(context: Context, folder: Path, no_log: bool, as_json: bool) -> None:
    """Make the home, which must be empty, from a backup, and say whether batch runs can go on from it.

    Every file is compared before anything is written. A restore that was cut off is run again and goes on.
    """
    restored = restore(folder, context.settings.home)
    logs = {} if no_log else _log_says(context)
    facts = {"version": restored.version, "versions": restored.versions, "files": len(restored.files)}

    def show() -> None:
        console.print(
            f"version {restored.version} is served, of {len(restored.versions)} versions; {len(restored.files):,} files"
        )
        for stream, why in logs.items():
            says = f"runs do not go on: {why}" if why else "the log reaches the cut, runs go on"
            console.print(f"{stream or 'log'}: {says}", markup=False)

    emit(as_json, {**facts, "bytes": restored.size, "log": None if no_log else logs}, show)


def _log_says(context: Context) -> dict[str, str]:
    """Stream -> why a run cannot go on from the version; empty where it can. Of all streams under no name."""
    from batch_layer.spans import open_spans

    manifest = context.store.current()
    if manifest is None:
        return {}
    try:
        found = open_spans(context.parts, manifest, 0.0)
    except SlackwaterError as error:
        return {"": str(error)}
    return {spans.stream.name: str(spans.stalled or "") for spans in found}
