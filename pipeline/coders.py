"""Beam coders: Arrow tables as IPC streams.

Beam's default for them is pickle, which writes the whole parent of a slice.
Importing this module registers them.
"""

import json
from dataclasses import asdict
from typing import Any

import apache_beam as beam
import pyarrow as pa

from pipeline.segment import Segment, Slot, States


class TableCoder(beam.coders.Coder):
    """One Arrow table. Not deterministic in the sense of keys: equal tables may be chunked differently."""

    def encode(self, table: pa.Table) -> bytes:
        """Table -> bytes."""
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        return bytes(sink.getvalue().to_pybytes())

    def decode(self, data: bytes) -> pa.Table:
        """Bytes -> table."""
        with pa.ipc.open_stream(pa.py_buffer(data)) as reader:
            return reader.read_all()

    def is_deterministic(self) -> bool:
        """No key."""
        return False

    def to_type_hint(self) -> Any:
        """The type that it codes."""
        return pa.Table


class _HeadedCoder(beam.coders.Coder):
    """A JSON header line and a table."""

    def _join(self, header: dict[str, Any], table: pa.Table | None) -> bytes:
        return json.dumps(header).encode() + b"\n" + (TableCoder().encode(table) if table is not None else b"")

    def _split(self, data: bytes) -> tuple[dict[str, Any], pa.Table | None]:
        header, _, body = data.partition(b"\n")
        return json.loads(header), TableCoder().decode(body) if body else None

    def is_deterministic(self) -> bool:
        """No key."""
        return False


class SegmentCoder(_HeadedCoder):
    """Codes a Segment."""

    def encode(self, segment: Segment) -> bytes:
        """Segment -> bytes."""
        return self._join({"slot": asdict(segment.slot), "paths": segment.paths}, segment.table)

    def decode(self, data: bytes) -> Segment:
        """Bytes -> segment."""
        header, table = self._split(data)
        return Segment(Slot(**header["slot"]), table, tuple(header["paths"]))

    def to_type_hint(self) -> Any:
        """The type that it codes."""
        return Segment


class StatesCoder(_HeadedCoder):
    """Codes States."""

    def encode(self, states: States) -> bytes:
        """States -> bytes."""
        return self._join({"slot": asdict(states.slot), "view": states.view}, states.table)

    def decode(self, data: bytes) -> States:
        """Bytes -> states."""
        header, table = self._split(data)
        return States(header["view"], Slot(**header["slot"]), table)

    def to_type_hint(self) -> Any:
        """The type that it codes."""
        return States


beam.coders.registry.register_coder(pa.Table, TableCoder)
beam.coders.registry.register_coder(Segment, SegmentCoder)
beam.coders.registry.register_coder(States, StatesCoder)
