"""Rules switched off, one at a time: a test build of the function that holds a rule, with a line of it changed.

The text to change must stand in the function exactly once, so a switch cannot go stale unnoticed. The function's code
is exchanged in place: whoever imported it by name runs the changed one, too.
"""

import inspect
import textwrap
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from types import FunctionType
from typing import Any

from batch_layer import archive, compact, compute, drop, expire, prove, run, spans, waiting, work
from ingest import duplicates
from serving.store import hot
from serving.watch import live, log_watch, standings
from slackwater.deltas import cell, chain, reader
from slackwater.pipeline import summarise
from slackwater.versions import garbage, leases, manifest, retention, store
from slackwater.views import view
from speed_layer import beginning, sink, stream_worker, tiling, worker


@dataclass(frozen=True)
class Edit:
    """`old` becomes `new` in the source of `owner.name`."""

    owner: Any
    name: str
    old: str
    new: str

    @contextmanager
    def made(self) -> Iterator[None]:
        """The function is changed inside of the block."""
        found = inspect.getattr_static(self.owner, self.name)
        function = inspect.unwrap(found.func if isinstance(found, cached_property) else found)
        assert isinstance(function, FunctionType)
        source = textwrap.dedent(inspect.getsource(function))
        assert source.count(self.old) == 1, f"{self.name} holds {self.old!r} {source.count(self.old)} times"
        lines = source.replace(self.old, self.new).splitlines()
        while lines[0].startswith("@"):
            del lines[0]
        built: dict[str, Any] = {}
        exec(compile("\n".join(lines), f"<{self.name} without a rule>", "exec"), function.__globals__, built)
        code = function.__code__
        function.__code__ = built[self.name].__code__
        try:
            yield
        finally:
            function.__code__ = code


@dataclass(frozen=True)
class Switch:
    """A rule. `case` is its number in the list of counterexamples, 0 for a rule that is not in it.

    `seeds`: the random simulation finds its absence within so many; 0: too rare for that, the fixed case shows it.
    """

    case: int
    rule: str
    edits: tuple[Edit, ...]
    seeds: int = 0

    @contextmanager
    def off(self) -> Iterator[None]:
        """The rule does not hold inside of the block."""
        with ExitStack() as stack:
            for edit in self.edits:
                stack.enter_context(edit.made())
            yield

    def __str__(self) -> str:
        return f"{self.case}: {self.rule}"


_MARKED = "mark_all(found, writer, run_id)"
_PARENT_AGAIN = "parent = self.context.store.current() or parent"
_STARTS_AGAIN = "[s.start.update({p: parent.of(s.stream).cut.get(p, 0) for p in s.start}) for s in found]"
_ENDS = "{p: at.end for p, at in context.log.bounds(context.names.deltas(s.stream)).items()}"
_DELTAS_AGAIN = f"[setattr(s, 'delta_ends', {_ENDS}) for s in found]"

SWITCHES = (
    Switch(
        1,
        "the pointer is read once, before marking",
        (Edit(run.BatchRun, "_take", _MARKED, f"{_MARKED}; {_PARENT_AGAIN}; {_STARTS_AGAIN}"),),
    ),
    Switch(
        2,
        "no cell below where reading began",
        (Edit(tiling.Tiler, "reset", "position if position % GRID == 0 else None", "position // GRID * GRID"),),
    ),
    Switch(
        3,
        "the archive is the manifest's files",
        (
            Edit(
                compute,
                "archive_segments",
                "tuple(entry.file.checked(fetch) for entry in entries)",
                "tuple(sorted(map(str, fetch(entries[0].file).parents[1].glob(f'*/*-{partition}-*.parquet'))))",
            ),
        ),
        seeds=10,
    ),
    Switch(
        4,
        "a run checks the mark at the parent's cut",
        (Edit(spans, "check_parent", "if found[p] != run_id:", "if False:"),),
    ),
    Switch(
        4,
        "a server checks the mark at the cut",
        (Edit(standings, "mark_reasons", "if found.get(p) != mark.run_id", "if False"),),
    ),
    Switch(
        5,
        "sealed and open keys are apart",
        (Edit(cell, "encode_key", "cell.start if sealed else OPEN", "cell.start"),),
        seeds=10,
    ),
    Switch(
        6,
        "a proof has three outcomes",
        (Edit(prove, "_verdict", 'return ("unproven"', 'return ("different"'),),
        seeds=10,
    ),
    Switch(
        7,
        "cells without rows are published",
        (
            Edit(
                sink._StreamSink,
                "send",
                'reach("emit.before")',
                'if not cell.rows:\n        return\n    reach("emit.before")',
            ),
        ),
        seeds=10,
    ),
    Switch(
        8,
        "cells tile over gaps",
        (
            Edit(
                tiling.Tiler,
                "add",
                "line > self._start:",
                "any(self._start <= record.offset < line for record in found.records):",
            ),
        ),
        seeds=10,
    ),
    Switch(
        9,
        "a worker starts from the chain, not from group offsets",
        (
            Edit(
                beginning,
                "beginnings",
                "begin[p] = min(floor.cut[p] if last is None else last.start for last in lasts)",
                "begin[p] = log.committed.get(('slackwater-speed', topic, p), floor.cut[p])",
            ),
        ),
        seeds=60,
    ),
    Switch(10, "the grid belongs to the definition", (Edit(view.View, "definition", '"grid": GRID,', ""),)),
    Switch(
        11,
        "the log is kept from the smallest retained cut",
        (Edit(retention, "smallest_cut", "p: min(", "p: max("),),
    ),
    Switch(
        12,
        "versions retire before anything is removed",
        (Edit(expire, "_retire", "store.retire(version, clock.now_us(), version not in snapshots.retire)", "pass"),),
    ),
    Switch(
        12,
        "deltas stay from the smallest delta_start of what is kept",
        (Edit(retention, "smallest_delta_start", "p: min(", "p: max("),),
        seeds=300,
    ),
    Switch(
        13,
        "the definition is in the key",
        (Edit(view.View, "definition", "json.dumps(meaning, separators=", "json.dumps(self.name, separators="),),
    ),
    Switch(
        13,
        "the topic's id is in the key",
        (
            Edit(cell, "delta_key_of", "view.definition, topic_id, partition", 'view.definition, "", partition'),
            Edit(hot.HotStore, "view_of", "delta_key.topic_id == self._topic_ids.get(view.stream.name)", "True"),
        ),
    ),
    Switch(
        14,
        "the open delta is written again",
        (
            Edit(
                stream_worker.StreamWorker, "_again", "if end == self._positions[p] or p in self._unread:", "if False:"
            ),
        ),
    ),
    Switch(
        15,
        "a worker starts at the last cell's start",
        (Edit(beginning, "beginnings", "else last.start for", "else last.upto for"),),
        seeds=20,
    ),
    Switch(
        15,
        "a worker starts at the smallest start over its views",
        (Edit(beginning, "beginnings", "begin[p] = min(", "begin[p] = max("),),
        seeds=150,
    ),
    Switch(
        16,
        "delta_start is noted before the marks",
        (Edit(run.BatchRun, "_take", _MARKED, f"{_MARKED}; {_DELTAS_AGAIN}"),),
    ),
    Switch(
        16,
        "delta_start is 0 for partitions that a manifest does not know",
        (Edit(reader.DeltaReader, "__init__", "starts.get(p, 0)", "starts.get(p, b.end)"),),
    ),
    Switch(
        17,
        "version 0's cut is a cell's start",
        (
            Edit(
                tiling.Tiler,
                "__init__",
                "self._start: int | None = start",
                "self._start: int | None = start if start % GRID == 0 else None",
            ),
        ),
        seeds=40,
    ),
    Switch(
        18,
        "what a living run stands on is held",
        (Edit(leases.Leases, "active", "if lease is not None]", "if False]"),),
        seeds=200,
    ),
    Switch(
        19,
        "no answer beyond the log's end",
        (Edit(standings, "lost_ends", "at > bounds[p].end", "False"),),
    ),
    Switch(
        19,
        "a tail that was seen to go is not forgotten",
        (Edit(log_watch.LogWatch, "_check", "found.bounds[p].end < at.end", "False"),),
    ),
    Switch(
        20,
        "a run marks every stream before it reads one",
        (
            Edit(
                spans,
                "mark_all",
                "marks, refused = append_marks(writer, spans.topic, spans.start, run_id)",
                "marks, refused = append_marks(writer, spans.topic, spans.start if spans is found[0] else (), run_id)\n"
                "        marks = {**{p: spans.bounds[p].end for p in spans.start if p not in refused}, **marks}",
            ),
        ),
        seeds=10,
    ),
    Switch(
        21,
        "a view gets the segments of its own stream",
        (Edit(summarise._SummariseSegment, "process", "if segment.is_for(view)", "if True"),),
    ),
    Switch(
        22,
        "a run refuses to lack what its parent holds",
        (Edit(drop, "check_known", "if streams or views:", "if False:"),),
        seeds=40,
    ),
    Switch(
        23,
        "a stream that cannot be read is held",
        (Edit(spans, "_open", "spans.stall(error)", "raise"),),
        seeds=20,
    ),
    Switch(
        23,
        "a partition that cannot be read is held",
        (
            Edit(archive, "_archive", "spans.hold(error.partition, error)", "raise"),
            Edit(spans, "_open", "spans.hold(p, error)", "raise error"),
        ),
    ),
    Switch(
        23,
        "a worker goes on without a stream that it cannot read",
        (Edit(worker.Worker, "_fail", "if not self._reading and not waiting:", "if True:"),),
        seeds=20,
    ),
    Switch(
        23,
        "a worker makes what a version from before the stream needs",
        (Edit(beginning, "retained", "own is None or own.topic_id == topic_id", "own and own.topic_id == topic_id"),),
    ),
    Switch(
        0,
        "what is not read yet is not called complete",
        (Edit(live.Completeness, "unread", "lacking is None or not lacking.isdisjoint(partitions)", "False"),),
    ),
    Switch(
        0,
        "a run with nothing new publishes nothing",
        (Edit(waiting, "waits", "return None", 'return Waiting("A run is always due.")'),),
        seeds=5,
    ),
    Switch(
        0,
        "the pointer moves by compare-and-swap",
        (
            Edit(
                store.VersionStore,
                "_pointer_at",
                "if pointer.version != parent or (began is not None and pointer.move != began.move):",
                "if False:",
            ),
        ),
        seeds=20,
    ),
    Switch(
        0,
        "a reader keeps the cell with the largest upto",
        (Edit(chain.Chain, "put", "known.upto >= cell.upto", "known.upto == cell.upto"),),
    ),
    Switch(
        0,
        "ingest knows what is in the log since the cut",
        (
            Edit(
                duplicates.DuplicateFilter,
                "_learn",
                "self.known.learn(events)",
                "pass",
            ),
        ),
        seeds=40,
    ),
    Switch(
        0,
        "a run audits what is proven",
        (Edit(run.BatchRun, "_audit", "if parent.version and not self.full:", "if False:"),),
    ),
    Switch(
        0,
        "what an audit found wrong is made again",
        (Edit(run.BatchRun, "_audit", "audited.wrong | wrong", "audited.wrong"),),
    ),
    Switch(
        0,
        "a version lists its parent's parts, too",
        (Edit(work, "work_of", "if part.view in grown", "if False"),),
        seeds=10,
    ),
    Switch(
        0,
        "a run computes what its parent did not take in",
        (Edit(manifest.Manifest, "taken_in", "entry.version > after", "True"),),
        seeds=10,
    ),
    Switch(
        0,
        "a merge takes the place of what it merged",
        (
            Edit(
                compact,
                "_compact",
                "behind.get(n, []) if part is None else [part]",
                "[*behind.get(n, []), version.parts[n]]",
            ),
        ),
        seeds=60,
    ),
    Switch(
        0,
        "the parts of a run are held while it makes them",
        (Edit(garbage, "_unlisted", "if epoch in leased", "if epoch in leased and root.name == 'archive'"),),
        seeds=200,
    ),
)
