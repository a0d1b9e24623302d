"""The elements of a JSON array, as answers of REST interfaces are saved: `[{...},{...}]`, one element at a time.

    bytes --_Cutter--> elements, cut by brackets, commas and texts --> lines for the decoder, which judges each

A file of JSON is such an array if it begins with `[`, else it is JSON lines. Arrays that follow each other, as pages do
that were appended to one file, are read as one. What cannot be cut is no array: it ends the source. Not here: whether
an element is an event.
"""

import re

from ingest.chunk import CHUNK_LINES, Chunk, Source, nothing
from ingest.errors import EmptySourceError, FormatError
from ingest.files.inlet import Again, Inlet, TornError
from ingest.files.line_reader import MAX_LINE_BYTES, LineSource, torn

MARK = b"\xef\xbb\xbf"  # of the order of bytes, which some editors write
SPACE = b" \t\r\n"
TEXT = rb'"[^"\\\x00-\x1f]*+(?:\\[^\x00-\x1f][^"\\\x00-\x1f]*+)*+'
FLAT = re.compile(rb"[ \t\r\n]*+([{\[][^{}\[\]\"]*+(?:" + TEXT + rb'"[^{}\[\]"]*+)*+[}\]])[ \t\r\n]*+([,\]])')
"""An object or array without others in it, and what comes after it: almost every element there is."""

BLANK = re.compile(rb"[ \t\r\n]*+")
TOKEN = re.compile(TEXT + rb'(")?|[\[\]{},]')
ONE_LINE = bytes.maketrans(b"\r\n", b"  ")  # between texts alone: a text with a line feed in it is no JSON


class JsonText(Source):
    """JSON lines, or an array if that is what the text begins with; a pipe is looked at when its first bytes come."""

    unit = "bytes"

    def __init__(self, name: str, inlet: Inlet, mapped: bool = False) -> None:
        """`mapped`: elements need not be objects, since somebody else makes events of them."""
        self.name = name
        self.total = inlet.total
        self._inlet = inlet
        self._mapped = mapped
        self._head = b""
        self._source: Source | None = None

    def read(self, timeout_s: float) -> Chunk | None:
        """What is there now.

        Raises:
            EmptySourceError: a file has no line, or no element.
            FormatError: its first element is no object.
            UnreadableFileError: it is damaged from here on.
        """
        if self._source is None:
            try:
                block = self._inlet.read(timeout_s)
            except TornError as error:
                raise torn(self.name, "from its beginning", error) from error
            self._head += block or b""
            begun = self._head.removeprefix(MARK).lstrip(SPACE)
            undecided = not begun or MARK.startswith(self._head)
            if undecided and block is not None and len(self._head) <= MAX_LINE_BYTES:
                return nothing(self.name)
            again = Again(self._head, self._inlet)
            elements = begun.startswith(b"[")
            self._source = JsonElements(self.name, again, self._mapped) if elements else LineSource(self.name, again)
        found = self._source.read(timeout_s)
        self.done = self._source.done
        return found

    def close(self) -> None:
        self._inlet.close()


class JsonElements(Source):
    """An element's original is its bytes; its line has no line feeds."""

    unit = "bytes"

    def __init__(self, name: str, inlet: Inlet, mapped: bool = False) -> None:
        self.name = name
        self.total = inlet.total
        self._inlet = inlet
        self._mapped = mapped
        self._cutter = _Cutter()
        self._waiting: list[bytes] = []
        self._given = 0
        self._ended = False

    def read(self, timeout_s: float) -> Chunk | None:
        """See `JsonText.read`."""
        if not self._waiting:
            if self._ended:
                return None
            try:
                cut = self._cut(timeout_s)
            except TornError as error:
                raise torn(self.name, f"after element {self._given}", error) from error
            self.done = self._inlet.done
            if cut is None:
                self._ended = True
                if not self._given and self.total is not None:
                    raise EmptySourceError(self.name)
                return None
            self._waiting = cut
        elements, self._waiting = self._waiting[:CHUNK_LINES], self._waiting[CHUNK_LINES:]
        if elements and not self._given and not self._mapped and not elements[0].startswith(b"{"):
            fact = f"is a JSON array whose first element is no object: {elements[0][:40].decode('utf-8', 'replace')}"
            hint = "Elements must be events such as those of JSON lines; of other values, --map says what they mean."
            raise FormatError(self.name, fact, hint=hint)
        first = self._given + 1
        self._given += len(elements)
        lines = [one.translate(ONE_LINE) if b"\n" in one or b"\r" in one else one for one in elements]
        more = bool(self._waiting) or self._inlet.more
        return Chunk(self.name, lines, lambda i: f"element {first + i}", lambda i: elements[i], more=more)

    def close(self) -> None:
        self._inlet.close()

    def _cut(self, timeout_s: float) -> list[bytes] | None:
        if self._cutter.error is not None:
            raise self._cutter.error
        block = self._inlet.read(timeout_s)
        if block is None:
            self._cutter.end()
            return None
        return self._cutter.cut(block)


class _Cutter:
    """Cuts arrays into elements. `error` is why it cannot go on after those that it gave."""

    def __init__(self) -> None:
        self._rest = b""
        self._inside = False
        self._first = False
        self._begun = False
        self.error: TornError | None = None

    def cut(self, block: bytes) -> list[bytes]:
        """The elements that are whole by now."""
        data, at = self._rest + block, 0
        if not self._begun:
            data, self._begun = data.removeprefix(MARK), True
        found: list[bytes] = []
        try:
            while (after := self._step(data, at, found)) is not None:
                at = after
            if len(data) - at > MAX_LINE_BYTES:
                raise TornError(
                    f"the next has more than {MAX_LINE_BYTES} bytes, or a quote or bracket of it is missing"
                )
        except TornError as error:
            self.error = error
        self._rest = data[at:]
        return found

    def end(self) -> None:
        """Nothing follows. Raises TornError if it should."""
        if self._inside or self._rest.strip(SPACE):
            raise TornError("it ends too early, in the middle of the array")

    def _step(self, data: bytes, at: int, found: list[bytes]) -> int | None:
        """Go on by an element or a bracket: where the next one begins, None if this one has not come yet."""
        if self._inside and (flat := FLAT.match(data, at)) is not None:
            return self._take(flat[1], flat[2], flat.end(), found)
        at = BLANK.match(data, at).end()  # type: ignore[union-attr]  # it matches nothing, too
        if at == len(data):
            return None
        sign = data[at : at + 1]
        if not self._inside:
            if sign != b"[":
                raise TornError("something else follows the array")
            self._inside = self._first = True
            return at + 1
        if self._first and sign == b"]":
            self._inside = False
            return at + 1
        end = end_of_element(data, at)
        if end is None:
            return None
        element = data[at:end].rstrip(SPACE)
        if not element:
            raise TornError("there is a comma and no element")
        return self._take(element, data[end : end + 1], end + 1, found)

    def _take(self, element: bytes, sign: bytes, after: int, found: list[bytes]) -> int:
        found.append(element)
        self._inside, self._first = sign == b",", False
        return after


def end_of_element(data: bytes, at: int) -> int | None:
    """Where the comma or bracket is that ends the element at `at`; None if it has not come yet."""
    depth = 0
    for token in TOKEN.finditer(data, at):
        sign = token[0][:1]
        if sign == b'"':
            if token[1] is None and data[token.end() :] in (b"", b"\\"):
                return None
            if token[1] is None:
                raise TornError("a text in the next element has a line feed or control character in it")
        elif sign in b"[{":
            depth += 1
        elif depth and sign in b"]}":
            depth -= 1
        elif not depth and sign == b"}":
            raise TornError("a bracket in the next element closes what was not opened")
        elif not depth:
            return token.start()
    return None
