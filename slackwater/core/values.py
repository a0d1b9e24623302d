"""How the text of a setting is read: each reader gives the value, or raises ValueError that says what to use."""

import re
from collections.abc import Callable
from pathlib import Path

from slackwater.core.machine import machine_memory
from slackwater.core.rate import Rate, parse_rate

HOST = re.compile(r"[A-Za-z0-9_.-]{1,253}")
ORIGIN = re.compile(r"\*|https?://[A-Za-z0-9_.-]{1,253}(:[0-9]{1,5})?")
NETWORK = re.compile(r"[0-9A-Fa-f.:]{2,45}(/[0-9]{1,3})?")
NAME = re.compile(r"[a-z][a-z0-9_]*")
FEED_URL = re.compile(r"[a-z0-9_]+(=wss?|\.rest=https?)://[A-Za-z0-9_.:\[\]/-]{1,253}")
FEED_FILE = re.compile(r"[a-z0-9_]+=[^,=]{1,4096}")
OBJECT = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*:[A-Za-z_][A-Za-z0-9_]*")

_MEMORY = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?(B|kB|KB|MB|GB|TB|%|)")
_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_PREFIX = re.compile(r"[A-Za-z0-9._-]*[A-Za-z0-9][A-Za-z0-9._-]*")


def text(given: str) -> str:
    """Any text."""
    return given


def whole(low: int, high: int) -> Callable[[str], int]:
    """A whole number in [low, high]."""

    def read(given: str) -> int:
        if not (given.isascii() and given.isdigit()) or not low <= int(given) <= high:
            raise ValueError(f"Use a whole number from {low} to {high}.")
        return int(given)

    return read


def flag(given: str) -> bool:
    """0 or 1."""
    return word("0", "1")(given) == "1"


def word(*words: str) -> Callable[[str], str]:
    """One of these."""

    def read(given: str) -> str:
        if given not in words:
            raise ValueError(f"Use {' or '.join(words)}.")
        return given

    return read


def listed(pattern: re.Pattern[str], hint: str) -> Callable[[str], tuple[str, ...]]:
    """Several with commas between, each of which fits; empty: none."""

    def read(given: str) -> tuple[str, ...]:
        found = tuple(each.strip() for each in given.split(",")) if given else ()
        for each in found:
            if not pattern.fullmatch(each):
                raise ValueError(f"{each!r} is none: use {hint}, with commas between.")
        return found

    return read


def rate(given: str) -> Rate | None:
    """So many requests in a unit of time; empty: none."""
    return parse_rate(given) if given else None


def memory(least: int) -> Callable[[str], int]:
    """Bytes of memory: a number with a unit, or a share of this machine's (of its container's), at least `least`."""

    def read(given: str) -> int:
        found = _MEMORY.fullmatch(given)
        if found is None:
            raise ValueError("Use a size such as 4GB or 1500MB, or a share of the machine such as 25%.")
        number, unit = float(found[1]), found[2].upper()
        if unit == "%":
            if not 0 < number <= 100:
                raise ValueError("Use a share above 0% and up to 100%.")
            return max(least, int(machine_memory() * number / 100))
        size = int(number * _UNITS[unit])
        if size < least:
            raise ValueError(f"Use at least {least // 1_000_000}MB.")
        return size

    return read


def folder(given: str) -> Path:
    """A folder, absolute; it need not be there."""
    return Path(given).expanduser().absolute()


def file(given: str) -> str:
    """A file that is there, absolute; empty: none."""
    if not given:
        return ""
    path = Path(given).expanduser().absolute()
    if not path.is_file():
        raise ValueError("There is no such file.")
    return str(path)


def topic_prefix(given: str) -> str:
    """What the names of topics may begin with."""
    if not _PREFIX.fullmatch(given):
        raise ValueError("Use letters, digits, '.', '_' and '-'.")
    return given
