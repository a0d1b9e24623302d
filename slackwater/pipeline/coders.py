"""Beam coders: Arrow tables as IPC streams.

Beam's default for them is pickle, which writes the whole parent of a slice.
Importing this module registers them.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import apache_beam as beam
import pyarrow as pa

from slackwater.pipeline.segment import Block, Segment, Slot, States
from slackwater.views.rows import Row

# Runners copy encoded elements several times on their way, and half of a decimal's 16 bytes are zero.
_COMPRESSED = pa.ipc.IpcWriteOptions(compression="lz4")


class _Coder(beam.coders.Coder):
    """Codes one `kind`. Not deterministic in the sense of keys: equal tables may be chunked differently."""

    kind: Any

    def is_deterministic(self) -> bool:
        return False

    def to_type_hint(self) -> Any:
        return self.kind


class TableCoder(_Coder):
    """One Arrow table."""

    kind = pa.Table

    def encode(self, table: pa.Table) -> bytes:
        """Table -> bytes."""
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema, options=_COMPRESSED) as writer:
            writer.write_table(table)
        data: bytes = sink.getvalue().to_pybytes()
        return data

    def decode(self, data: bytes | memoryview) -> pa.Table:
        """Bytes -> table."""
        with pa.ipc.open_stream(pa.py_buffer(data)) as reader:
            return reader.read_all()

    def estimate_size(self, table: pa.Table) -> int:
        """Bytes, about. Beam's own way is to encode the table and throw that away."""
        return int(table.nbytes)


class SegmentCoder(_Coder):
    """Codes a Segment."""

    kind = Segment

    def encode(self, segment: Segment) -> bytes:
        """Segment -> bytes."""
        return _headed({"slot": asdict(segment.slot), "paths": segment.paths, "only": segment.only}, segment.table)

    def decode(self, data: bytes) -> Segment:
        """Bytes -> segment."""
        header, table = _split(data)
        return Segment(_slot(header["slot"]), table, tuple(header["paths"]), tuple(header["only"]))

    def estimate_size(self, segment: Segment) -> int:
        """Bytes, about."""
        return 0 if segment.table is None else int(segment.table.nbytes)


class BlockCoder(_Coder):
    """Codes a Block."""

    kind = Block

    def encode(self, block: Block) -> bytes:
        """Block -> bytes."""
        return _join_parts([SegmentCoder().encode(segment) for segment in block.segments])

    def decode(self, data: bytes) -> Block:
        """Bytes -> block."""
        return Block(tuple(SegmentCoder().decode(bytes(part)) for part in _parts(data)))

    def estimate_size(self, block: Block) -> int:
        """Bytes, about."""
        return sum(SegmentCoder().estimate_size(segment) for segment in block.segments)


class StatesCoder(_Coder):
    """Codes States."""

    kind = States

    def encode(self, states: States) -> bytes:
        """States -> bytes."""
        header = {"slot": asdict(states.slot), "definition": states.definition, "rows": states.rows}
        return _headed(header, states.table)

    def decode(self, data: bytes) -> States:
        """Bytes -> states."""
        header, table = _split(data)
        rows = tuple(Row(tuple(key), start, tuple(state)) for key, start, state in header["rows"])
        return States(header["definition"], _slot(header["slot"]), table, rows)

    def estimate_size(self, states: States) -> int:
        """Bytes, about."""
        return 100 * len(states.rows) if states.table is None else int(states.table.nbytes)


def _slot(found: dict[str, Any]) -> Slot:
    return Slot(**{**found, "stages": tuple(found["stages"])})


def _headed(header: dict[str, Any], table: pa.Table | None) -> bytes:
    """The header as one JSON line, then the table."""
    return json.dumps(header).encode() + b"\n" + (TableCoder().encode(table) if table is not None else b"")


def _split(data: bytes) -> tuple[dict[str, Any], pa.Table | None]:
    header, _, body = data.partition(b"\n")
    return json.loads(header), TableCoder().decode(body) if body else None


def _join_parts(parts: list[bytes]) -> bytes:
    """The lengths of the parts as one JSON line, then the parts."""
    return b"".join([json.dumps([len(part) for part in parts]).encode(), b"\n", *parts])


def _parts(data: bytes) -> Iterator[memoryview]:
    header, _, body = data.partition(b"\n")
    at = 0
    for length in json.loads(header):
        yield memoryview(body)[at : at + length]
        at += length


for _coder in (TableCoder, SegmentCoder, BlockCoder, StatesCoder):
    beam.coders.registry.register_coder(_coder.kind, _coder)
