"""The feeds that there are, by venue."""

from collections.abc import Mapping
from types import MappingProxyType

from ingest.errors import IngestError
from ingest.feeds import binance, bitstamp, bybit, coinbase, deribit, hyperliquid, kraken, okx
from ingest.feeds.feed import Feed

FEEDS: Mapping[str, Feed] = MappingProxyType(
    {
        feed.venue: feed
        for of in (binance, coinbase, kraken, okx, bybit, bitstamp, hyperliquid, deribit)
        for feed in of.FEEDS
    }
)


class UnknownFeedError(IngestError):
    """No feed has that venue's name."""

    def __init__(self, venue: str) -> None:
        super().__init__(f"There is no feed {venue!r}.", f"There are: {', '.join(FEEDS)}.")


def feed_of(venue: str) -> Feed:
    """The feed of a venue. Raises UnknownFeedError."""
    if venue not in FEEDS:
        raise UnknownFeedError(venue)
    return FEEDS[venue]
