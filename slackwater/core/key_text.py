"""What an API key looks like, so that one which a client sent where it does not belong is recognised, and never shown.

Not here: whether it is a key that holds (`slackwater.keys.keyring`).
"""

import re

_BEGIN = "slackwater_"
_KEY = re.compile(r"slackwater_[0-9a-f]{12}_[A-Za-z0-9_-]*")


def holds_key(text: str) -> bool:
    """Whether a key stands anywhere in a text."""
    return _BEGIN in text and _KEY.search(text) is not None


def without_keys(text: str) -> str:
    """The text as it may be shown."""
    return _KEY.sub("slackwater_(removed)", text)
