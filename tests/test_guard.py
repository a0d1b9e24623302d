"""The guard: keys where they are required, Host where they are not, rates, and what an answer's headers say."""

import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from serving.options import ServingOptions
from slackwater.core.errors import SettingError
from slackwater.core.rate import Rate, parse_rate
from slackwater.core.settings import from_environ
from slackwater.http.guard.rate_limit import RateLimiter
from slackwater.http.options import GuardOptions, ObservedOptions
from slackwater.http.run import guard_options
from slackwater.keys.keyring import KeyRing
from slackwater.keys.keys import KeyStore
from tests.serving_world import FakeClock, World, cut_in_a_minute

BARS = "/v1/bars?venue=x&symbol=BTC&interval=1m"
CLOSED = GuardOptions(require_key=True)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    world = World(tmp_path_factory.mktemp("guard"))
    cut_in_a_minute(world)
    yield world
    world.close()


@pytest.fixture
def world(made: World) -> World:
    """One with data, and no key yet."""
    (made.store.home / "keys.json").unlink(missing_ok=True)
    return made


def serve(world: World, guard: GuardOptions, observed: ObservedOptions | None = None) -> None:
    world.serve(ServingOptions(poll_s=0.0, guard=guard, observed=observed or ObservedOptions()))
    world.step()
    world.step()


def key(world: World, name: str = "alice", **more: str) -> str:
    rate = parse_rate(more["rate"]) if "rate" in more else None
    return KeyStore(world.store.home).create(name, "admin" if name == "root" else "read", 1, rate)[1]


def bearer(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


# Keys


def test_every_route_asks_for_a_key_but_the_page_and_health(world: World) -> None:
    serve(world, CLOSED)
    text = key(world)
    paths = [path.replace("{version}", "1") for path in world.app.openapi()["paths"] if "rollback" not in path]
    asked = {path: world.get(path).status_code == 401 for path in [*paths, "/nothing", "/v1/stream/bars", "/metrics/"]}
    assert {path for path, asks in asked.items() if not asks} == {"/health/live", "/health/ready"}
    assert {world.get(path).status_code for path in ("/", "/docs", "/openapi.json", "/static/app.js")} == {200}
    assert world.get("/static/../v1/bars").status_code in {401, 404}
    assert world.get(BARS, bearer(text)).status_code == 200
    assert world.get("/metrics", bearer(text)).status_code == 200


def test_whatever_is_wrong_with_a_key_is_the_same_401_and_nothing_tells_of_it(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    serve(world, CLOSED, ObservedOptions(access_log=True, slow_s=1e-9))
    good, revoked = key(world), key(world, "bob")
    KeyStore(world.store.home).revoke("bob", 2)
    prefix, secret = good[: len("slackwater_") + 12], good.split("_", 2)[2]
    tries: dict[str, tuple[list[tuple[str, str]], str]] = {
        "missing": ([], BARS),
        "empty": ([("Authorization", "")], BARS),
        "wrong": ([("Authorization", "Bearer nonsense")], BARS),
        "right prefix": ([("Authorization", f"Bearer {prefix}_{'A' * 43}")], BARS),
        "revoked": ([("Authorization", f"Bearer {revoked}")], BARS),
        "1 MB": ([("Authorization", f"Bearer {good}{'x' * 1_000_000}")], BARS),
        "twice": ([("Authorization", f"Bearer {good}")] * 2, BARS),
        "other scheme": ([("Authorization", f"Basic {good}")], BARS),
        "no scheme": ([("Authorization", good)], BARS),
        "other header": ([("X-Api-Key", good)], BARS),
        "in the query": ([], f"{BARS}&key={good}"),
        "as a name": ([], f"{BARS}&{good}"),
        "in the query, encoded": ([], f"{BARS}&key={good.replace('_', '%5F')}"),
        "in the path": ([], f"/v1/{good}"),
        "in the path of a public file": ([], f"/static/{good}"),
        "as the request's id": ([("X-Request-ID", f"a-{good}")], BARS),
        "in the header and the query": ([("Authorization", f"Bearer {good}")], f"{BARS}&access_token={good}"),
        "in a public page's query": ([], f"/?key={good}"),
    }
    named = ("X-Request-Id", "t")  # the one header that differs from answer to answer by itself
    answers = {name: world.request("GET", url, [*headers, named]) for name, (headers, url) in tries.items()}
    assert {name: answer.status_code for name, answer in answers.items()} == dict.fromkeys(tries, 401)
    assert len({answer.content for answer in answers.values()}) == 1
    first, *others = (
        answer.headers.raw for name, answer in answers.items() if "public" not in name and "id" not in name
    )
    assert all(other == first for other in others)
    figures = world.get("/metrics", bearer(good)).text
    told = "".join(record.getMessage() for record in caplog.records if record.name != "httpx")  # that is the client
    everything = told + figures + "".join(answer.text for answer in answers.values())
    for text in (good, revoked, prefix, secret):
        assert text not in everything


def test_who_may_post_events_may_not_read(world: World) -> None:
    serve(world, CLOSED)
    _, text = KeyStore(world.store.home).create("feed", "write", 1)
    refused = world.get(BARS, bearer(text))
    assert (refused.status_code, refused.json()["detail"]) == (403, "This needs a key of the scope read.")
    assert world.get("/metrics", bearer(text)).status_code == 403


def test_a_key_that_is_sent_is_checked_where_none_is_required(world: World) -> None:
    serve(world, GuardOptions())
    assert world.get(BARS).status_code == 200
    assert world.get(BARS, bearer(key(world))).status_code == 200
    assert world.get(BARS, bearer("nonsense")).status_code == 401
    assert world.get(BARS, {"Authorization": "Basic cHJveHk6eA=="}).status_code == 200  # a proxy's own


def test_a_revoked_key_opens_nothing_a_second_later_and_a_new_one_at_once(world: World) -> None:
    serve(world, CLOSED)
    first = key(world)
    assert world.get(BARS, bearer(first)).status_code == 200
    KeyStore(world.store.home).revoke("alice", 2)
    second = key(world)
    assert world.get(BARS, bearer(second)).status_code == 200
    world.clock.sleep(1)
    assert world.get(BARS, bearer(first)).status_code == 401
    assert world.get(BARS, bearer(second)).status_code == 200


def test_the_file_of_keys_is_read_when_it_changed_and_else_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, text = KeyStore(tmp_path).create("alice", "read", 1)
    clock, reads = FakeClock(), 0
    whole = KeyStore.all

    def counted(store: KeyStore) -> object:
        nonlocal reads
        reads += 1
        return whole(store)

    monkeypatch.setattr(KeyStore, "all", counted)
    ring = KeyRing(tmp_path, clock)
    for _ in range(50):
        clock.sleep(1)
        assert ring.find(text.encode()) is not None
        assert ring.find(b"nonsense") is None
    assert reads == 1


def test_a_torn_file_of_keys_closes_every_route_that_needs_one(world: World) -> None:
    serve(world, CLOSED)
    text = key(world)
    (world.store.home / "keys.json").write_bytes(b"{}")
    world.clock.sleep(1)
    answer = world.get(BARS, bearer(text))
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:slackwater:problem:keys-unreadable")
    assert world.get("/health/live").status_code == 200


def test_what_a_key_opened_is_for_no_cache_between(world: World) -> None:
    serve(world, CLOSED)
    text = key(world)
    pinned = f"{BARS}&as_of=1&start=2025-10-06T12:00:00Z&end=2025-10-06T12:01:00Z"
    control = world.get(pinned, bearer(text)).headers["cache-control"]
    assert control.startswith("private") and "immutable" in control
    serve(world, GuardOptions())
    assert world.get(pinned).headers["cache-control"].startswith("public")


# Settings


@pytest.mark.parametrize(
    ("environ", "required"),
    [
        ({}, False),
        ({"SLACKWATER_HOST": "localhost"}, False),
        ({"SLACKWATER_HOST": "127.0.0.9"}, False),
        ({"SLACKWATER_HOST": "::1"}, False),
        ({"SLACKWATER_HOST": "0.0.0.0"}, True),
        ({"SLACKWATER_HOST": "::"}, True),
        ({"SLACKWATER_HOST": "192.168.1.2"}, True),
        ({"SLACKWATER_HOST": "desk.example.com"}, True),
        ({"SLACKWATER_HOST": "localhost.example.com"}, True),
        ({"SLACKWATER_HOST": "0.0.0.0", "SLACKWATER_PUBLISHED_HOST": "127.0.0.1"}, False),
        ({"SLACKWATER_HOST": "0.0.0.0", "SLACKWATER_PUBLISHED_HOST": "10.0.0.1"}, True),
        ({"SLACKWATER_REQUIRE_KEY": "always"}, True),
        ({"SLACKWATER_HOST": "0.0.0.0", "SLACKWATER_REQUIRE_KEY": "insecure-never"}, False),
    ],
)
def test_keys_are_required_as_soon_as_other_machines_reach_the_service(environ: dict[str, str], required: bool) -> None:
    settings = from_environ(environ)
    assert settings.keys_required is required
    assert guard_options(settings).require_key is required
    assert (guard_options(settings).hosts is None) is required


@pytest.mark.parametrize(
    "environ",
    [
        {"SLACKWATER_REQUIRE_KEY": "never"},
        {"SLACKWATER_REQUIRE_KEY": "Always"},
        {"SLACKWATER_RATE_LIMIT": "0/second"},
        {"SLACKWATER_RATE_LIMIT": "5 per minute"},
        {"SLACKWATER_RATE_LIMIT": "5/fortnight"},
        {"SLACKWATER_CORS_ORIGINS": "desk.example.com"},
        {"SLACKWATER_CORS_ORIGINS": "https://desk.example.com/"},
        {"SLACKWATER_ALLOWED_HOSTS": "desk:80"},
        {"SLACKWATER_ALLOWED_HOSTS": "a,,b"},
        {"SLACKWATER_TRUSTED_PROXIES": "proxy"},
        {"SLACKWATER_TLS_CERT": "cert.pem"},
        {"SLACKWATER_TLS_KEY": "key.pem"},
        {"SLACKWATER_MAX_REQUESTS": "0"},
    ],
)
def test_a_setting_that_cannot_be_meant_is_refused(environ: dict[str, str]) -> None:
    with pytest.raises(SettingError):
        from_environ(environ)


# Host


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("LocalHost:8000", 200),
        ("127.0.0.1:8000", 200),
        ("[::1]:8000", 200),
        ("192.168.1.2", 200),
        ("serving:8000", 200),
        ("evil.example.com", 421),
        ("localhost.evil.example.com", 421),
        ("127.0.0.1.evil.example.com:8000", 421),
        ("", 421),
    ],
)
def test_where_no_key_is_asked_for_a_foreign_name_reads_nothing(world: World, host: str, status: int) -> None:
    serve(world, GuardOptions(hosts=frozenset({"serving"})))
    assert world.get(BARS, {"Host": host}).status_code == status
    assert world.get("/health/live", {"Host": host}).status_code == 200
    assert world.request("GET", BARS, [("Host", host), ("Host", "localhost")]).status_code == 400


# Rates


def test_a_client_is_told_its_rate_and_refused_beyond_it(world: World) -> None:
    serve(world, GuardOptions(rate=Rate(3, 60)))
    answers = [world.get(BARS) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
    assert {answer.headers["ratelimit-policy"] for answer in answers} == {'"default";q=3;w=60'}
    assert [answer.headers["ratelimit"] for answer in answers] == [
        '"default";r=2;t=20',
        '"default";r=1;t=40',
        '"default";r=0;t=60',
        '"default";r=0;t=60',
        '"default";r=0;t=60',
    ]
    refused = answers[3]
    assert refused.headers["retry-after"] == "20"
    assert (refused.json()["type"], refused.json()["status"]) == ("urn:slackwater:problem:rate-limited", 429)
    assert refused.headers["content-type"] == "application/problem+json"
    assert {world.get(path).status_code for path in ("/health/live", "/metrics", "/docs")} == {200}
    world.clock.sleep(20)
    assert [world.get(BARS).status_code for _ in range(2)] == [200, 429]


def test_the_rate_is_outside_the_etag_and_on_a_304_too(world: World) -> None:
    serve(world, GuardOptions(rate=Rate(100, 60)))
    first, second = world.get(BARS), world.get(BARS)
    assert first.headers["etag"] == second.headers["etag"]
    assert first.headers["ratelimit"] != second.headers["ratelimit"]
    third = world.get(BARS, {"If-None-Match": first.headers["etag"]})
    assert (third.status_code, third.content) == (304, b"")
    assert "ratelimit" in third.headers


def test_each_key_has_its_own_rate(world: World) -> None:
    serve(world, GuardOptions(require_key=True, rate=Rate(1, 60)))
    one, other, wide = key(world), key(world, "bob"), key(world, "desk", rate="3/hour")
    assert [world.get(BARS, bearer(one)).status_code for _ in range(2)] == [200, 429]
    assert world.get(BARS, bearer(other)).status_code == 200
    answers = [world.get(BARS, bearer(wide)) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert answers[0].headers["ratelimit-policy"] == '"default";q=3;w=3600'
    assert world.get(BARS).status_code == 401  # nobody is counted before it is known who it is


@given(
    st.integers(1, 20),
    st.sampled_from([1, 60]),
    st.lists(st.floats(0, 30, allow_nan=False), min_size=1, max_size=60),
)
def test_no_client_gets_more_than_its_quota_and_the_refill_and_one_that_keeps_to_it_is_never_refused(
    quota: int, window_s: int, pauses: list[float]
) -> None:
    rate, limiter, now_s = Rate(quota, window_s), RateLimiter(), 1000.0
    taken: list[float] = []
    for pause_s in pauses:
        now_s += pause_s
        found = limiter.take("a", rate, now_s)
        if found.retry_s:
            again = limiter.take("a", rate, now_s + found.retry_s + 1e-6)
            assert not again.retry_s, "Retry-After is long enough"
            now_s += found.retry_s + 1e-6
        taken.append(now_s)
        for i, began in enumerate(taken):
            assert len(taken) - i <= quota + (now_s - began) * quota / window_s + 1e-3
        assert 0 <= found.left < quota and found.full_s <= window_s
    steady = [limiter.take("b", rate, now_s + i * window_s / quota + i * 1e-6).retry_s for i in range(60)]
    assert not any(steady)


def test_the_buckets_are_bounded_and_full_ones_are_forgotten_first() -> None:
    limiter = RateLimiter(most_clients=3)
    rate = Rate(1, 60)
    for i in range(3):
        limiter.take(str(i), rate, 0.0)
    limiter.take("3", rate, 100.0)
    assert len(limiter._full_at) == 1
    for i in range(10):
        limiter.take(f"x{i}", rate, 100.0)
    assert len(limiter._full_at) == 3
    assert limiter.take("x9", rate, 101.0).retry_s == 59


@pytest.mark.parametrize(
    "text", ["", "5", "5/", "/second", "05/second", "5/seconds", "5/second ", "-5/second", "\u0665/second"]
)
def test_a_rate_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="such as"):
        parse_rate(text)
    assert str(parse_rate("6000/minute")) == "6000/minute"


# CORS and headers


def test_no_other_origin_reads_anything_unless_it_is_listed(world: World) -> None:
    serve(world, CLOSED)
    text, origin = key(world), "https://desk.example.com"
    ask = {"Origin": origin, "Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization"}
    assert "access-control-allow-origin" not in world.get(BARS, {**bearer(text), "Origin": origin}).headers
    assert world.get(BARS, ask, "OPTIONS").status_code == 401
    serve(world, GuardOptions(require_key=True, cors_origins=(origin,)))
    preflight = world.get(BARS, ask, "OPTIONS")
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == origin
    answer = world.get(BARS, {**bearer(text), "Origin": origin})
    assert answer.headers["access-control-allow-origin"] == origin
    assert "ETag" in answer.headers["access-control-expose-headers"]
    assert "access-control-allow-credentials" not in answer.headers
    refused = world.get(BARS, {"Origin": origin})  # a page must be able to read why
    assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, origin)
    assert "access-control-allow-origin" not in world.get(BARS, {**bearer(text), "Origin": "https://x.com"}).headers
    for other in ({"Origin": "https://x.com"}, {"Access-Control-Request-Method": "DELETE"}):
        answer = world.get(BARS, {**ask, **other}, "OPTIONS")
        assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")
        assert answer.json()["detail"].startswith("Disallowed CORS")
        assert answer.headers.get("access-control-allow-origin") == (None if "Origin" in other else origin)


def test_every_answer_carries_the_headers_that_keep_browsers_careful(world: World) -> None:
    serve(world, GuardOptions(hosts=frozenset({"test"})))
    for path in ("/", "/docs", "/static/app.js", "/nothing", BARS, "/v1/bars", "/health/ready", "/metrics"):
        headers = world.get(path).headers
        assert headers["x-content-type-options"] == "nosniff", path
        assert headers["referrer-policy"] == "no-referrer", path
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy, path
        assert "script-src" not in policy or "script-src 'self';" in policy, path
        assert "unsafe" not in policy or path == "/docs", path
        assert "server" not in headers, path


def test_no_page_holds_a_script_or_a_style_of_its_own(world: World) -> None:
    serve(world, GuardOptions())
    for path in ("/", "/docs"):
        page = world.get(path).text
        assert "<script>" not in page and "<style" not in page and " style=" not in page and " onload=" not in page
        assert not re.search(r"""(src|href)=["']?(https?:)?//(?!www\.tradingview\.com/")""", page)  # the licence's link


def test_an_error_inside_shows_neither_its_text_nor_a_trace(world: World, caplog: pytest.LogCaptureFixture) -> None:
    serve(world, GuardOptions())

    async def fails(_: Request) -> None:
        raise RuntimeError("the secret path /srv/x")

    world.app.add_api_route("/v1/fails", fails)
    answer = world.get("/v1/fails")
    assert (answer.status_code, answer.json()["type"]) == (500, "urn:slackwater:problem:internal")
    assert "secret" not in answer.text and "Traceback" not in answer.text
    assert "the secret path" in caplog.text
