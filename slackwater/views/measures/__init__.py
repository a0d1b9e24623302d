"""The kinds of measure: each a commutative monoid over states, declared once and generated everywhere. A file each."""

from slackwater.views.measures.counts import Count
from slackwater.views.measures.extremes import Max, Min
from slackwater.views.measures.measure import Measure, Merge2, State, StateColumn, StatePart, TypeOf
from slackwater.views.measures.ordered import First, Last
from slackwater.views.measures.sums import Sum

__all__ = [
    "Count",
    "First",
    "Last",
    "Max",
    "Measure",
    "Merge2",
    "Min",
    "State",
    "StateColumn",
    "StatePart",
    "Sum",
    "TypeOf",
]
