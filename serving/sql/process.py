"""Starts a process for each query and ends it: so many at once, so many waiting, so long.

One is started ahead of its question, since what a query would wait for most is what Python imports: none before the
first query, so a service that is never asked has none, and one after each. Not here: what runs (`serving.sql.program`).
"""

import logging
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from threading import Lock

import orjson
import pyarrow as pa

from serving.options import SqlOptions
from serving.query.pool import Pool
from serving.sql.program import Outcome, Question
from serving.sql.tables import Tables
from slackwater.http.problems import ProblemError

_LOG = logging.getLogger("slackwater.sql")

_START_S = 5.0  # what a process may take to start on a busy machine; from then on it ends itself in time


class Spare:
    """Starts processes of `serving.sql.program`, one ahead. They end when their standard input does, as with us."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._lock = Lock()
        self._waiting: subprocess.Popen[bytes] | None = None
        self._closed = False

    def take(self) -> subprocess.Popen[bytes]:
        """The process that waits, else a new one."""
        with self._lock:
            found, self._waiting = self._waiting, None
        if found is not None and found.poll() is None:
            return found
        if found is not None:
            found.communicate()
        return self._start()

    def prepare(self) -> None:
        """Have one wait."""
        with self._lock:
            if self._waiting is None and not self._closed:
                self._waiting = self._start()

    def close(self) -> None:
        """End the one that waits."""
        with self._lock:
            self._closed = True
            found, self._waiting = self._waiting, None
        if found is not None:
            found.kill()
            found.communicate()

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-I", "-m", "serving.sql.program"],
            cwd=self._home,
            env={},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )


class SqlProcesses:
    """Asks questions, each in a process that sees the home folder's files and nothing of this process."""

    def __init__(self, home: Path, options: SqlOptions) -> None:
        self.options = options
        self.pool = Pool(options.running, options.waiting, options.deadline_s + _START_S)
        self._spare = Spare(home)
        self._lock = Lock()
        self._running: set[subprocess.Popen[bytes]] = set()

    @property
    def running(self) -> set[int]:
        """The ids of the processes that run."""
        with self._lock:
            return {process.pid for process in self._running}

    def ask(self, sql: str, limit: int, tables: Tables) -> tuple[Outcome, pa.Table | None]:
        """The outcome of a query over tables, and its result if there is one. Blocks until the process has ended.

        Raises:
            ProblemError: 504 if it took too long, 422 if the process died of the query.
        """
        given = {name: _stream(table) for name, table in tables.given.items()}
        options = self.options
        question = Question(
            sql=sql,
            limit=limit,
            files=[*tables.files],
            given={name: len(data) for name, data in given.items()},
            setup=tables.setup,
            tables=tables.names,
            time_s=options.deadline_s,
            memory=options.memory_bytes,
            threads=options.threads,
        )
        code, said = self._run(b"".join([orjson.dumps(asdict(question)), b"\n", *given.values()]))
        if code in {-signal.SIGALRM, -signal.SIGXCPU, -signal.SIGKILL}:
            raise too_slow(options.deadline_s)
        line, _, rest = said.partition(b"\n")
        if code or not line:
            _LOG.error("The process of a query ended with %d.", code)
            raise ProblemError(422, "sql-engine", "The database did not survive this query. The service did.")
        outcome = Outcome(**orjson.loads(line))
        return outcome, None if outcome.kind else _table(rest)

    def close(self) -> None:
        """End every process and release the threads."""
        with self._lock:
            for process in self._running:
                process.kill()
        self._spare.close()
        self.pool.close()

    def _run(self, data: bytes) -> tuple[int, bytes]:
        process = self._spare.take()
        with self._lock:
            self._running.add(process)
        try:
            said, complained = process.communicate(data, self.options.deadline_s + _START_S)
        except subprocess.TimeoutExpired:
            process.kill()
            said, complained = process.communicate()
        finally:
            with self._lock:
                self._running.discard(process)
            self._spare.prepare()
        if complained:
            _LOG.error("The process of a query said: %s", complained[-2_000:].decode(errors="replace"))
        return process.returncode, said


def too_slow(deadline_s: float) -> ProblemError:
    """504: a query that is not done in time."""
    return ProblemError(504, "deadline", f"Not answered within {deadline_s:g} s. Ask for less.")


def _stream(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return bytes(sink.getvalue())


def _table(data: bytes) -> pa.Table:
    with pa.ipc.open_stream(pa.py_buffer(data)) as stream:
        return stream.read_all()
