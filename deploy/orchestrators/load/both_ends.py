"""What a batch run's two kinds of failure do to an orchestrator's task, with the real program and no broker.

Nothing listens on the port, so the program ends with 75; a setting that is no number makes it end with 1.
"""

import os
import socket
from collections.abc import Callable


def both_ends(run_batch: Callable[[], object], again: type[BaseException], never: type[BaseException]) -> None:
    """Call a task's function twice. Raises AssertionError if it does not raise `again` after 75 and `never` after 1."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # bound and not listened on: a connection is refused
        os.environ["KAFKA_BOOTSTRAP_SERVERS"] = f"127.0.0.1:{held.getsockname()[1]}"
        _raises(run_batch, again)
    os.environ["SLACKWATER_PARTITIONS"] = "none"
    _raises(run_batch, never)
    print(f"  exit code 75 raises {again.__name__}: tried again; exit code 1 raises {never.__name__}: not")


def _raises(call: Callable[[], object], kind: type[BaseException]) -> None:
    try:
        call()
    except BaseException as error:
        if type(error) is not kind:
            raise AssertionError(f"{error!r} is no {kind.__name__}") from error
        return
    raise AssertionError("the batch run did not fail")
