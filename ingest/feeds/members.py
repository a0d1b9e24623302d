"""The members of trade frames: what a venue sends now is held against what its parser was made from.

    {"channel":"trades","data":[{"px":"1","sz":"2"}]}    ->    channel, px, sz

Members that hold objects are left out: Binance sends the same trade with and without an envelope. `MEMBERS` has, by
venue, what every recorded or documented frame has, and what some have; a test makes it of the frames anew.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple


class Members(NamedTuple):
    """Those of every frame, and those of some."""

    always: frozenset[str]
    sometimes: frozenset[str] = frozenset()


def members_of(frame: Any) -> frozenset[str]:
    """The names of all values in a frame that are no objects."""
    return frozenset(_names(frame))


def _names(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for one in value:
            yield from _names(one)
    elif isinstance(value, dict):
        for name, held in value.items():
            if isinstance(held, dict) or (isinstance(held, list) and any(isinstance(one, dict) for one in held)):
                yield from _names(held)
            else:
                yield name


_BYBIT = "BT L RPI S T i p s seq topic ts type v"
_NAMES: Mapping[str, tuple[str, str]] = {
    "binance_spot": ("E M T e m p q s stream t", "a b"),
    "binance_spot_agg": ("E M T a e f l m p q s", "stream"),
    "binance_usdm": ("E T X e m p q s st t", "stream"),
    "binance_usdm_agg": ("E T a e f l m nq p q s stream", "st"),
    "binance_coinm": ("E T X e m p q s stream t", ""),
    "binance_coinm_agg": ("E T a e f l m p q s", "stream"),
    "coinbase": ("maker_order_id price product_id sequence side size taker_order_id time trade_id type", ""),
    "kraken": ("channel ord_type price qty side symbol timestamp trade_id type", ""),
    "okx": ("channel instId px side sz tradeId ts", "source"),
    "bybit_spot": ("BT RPI S T i p s seq topic ts type v", ""),
    "bybit_linear": (_BYBIT, ""),
    "bybit_inverse": (_BYBIT, ""),
    "bitstamp": (
        "amount amount_str buy_order_id channel event id microtimestamp price price_str sell_order_id timestamp type",
        "id_str",
    ),
    "hyperliquid": ("channel coin hash px side sz tid time users", ""),
    "deribit": (
        "amount channel contracts direction index_price instrument_name jsonrpc mark_price method price "
        "tick_direction timestamp trade_id trade_seq",
        "",
    ),
}

MEMBERS: Mapping[str, Members] = {
    venue: Members(frozenset(always.split()), frozenset(sometimes.split()))
    for venue, (always, sometimes) in _NAMES.items()
}
