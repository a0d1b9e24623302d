"""The registered views. Adding a view is one declaration in a file of its own and one line here.

A changed definition stands in CANDIDATES beside the view that is served, until a version of its own is promoted:
both layers run both, and the served version says which of them answers.
"""

from slackwater.views.bars import BARS
from slackwater.views.definitions import check_definitions
from slackwater.views.errors import UnknownViewError
from slackwater.views.view import View

VIEWS: tuple[View, ...] = (BARS,)

CANDIDATES: tuple[View, ...] = ()

DEFINITIONS: tuple[View, ...] = check_definitions(VIEWS, CANDIDATES)
"""What programs run: of each name the view, and the candidate beside it."""


def view_named(name: str, views: tuple[View, ...] = VIEWS) -> View:
    """The view of that name, the first where there are several.

    Raises:
        UnknownViewError: there is none.
    """
    for view in views:
        if view.name == name:
            return view
    raise UnknownViewError(f"No view {name!r}.", f"There are {', '.join(view.name for view in views)}.")
