"""The lists of instruments that venues give, by the name of the feed; made from the recorded answers.

Left out are kinds of instruments that no recorded answer has: combinations, perpetuals of Bitstamp, spot and builders'
perpetuals of Hyperliquid. Of OKX's options those of BTC and ETH are asked for.
"""

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

import orjson

from ingest.feeds.feed import FrameError, Request, exact_json_of, member
from ingest.feeds.listing import Listed, Listing, Values, product, rows_of, step

MS_US = 1_000

_RIGHTS = {"C": "call", "P": "put"}


def _answer(body: bytes, name: str) -> list[Any]:
    found: list[Any] = member(exact_json_of(body), name, list)
    return found


# ------------------------------------------------------------------------------------------------------------ Binance


def _binance(venue: str, kind: str, body: bytes, request: Request) -> Listed:
    del request
    return Listed(rows_of(_answer(body, "symbols"), partial(_of_binance, venue, kind)))


def _of_binance(venue: str, kind: str, one: Any) -> Values:
    steps = {each.get("filterType"): each for each in member(one, "filters", list) if isinstance(each, dict)}
    row = {
        **{"venue": venue, "symbol": member(one, "symbol", str), "kind": kind},
        **{"base": member(one, "baseAsset", str), "quote": member(one, "quoteAsset", str)},
        **{"tick": steps.get("PRICE_FILTER", {}).get("tickSize"), "lot": steps.get("LOT_SIZE", {}).get("stepSize")},
    }
    if kind == "spot":
        return row
    row["settlement"] = member(one, "marginAsset", str)
    if kind == "inverse":
        row["multiplier"] = str(member(one, "contractSize", (int, str)))
    if "PERPETUAL" not in member(one, "contractType", str):
        row["expiry"] = member(one, "deliveryDate", int) * MS_US
    return row


# --------------------------------------------------------------------------------------------------- Coinbase, Kraken


def _coinbase(body: bytes, request: Request) -> Listed:
    del request
    found = exact_json_of(body)
    if not isinstance(found, list):
        raise FrameError("bad-answer", f"The answer is {body[:200]!r}.")
    return Listed(rows_of(found, _of_coinbase))


def _of_coinbase(one: Any) -> Values:
    return {
        **{"venue": "coinbase", "symbol": member(one, "id", str), "kind": "spot"},
        **{"base": member(one, "base_currency", str), "quote": member(one, "quote_currency", str)},
        **{"tick": member(one, "quote_increment", str), "lot": member(one, "base_increment", str)},
    }


_KRAKEN = {"XBT": "BTC", "XDG": "DOGE"}
"""The socket has these names; the list has the old ones."""


def _kraken(body: bytes, request: Request) -> Listed:
    del request
    facts = exact_json_of(body)
    if errors := facts.get("error") if isinstance(facts, dict) else [str(facts)[:200]]:
        raise FrameError("bad-answer", f"The venue says {errors}.")
    return Listed(rows_of([*member(facts, "result", dict).values()], _of_kraken))


def _of_kraken(one: Any) -> Values:
    base, _, quote = member(one, "wsname", str).partition("/")
    base, quote = _KRAKEN.get(base, base), _KRAKEN.get(quote, quote)
    return {
        **{"venue": "kraken", "symbol": f"{base}/{quote}", "kind": "spot", "base": base, "quote": quote},
        **{"tick": member(one, "tick_size", str), "lot": step(member(one, "lot_decimals", int))},
    }


# ----------------------------------------------------------------------------------------------------------------- OKX


def _okx(body: bytes, request: Request) -> Listed:
    del request
    facts = exact_json_of(body)
    if member(facts, "code", str) != "0":
        raise FrameError("bad-answer", f"The venue says {facts.get('code')}: {str(facts.get('msg'))[:200]}.")
    return Listed(rows_of(member(facts, "data", list), _of_okx))


def _of_okx(one: Any) -> Values:
    kind = member(one, "instType", str)
    row: dict[str, Any] = {"venue": "okx", "symbol": member(one, "instId", str)}
    row |= {"tick": member(one, "tickSz", str), "lot": member(one, "lotSz", str)}
    if kind == "SPOT":
        return {**row, "kind": "spot", "base": member(one, "baseCcy", str), "quote": member(one, "quoteCcy", str)}
    base, _, quote = member(one, "uly", str).partition("-")
    if member(one, "ctValCcy", str) != (quote if one.get("ctType") == "inverse" else base):
        raise FrameError("bad-multiplier", f"A contract of {row['symbol']} is worth some {one['ctValCcy']}.")
    row |= {"base": base, "quote": quote, "settlement": member(one, "settleCcy", str)}
    row["multiplier"] = product(member(one, "ctVal", str), member(one, "ctMult", str))
    if expiry := member(one, "expTime", str):
        row["expiry"] = product(expiry, str(MS_US))
    if kind == "OPTION":  # its price is in what it is settled in
        row |= {"kind": "option", "quote": row["settlement"], "underlying": member(one, "uly", str)}
        return {**row, "strike": member(one, "stk", str), "right": _RIGHTS.get(member(one, "optType", str))}
    return {**row, "kind": member(one, "ctType", str)}


# --------------------------------------------------------------------------------------------------------------- Bybit


def _bybit(category: str, body: bytes, request: Request) -> Listed:
    facts = exact_json_of(body)
    if member(facts, "retCode", int):
        raise FrameError("bad-answer", f"The venue says {facts['retCode']}: {str(facts.get('retMsg'))[:200]}.")
    result = member(facts, "result", dict)
    rows = rows_of(member(result, "list", list), partial(_of_bybit, category))
    cursor = result.get("nextPageCursor")
    return Listed(rows, request._replace(params={**request.params, "cursor": str(cursor)}) if cursor else None)


def _of_bybit(category: str, one: Any) -> Values | None:
    """A contract is 1 of the base on linear, and 1 dollar on inverse."""
    if category != "spot" and category not in member(one, "contractType", str).lower():
        return None  # asked for linear, it answers rows of inverse, too
    lots, prices = member(one, "lotSizeFilter", dict), member(one, "priceFilter", dict)
    row = {
        **{"venue": f"bybit_{category}", "symbol": member(one, "symbol", str), "kind": category},
        **{"base": member(one, "baseCoin", str), "quote": member(one, "quoteCoin", str)},
        **{"tick": prices.get("tickSize"), "lot": lots.get("basePrecision" if category == "spot" else "qtyStep")},
    }
    if category == "spot":
        return row
    delivery = member(one, "deliveryTime", str)
    expiry = {} if delivery == "0" else {"expiry": product(delivery, str(MS_US))}
    return {**row, **expiry, "settlement": member(one, "settleCoin", str), "multiplier": "1"}


# ----------------------------------------------------------------------------------------------- Bitstamp, Hyperliquid


def _bitstamp(body: bytes, request: Request) -> Listed:
    del request
    found = exact_json_of(body)
    if not isinstance(found, list):
        raise FrameError("bad-answer", f"The answer is {body[:200]!r}.")
    return Listed(rows_of(found, _of_bitstamp))


def _of_bitstamp(one: Any) -> Values | None:
    """Its counter_decimals are not those of its prices, so no tick is said."""
    if member(one, "market_type", str) != "SPOT":
        return None
    return {
        **{"venue": "bitstamp", "symbol": member(one, "market_symbol", str), "kind": "spot"},
        **{"base": member(one, "base_currency", str), "quote": member(one, "counter_currency", str)},
        "lot": step(member(one, "base_decimals", int)),
    }


def _hyperliquid(body: bytes, request: Request) -> Listed:
    """Prices are in dollars and settled in USDC; their steps follow from their digits, so no tick is said."""
    del request
    return Listed(rows_of(_answer(body, "universe"), _of_hyperliquid))


def _of_hyperliquid(one: Any) -> Values:
    name = member(one, "name", str)
    row = {"venue": "hyperliquid", "symbol": name, "kind": "linear", "base": name.partition(":")[2] or name}
    return {**row, "quote": "USDC", "lot": step(member(one, "szDecimals", int))}


# ------------------------------------------------------------------------------------------------------------- Deribit


def _deribit(body: bytes, request: Request) -> Listed:
    del request
    facts = exact_json_of(body)
    if isinstance(facts, dict) and "error" in facts:
        raise FrameError("bad-answer", f"The venue says {str(facts['error'])[:200]}.")
    found = member(facts, "result", (list, dict))
    return Listed(rows_of(found if isinstance(found, list) else [found], _of_deribit))


def _of_deribit(one: Any) -> Values | None:
    """Amounts are dollars on inverse contracts, else of the base: so one of it is 1, whatever its contract_size."""
    kind = member(one, "kind", str)
    row: dict[str, Any] = {
        **{"venue": "deribit", "symbol": member(one, "instrument_name", str)},
        **{"base": member(one, "base_currency", str), "quote": member(one, "quote_currency", str)},
        "tick": str(member(one, "tick_size", (str, int))),
        "lot": str(member(one, "min_trade_amount", (str, int))),
    }
    if kind == "spot":
        return {**row, "kind": "spot"}
    row |= {"settlement": member(one, "settlement_currency", str), "multiplier": "1"}
    if member(one, "settlement_period", str) != "perpetual":
        row["expiry"] = member(one, "expiration_timestamp", int) * MS_US
    if kind == "future":
        reversed_ = member(one, "instrument_type", str) == "reversed"
        return {**row, "kind": "inverse" if reversed_ else "linear"}
    if kind != "option":
        return None  # a combination
    strike, right = str(member(one, "strike", (str, int))), member(one, "option_type", str)
    return {**row, "kind": "option", "strike": strike, "right": right, "underlying": member(one, "price_index", str)}


# ------------------------------------------------------------------------------------------------------------------ all


def _asked(path: str, **params: str) -> Request:
    return Request(path, params)


_OKX = [_asked("/api/v5/public/instruments", instType=kind) for kind in ("SPOT", "SWAP", "FUTURES")]
_OKX += [_asked("/api/v5/public/instruments", instType="OPTION", uly=uly) for uly in ("BTC-USD", "ETH-USD")]
_META = orjson.dumps({"type": "meta"})

Read = Callable[[bytes, Request], Listed]


def _of(read: Read, *first: Request) -> Listing:
    return Listing(first, read)


LISTINGS: Mapping[str, Listing] = MappingProxyType(
    {
        **{
            f"{venue}{more}": _of(partial(_binance, venue + more, kind), _asked(f"{path}/exchangeInfo"))
            for venue, kind, path in (
                ("binance_spot", "spot", "/api/v3"),
                ("binance_usdm", "linear", "/fapi/v1"),
                ("binance_coinm", "inverse", "/dapi/v1"),
            )
            for more in ("", "_agg")
        },
        "coinbase": _of(_coinbase, _asked("/products")),
        "kraken": _of(_kraken, _asked("/0/public/AssetPairs")),
        "okx": _of(_okx, *_OKX),
        **{
            f"bybit_{category}": _of(
                partial(_bybit, category), _asked("/v5/market/instruments-info", category=category, limit="1000")
            )
            for category in ("spot", "linear", "inverse")
        },
        "bitstamp": _of(_bitstamp, _asked("/api/v2/markets/")),
        "hyperliquid": _of(_hyperliquid, Request("/info", {}, body=_META)),
        "deribit": _of(_deribit, _asked("/public/get_instruments", currency="any", expired="false")),
    }
)
