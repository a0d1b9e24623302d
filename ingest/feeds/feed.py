"""What a feed is: a venue's socket and its REST interface, as data and pure functions.

    subscribe    symbols                 ->  the socket's path and the messages that ask for their trades
    parse        a frame                 ->  what it says: trades, ids that no trade has, answers
    rest         a symbol, or a hole     ->  requests for the newest trades, or for the hole's; and what answers say

Nothing here reads a clock or a socket; `ingest.capture` runs them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple

import orjson

from ingest.errors import IngestError
from slackwater.streams.numbers import as_integer
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


class Trade(NamedTuple):
    """A trade: its line, as the decoder takes it. `number` is its id where that is an integer; `time_us` since 1970."""

    symbol: str
    identity: str
    number: int | None
    time_us: int
    line: bytes


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
    """The venue has taken a subscription."""


class Turned(NamedTuple):
    """The venue asks for a new connection."""


class Denied(NamedTuple):
    """The venue refuses, in its words."""

    text: str


Said = Trade | Void | Newest | Subscribed | Turned | Denied
"""What a frame can say; nothing for frames that are not about trades."""


class Subscription(NamedTuple):
    """What follows the socket's base URL, and what is sent once it is open."""

    path: str
    messages: Sequence[str]


class Request(NamedTuple):
    """A GET: what follows the REST base URL. `state` is for the feed's own use."""

    path: str
    params: dict[str, str]
    state: Any = None


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
        read: of an answer's body and its request, what it holds, and the request for what is older than that or newer.
        fill: of a hole, the first request that shows its trades; None where the venue cannot be asked for it.
        by_time: whether that needs a time beside the hole.
    """

    newest: Callable[[str], Request]
    read: Callable[[bytes, Request, Hole | None], Page]
    fill: Callable[[Hole], Request] | None = None
    by_time: bool = False


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
        socket, url: the bases of the socket and of the REST interface.
        symbols: one or two symbols as this venue writes them, for help and smoke tests.
        rest: how what was missed is asked for.
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
        """Whether a hole in its ids is a gap in the data."""
        return TRADES.venue(self.venue).ids == "dense"


def json_of(frame: bytes) -> Any:
    """A frame or answer whose numbers are whole. Raises FrameError."""
    try:
        return orjson.loads(frame)
    except orjson.JSONDecodeError as error:
        raise FrameError("not-json", f"It is no JSON: {error}.") from error


def member(facts: Any, name: str, kind: type | tuple[type, ...]) -> Any:
    """A member of an object. Raises FrameError."""
    if not isinstance(facts, dict) or name not in facts:
        raise FrameError("missing-field", f"{name} is missing.")
    found = facts[name]
    if not isinstance(found, kind) or (isinstance(found, bool) and bool not in _kinds(kind)):
        raise FrameError(f"bad-{name}", f"{name} is {str(found)[:80]!r}.")
    return found


def _kinds(kind: type | tuple[type, ...]) -> tuple[type, ...]:
    return kind if isinstance(kind, tuple) else (kind,)


def made(venue: str, symbol: str, identity: str, time: tuple[int, str], price: str, quantity: str, side: str) -> Trade:
    """A trade of its values, all as the venue wrote them; `time` in microseconds, and the unit that it was measured in.

    What is no trade's value is for the decoder to refuse.
    """
    time_us, unit = time
    number = as_integer(identity)
    facts = {
        "venue": venue,
        "symbol": symbol,
        "trade_id": identity if number is None else number,
        "time": time_us,
        "price": plain(price),
        "quantity": plain(quantity),
        "side": side,
    }
    if unit != "us":
        facts["time_unit"] = unit
    return Trade(symbol, identity, number, time_us, orjson.dumps(facts))


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
