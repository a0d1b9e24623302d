"""The registered views. Adding a view is one declaration in a file of its own and one line here.

Views may also live outside the package: `SLACKWATER_VIEWS=module:VIEWS[,...]` names tuples of them, and so does a
distribution by the entry point group `slackwater.views`. `views_of` takes them all, or those that
`SLACKWATER_ONLY_VIEWS` names; whoever starts a program asks it once, and hands the views on.

A changed definition stands in CANDIDATES beside the view that is served, until a version of its own is promoted:
both layers run both, and the served version says which of them answers.
"""

from collections.abc import Iterable

from slackwater.core.outside import found_outside
from slackwater.core.settings import Settings
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


def registered(named: Iterable[str] = (), only: Iterable[str] = ()) -> tuple[View, ...]:
    """What a program runs: of each name the view, and the candidate beside it.

    Args:
        named: `module:NAME`, each a view or a tuple of views outside the package (the setting SLACKWATER_VIEWS).
        only: names of views; empty: all of them (the setting SLACKWATER_ONLY_VIEWS).

    Raises:
        DefinitionError: one cannot be found, is no view, or has the name of another.
        UnknownViewError: no view has a name of `only`.
    """
    views = check_definitions((*VIEWS, *found_outside(View, named, GROUP, DefinitionError)), CANDIDATES)
    names, known = set(only), [view.name for view in views]
    for name in sorted(names.difference(known)):
        raise UnknownViewError(f"No view {name!r}.", f"There are {', '.join(known)}.")
    return tuple(view for view in views if not names or view.name in names)


def views_of(settings: Settings) -> tuple[View, ...]:
    """What every program of these settings runs. Raises as `registered`."""
    return registered(settings.views, settings.only_views)
