"""Passes over the one warning that Beam gives whenever it is imported without its clients of Google's cloud.

It goes to the root logger, before any program has set logging up, and would be the first line of every program of the
two layers. Nothing else is kept back.
"""

import logging


class _PassOver(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return not str(record.msg).startswith("apitools not found")


_FILTER = _PassOver()


def quiet_import() -> None:
    """Call it before Beam is imported. A filter of a logger sees what is logged there, not what comes from below."""
    logging.getLogger().addFilter(_FILTER)
