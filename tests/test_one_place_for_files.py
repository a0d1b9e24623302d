"""Data files are opened by what `DataFiles` says: no module but those of `slackwater/store` puts a path together.

The scanner below reads the syntax tree of every Python file of the rooms. It finds

- the home joined with anything but the literal name of something that is no data file: `home / "versions"` passes;
- anything joined with the `path` of a file: `folder / entry.file.path`;
- what a path is made of a name again by, or opened by its name: `relative_to(home)`, `Path(file.path)`;
- files that are removed: `unlink`, `rmtree`.

That the rest holds too, `tests/test_remote_files.py` shows: there is nothing at such a path.
"""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("slackwater", "ingest", "batch_layer", "speed_layer", "serving", "ops", "verify", "bench")
HERE = ROOT / "slackwater" / "store"

ROOTS = {"archive", "states", "lists"}
"""The folders of data files."""

_OPENERS = {"Path", "PurePath", "open", "ParquetFile", "read_table", "checked_name", "open_checked"}
_REMOVERS = {"unlink", "rmtree", "rmdir"}

_BACKUP = "a backup is a plain folder, whatever the home is"
_RECORDS = "small files, by the names of a backup"
_DAMAGE = "of an error, a local path"
_OUTPUT = "what the pipeline wrote, before it is published"
_OWN = "a file that the module made for itself, or a user's folder"

ALLOWED = {
    ("slackwater/versions/backup.py", "store.home / path"): _RECORDS,
    ("slackwater/versions/backup.py", "store.home / folder"): _RECORDS,
    ("slackwater/versions/backup.py", "target / file.path"): _BACKUP,
    ("slackwater/versions/restore.py", "folder / file.path"): _BACKUP,
    ("slackwater/versions/restore.py", "home / RESTORING"): _RECORDS,
    ("slackwater/versions/restore.py", "home / path"): _RECORDS,
    ("slackwater/versions/restore.py", "home / file.path"): "a manifest, which is a small file",
    ("slackwater/versions/inspector.py", "Path(error.path)"): _DAMAGE,
    ("slackwater/versions/suspects.py", "Path(error.path)"): _DAMAGE,
    ("slackwater/versions/writer_lock.py", "home / f'ingest-{topic_id}.lock'"): "a lock is of this machine",
    ("slackwater/versions/writer_lock.py", "home / f'ingest-{topic_id}.asked'"): "a lock is of this machine",
    ("slackwater/versions/writer_lock.py", "home / f'import-{topic_id}.lock'"): "a lock is of this machine",
    ("batch_layer/compute.py", "folder / each.path"): _OUTPUT,
    ("batch_layer/sink.py", "self._folder / each.path"): _OUTPUT,
    ("batch_layer/input.py", "shutil.rmtree(work, ignore_errors=True)"): _OWN,
    ("batch_layer/input.py", "refused_lines.unlink(missing_ok=True)"): _OWN,
    (
        "serving/sql/tables.py",
        "store.data.path(file).relative_to(store.home)",
    ): "a query's process runs in the home",
    ("serving/page/web/build.py", "shutil.rmtree(vendor, ignore_errors=True)"): _OWN,
    ("ops/broker.py", "shutil.rmtree(fresh, ignore_errors=True)"): "the broker's own files",
    ("ops/broker.py", "(self._folder / 'format.properties').unlink()"): "the broker's own files",
    ("verify/archive.py", "pq.ParquetFile(file.path)"): "a local path, which `ops/evidence.py` fetched",
    ("bench/bulk.py", "path.unlink()"): _OWN,
    ("bench/cold.py", "path.unlink()"): _OWN,
    ("bench/full.py", "Path(path).unlink()"): _OWN,
    ("bench/history.py", "path.unlink()"): _OWN,
}
"""What is found and is right: (module, source) -> why."""


class Finding(NamedTuple):
    line: int
    source: str


def findings(source: str) -> list[Finding]:
    """What `source`, a Python module, does with files by itself."""
    return sorted(Finding(node.lineno, ast.unparse(node)) for node in _found(ast.parse(source)))


def _found(tree: ast.AST) -> Iterator[ast.expr]:
    for node in ast.walk(tree):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            if (_is_home(node.left) and not _is_other(node.right)) or _is_name(node.right):
                yield node
        elif isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            on = node.func.value if isinstance(node.func, ast.Attribute) else None
            joins = called == "joinpath" and on is not None and _is_home(on) and not all(map(_is_other, node.args))
            homes = [argument for argument in node.args if _is_home(argument)]
            opens = called in _OPENERS and any(map(_is_name, node.args))
            if joins or opens or called in _REMOVERS or (homes and called in {"relative_to", "Path"}):
                yield node


def _is_home(node: ast.expr) -> bool:
    """`home`, `store.home`, `self._home`, `settings.home.resolve()`."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "resolve":
        return _is_home(node.func.value)
    last = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
    return last.lstrip("_") == "home"


def _is_other(node: ast.expr) -> bool:
    """A literal that names no folder of data files."""
    if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
        return False
    return node.value.split("/")[0] not in ROOTS


def _is_name(node: ast.expr) -> bool:
    """The `path` of a file: a name, and no path."""
    return isinstance(node, ast.Attribute) and node.attr == "path"


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_puts_no_path_of_a_data_file_together(room: str) -> None:
    found = []
    for path in sorted((ROOT / room).rglob("*.py")):
        if path.is_relative_to(HERE) or "node_modules" in path.parts:
            continue
        name = path.relative_to(ROOT).as_posix()
        for line, source in findings(path.read_text(encoding="utf-8")):
            if (name, source) not in ALLOWED:
                found.append(f"{name}:{line}: {source}")
    assert not found, "ask `DataFiles` (slackwater/store/files.py):\n" + "\n".join(found)


def test_what_is_allowed_is_there() -> None:
    for name, source in ALLOWED:
        there = {each.source for each in findings((ROOT / name).read_text(encoding="utf-8"))}
        assert source in there, f"{name} has no {source} any more"


@pytest.mark.parametrize(
    "source",
    [
        "path = store.home / file.path",
        "path = self._home / entry.file.path",
        "folder = home / 'archive' / epoch",
        "folder = context.settings.home / 'states/run'",
        "path = home / name",
        "path = home / f'archive/{epoch}'",
        "path = home.joinpath('lists', name)",
        "path = Path(home, name)",
        "name = path.relative_to(store.home).as_posix()",
        "table = pq.read_table(entry.file.path)",
        "with open(file.path) as read: pass",
        "(folder / name).unlink()",
        "shutil.rmtree(folder)",
        "path = here / each.path",
    ],
)
def test_the_scanner_finds(source: str) -> None:
    assert findings(source)


@pytest.mark.parametrize(
    "source",
    [
        "folder = home / 'versions'",
        "logs = settings.home / 'logs' / 'broker.log'",
        "spill = settings.home.joinpath('spill')",
        "path = store.data.fetch(file)",
        "names = [file.checked(store.data.fetch) for file in files]",
        "found = {part.file.path: part for part in parts}",
        "half = size / 2",
        "with path.open('rb') as read: pass",
    ],
)
def test_the_scanner_lets_pass(source: str) -> None:
    assert findings(source) == []
