"""The kinds of answer: finished numbers made from a state at read time. One file each."""

from slackwater.views.answers.answer import Answer, Columns, Finish1
from slackwater.views.answers.column import Column
from slackwater.views.answers.linear import Difference, Linear
from slackwater.views.answers.quantiles import Quantiles
from slackwater.views.answers.ratio import Ratio
from slackwater.views.answers.ratios import ratio_units

__all__ = ["Answer", "Column", "Columns", "Difference", "Finish1", "Linear", "Quantiles", "Ratio", "ratio_units"]
