"""Fault points: named places in every step, where a test ends the real process or fails it as a bad disk does.

    SLACKWATER_FAULT=publish.pointer:kill              SIGKILL to itself, just before the pointer moves
    SLACKWATER_FAULT=archive.write:enospc:after=2      no space left on the device, when it comes by the third time
    SLACKWATER_FAULT=mark.after:eio,emit.before:eio    several, each fires once

Without the variable a point costs one look at an empty dict. Not here: what must hold afterwards; that is the crash
matrix (`tests/test_crash_*.py`), which visits every point.
"""

import errno
import os
import re
import signal
from collections.abc import Mapping
from typing import Literal, get_args

from slackwater.core.errors import SettingError

VARIABLE = "SLACKWATER_FAULT"

Point = Literal[
    "mark.before",  # the parent is known to fit the log, nothing was appended
    "mark.append",  # each partition's mark
    "mark.after",  # all marks are acknowledged
    "audit.before",
    "audit.after",
    "archive.before",
    "archive.read",  # each slice of the log that was read
    "archive.write",  # each slice, before it goes to its file
    "archive.letter",  # each refused record, before it is sent
    "archive.sync",  # each file: closed, not durable
    "archive.import",  # each file of imported history: closed, not durable
    "archive.ids",  # the events' files are durable, the ids are not written
    "archive.after",
    "compute.before",  # a number is taken
    "compute.write",  # each file of a view
    "compute.rename",  # each file: written under another name
    "compute.after",
    "compact.before",
    "compact.written",  # each merge: its parts are written, nothing lists them
    "compact.after",
    "prove.before",
    "prove.handoff",  # the proof failed; its file is not written
    "prove.after",
    "correct.record",  # events to be taken out are known and durable, nothing names them
    "correct.recorded",  # the ledger of corrections does
    "correct.before",  # a run: the version is proven as it is
    "correct.archive",  # each file of the archive that is written again without some events
    "correct.part",  # each part that is written again without some bars
    "correct.ids",  # each file of ids without those that are free again
    "correct.after",
    "restate.before",  # the proof does not hold it up
    "restate.write",  # what was restated is known, its file is not written
    "restate.after",
    "publish.before",
    "publish.alone",  # no writer judges identities that become free
    "publish.manifest",  # under the lock; the pointer is still at the parent
    "publish.write",  # a file was opened, its bytes are in memory
    "publish.pointer",  # the manifest is durable
    "publish.rename",  # the new pointer is durable under another name
    "publish.after",
    "move.before",  # a rollback or a promotion: its target was looked at, nothing was compared
    "move.ledger",  # what it restates is known, the ledger's file is not written
    "move.recorded",  # that is durable, and nothing names it
    "move.write",  # under the lock; the move has no record
    "move.pointer",  # its record is durable, the pointer did not move
    "move.after",  # the pointer moved, the versions are still leased
    "expire.before",
    "expire.retire",  # each version, under the lock; more versions stay than need to
    "expire.deltas",  # versions are retired, nothing is removed
    "expire.remove",  # each file or folder; the deltas are gone
    "expire.after",
    "expire.log",  # each stream: the archive holds what is to be removed of its log, which is there yet
    "backup.before",  # what is to be copied is noted and leased
    "backup.copy",  # each file, also one that is there already
    "backup.list",  # all files are there, the list is that of the backup before
    "backup.after",
    "restore.before",  # every file of the backup was compared
    "restore.copy",  # each file
    "restore.pointer",  # all is there but the pointer
    "restore.after",
    "instruments.before",  # what is new of the declared facts is known, nothing is written
    "instruments.after",  # the ledger's file is durable
    "claim.before",  # an import is durable, and its ids are not claimed
    "claim.after",  # they are
    "ingest.stand",  # nobody changes what is known, and it is not read
    "ingest.before",  # a chunk was read, nothing was judged
    "ingest.judge",  # each chunk was judged, nothing was sent
    "ingest.letter",  # dead letters are sent, not acknowledged
    "ingest.append",  # each record
    "ingest.landed",  # each record is acknowledged
    "ingest.after",  # everything is acknowledged, nothing was reported
    "read.begin",  # before a worker looks for its beginning
    "read.before",  # each look at the log
    "read.after",  # each slice, before it is summarised
    "emit.before",  # each delta
    "emit.after",  # each delta: sent, not acknowledged
    "emit.landed",  # each delta is acknowledged
    "commit.before",  # group offsets
    "commit.after",
]
"""Every point. `<step>.before` and `<step>.after` frame a step; the rest lies inside it."""

POINTS: tuple[Point, ...] = get_args(Point)

_ERRORS = {"eio": errno.EIO, "enospc": errno.ENOSPC}
_ACTIONS = ("kill", *_ERRORS)
_ORDER = re.compile(r"([^:]+):([^:]+)(?::after=([0-9]{1,9}))?")


class _Fault:
    """One order: what to do at a point, and how often to pass it first."""

    def __init__(self, point: str, action: str, after: int) -> None:
        self._point = point
        self._action = action
        self._left = after

    def reach(self) -> None:
        self._left -= 1
        if self._left != -1:
            return
        if self._action == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        number = _ERRORS[self._action]
        raise OSError(number, f"{os.strerror(number)} (fault point {self._point})")


_armed: dict[str, list[_Fault]] = {}


def reach(point: Point) -> None:
    """Say that the program stands at `point`; where a fault was ordered for it, it happens here.

    Raises:
        OSError: ordered by `eio` or `enospc`.
    """
    if _armed:
        for fault in _armed.get(point, ()):
            fault.reach()


def arm(environ: Mapping[str, str]) -> None:
    """Take the orders of SLACKWATER_FAULT, in place of those before. Called once, when a program starts.

    Raises:
        SettingError: an order names no point or no action.
    """
    _armed.clear()
    for order in filter(None, environ.get(VARIABLE, "").split(",")):
        form = _ORDER.fullmatch(order)
        if form is None:
            hint = "Write <point>:<action>, or <point>:<action>:after=<number>."
            raise SettingError(f"{VARIABLE} holds {order!r}, which is no order.", hint)
        point, action, after = form.groups("0")
        if point not in POINTS:
            raise SettingError(
                f"{VARIABLE} names {point!r}, which is no fault point.", f"There are {', '.join(POINTS)}."
            )
        if action not in _ACTIONS:
            raise SettingError(f"{VARIABLE} orders {action!r} at {point}.", f"Use one of {', '.join(_ACTIONS)}.")
        _armed.setdefault(point, []).append(_Fault(point, action, int(after)))
