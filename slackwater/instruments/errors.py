"""The errors of declared instruments.

SlackwaterError
  InstrumentsError
    FactsError           facts that are none of an instrument, each with a reason in one word
    UnreadableRowsError  a file or a body that is no table of instruments at all
    RefusedRowsError     some rows of what was to be loaded are refused, so none was
    NoValueError         a value that these facts do not give
"""

from slackwater.core.errors import SlackwaterError


class InstrumentsError(SlackwaterError):
    """What is declared of an instrument cannot be used."""


class FactsError(InstrumentsError):
    """These are no facts of an instrument. `reason` is a word of a fixed list, for counting."""

    def __init__(self, reason: str, fact: str, hint: str = "") -> None:
        super().__init__(fact, hint)
        self.reason = reason


class UnreadableRowsError(InstrumentsError):
    """No rows can be told apart in it."""


class RefusedRowsError(InstrumentsError):
    """Nothing was loaded."""


class NoValueError(InstrumentsError):
    """The value in that currency does not follow from price, quantity and the declared facts."""
