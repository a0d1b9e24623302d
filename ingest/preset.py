"""Presets: how the files of a venue or a program are read, each a file of data in `ingest/presets`.

    title, note         what it is for, and what is worth knowing
    map, values, columns, headers, records, time_unit      as the options of the same names
    from_name           a pattern whose groups are fields that a file's name says
    needs               fields that neither the files nor their names say
    sample, file        some lines of such a file, and the name of one
    source, seen        where the sample is from, and when it was looked at
    verified            whether the sample is real: of the venue's documentation, its files, or a public test suite

Not here: the sample data that comes with the program (`ingest.sample_data`).
"""

import re
import tomllib
from dataclasses import dataclass, replace
from datetime import date
from functools import cache
from pathlib import Path

from ingest.errors import UnknownPresetError
from slackwater.streams.errors import MappingError
from slackwater.streams.mapping import (
    Layout,
    parse_map,
    parse_names,
    parse_records,
    parse_time_unit,
    parse_words,
    readings,
)
from slackwater.streams.stream import Stream

FOLDER = Path(__file__).parent / "presets"


@dataclass(frozen=True)
class Preset:
    """See the module."""

    name: str
    title: str
    note: str
    source: str
    seen: date
    verified: bool
    file: str
    sample: str
    map: str
    time_unit: str = ""
    values: str = ""
    columns: str = ""
    headers: tuple[str, ...] = ()
    records: str = ""
    from_name: str = ""
    needs: tuple[str, ...] = ()

    @property
    def file_format(self) -> str:
        """Of standard input."""
        return "csv" if self.file.endswith(".csv") else "json"

    def layout(self, stream: Stream) -> Layout:
        """As its options make it."""
        return Layout(
            parse_map(stream, [self.map]),
            parse_time_unit(self.time_unit) if self.time_unit else None,
            parse_names(self.columns) if self.columns else (),
            readings(stream, parse_words(stream, [self.values]) if self.values else None),
            parse_records(self.records) if self.records else (),
            self.headers,
            self.from_name,
        )

    def merged(self, stream: Stream, given: Layout) -> Layout:
        """Its layout, with what somebody `given` says besides or instead.

        Raises:
            MappingError: what the files do not say, nobody said.
        """
        mine = self.layout(stream)
        columns = {**mine.columns, **given.columns}
        from_name = mine.from_name if set(re.compile(mine.from_name).groupindex) - {*given.columns} else ""
        if missing := [field for field in self.needs if field not in columns]:
            told = " ".join(f"--{each} NAME" if each in OWN else f"--map {each}==TEXT" for each in missing)
            raise MappingError(f"Files of {self.name} do not say the {' and the '.join(missing)}.", f"Say it: {told}")
        words = {name: each.words for name, each in mine.readings.items()}
        said = {
            name: replace(each, words={**words.get(name, {}), **each.words}) for name, each in given.readings.items()
        }
        return Layout(
            columns,
            given.time_unit or mine.time_unit,
            given.names or mine.names,
            {**mine.readings, **said},
            given.records or mine.records,
            () if given.names else mine.headers,
            from_name,
        )


OWN = ("venue", "symbol")
"""The fields that have an option of their own."""


@cache
def presets(folder: Path = FOLDER) -> dict[str, Preset]:
    """All of them by name, in the order of their names."""
    return {path.stem: _read(path) for path in sorted(folder.glob("*.toml"))}


def preset_named(name: str) -> Preset:
    """The preset of that name. Raises UnknownPresetError."""
    found = presets()
    if name not in found:
        raise UnknownPresetError(name, found)
    return found[name]


def _read(path: Path) -> Preset:
    found = tomllib.loads(path.read_text(encoding="utf-8"))
    found |= {"headers": tuple(found.get("headers", ())), "needs": tuple(found.get("needs", ()))}
    return Preset(**{**found, "name": path.stem})
