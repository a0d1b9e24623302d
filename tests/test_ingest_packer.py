"""Packing: a lone trade never waits, a burst is packed, nothing waits longer than 2 ms, order is kept.

ms      0     0.5  1.1     2.0        time is an argument
lines   a     b    c
sent    [a]                [b c]
"""

from hypothesis import given
from hypothesis import strategies as st

from ingest.packer import LINGER_S, Packed, Packer
from slackwater.streams.schema import MAX_LINES
from tests.profiles import examples

A, B = ("x", "A"), ("x", "B")


def test_a_lone_line_is_sent_at_once() -> None:
    packer = Packer()
    for second in range(5):
        assert packer.add(A, [b"%d" % second], float(second)) == [Packed(A, [b"%d" % second])]
    assert packer.wait_s(9.0) is None


def test_lines_at_3_ms_apart_are_records_of_their_own() -> None:
    packer = Packer()
    sent = [packer.add(A, [b"%d" % i], i * 0.003) for i in range(50)]
    assert sent == [[Packed(A, [b"%d" % i])] for i in range(50)]


def test_what_follows_within_2_ms_waits_for_company_until_they_are_over() -> None:
    packer = Packer()
    assert packer.add(A, [b"a"], 10.0) == [Packed(A, [b"a"])]
    assert packer.add(A, [b"b"], 10.0005) == []
    assert packer.add(A, [b"c"], 10.0011) == []
    assert packer.due(10.0019) == []
    assert 0.0008 < (packer.wait_s(10.0011) or 0) < 0.001
    assert packer.due(10.0021) == [Packed(A, [b"b", b"c"])]
    assert packer.due(11.0) == []


def test_a_burst_becomes_full_records() -> None:
    packer = Packer()
    lines = [b"%d" % i for i in range(2 * MAX_LINES + 5)]
    sent = packer.add(A, lines, 0.0)
    assert [len(record.lines) for record in sent] == [MAX_LINES, MAX_LINES, 5]
    assert packer.add(A, lines[:MAX_LINES], 0.001) == [Packed(A, lines[:MAX_LINES])]
    assert packer.add(A, lines[:63], 0.0011) == []
    assert packer.add(A, lines[63:65], 0.0012) == [Packed(A, lines[:MAX_LINES])]
    assert packer.drain(0.0013) == [Packed(A, lines[64:65])]


def test_instruments_are_packed_apart() -> None:
    packer = Packer()
    packer.add(A, [b"a"], 0.0)
    assert packer.add(B, [b"b"], 0.0001) == [Packed(B, [b"b"])]
    packer.add(A, [b"aa"], 0.0002)
    packer.add(B, [b"bb"], 0.0003)
    assert sorted(packer.drain(0.0004)) == [Packed(A, [b"aa"]), Packed(B, [b"bb"])]


steps = st.tuples(st.sampled_from([A, B]), st.integers(1, 150), st.integers(0, 5000))


@given(st.lists(steps, max_size=30))
@examples(200)
def test_nothing_is_lost_reordered_or_late_when_asked_in_time(drawn: list[tuple[tuple[str, str], int, int]]) -> None:
    packer = Packer()
    now, given_lines, sent = 0.0, {A: [], B: []}, {A: [], B: []}
    arrived: dict[bytes, float] = {}
    number = 0

    def take(records: list[Packed]) -> None:
        for instrument, lines in records:
            assert 1 <= len(lines) <= MAX_LINES
            assert all(now - arrived[one] <= LINGER_S + 1e-9 for one in lines)
            sent[instrument] += lines

    for instrument, count, pause_us in drawn:
        until = now + pause_us / 1e6
        while (wait := packer.wait_s(now)) is not None and now + wait <= until:
            now += wait
            take(packer.due(now + 1e-12))
        now = until
        lines = [b"%d" % i for i in range(number, number + count)]
        number += count
        arrived |= dict.fromkeys(lines, now)
        given_lines[instrument] += lines
        take(packer.add(instrument, lines, now))
    take(packer.drain(now))
    assert sent == given_lines
