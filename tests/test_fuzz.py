"""A few hundred requests of Schemathesis, all checks; `make fuzz` sends 10,000."""

from pathlib import Path

import pytest

from serving.query.parameters import time_us
from tests.fuzz.hooks import contradicts
from tests.fuzz.run import Target


@pytest.mark.crash
def test_no_generated_request_breaks_a_promise_of_the_document(tmp_path: Path) -> None:
    with Target(tmp_path) as target:
        found = target.fuzz(seed=7, examples=32, phases="examples,fuzzing")
    assert found.code == 0, found.text
    assert sum(found.counts.values()) >= 200, found.counts
    assert not [status for status in found.statuses if status >= 500], found.counts
    assert {200, 404, 422} <= found.statuses.keys()
    answered = {name.rpartition(" ")[0] for name in found.counts if name.endswith(" 200")}
    assert {"GET /v1/bars", "GET /v1/trades", "GET /v1/restatements", "GET /v1/versions"} <= answered


def test_only_contradictions_are_left_out() -> None:
    assert time_us("2026-01-01") == 1767225600000000
    fine = {
        "venue": "x",
        "symbol": "A,B",
        "start": "2026-01-01",
        "end": "1767225600000001",
        "as_of": 1,
        "layer": "batch",
    }
    assert not contradicts(fine, None)
    for wrong in ({"end": "2025-12-31"}, {"cursor": "x"}, {"layer": "speed"}, {"symbol": "A,A"}):
        assert contradicts({**fine, **wrong}, None)
    assert contradicts({"since": 7, "until": 7}, None)
    assert not contradicts({"since": 7, "until": "2026-01-01"}, None)
    assert contradicts({}, {"reason": " "})
