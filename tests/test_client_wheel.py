"""The client as it is installed: a wheel of its own, which needs httpx and nothing else."""

import re
import subprocess
import sys
import zipfile
from email import message_from_bytes
from importlib.metadata import PackageNotFoundError, distribution, requires
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built by the backend that its pyproject.toml names."""
    folder = tmp_path_factory.mktemp("wheel")
    program = f"from hatchling.build import build_wheel; print(build_wheel({str(folder)!r}))"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT / "client", capture_output=True, text=True, timeout=60, check=True
    )
    return folder / done.stdout.split()[-1]


def test_it_needs_httpx_alone(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith("/METADATA")]
        metadata = message_from_bytes(archive.read(name))
        packages = {name.split("/")[0] for name in archive.namelist()}
        assert "slackwater_client/py.typed" in archive.namelist()
    needs = metadata.get_all("Requires-Dist") or []
    assert [need for need in needs if "extra ==" not in need] == ["httpx>=0.28"]
    assert set(metadata.get_all("Provides-Extra") or []) == {"arrow", "pandas", "polars"}
    assert packages == {"slackwater_client", f"slackwater_client-{metadata['Version']}.dist-info"}


PROGRAM = """
import sys
sys.path[1:1] = sys.argv[1:]
import httpx
from slackwater_client import Client, MissingPackageError

page = {
    "flow": [{"side": "buy", "start": 60000000, "trades": 2, "volume": "1.5", "closed": True}],
    "next": None,
    "meta": {"version": 1, "applied": {"0": 3}, "cut": {"0": 0}, "definition": "d", "stream": "trades"},
}
transport = httpx.MockTransport(lambda request: httpx.Response(200, json=page))
with Client("http://service", transport=transport) as client:
    rows = client.view("flow", venue="x", symbol="BTC", start=0)
    assert (str(rows[0].volume), rows[0].symbol, rows[0].side) == ("1.5", "BTC", "buy")
    try:
        rows.to_arrow()
    except MissingPackageError as error:
        print(error)
"""


def test_it_answers_where_there_is_nothing_but_httpx(wheel: Path, tmp_path: Path) -> None:
    """A fresh Python that sees the wheel and what httpx needs; a call is carried out, with a transport of httpx."""
    for name in needs("httpx", {"httpx"}):
        for top in {Path(file).parts[0] for file in distribution(name).files or () if file.parts[0] != ".."}:
            (tmp_path / top).symlink_to(Path(str(distribution(name).locate_file(top))))
    command = [sys.executable, "-I", "-S", "-c", PROGRAM, str(wheel), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "pyarrow" in done.stdout


def needs(name: str, found: set[str]) -> set[str]:
    """What a distribution needs here, with what that needs."""
    for need in requires(name) or []:
        other = re.split(r"[\s\[<>=!~;(]", need)[0].lower()
        if "extra ==" in need or other in found:
            continue
        try:
            distribution(other)
        except PackageNotFoundError:  # another Python's need
            continue
        found.add(other)
        needs(other, found)
    return found
