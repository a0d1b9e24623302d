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
    rows: list[tuple[Any, ...]] = []
    for i in range(len(chunk.lines)):
        line, original, fault = chunk.lines[i], chunk.original(i), chunk.faults.get(i)
        whole = (original.length, original.sha256) if isinstance(original, LongLine) else (None, None)
        kept = None if fault is None and original == line else bytes(original)
        why = (None, None) if fault is None else fault
        rows.append((None if fault is not None else bytes(line), chunk.position(i), kept, *whole, *why))
    columns = list(zip(*rows, strict=True)) or [()] * len(_SCHEMA)
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
        lines, positions, originals, lengths, sums, reasons, errors = (c.to_pylist() for c in table.columns)
    except (pa.ArrowException, ValueError, KeyError, OSError) as error:
        raise UnreadableFileError("the body", "as a chunk", error) from error
    both = zip(lines, reasons, strict=True)
    if None in positions or any((line is None) != (reason is not None) for line, reason in both):
        raise UnreadableFileError("the body", "as a chunk", ValueError("a row is neither a line nor a fault"))
    faults = {i: Fault(reason, errors[i] or "") for i, reason in enumerate(reasons) if reason is not None}

    def original(i: int) -> bytes:
        kept = lines[i] if originals[i] is None else originals[i]
        if lengths[i] is None:
            return bytes(kept or b"")
        long = LongLine(kept)
        long.length, long.sha256 = lengths[i], sums[i] or ""
        return long

    return Chunk(source, [line or b"" for line in lines], positions.__getitem__, original, faults, more)
