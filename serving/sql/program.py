"""The program that answers one query in a process of its own, `python -m serving.sql.program`: question in, result out.

    stdin     a line of JSON (`Question`), then the given tables, each as an Arrow stream
    stdout    a line of JSON (`Outcome`), then the result as an Arrow stream

A process, since DuckDB's own limits hold what it keeps in its buffers, and neither a single value
(`repeat('x', 4000000000)` takes 4 GB under a `memory_limit` of 256 MB) nor planning nor a value's making, which no
interrupt ends. The kernel's limits do, and what dies is this process. In it, in this order:

1. its time: an alarm, and a bound on the processor's seconds; its files: `serving.sql.landlock`,
2. a database in memory, given the tables and the views over one version's files,
3. exactly these files can be opened (`allowed_paths`), nothing else (`enable_external_access`), and no setting changed,
4. its memory: what the process has now and as much more as the question says; and not a byte to any file,
5. the query is read for the first time: `serving.sql.check`, then DuckDB.

Not here: what the tables are (`serving.sql.tables`), and who starts and ends the process (`serving.sql.process`).
"""

import os
import re
import resource
import signal
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import duckdb
import orjson
import pyarrow as pa

from serving.sql.check import Place, QueryRefusedError, check
from serving.sql.landlock import read_only
from slackwater.core.checked_files import CheckedFiles, DamagedBytesError, OnDamage, path_of

MOST_RESULT_BYTES = 8 * 1024 * 1024
"""Of a result as Arrow holds it."""

_BATCH = 1_024
_MOST_MESSAGE = 2_000
_PLAIN = {
    *("BOOLEAN", "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT"),
    *("FLOAT", "DOUBLE", "VARCHAR", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE"),
}
_DECIMAL = re.compile(r"DECIMAL\([0-9]+,[0-9]+\)")
_AT = re.compile(r"\n\nLINE (\d+): (.*)\n( *)\^")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Question:
    """The question to a process.

    Attributes:
        sql: the query.
        limit: rows at most.
        files: what may be opened, by names of `slackwater.core.checked_files`, relative to the folder in which the
        process runs. given: name -> bytes of each table that follows, in order.
        setup: statements that make tables and views of them, run before the query is read.
        tables: what the query may name.
        time_s: seconds until the process is ended.
        memory: bytes for the query.
        threads: of DuckDB.
    """

    sql: str
    limit: int
    files: Sequence[str]
    given: Mapping[str, int]
    setup: Sequence[str]
    tables: Sequence[str]
    time_s: float
    memory: int
    threads: int = 1


@dataclass(frozen=True)
class Outcome:
    """What came of it: the columns' names and DuckDB's types, or `kind` and `detail` of what went wrong.

    `kind` is empty, `refused` (not an allowed query), `failed` (DuckDB's own error), `memory`, `size` (of
    the result) or `files` (they cannot be read; `damaged` is the path of one whose bytes are not those that were
    written). `line` and `column` count from 1; 0: unknown.
    """

    columns: Sequence[tuple[str, str]] = field(default_factory=tuple)
    truncated: bool = False
    kind: str = ""
    detail: str = ""
    line: int = 0
    column: int = 0
    damaged: str = ""


def main() -> None:
    """Answer the question on stdin."""
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    line = source.readline()
    if not line:  # it was started ahead, and the service ended without a question
        return
    question = Question(**orjson.loads(line))
    bound_time(question.time_s)
    given = {name: _read(source, size) for name, size in question.given.items()}
    outcome, result = _answered(question, given)
    sink.write(orjson.dumps(asdict(outcome)) + b"\n")
    if result is not None:
        with pa.ipc.new_stream(sink, result.schema) as stream:
            stream.write_table(result)
    sink.flush()
    os._exit(0)  # what the query left behind is the kernel's to clear: freeing it all may take longer than the query


def _answered(question: Question, given: Mapping[str, pa.Table]) -> tuple[Outcome, pa.Table | None]:
    try:
        read_only(
            map(path_of, question.files)
        )  # before DuckDB starts a thread: it holds for this one and those to come
    except OSError as error:
        return Outcome(kind="files", detail=str(error)), None
    damages: list[DamagedBytesError] = []
    try:
        con = sandbox(question, given, damages.append)  # the views' columns are those of the files' footers
    except duckdb.Error as error:
        if unread := _unread(error, damages):
            return unread, None
        raise
    bound_memory(question.memory)
    return answer(con, question, damages)


def bound_time(seconds: float) -> None:
    """End this process after so many seconds, by the clock and by the processor, whoever lives to end it or not."""
    signal.setitimer(signal.ITIMER_REAL, seconds)
    processor = int(seconds) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (processor, processor))
    os.nice(10)  # the service itself comes first


def bound_memory(size: int) -> None:
    """Let this process have so many bytes more than it has now, and write to no file."""
    held = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * _PAGE
    resource.setrlimit(resource.RLIMIT_AS, (held + size, held + size))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def sandbox(
    question: Question, given: Mapping[str, pa.Table], on_damage: OnDamage | None = None
) -> duckdb.DuckDBPyConnection:
    """A database in memory that holds what was given, may open the question's files, and can be set to nothing else."""
    con = duckdb.connect()
    con.register_filesystem(CheckedFiles(on_damage))
    for setting, value in {
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "enable_progress_bar": False,
        "python_enable_replacements": False,
        "threads": question.threads,
        "memory_limit": f"{question.memory * 3 // 4} B",  # the rest is for what is not in its buffers
        "temp_directory": "",
        "max_temp_directory_size": "0 B",
        "TimeZone": "UTC",
    }.items():
        con.execute(f"SET {setting} = ?", [value])
    for name, table in given.items():
        con.register(name, table)
    con.execute("SET allowed_paths = ?", [list(question.files)])
    for statement in question.setup:
        con.execute(statement)
    for name in given:
        con.unregister(name)
    con.execute("SET enable_external_access = false")
    con.execute("SET lock_configuration = true")
    return con


def answer(
    con: duckdb.DuckDBPyConnection, question: Question, damages: Sequence[DamagedBytesError] = ()
) -> tuple[Outcome, pa.Table | None]:
    """Check and run the query: the outcome, and the result if there is one. `damages` is what the sandbox tells."""
    try:
        check(con, question.sql, set(question.tables))
        relation = con.sql(question.sql)
        columns = [(str(name), str(kind)) for name, kind in zip(relation.columns, relation.types, strict=True)]
        reader = relation.project(", ".join(_projected(columns))).to_arrow_reader(_BATCH)
        return _taken(columns, reader, question.limit)
    except QueryRefusedError as error:
        line, column = error.place or (0, 0)
        return Outcome(kind="refused", detail=error.fact, line=line, column=column), None
    except (duckdb.OutOfMemoryException, MemoryError, pa.ArrowMemoryError):
        return Outcome(kind="memory", detail=f"The query needs more than {question.memory >> 20} MB."), None
    except duckdb.PermissionException:
        return Outcome(kind="refused", detail="The query can read the tables of this service and nothing else."), None
    except duckdb.Error as error:
        return _unread(error, damages) or _failed(con, question.sql, str(error)), None


def _unread(error: duckdb.Error, damages: Sequence[DamagedBytesError]) -> Outcome | None:
    """The outcome of an error that is the files'; its text says nothing of that, as a query can write any."""
    if damages:
        return Outcome(kind="files", detail=str(damages[0]), damaged=damages[0].path)
    if isinstance(error, duckdb.IOException):
        return Outcome(kind="files", detail=str(error)[:_MOST_MESSAGE])
    return None


def _taken(columns: list[tuple[str, str]], batches: Iterable[pa.RecordBatch], limit: int) -> tuple[Outcome, Any]:
    """The first `limit` rows of a result that streams; the rest is not computed."""
    schema = batches.schema  # type: ignore[attr-defined]
    taken: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in batches:
        taken.append(batch)
        rows += batch.num_rows
        size += batch.nbytes
        if size > MOST_RESULT_BYTES:
            detail = f"The result has more than {MOST_RESULT_BYTES >> 20} MB. Ask for fewer rows or columns."
            return Outcome(kind="size", detail=detail), None
        if rows > limit:
            break
    return Outcome(columns, rows > limit), pa.Table.from_batches(taken, schema).slice(0, limit)


def _projected(columns: list[tuple[str, str]]) -> list[str]:
    """The columns by their places, as names may stand twice; what is no plain value is written by DuckDB, as text.

    HUGEINT is one: in Arrow it would be a DECIMAL(38,0), which does not hold all of them.
    """
    return [
        f"#{i}{'' if kind in _PLAIN or _DECIMAL.fullmatch(kind) else '::VARCHAR'} AS column_{i}"
        for i, (_, kind) in enumerate(columns, 1)
    ]


def _failed(con: duckdb.DuckDBPyConnection, sql: str, message: str) -> Outcome:
    """DuckDB's own message; the place that it names is one in the statement that a relation makes of the query."""
    line, column = _failing_place(con, sql) or (0, 0)
    return Outcome(kind="failed", detail=_AT.split(message)[0][:_MOST_MESSAGE], line=line, column=column)


def _failing_place(con: duckdb.DuckDBPyConnection, sql: str) -> Place | None:
    """Where a query fails when it is planned as it stands, None if it does not, or DuckDB does not say."""
    explain = "EXPLAIN\n"
    try:
        con.execute(explain + sql)
    except duckdb.Error as error:
        found = _AT.search(str(error))
    else:
        return None
    line = int(found[1]) - explain.count("\n") if found else 0
    if found is None or not 1 <= line <= sql.count("\n") + 1:
        return None
    shown = found[2].removeprefix("...")  # a long line is cut on both sides
    start = sql.split("\n")[line - 1].find(shown.removesuffix("..."))
    before = len(found[3]) - len(f"LINE {found[1]}: ") - (len(found[2]) - len(shown))
    return Place(line, start + before + 1) if start >= 0 else None


def _read(source: BinaryIO, size: int) -> pa.Table:
    with pa.ipc.open_stream(pa.py_buffer(source.read(size))) as stream:
        return stream.read_all()


if __name__ == "__main__":
    main()
