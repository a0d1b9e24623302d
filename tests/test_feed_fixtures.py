"""The recorded messages of venues are whole: each parses and says where it was seen, and when.

tests/feed_fixtures/VENUE.toml: a table `message` a message, copied as its source has it. Of the source only what
belongs to its own language was undone: escapes, joined pieces of a string, the quotes, indentation of the block,
remarks. `note` says recorded or documented. A message whose source names no repository can be found by the names and
phrases given.

Not here: whether a parser reads them; the tests of each feed do.
"""

import datetime
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

FILES = sorted((Path(__file__).parent / "feed_fixtures").glob("*.toml"))
KINDS = {
    *("trade", "trade_placeholder", "agg_trade", "last_trade", "snapshot"),
    *("subscribed", "error", "heartbeat", "status", "reconnect", "ping", "pong"),
    *("rest_trades", "rest_trades_result", "rest_historical_trades", "rest_agg_trades", "rest_error"),
    *("instrument", "instruments", "instruments_result"),
}
PLAIN = {"ping", "pong"}


def messages(path: Path) -> list[dict[str, Any]]:
    """A venue's messages."""
    return tomllib.loads(path.read_text(encoding="utf-8"))["message"]


def reject_constant(name: str) -> None:
    """NaN and Infinity are no JSON."""
    raise ValueError(name)


def test_there_are_venues() -> None:
    assert FILES
    assert all(re.fullmatch("[a-z0-9][a-z0-9_-]{0,31}", path.stem) for path in FILES)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_message_says_where_it_was_seen(path: Path) -> None:
    for message in messages(path):
        assert message.keys() - {"note"} == {"kind", "source", "seen", "text"}
        assert message["kind"] in KINDS
        assert message["source"].startswith("https://")
        assert type(message["seen"]) is datetime.date


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_text_is_json(path: Path) -> None:
    for message in messages(path):
        text = message["text"].strip()
        if message["kind"] in PLAIN and not text.startswith("{"):
            assert re.fullmatch("[a-z]+", text)
        else:
            assert isinstance(json.loads(text, parse_constant=reject_constant), dict | list), message["source"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_venue_has_a_trade_a_page_and_an_instrument(path: Path) -> None:
    kinds = {message["kind"] for message in messages(path)}
    assert "trade" in kinds
    assert kinds & {"rest_trades", "rest_trades_result"}
    assert kinds & {"instrument", "instruments", "instruments_result"}
