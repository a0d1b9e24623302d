"""What stands at a path within texts of JSON, cut out one by one: answers of REST interfaces and messages of sockets.

    --records result.list   {"retCode":0,"result":{"list":[{..},{..}]}}            two records
    --records data          {"data":{..}}                                          one
    --records result.*      {"result":{"XXBTZUSD":[[..],[..]],"last":"17.."}}      two, of the key XXBTZUSD

    bytes --RecordCutter--> (key of the `*`, record)       what leads elsewhere is passed over, and takes no memory

A list before the end of the path is gone through. Texts may follow each other, as pages do that were appended to one
file. JSON lines are cut line by line, so that a torn one costs itself alone. Not here: what a record means.
"""

import json
import re
from typing import NamedTuple

from ingest.chunk import CHUNK_LINES, Chunk, Fault, Source, nothing
from ingest.errors import EmptySourceError, FormatError
from ingest.files.inlet import Inlet, TornError
from ingest.files.json_array import BLANK, FLAT, MARK, ONE_LINE, SPACE, TEXT, TOKEN, end_of_element
from ingest.files.line_reader import MAX_LINE_BYTES, LineReader, LongLine, too_long, torn
from slackwater.streams.refusal import Reason

KEY = "*"
"""Of a path: any key. As the path of a field: the key that stood there."""

_STRING = re.compile(TEXT + rb'"')
_SCALAR = re.compile(rb"[^\s,\]}:\[{\"]++(?=[\s,\]}])")
_KEYS = 20
"""Paths that an error names."""

_OPEN, _CLOSE = b"{[", b"}]"


class Record(NamedTuple):
    """`key` is what stood for the `*` of the path; empty where it has none."""

    key: str
    data: bytes


class _Frame(NamedTuple):
    """An open object or array. `depth` parts of the path lead into it; `records`: what is in it are the records."""

    sign: bytes
    depth: int
    records: bool = False


class RecordCutter:
    """Cuts texts into records. `error` is why it cannot go on after those that it gave; `reached`: the path led there.

    `paths` are those that there are, as far as the path was followed, for an error to name.
    """

    def __init__(self, path: tuple[str, ...]) -> None:
        self._path = path
        self._rest = b""
        self._frames: list[_Frame] = []
        self._keys: list[str] = []
        self._skipping = 0
        self._expects = "value"
        self._depth = 0
        self._leads = True
        self._begun = False
        self.reached = False
        self.paths: list[str] = []
        self.error: TornError | None = None

    def cut(self, block: bytes) -> list[Record]:
        """The records that are whole by now."""
        data, at = self._rest + block, 0
        if not self._begun:
            data, self._begun = data.removeprefix(MARK), True
        found: list[Record] = []
        try:
            while (after := self._step(data, at, found)) is not None:
                at = after
            if len(data) - at > MAX_LINE_BYTES:
                fact = f"the next value has more than {MAX_LINE_BYTES} bytes, or a quote or bracket of it is missing"
                raise TornError(fact)
        except TornError as error:
            self.error = error
        self._rest = data[at:]
        return found

    def end(self) -> None:
        """Nothing follows. Raises TornError if something should."""
        if self._frames or self._skipping or self._rest.strip(SPACE):
            raise TornError("it ends too early, in the middle of a value")

    def _step(self, data: bytes, at: int, found: list[Record]) -> int | None:
        """Go on by a sign, a key or a value: where the next one begins, None if it is not whole yet."""
        if self._skipping:
            return self._skip(data, at)
        records = bool(self._frames) and self._frames[-1].records
        if records and self._expects == "value" and (flat := FLAT.match(data, at)) is not None:
            found.append(self._record(flat[1]))
            self._expects = "after"
            return flat.start(2)
        at = BLANK.match(data, at).end()  # type: ignore[union-attr]  # it matches nothing, too
        return None if at == len(data) else self._sign(data, at, found)

    def _sign(self, data: bytes, at: int, found: list[Record]) -> int | None:
        """Go on by what begins with the sign that stands there."""
        sign = data[at : at + 1]
        if sign in _CLOSE and self._frames:
            return self._close(sign, at)
        if self._expects == "after":
            if sign != b",":
                raise TornError(f"{sign.decode('latin-1')!r} stands where a comma should")
            self._expects = "key" if self._frames[-1].sign == b"{" else "value"
            return at + 1
        return self._key(data, at) if self._expects == "key" else self._value(data, at, sign, found)

    def _value(self, data: bytes, at: int, sign: bytes, found: list[Record]) -> int | None:
        if self._frames and self._frames[-1].records:
            return self._take(data, at, end_of_element(data, at), found)
        if not self._leads and sign in _OPEN:
            self._skipping = 1
            return at + 1
        if not self._leads:
            return self._scalar(data, at)
        arrived = self._depth == len(self._path)
        if arrived and sign == b"{":
            self.reached = True
            return self._take(data, at, _end_of_object(data, at), found)
        if sign in _OPEN:
            self.reached = self.reached or arrived
            self._frames.append(_Frame(sign, self._depth, arrived))
            self._expects = "key" if sign == b"{" else "value"
            return at + 1
        return self._scalar(data, at)

    def _key(self, data: bytes, at: int) -> int | None:
        text = _STRING.match(data, at)
        if text is None:
            if data[at : at + 1] != b'"':
                raise TornError("a key is no text")
            return None
        colon = BLANK.match(data, text.end()).end()  # type: ignore[union-attr]
        if colon == len(data):
            return None
        if data[colon : colon + 1] != b":":
            raise TornError("a key has no value")
        name, depth = json.loads(text[0].decode("utf-8", "replace")), self._frames[-1].depth
        if len(self.paths) < _KEYS:
            self.paths.append(".".join([*self._path[:depth], name]))
        self._expects = "value"
        self._leads = depth < len(self._path) and self._path[depth] in (name, KEY)
        if self._leads:
            self._depth = depth + 1
            if self._path[depth] == KEY:
                self._keys = [name]
        return colon + 1

    def _scalar(self, data: bytes, at: int) -> int | None:
        """Pass over a text, a number or the like."""
        found = (_STRING if data[at : at + 1] == b'"' else _SCALAR).match(data, at)
        if found is None:
            if data[at : at + 1] in b",:]}":
                raise TornError("a value is missing")
            return None
        self._ended()
        return found.end()

    def _skip(self, data: bytes, at: int) -> int | None:
        """Go on to the end of the object or array that leads elsewhere, or as far as it has come."""
        last = at
        for token in TOKEN.finditer(data, at):
            sign = token[0][:1]
            if sign == b'"':
                if token[1] is None:
                    return self._torn_text(data, token.end(), last if last > at else None)
            elif sign in _OPEN:
                self._skipping += 1
            elif sign in _CLOSE:
                self._skipping -= 1
            last = token.end()
            if not self._skipping:
                self._ended()
                return last
        return len(data) if len(data) > at else None

    @staticmethod
    def _torn_text(data: bytes, end: int, otherwise: int | None) -> int | None:
        if data[end:] in (b"", b"\\"):
            return otherwise
        raise TornError("a text has a line feed or control character in it")

    def _take(self, data: bytes, at: int, end: int | None, found: list[Record]) -> int | None:
        """Take a record that is whole."""
        if end is None:
            return None
        element = data[at:end].rstrip(SPACE)
        if not element:
            raise TornError("there is a comma and no record")
        found.append(self._record(element))
        self._ended()
        return end

    def _record(self, data: bytes) -> Record:
        return Record(self._keys[0] if self._keys else "", data)

    def _close(self, sign: bytes, at: int) -> int:
        frame = self._frames.pop()
        if (frame.sign, sign) not in ((b"{", b"}"), (b"[", b"]")):
            raise TornError("a bracket closes what was not opened")
        self._ended()
        return at + 1

    def _ended(self) -> None:
        """A value came to its end."""
        self._leads = True
        if not self._frames:
            self._expects, self._depth = "value", 0
            return
        self._expects, self._depth = "after", self._frames[-1].depth


def _end_of_object(data: bytes, at: int) -> int | None:
    """Where the object at `at` ends; None if it has not come yet."""
    depth = 0
    for token in TOKEN.finditer(data, at):
        sign = token[0][:1]
        if sign == b'"' and token[1] is None:
            if data[token.end() :] in (b"", b"\\"):
                return None
            raise TornError("a text has a line feed or control character in it")
        depth += (sign in _OPEN) - (sign in _CLOSE)
        if not depth:
            return token.end()
    return None


class JsonRecords(Source):
    """A record's original is its bytes; its line has no line feeds. `keys` are those of the lines given last."""

    unit = "bytes"

    def __init__(self, name: str, inlet: Inlet, path: tuple[str, ...], lines: bool) -> None:
        """`lines`: of JSON lines."""
        self.name = name
        self.total = inlet.total
        self._inlet = inlet
        self._path = path
        self._reader = LineReader(inlet) if lines else None
        self._cutter = RecordCutter(path)
        self._waiting: list[tuple[str, Record, Fault | None]] = []
        self._given = 0
        self._reached = False
        self._ended = False
        self.keys: list[str] = []

    def read(self, timeout_s: float) -> Chunk | None:
        """What is there now.

        Raises:
            EmptySourceError: a file has no record.
            FormatError: nothing is at the path.
            UnreadableFileError: it is damaged from here on.
        """
        if not self._waiting:
            if self._ended:
                return None
            try:
                more = self._lines(timeout_s) if self._reader is not None else self._texts(timeout_s)
            except TornError as error:
                raise torn(self.name, f"after record {self._given}", error) from error
            self.done = self._inlet.done
            if more is None:
                self._ended = True
                self._check_reached()
                return None
            self._waiting = more
            if not more:
                return nothing(self.name)
        taken, self._waiting = self._waiting[:CHUNK_LINES], self._waiting[CHUNK_LINES:]
        self.keys = [record.key for _, record, _ in taken]
        faults = {i: fault for i, (_, _, fault) in enumerate(taken) if fault is not None}
        lines = [b"" if i in faults else record.data.translate(ONE_LINE) for i, (_, record, _) in enumerate(taken)]
        more_now = bool(self._waiting) or self._inlet.more
        return Chunk(self.name, lines, lambda i: taken[i][0], lambda i: taken[i][1].data, faults, more_now)

    def close(self) -> None:
        self._inlet.close()

    def _texts(self, timeout_s: float) -> list[tuple[str, Record, Fault | None]] | None:
        if self._cutter.error is not None:
            raise self._cutter.error
        block = self._inlet.read(timeout_s)
        if block is None:
            self._cutter.end()
            self._reached = self._cutter.reached
            return None
        first = self._given + 1
        records = self._cutter.cut(block)
        self._given += len(records)
        return [(f"element {first + i}", record, None) for i, record in enumerate(records)]

    def _lines(self, timeout_s: float) -> list[tuple[str, Record, Fault | None]] | None:
        reader = self._reader
        lines = None if reader is None else reader.read(timeout_s)
        if reader is None or lines is None:
            return None
        first = reader.given - len(lines) + 1
        found: list[tuple[str, Record, Fault | None]] = []
        for number, line in enumerate(lines, first):
            found += self._of_line(f"line {number}", line)
        self._given += len(found)
        return found

    def _of_line(self, place: str, line: bytes) -> list[tuple[str, Record, Fault | None]]:
        whole = Record("", line)
        if isinstance(line, LongLine):
            return [(place, whole, too_long(line))]
        if not line.strip(SPACE):
            return [(place, whole, Fault(str(Reason.EMPTY_LINE), "the line is empty"))]
        cutter = RecordCutter(self._path)
        records = cutter.cut(line)
        try:
            if cutter.error is not None:
                raise cutter.error
            cutter.end()
        except TornError as error:
            return [(place, whole, Fault(str(Reason.NOT_JSON), str(error)))]
        if not cutter.reached:
            fact = f"nothing is at {'.'.join(self._path)}; the line has {', '.join(cutter.paths)}"
            return [(place, whole, Fault(str(Reason.MISSING_FIELD), fact))]
        self._reached = True
        return [(f"{place}, element {i}", record, None) for i, record in enumerate(records, 1)]

    def _check_reached(self) -> None:
        if self.total is None or self._given:
            return
        if self._reached or not self._cutter.paths:
            raise EmptySourceError(self.name)
        fact = f"has nothing at {'.'.join(self._path)!r}"
        raise FormatError(self.name, fact, hint=f"It has {', '.join(self._cutter.paths)}.")
