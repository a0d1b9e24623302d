"""Runs of pytest that do not wait for imports: each is forked from a process that has imported the libraries.

    python -m tests.mutation.warm serve <socket>              prints a line when it is ready; ends with its stdin
    python -m tests.mutation.warm ask <socket> <arguments>    pytest's exit code

Nothing of the project is imported before the fork, since its files are what changes. One that asks and goes, as a
timeout makes it, takes the run with it. What the last run wrote is in `<socket>.log`.
"""

import json
import os
import select
import signal
import socket
import sys
import traceback

LIBRARIES = (
    *("apache_beam", "duckdb", "fastapi", "httpx", "kafka", "numpy", "orjson", "playwright.sync_api", "psutil"),
    *("pyarrow", "pyarrow.compute", "pyarrow.parquet", "pydantic", "rich", "starlette", "uvicorn"),
)
"""All but pytest's own and its plugins."""


def serve(path: str) -> int:
    """Answer until stdin ends."""
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # else numpy starts threads when it is imported
    for name in LIBRARIES:
        __import__(name)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        print("ready", flush=True)
        while listener in select.select([listener, sys.stdin], [], [])[0]:
            with listener.accept()[0] as asker:
                _answer(asker, f"{path}.log")
    return 0


def _answer(asker: socket.socket, log: str) -> None:
    arguments = json.loads(asker.makefile().readline())
    child = os.fork()
    if child == 0:
        _run(arguments, log)
    ended = os.pidfd_open(child)
    if ended not in select.select([ended, asker], [], [])[0]:
        os.kill(child, signal.SIGKILL)
    os.close(ended)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    try:
        asker.sendall(f"{code}\n".encode())
    except BrokenPipeError:
        print("a run was ended, since nobody waits for it", file=sys.stderr)


def _run(arguments: list[str], log: str) -> None:
    code = 3  # pytest's own, for an internal error
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for number in (1, 2):
            os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
        os.truncate(log, 0)
        import pytest

        code = int(pytest.main(arguments))
    except BaseException:  # noqa: BLE001 - this process ends without Python's own end, which would print it
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def ask(path: str, arguments: list[str]) -> int:
    """Run pytest with these arguments."""
    with socket.socket(socket.AF_UNIX) as asker:
        asker.connect(path)
        asker.sendall(json.dumps(arguments).encode() + b"\n")
        return int(asker.makefile().readline() or 3)


if __name__ == "__main__":
    word, socket_path, *rest = sys.argv[1:]
    sys.exit(serve(socket_path) if word == "serve" else ask(socket_path, rest))
