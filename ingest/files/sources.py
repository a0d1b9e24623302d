"""Where events come from: the function that opens the file that the user named, whatever it is packed in.

    a file, a pipe --Sniffed--> text --LineSource, JsonText, CsvRows--> lines      compressed or not, by its first bytes
                                text --JsonRecords--> values --JsonRows-> lines     JSON of others, by a map
    a zip archive  --Member---> text, of each file in it
    Parquet        --ParquetRows-> lines

One format a file: `line_reader`, `json_array`, `json_records`, `json_rows`, `csv_rows`, `parquet_rows`.
`ingest.sample_data` is the data that comes with the program, `ingest.replay` and `ingest.live` turn a source into one
that keeps time.
"""

import os
from collections.abc import Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

from ingest.chunk import Source
from ingest.errors import EmptySourceError, FileMissingError, FormatError
from ingest.files.chain import Chain
from ingest.files.checksum import check_sum
from ingest.files.csv_rows import CsvRows
from ingest.files.formats import FORMATS, PACKED, STDIN, ZIP, format_of
from ingest.files.inlet import Descriptor, Inlet, TornError
from ingest.files.json_array import JsonText
from ingest.files.json_records import JsonRecords
from ingest.files.json_rows import JsonRows
from ingest.files.line_reader import LineSource, torn
from ingest.files.named import named_files
from ingest.files.parquet_rows import open_parquet
from ingest.files.sniffed import HEAD_BYTES, Sniffed, kind_of
from ingest.files.zipped import members, open_member
from slackwater.streams.errors import MappingError
from slackwater.streams.mapping import Layout
from slackwater.streams.stream import Stream


def open_sources(
    stream: Stream, files: Sequence[str], layout: Layout | None = None, file_format: str | None = None, stdin: int = 0
) -> Source:
    """The files that some arguments name (`ingest.files.named`), one after the other as one source.

    Each is opened and closed once before the first is read, so that what is wrong with a name, a checksum or a column
    is said before anything is taken.

    Raises:
        SourceError, MappingError: see `open_source` and `named_files`.
    """
    names = named_files(files, file_format)
    if len(names) == 1:
        return open_source(stream, names[0], layout, file_format, stdin)
    again = partial(open_source, stream, layout=layout, file_format=file_format, stdin=stdin)
    sizes: list[tuple[str, int | None]] = []
    for name in names:
        if name != STDIN and not Path(name).is_file() and Path(name).exists():
            sizes.append(("", None))  # a pipe is opened once
            continue
        try:
            if name != STDIN:
                with closing(again(name)) as source:
                    sizes.append((source.unit, source.total))
        except EmptySourceError:
            continue  # the chain says so
    units, totals = {unit for unit, _ in sizes}, [total for _, total in sizes if total is not None]
    known = STDIN not in names and len(units) == 1 and len(totals) == len(sizes)
    parts = [partial(again, name, checked=True) for name in names]
    return Chain(f"{len(names)} files", parts, total=sum(totals) if known else None)


def open_source(
    stream: Stream,
    file: str,
    layout: Layout | None = None,
    file_format: str | None = None,
    stdin: int = 0,
    checked: bool = False,
) -> Source:
    """The source of a stream that `file` names: a path, or `-` for the descriptor `stdin`.

    `layout` maps the columns of CSV and Parquet, and the values of JSON; canonical JSON takes none. The format is the
    file name's ending unless `file_format` names one; standard input is JSON lines then. `checked`: its checksum was
    compared already.

    Raises:
        SourceError: there is no such file, it is empty, damaged, of another format, or not what its checksum says.
        MappingError: its columns do not fit the layout.
    """
    layout = layout or Layout()
    if file_format is not None and file_format not in FORMATS:
        raise FormatError(file, f"cannot be read as {file_format!r}", FORMATS)
    if file == STDIN:
        return _open_text(stream, "stdin", Descriptor(stdin), layout.of_file("stdin"), file_format or "jsonl")
    path = Path(file)
    if path.is_dir():
        raise FormatError(file, "is a folder", FORMATS)
    if not path.exists():
        raise FileMissingError(file)
    kind = _kind(file, path)
    if not checked:
        check_sum(file, path)
    if path.suffix.lower() == ZIP or kind == "zip":
        return _open_zip(stream, file, path, layout, file_format)
    layout = layout.of_file(file)
    found = file_format or format_of(file)
    if found == "parquet":
        if kind not in (None, "Parquet"):
            raise FormatError(file, f"is compressed with {kind}; Parquet is read from its end, so unpack it first")
        if path.is_file() and path.stat().st_size and kind is None:
            raise FormatError(file, "is not Parquet", FORMATS)
        _check_no_records(layout)
        return open_parquet(stream, file, path, layout)
    size = path.stat().st_size if path.is_file() else None
    if size == 0:
        raise EmptySourceError(file)
    return _open_text(stream, file, Descriptor(os.open(path, os.O_RDONLY), size), layout, found)


def _check_no_records(layout: Layout) -> None:
    """Raises MappingError where the layout says that a file with columns has records somewhere in it."""
    if layout.records:
        raise MappingError("A file with columns has one event a row.", "Leave --records out; it is of JSON.")


def _open_text(stream: Stream, name: str, inlet: Inlet, layout: Layout, found: str) -> Source:
    """Lines of some bytes, which are closed if they are none."""
    try:
        if found == "parquet":
            raise FormatError(name, "is no file of its own, and Parquet is read from its end: give it as a file")
        if found == "csv":
            _check_no_records(layout)
            return CsvRows(stream, name, Sniffed(name, inlet, found), layout)
        if layout.names:
            raise MappingError("JSON names its values itself.", "Leave --columns out.")
        text = Sniffed(name, inlet, found)
        if layout.records:
            return JsonRows(stream, name, JsonRecords(name, text, layout.records, found == "jsonl"), layout)
        mapped = layout != Layout()
        values = JsonText(name, text, mapped) if found == "json" else LineSource(name, text)
        return JsonRows(stream, name, values, layout) if mapped else values
    except TornError as error:
        inlet.close()
        raise torn(name, "from its beginning", error) from error
    except BaseException:
        inlet.close()
        raise


def _open_zip(stream: Stream, name: str, path: Path, layout: Layout, file_format: str | None) -> Source:
    """The files in an archive whose endings say a format; all of them, where `file_format` names one."""
    formats: dict[str, str] = {}
    others: list[str] = []
    for member in members(name, path):
        try:
            formats[member] = file_format or format_of(member)
        except FormatError:
            others.append(member)
    if not formats:
        held = f"holds {', '.join(others[:3])}" if others else "holds no file"
        raise FormatError(name, f"{held}, and no file of a known format", FORMATS)

    def opened(member: str) -> Source:
        inside = f"{name}:{member}"
        of = layout.of_file(member, name)
        return _open_text(stream, inside, open_member(name, path, member), of, formats[member])

    if len(formats) == 1 and not others:
        return opened(*formats)
    left_out = [f"{name}:{member} is of no known format." for member in others]
    return Chain(name, [partial(opened, member) for member in formats], left_out)


def _kind(name: str, path: Path) -> str | None:
    """What a file is by its first bytes. Raises FormatError where its name says something else."""
    if not path.is_file():
        return None
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    kind, said = kind_of(head), PACKED.get(path.suffix.lower())
    if head and said is not None and kind != said:
        raise FormatError(name, f"is not compressed with {said}, as its name says; name it as what it is")
    return kind
