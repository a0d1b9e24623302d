"""Work behind its caller: in order, few jobs waiting, and nothing begun after one that failed."""

from threading import Event

import pytest

from slackwater.core.behind import Behind


def test_jobs_are_done_in_their_order_and_give_what_they_return() -> None:
    behind, done = Behind(2), list[int]()

    def job(number: int) -> int:
        done.append(number)
        return number * number

    found = [behind.put(lambda number=number: job(number)) for number in range(20)]  # type: ignore[misc]
    assert [each.result() for each in found] == [number * number for number in range(20)]
    assert done == list(range(20))
    behind.end()


def test_a_caller_waits_for_the_oldest_of_too_many_jobs() -> None:
    behind, go, begun = Behind(1), Event(), Event()
    behind.put(lambda: begun.set() or go.wait(60))
    assert begun.wait(60)
    second = behind.put(lambda: 2)
    assert not second.done()
    go.set()
    assert behind.put(lambda: 3).result() == 3
    assert second.result() == 2
    behind.end()


def test_what_a_job_raised_is_raised_to_who_puts_the_next_and_nothing_is_begun_after_it() -> None:
    behind, done = Behind(4), list[str]()

    def fail() -> None:
        raise OSError("full")

    failed = behind.put(fail)
    with pytest.raises(OSError, match="full"):
        failed.result()
    with pytest.raises(OSError, match="full"):
        behind.put(lambda: done.append("after"))
    behind.end()
    assert done == []


def test_what_waits_when_it_ends_is_not_begun() -> None:
    behind, go, begun, done = Behind(4), Event(), Event(), list[str]()
    behind.put(lambda: begun.set() or go.wait(60))
    assert begun.wait(60)
    waiting = behind.put(lambda: done.append("waited"))
    go.set()
    behind.end()
    assert waiting.cancelled() or done == ["waited"]
