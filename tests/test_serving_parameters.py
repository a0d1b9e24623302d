"""Bad input is answered with problem JSON and 4xx, never 5xx, and the problem names the parameter."""

from collections.abc import Iterator
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.query.parameters import FIRST_US, LATEST_US
from tests.profiles import examples
from tests.serving_world import NOON, World

GOOD = {"venue": "x", "symbol": "BTC"}

BAD = [
    ("interval", "1x"),
    ("interval", ""),
    ("interval", "7m"),
    ("interval", "-1m"),
    ("interval", "nan"),
    ("interval", "2w"),
    ("interval", "999999w"),
    ("limit", "0"),
    ("limit", "-1"),
    ("limit", "10001"),
    ("limit", "1e3"),
    ("limit", "nan"),
    ("limit", "inf"),
    ("limit", "1_0"),
    ("limit", " 1"),
    ("limit", "٣"),
    ("limit", ""),
    ("limit", "9" * 5000),
    ("start", "nan"),
    ("start", "-1"),
    ("start", "0"),
    ("start", "1230508799999999"),
    ("start", "1769851800"),
    ("start", "1769851800000"),
    ("start", "1769851800000000000"),
    ("start", "1e9"),
    ("start", "1.5"),
    ("start", ""),
    ("start", "9" * 19),
    ("start", "2025-13-01T00:00:00Z"),
    ("start", "2025-02-30"),
    ("start", "2025-01-01T00:00:00"),
    ("start", "2025-01-01T00:00:00+02:00"),
    ("start", "1969-12-31T23:59:59Z"),
    ("start", "0000-01-01"),
    ("end", "yesterday"),
    ("end", "0"),
    ("layer", "both"),
    ("layer", ""),
    ("as_of", "-1"),
    ("as_of", "Latest"),
    ("as_of", "99999999999"),
    ("explain", "1"),
    ("explain", "TRUE"),
    ("fill", "next"),
    ("times", "ms"),
    ("cursor", "!"),
    ("cursor", ""),
    ("cursor", "e30"),
    ("cursor", "bnVsbA"),
    ("cursor", "W10"),
    ("venue", ""),
    ("venue", "X"),
    ("venue", "a" * 33),
    ("venue", "é"),
    ("symbol", ""),
    ("symbol", "BTC,"),
    ("symbol", "BTC,BTC"),
    ("symbol", "'; drop table t"),
    ("symbol", "\x00"),
    ("symbol", ",".join(f"S{i}" for i in range(65))),
    ("unknown", "1"),
    ("Venue", "x"),
    ("start[]", "1"),
]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    found = World(tmp_path_factory.mktemp("home"), partitions=1)
    found.trade()
    found.emit()
    found.step()
    yield found
    found.close()


def problem(world: World, url: str, status: int = 422) -> dict[str, object]:
    """The problem document of a request that must be refused."""
    response = world.get(url)
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    found: dict[str, object] = response.json()
    assert found["status"] == status
    assert {"type", "title", "detail"} <= found.keys()
    return found


@pytest.mark.parametrize(("name", "value"), BAD, ids=[f"{name}={value[:20]!r}" for name, value in BAD])
def test_a_bad_parameter_is_named(world: World, name: str, value: str) -> None:
    values = {**GOOD, "start": "2009-01-03", **{name: value}} if name in {"cursor", "end"} else {**GOOD, name: value}
    errors = problem(world, f"/v1/bars?{urlencode(values)}")["errors"]
    assert isinstance(errors, list)
    assert [error["parameter"] for error in errors] == [name]


@pytest.mark.parametrize("name", ["venue", "symbol", "limit", "start", "layer", "explain"])
def test_a_repeated_parameter_is_refused_even_if_equal(world: World, name: str) -> None:
    value = {**GOOD, "limit": "5", "start": "2009-01-03", "layer": "batch", "explain": "true"}[name]
    query = urlencode([*({**GOOD, name: value}).items(), (name, value)])
    assert "more than once" in str(problem(world, f"/v1/bars?{query}")["detail"])


@pytest.mark.parametrize("query", ["", "venue=x", "symbol=BTC", "&&&", "=", "%", "%zz=1"])
def test_what_is_missing_is_named(world: World, query: str) -> None:
    assert "is missing" in str(problem(world, f"/v1/bars?{query}")["detail"])


@pytest.mark.parametrize(
    "ends", [f"start={NOON}&end={NOON}", f"start={NOON + 1}&end={NOON}", "start=2025-01-02&end=2025-01-01"]
)
def test_a_reversed_or_empty_range_is_refused(world: World, ends: str) -> None:
    assert "half-open" in str(problem(world, f"/v1/bars?{urlencode(GOOD)}&{ends}")["detail"])
    assert "half-open" in str(problem(world, f"/v1/trades?{urlencode(GOOD)}&{ends}")["detail"])


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("1769851800", "looks like seconds; in microseconds it is 1769851800000000, 2026-01-31T09:30:00Z"),
        ("1769851800123", "looks like milliseconds; in microseconds it is 1769851800123000, 2026-01-31T09:30:00Z"),
        ("1769851800123456789", "looks like nanoseconds; in microseconds it is 1769851800123456, 2026-01-31T09:30:00Z"),
        ("0", "as microseconds since 1970 it is before 2009, when there were no trades; give microseconds"),
        ("1000000000000000", "before 2009"),
        ("900000000000000000", "behind the year 9999"),
    ],
)
@pytest.mark.parametrize(
    ("route", "name"),
    [
        *(("bars", name) for name in ("start", "end")),
        *(("trades", name) for name in ("start", "end")),
        *(("restatements", name) for name in ("since", "until")),
        ("instruments", "active_since"),
    ],
)
def test_a_number_in_another_unit_is_refused_and_told_in_microseconds(
    world: World, route: str, name: str, value: str, told: str
) -> None:
    if route == "restatements" and value == "0":  # a version's number
        assert world.get(f"/v1/restatements?{name}=1").status_code == 200
        return
    good = GOOD if route in {"bars", "trades"} else {}
    times = {"start": str(NOON), "end": str(NOON + 60_000_000)} if route == "trades" else {}
    (error,) = problem(world, f"/v1/{route}?{urlencode({**good, **times, name: value})}")["errors"]  # type: ignore[misc]
    assert error["parameter"] == name
    assert told in error["detail"]


def test_what_an_answer_gives_as_a_time_can_be_asked_for(world: World) -> None:
    first_week = FIRST_US  # of a trade on 2009-01-03, the first day that an event can have
    for start in (first_week, NOON, LATEST_US - 1):
        assert world.get(f"/v1/bars?{urlencode({**GOOD, 'start': start, 'interval': '1w'})}").status_code == 200
    everything = world.bars("symbol=BTC&start=1970-01-01")["bars"]
    assert everything == world.bars(f"symbol=BTC&start={first_week}")["bars"]
    assert everything


def test_speed_alone_cannot_be_asked_of_a_version(world: World) -> None:
    problem(world, f"/v1/bars?{urlencode(GOOD)}&layer=speed&as_of=1")


def test_trades_need_a_range_and_one_symbol(world: World) -> None:
    assert "start: is missing; end: is missing" in str(problem(world, f"/v1/trades?{urlencode(GOOD)}")["detail"])
    problem(world, "/v1/trades?venue=x&symbol=A,B&start=2025-01-01&end=2025-01-02")


def test_an_unknown_instrument_or_version_is_404(world: World) -> None:
    assert "x:NOPE" in str(problem(world, "/v1/bars?venue=x&symbol=BTC,NOPE", 404)["detail"])
    problem(world, "/v1/bars?venue=y&symbol=BTC", 404)
    for version in ("0", "7"):
        problem(world, f"/v1/bars?venue=x&symbol=BTC&as_of={version}", 404)
    for version in ("0", "7", "01", "x", "9" * 50, "%00", "-1"):
        problem(world, f"/v1/versions/{version}", 404)


@pytest.mark.parametrize("path", ["/v1", "/v1/", "/v1/nothing", "/nothing", "/v1/bars/", "/v1/versions/1/2"])
def test_an_unknown_path_is_a_problem(world: World, path: str) -> None:
    problem(world, path, 404)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_another_method_is_a_problem(world: World, method: str) -> None:
    response = world.get("/v1/bars", method=method)
    assert response.status_code == 405
    assert response.headers["content-type"] == "application/problem+json"
    assert "GET" in response.headers["allow"]


def test_other_routes_refuse_parameters_that_they_do_not_know(world: World) -> None:
    for path in ("/v1/instruments", "/v1/versions", "/v1/versions/1"):
        problem(world, f"{path}?a=1")


TEXTS = st.one_of(
    st.sampled_from([value for _, value in BAD]),
    st.sampled_from(["1", "1m", "x", "BTC", "true", "batch", "previous", "iso", "2025-10-06", "1759752000000000"]),
    st.text(max_size=12),
    st.integers().map(str),
    st.floats().map(str),
)
NAMES = st.sampled_from(
    [
        "venue",
        "symbol",
        "interval",
        "start",
        "end",
        "limit",
        "cursor",
        "layer",
        "as_of",
        "explain",
        "fill",
        "times",
        "z",
    ]
)


@given(st.lists(st.tuples(NAMES, TEXTS), max_size=6), st.booleans(), st.sampled_from(["bars", "trades"]))
@examples(150)
def test_nothing_that_is_asked_is_a_server_error(
    world: World, items: list[tuple[str, str]], with_good: bool, route: str
) -> None:
    pairs = [*(GOOD.items() if with_good else ()), *items]
    query = "&".join(f"{quote(n, errors='replace')}={quote(v, errors='replace')}" for n, v in pairs)
    response = world.get(f"/v1/{route}?{query}")
    assert response.status_code in {200, 404, 422}, (query, response.text)
    if response.status_code != 200:
        assert response.headers["content-type"] == "application/problem+json"


@given(st.binary(max_size=60))
@examples(60)
def test_no_bytes_in_a_query_string_are_a_server_error(world: World, data: bytes) -> None:
    query = quote(data, safe="=&%+;")
    assert world.get(f"/v1/bars?{query}").status_code in {200, 404, 422}
