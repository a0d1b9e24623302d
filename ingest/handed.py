"""A chunk as a producer hands it to the ingest service: an Arrow stream of one batch, so that what is refused keeps the
place and the bytes that it has in the producer's source.

    line        binary, the event as the decoder takes it; null where the source found a fault
    position    its place, such as "line 17"
    original    binary, its bytes in the source; null where these are the line
    length, sha256     of the whole original, where that was too long to keep
    reason, error      the fault

The name of the source is the schema's metadata. Not here: the requests (`ingest.remote`, `ingest.service`).
"""

from typing import Any

import numpy as np
import pyarrow as pa

from ingest.chunk import Chunk, Fault
from ingest.errors import UnreadableFileError
from ingest.files.line_reader import LongLine

MEDIA_TYPE = "application/vnd.slackwater.chunk"

_SCHEMA = pa.schema(
    [
        ("line", pa.binary()),
        ("position", pa.string()),
        ("original", pa.binary()),
        ("length", pa.int64()),
        ("sha256", pa.string()),
        ("reason", pa.string()),
        ("error", pa.string()),
    ]
)


def encode(chunk: Chunk) -> bytes:
    """The bytes of a chunk."""
    count = len(chunk.lines)
    lines = [None if i in chunk.faults else line for i, line in enumerate(chunk.lines)]
    originals = [chunk.original(i) for i in range(count)]
    whole = {i: one for i, one in enumerate(originals) if isinstance(one, LongLine)}
    faults = [chunk.faults.get(i, (None, None)) for i in range(count)] if chunk.faults else [(None, None)] * count
    columns: list[list[Any]] = [
        lines,
        [chunk.position(i) for i in range(count)],
        [None if one == line else one for one, line in zip(originals, lines, strict=True)],
        [whole[i].length if i in whole else None for i in range(count)],
        [whole[i].sha256 if i in whole else None for i in range(count)],
        [reason for reason, _ in faults],
        [error for _, error in faults],
    ]
    schema = _SCHEMA.with_metadata({"source": chunk.source})
    arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as stream:
        stream.write_batch(pa.RecordBatch.from_arrays(arrays, schema=schema))
    return bytes(sink.getvalue())


def decode(data: bytes, more: bool = True) -> Chunk:
    """The chunk of some bytes.

    Raises:
        UnreadableFileError: they are none.
    """
    try:
        table = pa.ipc.open_stream(data).read_all()
        table.validate(full=True)
        source = (table.schema.metadata or {})[b"source"].decode()
        if not table.schema.equals(_SCHEMA):
            raise ValueError(f"the columns are {table.schema.names}")
        line, position, kept, length, sha256, reason, error = (c.combine_chunks() for c in table.columns)
    except (pa.ArrowException, ValueError, KeyError, OSError) as wrong:
        raise UnreadableFileError("the body", "as a chunk", wrong) from wrong
    lines, faulty = line.to_pylist(), np.flatnonzero(reason.is_valid().to_numpy(zero_copy_only=False)).tolist()
    if position.null_count or line.null_count != len(faulty) or any(lines[i] is not None for i in faulty):
        raise UnreadableFileError("the body", "as a chunk", ValueError("a row is neither a line nor a fault"))
    faults = {i: Fault(reason[i].as_py(), error[i].as_py() or "") for i in faulty}

    def original(i: int) -> bytes:
        bytes_of = (kept[i].as_py() if kept[i].is_valid else lines[i]) or b""
        if not length[i].is_valid:
            return bytes(bytes_of)
        long = LongLine(bytes_of)
        long.length, long.sha256 = length[i].as_py(), sha256[i].as_py() or ""
        return long

    if faults:
        lines = [line or b"" for line in lines]
    return Chunk(source, lines, lambda i: str(position[i].as_py()), original, faults, more)
