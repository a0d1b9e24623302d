"""The errors of views.

SlackwaterError
  ViewError
    DefinitionError     a view's declaration contradicts itself
    IntervalError       an interval that is neither a divisor of a day nor 1w, or not a multiple of the base
    OverflowingStateError   a merged state does not fit its declared type
    UnknownViewError    no view of that name is registered
"""

from slackwater.core.errors import SlackwaterError


class ViewError(SlackwaterError):
    """A view, or a state that should fit it, is wrong."""


class DefinitionError(ViewError):
    """A view's declaration contradicts itself."""


class IntervalError(ViewError):
    """An interval that no view can be merged to."""


class OverflowingStateError(ViewError):
    """A merged state does not fit its declared type; the sum is refused rather than wrapped or rounded."""


class UnknownViewError(ViewError):
    """No view of that name is registered."""
