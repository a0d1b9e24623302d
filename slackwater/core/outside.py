"""What stands outside the package: objects that a setting names as module:NAME, or a distribution by an entry point."""

from collections.abc import Iterable
from importlib import import_module
from importlib.metadata import entry_points
from typing import TypeVar

from slackwater.core.errors import SlackwaterError

_T = TypeVar("_T")


def found_outside(kind: type[_T], named: Iterable[str], group: str, error: type[SlackwaterError]) -> list[_T]:
    """The objects of a kind: those of the entry points of `group`, then those that `named` names as module:NAME.

    Each object is one of the kind or a tuple of them.

    Raises:
        error: one cannot be found, or is of another kind.
    """
    objects = [(point.value, point.load()) for point in entry_points(group=group)]
    objects += [(text, _object(text, kind, error)) for text in named]
    return [each for text, found in objects for each in _several(text, found, kind, error)]


def _object(text: str, kind: type[_T], error: type[SlackwaterError]) -> object:
    module, _, name = text.partition(":")
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as cause:
        what = f"{kind.__name__.lower()}s"
        hint = f"SLACKWATER_{what.upper()} names them as module:NAME, with a comma between two."
        raise error(f"There are no {what} {text!r}: {cause}.", hint) from cause


def _several(text: str, found: object, kind: type[_T], error: type[SlackwaterError]) -> tuple[_T, ...]:
    several = found if isinstance(found, tuple | list) else (found,)
    if wrong := [type(each).__name__ for each in several if not isinstance(each, kind)]:
        name = kind.__name__
        raise error(
            f"{text!r} holds {', '.join(wrong)}, no {name.lower()}s.", f"It is a {name} or a tuple of {name.lower()}s."
        )
    return tuple(several)
