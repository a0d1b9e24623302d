"""The real server in a process of its own, over the small world's log: `python -m tests.shutdown_program HOME DRAIN_S`.

It prints its port. What it is for is to be told to end: tests/test_shutdown.py.
"""

import socket
import sys
from pathlib import Path

from serving.options import ServingOptions
from serving.run import server_of
from slackwater.http.options import Limits
from tests.serving_world import World, cut_in_a_minute

PATIENT = Limits(head_s=3600, body_s=3600, idle_s=3600)
"""So that a slow machine is not taken for a slow client."""


def main(home: str, drain_s: str) -> None:
    """Serve until told to end."""
    world = World(Path(home))
    cut_in_a_minute(world)
    app = world.serve(ServingOptions(poll_s=0.0, limits=PATIENT))
    world.step()
    world.step()
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen()
    print(listening.getsockname()[1], flush=True)
    server_of(app, drain_s=float(drain_s)).run(sockets=[listening])


if __name__ == "__main__":
    main(*sys.argv[1:])
