"""The files that arguments name: files as they are, folders by what is in them, patterns by what they match.

A shell expands a pattern that is not quoted; one that is quoted, or given by a program without a shell, is expanded
here. Not here: what is in a file (`ingest.files.sources`).
"""

import glob
from collections.abc import Sequence
from pathlib import Path

from ingest.errors import FileMissingError, FormatError
from ingest.files.checksum import ENDING
from ingest.files.formats import ENDINGS, FORMATS, STDIN, ZIP, format_of

_SHOWN = 3


def named_files(arguments: Sequence[str], file_format: str | None = None) -> list[str]:
    """The files of some arguments, those of a folder or pattern in the order of their names.

    A folder gives every file below it, but for hidden ones. A checksum goes with the file that it is of.

    Raises:
        FileMissingError: a file, or what a pattern should match, is not there.
        FormatError: a folder holds files of no known format, where `file_format` names none, or holds no file.
    """
    found: list[str] = []
    for argument in arguments:
        path = Path(argument)
        if path.is_dir():
            found += _in_folder(argument, path, file_format)
        elif argument == STDIN or path.exists() or not glob.has_magic(argument):
            found.append(argument)
        else:
            matched = sorted(glob.glob(argument, recursive=True))  # noqa: PTH207 - Path.glob takes no absolute pattern
            if not matched:
                raise FileMissingError(argument, "Nothing matches the pattern.")
            for each in matched:
                found += _in_folder(each, Path(each), file_format) if Path(each).is_dir() else [each]
    if found.count(STDIN) > 1:
        raise FormatError(STDIN, "is named more than once, and standard input is read once")
    there = {str(Path(name)) for name in found}
    return [name for name in found if not (name.endswith(ENDING) and str(Path(name.removesuffix(ENDING))) in there)]


def _in_folder(name: str, folder: Path, file_format: str | None) -> list[str]:
    files = sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
    sums = {path for path in files if path.name.endswith(ENDING) and path.with_name(path.stem) in files}
    files = [path for path in files if path not in sums]
    if not files:
        raise FormatError(name, "is a folder without files")
    strange = [] if file_format else [path for path in files if not _known(path.name)]
    if strange:
        names = ", ".join(str(path.relative_to(folder)) for path in strange[:_SHOWN])
        more = f" and {len(strange) - _SHOWN} more" if len(strange) > _SHOWN else ""
        hint = f"Name the files, or a pattern such as '{folder}/*.csv'. Endings are {', '.join(ENDINGS)}."
        raise FormatError(name, f"holds files of no known format: {names}{more}", hint=hint)
    return [str(path) for path in files]


def _known(name: str) -> bool:
    if name.lower().endswith(ZIP):
        return True
    try:
        return format_of(name) in FORMATS
    except FormatError:
        return False
