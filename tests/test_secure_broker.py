"""A real broker that asks who comes: every way in, every refusal, and every process with its own rights and no others.

operator creates topics --> ingest --> speed, batch --> serve --> operator verifies
each by SASL_SSL as its own user, with what `slackwater.log.acls` allows it and nothing else
"""

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import httpx
import pytest
from kafka import KafkaProducer
from kafka.admin import (
    ACL,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    ResourcePattern,
    ResourceType,
)
from kafka.errors import (
    KafkaConnectionError,
    KafkaTimeoutError,
    SaslAuthenticationFailedError,
    TransactionalIdAuthorizationFailedError,
)

from ops.broker import free_port
from ops.context import Context
from ops.doctor import examine
from serving.http.app import create_app
from slackwater.core.errors import SettingError
from slackwater.core.settings import from_environ
from slackwater.log.acls import PROCESSES, allowed
from slackwater.log.errors import AccessRefusedError, AppendRefusedError, LogError, LogRefusedError, LogUnreachableError
from slackwater.log.kafka_client import client_arguments
from slackwater.log.kafka_log import KafkaLog
from slackwater.log.names import SPEED_GROUP, TopicNames
from slackwater.log.topics import create_topics
from slackwater.streams.registry import STREAMS
from slackwater.versions.store import VersionStore
from slackwater.views.registry import registered
from tests import forked
from tests.secure_broker import KEY_PASSWORD, Authority, SecureBroker, secure_broker, token
from tests.serving_world import World, cut_in_a_minute

pytestmark = pytest.mark.broker

NAMES, PATH = TopicNames("secured"), TopicNames("path")
"""Topics that anybody writes anything to, and those of the whole path."""

MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
WAIT_S = 60
NOON = 1_759_752_000_000_000


def dead() -> str:
    return token(valid_s=-100)


def of_ingest() -> str:
    return token("ingest")


def failing() -> str:
    raise httpx.ConnectError("the identity provider is away")


def kafka_acls(names: TopicNames) -> list[ACL]:
    """The list of `slackwater.log.acls` as the admin client takes it."""
    found = []
    for entry in allowed(names, STREAMS):
        pattern = ResourcePattern(ResourceType[entry.kind.upper()], entry.name, ACLResourcePatternType.LITERAL)
        for name in entry.operations:
            operation = ACLOperation[re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).upper()]
            found.append(ACL(f"User:{entry.process}", "*", operation, ACLPermissionType.ALLOW, pattern))
    return found


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureBroker]:
    with secure_broker(tmp_path_factory.mktemp("secured")) as running:
        admin = running.admin()
        assert not admin.create_acls(kafka_acls(NAMES) + kafka_acls(PATH))["failed"]
        admin.close()
        create_topics(log_of(running.environ("operator")), NAMES, STREAMS, 1)
        yield running


def environment(secured: SecureBroker, user: str, home: Path, **more: str) -> dict[str, str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("KAFKA_", "SLACKWATER_"))}
    own = {"SLACKWATER_HOME": str(home), "SLACKWATER_PREFIX": PATH.prefix, "SLACKWATER_PARTITIONS": "1"}
    return {**clean, **own, **secured.environ(user), **more}


def program(secured: SecureBroker, user: str, home: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    """`python -m <words>` as a process of `user`; whatever it says, it never says its password."""
    environ = environment(secured, user, home, **more)
    if words[0] == "ops":
        done = forked.call(*words[1:], environ=environ)
    else:
        command = [sys.executable, "-m", *words]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=120, check=False)
    assert f"{user}-secret" not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return done


def log_of(environ: dict[str, str]) -> KafkaLog:
    settings = from_environ(environ)
    return KafkaLog(settings.servers, settings.kafka, settings.kafka_client)


def by_token(secured: SecureBroker, provider: str) -> dict[str, str]:
    base = secured.environ("ingest", "OAUTHBEARER")
    for name in ("KAFKA_SASL_USERNAME", "KAFKA_SASL_PASSWORD_FILE"):
        del base[name]
    return {**base, "KAFKA_SASL_TOKEN_PROVIDER": f"{__name__}:{provider}"}


def by_certificate(secured: SecureBroker, cert: Path, key: Path, password: str = "") -> dict[str, str]:
    return {
        "KAFKA_BOOTSTRAP_SERVERS": secured.ssl,
        "KAFKA_SECURITY_PROTOCOL": "SSL",
        "KAFKA_SSL_CAFILE": str(secured.authority.file),
        "KAFKA_SSL_CERTFILE": str(cert),
        "KAFKA_SSL_KEYFILE": str(key),
        **({"KAFKA_SSL_KEY_PASSWORD": password} if password else {}),
    }


def in_the_clear(secured: SecureBroker) -> dict[str, str]:
    found = secured.environ("ingest", "PLAIN") | {"KAFKA_BOOTSTRAP_SERVERS": secured.sasl_plaintext}
    del found["KAFKA_SSL_CAFILE"]
    return found | {"KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT"}


WAYS: dict[str, Callable[[SecureBroker], dict[str, str]]] = {
    **{name: lambda secured, name=name: secured.environ("ingest", name) for name in MECHANISMS},  # type: ignore[misc]
    "OAUTHBEARER": lambda secured: by_token(secured, "of_ingest"),
    "SSL": lambda secured: by_certificate(secured, *secured.authority.issue("ingest")),
    "SSL, key with a password": lambda secured: by_certificate(
        secured, *secured.authority.issue("ingest", password=KEY_PASSWORD), KEY_PASSWORD
    ),
    "SASL_PLAINTEXT": in_the_clear,
}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_in_writes_and_reads(secured: SecureBroker, way: str) -> None:
    log = log_of(WAYS[way](secured))
    assert log.greeting().subject == ("" if way == "SASL_PLAINTEXT" else "commonName=broker")
    with closing(log.writer()) as writer:
        at = writer.append(NAMES.dead_letters, 0, None, way.encode()).offset()
        at_trades = writer.append(NAMES.topic("trades"), 0, None, b"").offset()
    with closing(log.reader(NAMES.topic("trades"), {0: at_trades})) as reader:
        assert at >= 0
        deadline = time.monotonic() + WAIT_S
        while not (found := reader.poll(0.5)):
            assert time.monotonic() < deadline
        assert found[0].start == at_trades


def changed(environ: dict[str, str], **more: str) -> dict[str, str]:
    return {name: value for name, value in {**environ, **more}.items() if value}


def with_another_authority(secured: SecureBroker) -> Authority:
    return Authority(secured.authority.file.parent, "another authority")


REFUSALS: dict[str, tuple[Callable[[SecureBroker], dict[str, str]], str]] = {
    **{
        f"wrong password, {name}": (
            lambda secured, name=name: changed(  # type: ignore[misc]
                secured.environ("ingest", name), KAFKA_SASL_PASSWORD_FILE="", KAFKA_SASL_PASSWORD="wrong"
            ),
            f"does not accept the user 'ingest' ({name})",
        )
        for name in MECHANISMS
    },
    "no such user": (
        lambda secured: changed(secured.environ("ingest"), KAFKA_SASL_USERNAME="nobody"),
        "does not accept the user 'nobody'",
    ),
    "expired token": (lambda secured: by_token(secured, "dead"), "does not accept our token (OAUTHBEARER)"),
    "mechanism that is not offered": (
        lambda secured: changed(in_the_clear(secured), KAFKA_SASL_MECHANISM="SCRAM-SHA-512"),
        "does not offer SCRAM-SHA-512, but PLAIN",
    ),
    "unknown authority": (
        lambda secured: changed(secured.environ("ingest"), KAFKA_SSL_CAFILE=str(with_another_authority(secured).file)),
        "its certificate does not verify: unable to get local issuer certificate",
    ),
    "another host name": (
        lambda secured: changed(
            secured.environ("ingest"), KAFKA_BOOTSTRAP_SERVERS=secured.sasl_ssl.replace("localhost", "127.0.0.1")
        ),
        "not valid for '127.0.0.1'",
    ),
    "plaintext to a TLS port": (lambda secured: {"KAFKA_BOOTSTRAP_SERVERS": secured.sasl_ssl}, "it speaks TLS"),
    "no certificate of ours": (
        lambda secured: changed(secured.environ("ingest"), KAFKA_BOOTSTRAP_SERVERS=secured.ssl),
        "that we show no certificate",
    ),
    "a certificate of another authority": (
        lambda secured: by_certificate(secured, *with_another_authority(secured).issue("foreign")),
        "does not accept the certificate that we show",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_a_refusal_names_the_server_and_the_reason_at_once_and_is_not_tried_again(
    secured: SecureBroker, case: str
) -> None:
    environ, reason = REFUSALS[case]
    log = log_of(environ(secured))
    server = log.servers
    for ask in (lambda: log.bounds(NAMES.topic("trades")), lambda: log.topic_id(NAMES.topic("trades")), log.writer):
        with pytest.raises(LogRefusedError) as caught:
            ask()
        assert f"The Kafka broker at {server} cannot be used: " in str(caught.value)
        assert reason in str(caught.value)
        assert caught.value.hint
        assert not caught.value.retriable


CLOSED: dict[str, Callable[[SecureBroker], dict[str, str]]] = {
    "PLAINTEXT": lambda secured: {"KAFKA_BOOTSTRAP_SERVERS": secured.sasl_plaintext},
    "our TLS": lambda secured: {"KAFKA_BOOTSTRAP_SERVERS": secured.plaintext, "KAFKA_SECURITY_PROTOCOL": "SSL"},
    "SSL": lambda secured: {
        "KAFKA_BOOTSTRAP_SERVERS": secured.sasl_ssl,
        "KAFKA_SECURITY_PROTOCOL": "SSL",
        "KAFKA_SSL_CAFILE": str(secured.authority.file),
    },
}


@pytest.mark.parametrize("case", CLOSED)
def test_a_port_that_closes_without_an_answer_may_be_a_broker_that_ends_or_the_wrong_protocol(
    secured: SecureBroker, case: str
) -> None:
    log = log_of(CLOSED[case](secured))
    with pytest.raises(LogUnreachableError) as caught:
        log.bounds(NAMES.topic("trades"))
    assert f"{log.servers} closed the connection instead of answering {case}" in str(caught.value)
    assert "KAFKA_SECURITY_PROTOCOL does not fit its port" in str(caught.value)
    assert caught.value.retriable


def test_a_certificate_for_another_name_is_taken_where_the_settings_say_so(secured: SecureBroker) -> None:
    by_address = secured.sasl_ssl.replace("localhost", "127.0.0.1")
    log = log_of({**secured.environ("ingest"), "KAFKA_BOOTSTRAP_SERVERS": by_address, "KAFKA_SSL_CHECK_HOSTNAME": "0"})
    assert log.greeting().server == by_address
    assert list(log.bounds(NAMES.topic("trades"))) == [0]


def test_a_key_without_its_password_is_refused_and_nobody_is_asked_for_it(secured: SecureBroker) -> None:
    cert, key = secured.authority.issue("locked", password=KEY_PASSWORD)
    for password in ("", "wrong"):
        with pytest.raises(SettingError, match="KAFKA_SSL_CERTFILE and its key cannot be used"):
            log_of(by_certificate(secured, cert, key, password)).greeting()


def test_of_several_servers_one_that_lets_us_in_is_enough(secured: SecureBroker) -> None:
    closed = f"localhost:{free_port()}"
    environ = secured.environ("ingest")
    assert log_of({**environ, "KAFKA_BOOTSTRAP_SERVERS": f"{closed}, {secured.sasl_ssl}"}).greeting().tls
    wrong = changed(environ, KAFKA_SASL_USERNAME="nobody", KAFKA_BOOTSTRAP_SERVERS=f"{secured.sasl_ssl},{closed}")
    with pytest.raises(LogRefusedError, match="nobody"):
        log_of(wrong).greeting()


def test_a_server_that_hangs_holds_up_the_first_client_alone(secured: SecureBroker) -> None:
    with socket.create_server(("127.0.0.1", 0)) as hangs:
        servers = f"127.0.0.1:{hangs.getsockname()[1]},{secured.sasl_ssl}"
        environ = {**secured.environ("ingest"), "KAFKA_BOOTSTRAP_SERVERS": servers}
        log = log_of({**environ, "SLACKWATER_KAFKA_CLIENT": "kafka-python"})  # the other one tries all at once
        for _ in range(3):
            assert list(log.bounds(NAMES.topic("trades"))) == [0]
            log.writer().close()
        hangs.setblocking(False)
        hangs.accept()[0].close()
        with pytest.raises(BlockingIOError):
            hangs.accept()


def test_the_service_says_in_its_readiness_why_it_is_not_let_in(secured: SecureBroker, tmp_path: Path) -> None:
    wrong = changed(secured.environ("serve"), KAFKA_SASL_PASSWORD_FILE="", KAFKA_SASL_PASSWORD="wrong")
    app = create_app(log_of(wrong), NAMES, VersionStore(tmp_path), registered())
    service = app.state.service
    try:
        service.watch.step()
        service.layers.step()
        found = service.readiness.check()
        assert not found.ready
        assert any("does not accept the user 'serve' (SCRAM-SHA-512)" in reason for reason in found.reasons)
        assert "does not accept the user 'serve'" in service.layers.facts()["log"]["text"]
    finally:
        service.stop()


def test_a_service_whose_provider_of_tokens_fails_answers_from_the_batch_view(
    secured: SecureBroker, tmp_path: Path
) -> None:
    with closing(World(tmp_path)) as world:
        cut_in_a_minute(world)
        world.log = log_of(by_token(secured, "failing"))  # type: ignore[assignment]
        world.serve()
        world.service.watch.step()
        assert world.bars("symbol=BTC")["bars"]
        ready = world.get("/health/ready")
    assert ready.status_code == httpx.codes.SERVICE_UNAVAILABLE
    assert "gave no token: it raised ConnectError" in ready.text


def test_a_batch_run_whose_provider_of_tokens_fails_may_be_tried_again(secured: SecureBroker, tmp_path: Path) -> None:
    (tmp_path / "tokens.py").write_text("def token():\n    raise ConnectionError('away')\n", encoding="utf-8")
    environ = {**by_token(secured, "failing"), "KAFKA_SASL_TOKEN_PROVIDER": "tokens:token"}
    environ |= {"PYTHONPATH": str(tmp_path), "SLACKWATER_HOME": str(tmp_path / "home")}
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("KAFKA_", "SLACKWATER_"))}
    command = [sys.executable, "-m", "batch_layer"]
    done = subprocess.run(command, env=clean | environ, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == os.EX_TEMPFAIL, done.stderr
    assert "gave no token: it raised ConnectionError" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "error",
    [KafkaTimeoutError(), KafkaConnectionError(), SaslAuthenticationFailedError()],
    ids=lambda e: type(e).__name__,
)
def test_an_open_client_that_is_not_let_in_any_more_says_why(secured: SecureBroker, error: Exception) -> None:
    """As after a restart of the broker: its client says one of these."""
    right = secured.environ("serve")
    wrong = changed(right, KAFKA_SASL_PASSWORD_FILE="", KAFKA_SASL_PASSWORD="wrong")
    with pytest.raises(LogRefusedError, match="does not accept the user 'serve'"), log_of(wrong)._reach.meant():
        raise error
    with pytest.raises(LogUnreachableError) as caught, log_of(right)._reach.meant():
        raise error
    assert caught.value.retriable, "it is let in now, so another try may do"


@pytest.mark.timeout(180)
@pytest.mark.parametrize("operation", ["Read", "Write"])
def test_a_speed_layer_that_lacks_a_right_inside_its_pipeline_ends_with_one_clear_error(
    secured: SecureBroker, tmp_path: Path, operation: str
) -> None:
    names, admin = TopicNames(f"lacks-{operation.lower()}"), secured.admin()
    lacking = f"User:speed {names.deltas('trades')} {operation.upper()}"
    acls = {
        f"{acl.principal} {acl.resource_pattern.resource_name} {acl.operation.name}": acl for acl in kafka_acls(names)
    }
    acls.pop(lacking)
    assert not admin.create_acls(list(acls.values()))["failed"]
    admin.close()
    create_topics(log_of(secured.environ("operator")), names, STREAMS, 1)
    with closing(KafkaProducer(bootstrap_servers=secured.plaintext)) as stranger:
        for topic in (
            names.topic("trades"),
            names.deltas("trades"),
        ):  # no trade is covered by a cell all the same, no delta is read
            stranger.send(topic, b"none", b"none", partition=0).get(timeout=WAIT_S)
    done = program(secured, "speed", tmp_path, "speed_layer", SLACKWATER_PREFIX=names.prefix)
    assert done.returncode == 1, "another try will not do"
    (error,) = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert names.deltas("trades") in error and "slackwater topics acls" in error
    assert "the pipeline ended" not in done.stderr


@pytest.mark.parametrize("words", [("ops", "speed", "run"), ("batch_layer",)], ids=" ".join)
def test_a_process_that_is_not_let_in_ends_with_one_clear_error(
    secured: SecureBroker, tmp_path: Path, words: tuple[str, ...]
) -> None:
    more = {"KAFKA_SASL_PASSWORD_FILE": "", "KAFKA_SASL_PASSWORD": "wrong"}
    done = program(secured, "stranger", tmp_path, *words, **more)
    assert done.returncode == 1, "another try will not do"
    assert "does not accept the user 'stranger' (SCRAM-SHA-512)" in done.stderr
    assert len([line for line in done.stderr.splitlines() if line.startswith("error:")]) == 1


def test_the_doctor_shows_the_way_in_and_its_certificate_and_no_secret(secured: SecureBroker, tmp_path: Path) -> None:
    def findings(environ: dict[str, str]) -> dict[str, tuple[str, str, str]]:
        context = Context(
            from_environ({**environ, "SLACKWATER_HOME": str(tmp_path), "SLACKWATER_PREFIX": NAMES.prefix})
        )
        found = {one.what: (one.verdict, one.found, one.advice) for one in examine(context)}
        assert "secret" not in str(found)
        return found

    well = findings(secured.environ("operator"))
    verdict, told, _ = well["Kafka's security"]
    assert verdict == "ok"
    for part in ("SASL_SSL, SCRAM-SHA-512, user 'operator'", "TLSv1.3", "commonName=broker", secured.sasl_ssl):
        assert part in told
    assert re.search(r"until 20\d\d-\d\d-\d\d$", told)
    assert well["Kafka"] == ("ok", f"answers at {secured.sasl_ssl}, the topics' configs are right", "")
    clear = findings(in_the_clear(secured))  # of the user ingest, which may not see configs
    assert clear["Kafka's security"][0] == "note"
    assert "the configs of" in clear["Kafka"][1]
    wrong = changed(secured.environ("operator"), KAFKA_SASL_USERNAME="nobody")
    assert findings(wrong)["Kafka"][0] == "bad"
    assert "does not accept the user 'nobody'" in findings(wrong)["Kafka"][1]


# ------------------------------------------------------------------------------------ what each process may and may not


def may_write(process: str) -> set[str]:
    return {entry.name for entry in allowed(NAMES, STREAMS) if entry.process == process and "Write" in entry.operations}


@pytest.mark.parametrize("process", [*PROCESSES, "stranger"])
def test_a_process_may_write_where_the_list_says_and_nowhere_else(secured: SecureBroker, process: str) -> None:
    log = log_of(secured.environ(process))
    for topic in (NAMES.topic("trades"), NAMES.deltas("trades"), NAMES.dead_letters):
        writer = log.writer()
        try:
            if topic in may_write(process):
                assert writer.append(topic, 0, b"key", b"value").offset() >= 0
            else:
                with pytest.raises(AppendRefusedError, match=re.escape(topic)) as caught:
                    writer.append(topic, 0, b"key", b"value").offset()
                assert not caught.value.retriable
        finally:
            writer._producer.close(timeout=5)


def test_what_is_not_in_the_list_is_refused_by_name(secured: SecureBroker) -> None:
    users = "stranger", "serve", "speed", "ingest"
    stranger, serve, speed, ingest = (log_of(secured.environ(user)) for user in users)
    reader = ingest.reader(NAMES.dead_letters, {0: 0})
    forbidden: dict[str, Callable[[], object]] = {
        "read bounds": lambda: stranger.bounds(NAMES.topic("trades")),
        "read an id": lambda: stranger.topic_id(NAMES.deltas("trades")),
        "read records": lambda: reader.poll(5.0),
        "remove events": lambda: speed.delete_before(NAMES.topic("trades"), {0: 1}),
        "remove deltas": lambda: serve.delete_before(NAMES.deltas("trades"), {0: 1}),
        "read configs": lambda: serve.max_record_bytes(NAMES.deltas("trades")),
    }
    for what, ask in forbidden.items():
        with pytest.raises(AccessRefusedError, match="does not allow this to us") as caught:
            pytest.fail(f"{what}: {ask()!r} was allowed")
        assert "slackwater topics acls" in caught.value.hint
        assert isinstance(caught.value, LogError)
    reader.close()


def test_the_batch_layer_may_remove_deltas(secured: SecureBroker) -> None:
    log = log_of(secured.environ("batch"))
    log.delete_before(NAMES.deltas("trades"), {0: log.bounds(NAMES.deltas("trades"))[0].end})
    found = log.bounds(NAMES.deltas("trades"))[0]
    assert found.start == found.end


def test_nobody_of_the_list_may_open_a_transaction(secured: SecureBroker) -> None:
    for process in PROCESSES:
        settings = from_environ(secured.environ(process))
        producer = KafkaProducer(
            bootstrap_servers=settings.servers, transactional_id="held-open", **client_arguments(settings.kafka)
        )
        with pytest.raises(TransactionalIdAuthorizationFailedError):
            producer.init_transactions()
        producer.close(timeout=5)


def trades(count: int) -> str:
    lines = (
        {
            "venue": "v",
            "symbol": "A",
            "trade_id": n,
            "time": NOON + n * 1_000_000,
            "price": "1.5",
            "quantity": "2",
            "side": "buy",
        }
        for n in range(count)
    )
    return "".join(json.dumps(line) + "\n" for line in lines)


@pytest.mark.timeout(300)
def test_the_whole_path_runs_with_each_process_as_its_own_user(secured: SecureBroker, tmp_path: Path) -> None:
    home, port = tmp_path / "home", str(free_port())
    events = tmp_path / "trades.jsonl"
    events.write_text(
        trades(20) + "no trade\n" + "x" * 100_000 + "\n", encoding="utf-8"
    )  # the latter asks for a config

    def run(user: str, *words: str) -> subprocess.CompletedProcess[str]:
        done = program(secured, user, home, "ops", *words, SLACKWATER_PORT=port)
        assert done.returncode == 0, f"{user} {words}: {done.stdout} {done.stderr}"
        return done

    run("operator", "topics", "create")
    assert json.loads(run("ingest", "ingest", str(events), "--json").stdout)["accepted"] == 20
    with ExitStack() as exits:
        for user, words in (("speed", ("speed_layer",)), ("serve", ("ops", "serve"))):
            log = exits.enter_context((tmp_path / user).open("wb"))
            environ = environment(secured, user, home, SLACKWATER_PORT=port)
            process = subprocess.Popen(
                [sys.executable, "-m", *words], env=environ, stdout=log, stderr=subprocess.STDOUT
            )
            exits.callback(process.wait, 60)
            exits.callback(process.terminate)
        assert "proof: equal" in run("batch", "batch", "run").stdout
        deadline = time.monotonic() + WAIT_S
        while not ready(port):
            assert time.monotonic() < deadline, (tmp_path / "serve").read_text(encoding="utf-8")
        proven = json.loads(run("operator", "verify", "--json").stdout)
    assert (proven["holds"], proven["events"]) == (True, 20)
    for user in ("speed", "serve"):
        said = (tmp_path / user).read_text(encoding="utf-8")
        # A connection that a busy broker drops is made again; the client says that it was.
        errors = [line for line in said.splitlines() if "ERROR" in line and "KafkaConnectionError" not in line]
        assert not errors, said
        assert f"{user}-secret" not in said
    admin = secured.admin()
    assert admin.list_group_offsets(SPEED_GROUP), "the speed layer commits where it is"
    admin.close()


def ready(port: str) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health/ready", timeout=2.0).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False
