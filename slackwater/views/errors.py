"""The errors of views.

SlackwaterError
  ViewError
    DefinitionError     a view's declaration contradicts itself
      StreamError       a view is declared over another stream than the one that it is fed
    IntervalError       an interval that is neither a divisor of a day nor 1w, or not a multiple of the base
    OverflowingStateError   a merged state does not fit its declared type
    UnknownViewError    no view of that name is registered
"""

from slackwater.core.errors import SlackwaterError


class ViewError(SlackwaterError):
    """A view, or a state that should fit it, is wrong."""


class DefinitionError(ViewError):
    """A view's declaration contradicts itself."""


class StreamError(DefinitionError):
    """A view is declared over another stream than the one that it is fed; nothing is computed."""

    def __init__(self, view: str, source: str, fed: str) -> None:
        super().__init__(
            f"View {view!r} has the source {source!r}, but what it would be fed is {fed!r}.",
            f"Every view of this program is one of {fed!r}: declare it so, or take it out of the registry.",
        )


class IntervalError(ViewError):
    """An interval that no view can be merged to."""


class OverflowingStateError(ViewError):
    """A merged state does not fit its declared type; the sum is refused rather than wrapped or rounded."""


class UnknownViewError(ViewError):
    """No view of that name is registered."""
