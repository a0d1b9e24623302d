"""The registered views. Adding a view is one declaration in a file of its own and one line here.

Views may also live outside the package: `SLACKWATER_VIEWS=module:VIEWS[,...]` names tuples of them, and so does a
distribution by the entry point group `slackwater.views`. `registered` takes them all; whoever starts a program asks it
once, and hands the views on.

A changed definition stands in CANDIDATES beside the view that is served, until a version of its own is promoted:
both layers run both, and the served version says which of them answers.
"""

from collections.abc import Iterable
from importlib import import_module
from importlib.metadata import entry_points

from slackwater.views.bars import BARS
from slackwater.views.definitions import check_definitions
from slackwater.views.errors import DefinitionError, UnknownViewError
from slackwater.views.flow import FLOW
from slackwater.views.sizes import SIZES
from slackwater.views.view import View

VIEWS: tuple[View, ...] = (BARS, FLOW, SIZES)

CANDIDATES: tuple[View, ...] = ()

GROUP = "slackwater.views"
"""The entry point group. An entry point's object is a view or a tuple of views."""


def registered(named: Iterable[str] = ()) -> tuple[View, ...]:
    """What a program runs: of each name the view, and the candidate beside it.

    Args:
        named: `module:NAME`, each a view or a tuple of views outside the package (the setting SLACKWATER_VIEWS).

    Raises:
        DefinitionError: one cannot be found, is no view, or has the name of another.
    """
    outside = [_views(point.value, point.load()) for point in entry_points(group=GROUP)]
    outside += [_views(text, _object(text)) for text in named]
    return check_definitions((*VIEWS, *(view for views in outside for view in views)), CANDIDATES)


def view_named(name: str, views: tuple[View, ...] = VIEWS) -> View:
    """The view of that name, the first where there are several.

    Raises:
        UnknownViewError: there is none.
    """
    for view in views:
        if view.name == name:
            return view
    raise UnknownViewError(f"No view {name!r}.", f"There are {', '.join(view.name for view in views)}.")


def _object(text: str) -> object:
    module, _, name = text.partition(":")
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        hint = "SLACKWATER_VIEWS names them as module:NAME, with a comma between two."
        raise DefinitionError(f"There are no views {text!r}: {error}.", hint) from error


def _views(text: str, found: object) -> tuple[View, ...]:
    views = found if isinstance(found, tuple | list) else (found,)
    if wrong := [type(each).__name__ for each in views if not isinstance(each, View)]:
        raise DefinitionError(f"{text!r} holds {', '.join(wrong)}, no views.", "It is a View or a tuple of views.")
    return tuple(views)
