"""Every codec of Kafka is read, by a package that the base installs; where one is missing, it is said at the start."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from kafka import codec as client

from ops.broker import free_port
from slackwater.log.compression import CODECS, check_codecs, missing_codecs
from slackwater.log.errors import CodecMissingError

ROOT = Path(__file__).parents[1]
MODULES = {"snappy": "snappy", "lz4": "lz4", "zstd": "zstandard"}
PROGRAMS = (
    ("ops", "speed", "run"),
    ("ops", "batch", "run"),
    ("ops", "serve"),
    ("ops", "ingest", "--preset", "sample"),
    ("ops", "verify"),
    ("speed_layer",),
)


def run(folder: Path, *arguments: str, **environ: str) -> "subprocess.CompletedProcess[str]":
    """A real program; the modules in `folder` stand before those that are installed."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("SLACKWATER_", "KAFKA_"))}
    env = {**kept, "PYTHONPATH": str(folder), "SLACKWATER_HOME": str(folder / "home"), **environ}
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=120, check=False)


def hide(folder: Path, module: str) -> None:
    """Let `module` be not there for whoever looks into `folder` first."""
    (folder / f"{module}.py").write_text(f"raise ImportError('no {module}')\n")


def test_every_codec_is_read_by_what_the_base_installs() -> None:
    assert {codec.name for codec in CODECS} == {"gzip", "snappy", "lz4", "zstd"}
    assert missing_codecs() == {}
    check_codecs()
    assert "python-snappy>=" in (project := (ROOT / "pyproject.toml").read_text()).split("[project.optional")[0]
    assert "zstandard>=" in project.split("[project.optional")[0]


@pytest.mark.parametrize("codec", [codec for codec in CODECS if codec.name != "gzip"])
def test_a_missing_codec_is_an_error_that_names_it_and_its_package(
    codec: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, package = codec  # type: ignore[misc]
    monkeypatch.setattr(client, f"has_{name}", lambda: False)
    with pytest.raises(CodecMissingError, match=rf"codec {name} .* package {package}: it is not installed"):
        check_codecs()


def test_a_package_that_is_there_and_does_not_work_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: bytes) -> bytes:
        raise RuntimeError("no such symbol")

    monkeypatch.setattr(client, "zstd_decode", broken)
    assert list(missing_codecs().values()) == ["it does not work: RuntimeError('no such symbol')"]
    monkeypatch.setattr(client, "zstd_decode", lambda _: b"other")
    assert list(missing_codecs().values()) == ["it gives other bytes than it was given"]


@pytest.mark.parametrize("program", PROGRAMS, ids=" ".join)
def test_a_process_that_reads_the_log_does_not_begin_without_a_codec(program: tuple[str, ...], tmp_path: Path) -> None:
    hide(tmp_path, "snappy")
    done = run(tmp_path, *program, KAFKA_BOOTSTRAP_SERVERS=f"127.0.0.1:{free_port()}")
    assert done.returncode == 1, done.stderr
    assert "codec snappy" in done.stderr and "package python-snappy" in done.stderr, done.stderr
    assert "Traceback" not in done.stderr


def test_the_doctor_looks_at_each_codec(tmp_path: Path) -> None:
    port = str(free_port())
    settings = {"SLACKWATER_BROKER_PORT": port, "SLACKWATER_PORT": port}
    findings = {
        f["what"]: f for f in json.loads(run(tmp_path, "ops", "doctor", "--json", **settings).stdout)["findings"]
    }
    assert findings["Codecs of the log"]["found"] == "gzip, snappy, lz4, zstd"
    hide(tmp_path, MODULES["zstd"])
    done = run(tmp_path, "ops", "doctor", "--json", **settings)
    assert done.returncode == 1
    findings = {f["what"]: f for f in json.loads(done.stdout)["findings"]}
    assert "zstd needs zstandard" in findings["Codecs of the log"]["found"]
