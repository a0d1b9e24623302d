"""The errors of deltas.

SlackwaterError
  LogError
    CodecError              bytes that are no delta
    CellConflictError       two cells over one slice differ
"""

from slackwater.log.errors import LogError


class CodecError(LogError):
    """Bytes that are no delta of this project."""


class CellConflictError(LogError):
    """Two cells over one slice differ, though a cell is a pure function of the log."""
