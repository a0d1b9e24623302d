"""The rows of a file or a body: CSV with a header, JSON lines, or a JSON array; each the facts, or why it is refused.

    venue,symbol,kind,base,quote,multiplier          {"venue": "x", "symbol": "BTCUSD", "kind": "inverse", ...}
    x,BTCUSD,inverse,BTC,USD,100                     [{"venue": ...}, ...]

Bodies are held whole: a venue has some thousands of instruments, of some 200 bytes. Not here: events, whose files are
of any size (`ingest.files`).
"""

import csv
import json
from collections.abc import Iterable, Iterator
from decimal import Decimal
from io import StringIO
from typing import Any, Literal, NamedTuple

from slackwater.instruments.errors import FactsError, UnreadableRowsError
from slackwater.instruments.facts import FIELDS, Facts
from slackwater.instruments.given import facts_of

Form = Literal["csv", "lines", "array"]

SHOWN = 200
"""Characters of a row that are kept."""


class Refusal(NamedTuple):
    """Why a row is no facts, in a word and in a sentence."""

    reason: str
    error: str


class Row(NamedTuple):
    """One row: where it stands (`line 3`, `element 3`), what was read, and its text, cut."""

    place: str
    read: Facts | Refusal
    text: str


def parse(data: bytes, form: Form) -> list[Row]:
    """The rows, in order.

    Raises:
        UnreadableRowsError: it is no UTF-8, no CSV with the columns of facts, or no JSON array.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableRowsError(f"It is not UTF-8: {error}.") from error
    if form == "csv":
        return list(_of_csv(text))
    return list(_of_array(text) if form == "array" else _of_lines(text))


def form_of(name: str, data: bytes) -> Form:
    """The form of a file: by its name where that says `.csv`, else by how it begins."""
    if name.lower().endswith(".csv"):
        return "csv"
    begins = data.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    return {b"[": "array", b"{": "lines"}.get(begins, "csv")  # type: ignore[return-value]


def _of_lines(text: str) -> Iterator[Row]:
    for number, line in enumerate(text.split("\n"), 1):
        shown = line.strip()
        if not shown:
            continue
        try:
            found = _json(shown)
        except (ValueError, RecursionError, FactsError) as error:
            yield _refused(f"line {number}", "not-json", f"It is no JSON: {error}", shown)
        else:
            yield _row(f"line {number}", found, shown)


def _of_array(text: str) -> Iterator[Row]:
    try:
        found = _json(text)
    except (ValueError, RecursionError, FactsError) as error:
        raise UnreadableRowsError(f"It is no JSON array: {error}.") from error
    if not isinstance(found, list):
        raise UnreadableRowsError("It is no JSON array.")
    for number, element in enumerate(found, 1):
        yield _row(f"element {number}", element, json.dumps(element, default=str, ensure_ascii=False))


def _of_csv(text: str) -> Iterator[Row]:
    reader = csv.reader(StringIO(text), strict=True)
    try:
        names = [name.strip() for name in next(reader, [])]
        if odd := [name for name in names if name not in FIELDS or names.count(name) > 1]:
            hint = f"The first line has each of its columns once, of {', '.join(FIELDS)}."
            raise UnreadableRowsError(f"It has a column {odd[0][:64]!r}.", hint)
        if not names:
            raise UnreadableRowsError("It is empty.")
        before = reader.line_num
        for values in reader:
            place, before, shown = f"line {before + 1}", reader.line_num, ",".join(values)
            if not values:
                continue
            if len(values) != len(names):
                error = f"It has {len(values)} values, and the header {len(names)} columns."
                yield _refused(place, "bad-row", error, shown)
                continue
            yield _row(place, dict(zip(names, map(str.strip, values), strict=True)), shown)
    except csv.Error as error:
        raise UnreadableRowsError(f"It is no CSV from line {reader.line_num} on: {error}.") from error


def _row(place: str, given: Any, text: str) -> Row:
    if not isinstance(given, dict):
        return _refused(place, "not-an-object", "It is no JSON object.", text)
    try:
        return Row(place, facts_of(given), text[:SHOWN])
    except FactsError as error:
        return _refused(place, error.reason, str(error), text)


def _refused(place: str, reason: str, error: str, text: str) -> Row:
    return Row(place, Refusal(reason, error), text[:SHOWN])


def _json(text: str) -> Any:
    return json.loads(text, parse_float=Decimal, parse_constant=_no_number, object_pairs_hook=_once)


def _once(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise FactsError("not-json", f"{name!r} stands in it twice.")
        found[name] = value
    return found


def _no_number(word: str) -> Any:
    raise ValueError(f"{word} is no number")
