"""A look at real venues: do they still speak as what the feeds were made from? For whoever has internet.

    connect  ->  subscribe to the feed's own symbols  ->  listen for some seconds  ->  ask REST for the newest trades

Nothing is taken in. What differs from the recordings is told: no connection, no subscription, frames that cannot be
read, members that trade frames have or lack, a socket that is silent while REST shows trades. Not here: what is
expected (`ingest.feeds.members`).
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import httpx

from ingest.capture.intake import Intake
from ingest.capture.options import Address, CaptureOptions
from ingest.capture.rest import NotNowError, client_of, put, said
from ingest.capture.session import Session
from ingest.capture.state import VenueState
from ingest.feeds.feed import Denied, Feed, FinalError, FrameError, Said, TooMuchError, Trade, exact_json_of
from ingest.feeds.members import MEMBERS, members_of
from slackwater.core.clock import Clock

FIRST_BYTES = 2_000
"""So much of the first frame that cannot be read is told."""


@dataclass
class Smoke:
    """What was seen of one venue.

    Attributes:
        why: why the connection ended before its time, if it did.
        denied: what the venue refused, in its words.
        subscribed: the venue took the subscription, or sent a trade.
        kinds: how many frames said what; `other` said nothing.
        added, lacking: members of trade frames that no recording has, and that every one has.
        unread, first_unread: frames that cannot be read; why the first cannot, and what it is.
        rest: trades that REST showed; None with `rest_why`.
        silent: REST shows trades from after the subscription, and the socket none.
    """

    venue: str
    symbols: Sequence[str]
    why: str = ""
    denied: list[str] = field(default_factory=list)
    subscribed: bool = False
    frames: int = 0
    trades: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    added: set[str] = field(default_factory=set)
    lacking: set[str] = field(default_factory=set)
    unread: int = 0
    first_unread: tuple[str, str] | None = None
    rest: int | None = None
    rest_why: str = ""
    silent: bool = False

    @property
    def differs(self) -> list[str]:
        """What is not as it was, in words."""
        return [
            *([f"the connection ended: {self.why}"] if self.why else []),
            *(f"it refuses: {text}" for text in self.denied),
            *([] if self.subscribed else ["the subscription was not taken"]),
            *([f"{self.unread:,} frames cannot be read, the first: {self.first_unread}"] if self.unread else []),
            *([f"trade frames have members that are new: {', '.join(sorted(self.added))}"] if self.added else []),
            *([f"trade frames lack: {', '.join(sorted(self.lacking))}"] if self.lacking else []),
            *([f"REST: {self.rest_why}"] if self.rest_why else []),
            *(["REST shows trades, and the socket is silent"] if self.silent else []),
        ]

    def hear(self, feed: Feed, frame: bytes) -> None:
        """Look at a frame."""
        self.frames += 1
        try:
            said: Sequence[Said] = feed.parse(frame)
        except FrameError as error:
            self.unread += 1
            self.first_unread = self.first_unread or (str(error), frame[:FIRST_BYTES].decode(errors="replace"))
            return
        self.kinds.update({type(one).__name__.lower() for one in said} or {"other"})
        self.denied += [one.text[:200] for one in said if isinstance(one, Denied)]
        trades = sum(isinstance(one, Trade) for one in said)
        if trades:
            self.trades += trades
            seen, known = members_of(exact_json_of(frame)), MEMBERS[feed.venue]
            self.added |= seen - known.always - known.sometimes
            self.lacking |= known.always - seen


async def smoke(feed: Feed, options: CaptureOptions, clock: Clock, seconds: float) -> Smoke:
    """Look at one venue for so many seconds."""
    found = Smoke(feed.venue, feed.symbols)
    state = VenueState(feed, feed.symbols)
    url = options.addresses.get(feed.venue, Address()).socket or feed.socket
    intake = Intake(asyncio.get_running_loop())  # nobody reads it
    began_us = clock.now_us()
    session = Session(
        state,
        url,
        feed.symbols,
        intake,
        options.timing,
        clock,
        lambda at_ns, frame: found.hear(feed, frame),
        options.tls if url.startswith("wss:") else None,
    )
    try:
        async with asyncio.timeout(seconds):
            found.why = await session.run()
    except TimeoutError:
        pass  # as it should be
    finally:
        intake.end()
    found.subscribed = session.taken.is_set()
    async with client_of(feed, options) as client:
        await _ask(found, feed, client, began_us)
    return found


async def _ask(found: Smoke, feed: Feed, client: httpx.AsyncClient, began_us: int) -> None:
    """The newest trades of the first symbol."""
    request = feed.rest.newest(feed.symbols[0])
    try:
        page = said(await client.send(put(client, request)), lambda body: feed.rest.read(body, request, None))
    except (httpx.HTTPError, FrameError, FinalError, TooMuchError, NotNowError) as error:
        found.rest_why = str(error) or type(error).__name__
        return
    trades = [one for one in page.said if isinstance(one, Trade)]
    found.rest = len(trades)
    if not trades:
        found.rest_why = "it shows no trades"
    found.silent = found.subscribed and not found.trades and any(one.time_us > began_us + 5_000_000 for one in trades)


async def smoke_all(feeds: Sequence[Feed], options: CaptureOptions, clock: Clock, seconds: float) -> Sequence[Smoke]:
    """Look at several venues at once."""
    return await asyncio.gather(*(smoke(feed, options, clock, seconds) for feed in feeds))
