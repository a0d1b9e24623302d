"""What a feed is: a venue's socket and its REST interface, as data and pure functions.

    subscribe    symbols                 ->  the socket's path and the messages that ask for their trades
    parse        a frame                 ->  what it says: trades, ids that no trade has, answers
    rest         a symbol, or a hole     ->  requests for the newest trades, or for the hole's; and what answers say

Nothing here reads a clock or a socket; `ingest.capture` runs them.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal, NamedTuple

import orjson

from ingest.errors import IngestError
from slackwater.streams.numbers import as_integer
from slackwater.streams.order import UNIT_US
from slackwater.streams.trades import TRADES

MOST_DIGITS = 40
"""More digits than a price or a quantity may have, before or behind the point."""

MAX_FRAME = 4 * 1024 * 1024
"""The longest frame or answer that is read, in bytes."""


class FrameError(IngestError):
    """A frame that is none of the venue's: it becomes a dead letter with this reason."""

    def __init__(self, reason: str, fact: str) -> None:
        super().__init__(fact)
        self.reason = reason


class FinalError(IngestError):
    """The venue says that it will not answer this, however often it is asked."""


class TooMuchError(IngestError):
    """The venue says that it was asked too much."""


class Trade(NamedTuple):
    """A trade: its line, as the decoder takes it.

    `number` is what counts its venue's trades: its id where that is an integer, or its sequence (`Feed.counted`);
    `time_us` is since 1970, a multiple of `unit_us`. `finest`: digits behind the point, of price or quantity.
    """

    symbol: str
    identity: str
    number: int | None
    time_us: int
    line: bytes
    unit_us: int = 1
    finest: int = 0


class Void(NamedTuple):
    """An id that no market trade has, such as one of an insurance fund's."""

    symbol: str
    number: int
    time_us: int
    why: str


class Newest(NamedTuple):
    """The venue says that this is a symbol's newest id."""

    symbol: str
    number: int


class Subscribed(NamedTuple):
    """The venue has taken a subscription. `only`: of these symbols and no others, where one answer names all."""

    only: Sequence[str] | None = None


class Reply(NamedTuple):
    """The venue asks for this message, and ends a connection that does not send it."""

    text: str


class Turned(NamedTuple):
    """The venue asks for a new connection."""


class Denied(NamedTuple):
    """The venue refuses, in its words."""

    text: str


Said = Trade | Void | Newest | Subscribed | Turned | Denied | Reply
"""What a frame can say; nothing for frames that are not about trades."""


class Subscription(NamedTuple):
    """What follows the socket's base URL, and what is sent once it is open."""

    path: str
    messages: Sequence[str]


class Request(NamedTuple):
    """A GET, or a POST where it has a body: what follows the REST base URL. `state` is for the feed's own use.

    `old`: it goes to the feed's `history` instead.
    """

    path: str
    params: dict[str, str]
    state: Any = None
    body: bytes | None = None
    old: bool = False


class Hole(NamedTuple):
    """Ids that were not heard, both ends in it. The times are those of the trades beside it, where known: us."""

    symbol: str
    first: int
    last: int
    after_us: int | None = None
    before_us: int | None = None


class Page(NamedTuple):
    """What an answer holds, and the request for more of it; None where the venue has no more."""

    said: Sequence[Trade | Void]
    more: Request | None = None


@dataclass(frozen=True)
class Rest:
    """How trades are asked for.

    Attributes:
        newest: of a symbol, the request for its newest trades.
        read: of an answer's body and its request, what it holds, and the request for more: of a hole, or, where none is
            given, of older trades. Raises FrameError where another try may go well, FinalError and TooMuchError.
            Answers that are no success (4xx) are handed to it, too.
        fill: of a hole, the first request that shows its trades; None where the venue cannot be asked for it.
        by_time: whether that needs a time beside the hole.
        wider: an answer with older trades has the newest, too, however many have come meanwhile.
    """

    newest: Callable[[str], Request]
    read: Callable[[bytes, Request, Hole | None], Page]
    fill: Callable[[Hole], Request] | None = None
    by_time: bool = False
    wider: bool = False


class Budget(NamedTuple):
    """So many in so many seconds."""

    starts: int
    seconds: float


_ONE_A_SECOND = Budget(60, 60)


@dataclass(frozen=True)
class Feed:
    """A venue's trades, live.

    Attributes:
        venue: as events name it; one space of ids.
        socket, url, history: the bases of the socket, of the REST interface, and of the one for old trades, if any.
        symbols: one or two symbols as this venue writes them, for help and smoke tests.
        rest: how what was missed is asked for.
        counted: what counts the trades of a symbol where a hole in it is a gap: the id or the sequence.
        replays: the first frame of trades after a subscription holds the newest from before it.
        source, seen: where the messages that it was made from stand, and when that was looked up.
        verified: whether these are recordings or verbatim examples.
        most_symbols: of one connection.
        connects, requests: what the venue allows.
        session_s: the age at which the venue ends a connection; 0: none is known.
        silent_s: without a trade for so long, the newest are asked for by REST.
        ping, ping_s: a text that has to be sent so often; "": the socket's own pings are enough.
        key_header: the header of REST requests that holds an API key, where some requests ask for one.
    """

    venue: str
    socket: str
    url: str
    symbols: tuple[str, ...]
    subscribe: Callable[[Sequence[str]], Subscription]
    parse: Callable[[bytes], Sequence[Said]]
    rest: Rest
    source: str
    seen: str
    verified: bool = True
    history: str = ""
    counted: Literal["id", "sequence"] = "id"
    replays: bool = False
    most_symbols: int = 100
    connects: Budget = _ONE_A_SECOND
    requests: Budget = _ONE_A_SECOND
    session_s: float = 0.0
    silent_s: float = 30.0
    key_header: str = ""
    ping: str = ""
    ping_s: float = 20.0

    @property
    def dense(self) -> bool:
        """Whether a hole in what counts its trades is a gap in the data."""
        return self.counted == "sequence" or self.dense_ids

    @property
    def dense_ids(self) -> bool:
        """Whether that is its ids, so that whoever knows the ids of its trades knows which are missing."""
        return self.counted == "id" and self.venue in TRADES.dense_venues


def json_of(frame: bytes) -> Any:
    """A frame or answer whose numbers are whole. Raises FrameError."""
    try:
        return orjson.loads(frame)
    except orjson.JSONDecodeError as error:
        raise FrameError("not-json", f"It is no JSON: {error}.") from error


def exact_json_of(frame: bytes) -> Any:
    """A frame or answer whose numbers have fractions: those are text, since a double would round them. FrameError."""
    try:
        return json.loads(frame, parse_float=str)
    except (ValueError, RecursionError) as error:
        raise FrameError("not-json", f"It is no JSON: {error}.") from error


def member(facts: Any, name: str, kind: type | tuple[type, ...]) -> Any:
    """A member of an object. Raises FrameError."""
    if not isinstance(facts, dict) or name not in facts:
        raise FrameError("missing-field", f"{name} is missing.")
    found = facts[name]
    if not isinstance(found, kind) or (isinstance(found, bool) and bool not in _kinds(kind)):
        raise FrameError(f"bad-{name}", f"{name} is {str(found)[:80]!r}.")
    return found


def whole(facts: Any, name: str) -> int:
    """A member that is a whole number, as a number or as text. Raises FrameError."""
    found = member(facts, name, (int, str))
    number = as_integer(str(found))
    if number is None:
        raise FrameError(f"bad-{name}", f"{name} is {str(found)[:80]!r}.")
    return number


def _kinds(kind: type | tuple[type, ...]) -> tuple[type, ...]:
    return kind if isinstance(kind, tuple) else (kind,)


def made(
    venue: str,
    symbol: str,
    identity: str,
    time: tuple[int, str],
    price: str,
    quantity: str,
    side: str,
    sequence: int | None = None,
) -> Trade:
    """A trade of its values, all as the venue wrote them; `time` in microseconds, and the unit that it was measured in.

    `sequence` is of venues that have one of their own; it counts the trades then. What is no trade's value is for the
    decoder to refuse.
    """
    time_us, unit = time
    number = as_integer(identity)
    price, quantity = plain(price), plain(quantity)
    facts = {
        "venue": venue,
        "symbol": symbol,
        "trade_id": identity if number is None else number,
        "time": time_us,
        "price": price,
        "quantity": quantity,
        "side": side,
    }
    if sequence is not None:
        facts["sequence"] = number = sequence
    if unit != "us":
        facts["time_unit"] = unit
    finest = max(len(price.partition(".")[2]), len(quantity.partition(".")[2]))
    try:
        line = orjson.dumps(facts)
    except TypeError as error:  # a number of more than 64 bits, half a character
        raise FrameError("bad-value", f"A trade of {symbol[:80]!r} cannot be written: {error}.") from error
    return Trade(symbol, identity, number, time_us, line, UNIT_US[unit], finest)


def plain(number: str) -> str:
    """A decimal without an exponent, with the same value; what is none, or far too large or small, stays as it is."""
    if "e" not in number and "E" not in number:
        return number
    try:
        value = Decimal(number)
    except ArithmeticError:
        return number
    # 1e999999999 has a billion digits: it stays text, which the decoder refuses.
    return format(value, "f") if value.is_finite() and abs(value.adjusted()) <= MOST_DIGITS else number
