"""The folder to which the sessions of one run spill: there from its first byte on, gone at the end of the run.

<home>/spill/<run id>/      what is left of a run that was killed goes with the next expiry, since nobody leases it
"""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import duckdb

from batch_layer.errors import BatchMemoryError
from slackwater.context import Context
from slackwater.store.files import holding


@contextmanager
def spilling(context: Context, run_id: str) -> Iterator[Context]:
    """The context for a run that leases the epoch `run_id`.

    Raises:
        BatchMemoryError: a session has too little memory for what it cannot spill.
    """
    limits = context.limits.below(run_id)
    try:
        yield replace(context, limits=limits)
    except duckdb.OutOfMemoryException as error:
        raise BatchMemoryError(error, limits.too_small) from error
    finally:
        if limits.spill is not None and limits.spill.exists():
            context.store.files.remove(limits.spill)


@contextmanager
def spilling_alone(context: Context) -> Iterator[Context]:
    """The same for a command that is no run."""
    name = f"command-{uuid.uuid4().hex}"
    with holding(context.store.lease(name, epochs=[name])), spilling(context, name) as own:
        yield own
