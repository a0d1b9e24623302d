"""Two processes publish onto one home at the same moment, again and again, while a reader reads: one wins each time."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from slackwater.core.errors import SlackwaterError
from slackwater.versions.store import VersionStore

ROUNDS = 100
PUBLISHERS = 2


class Publisher:
    """`tests.publisher` as a process."""

    def __init__(self, home: Path) -> None:
        command = [sys.executable, "-m", "tests.publisher", str(home)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)

    def tell(self, word: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(word + "\n")

    def hear(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        found: dict[str, Any] = json.loads(self.process.stdout.readline())
        return found


@contextmanager
def publishers(home: Path) -> Iterator[list[Publisher]]:
    found = [Publisher(home) for _ in range(PUBLISHERS)]
    try:
        yield found
    finally:
        for publisher in found:
            publisher.process.communicate()


class Reading:
    """Reads the pointer and its manifest without a pause; what it saw, in order, and what it could not read."""

    def __init__(self, store: VersionStore) -> None:
        self.seen: list[int] = []
        self.errors: list[str] = []
        self._store = store
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Reading":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                manifest = self._store.current()
            except SlackwaterError as error:
                self.errors.append(str(error))
                continue
            version = manifest.version if manifest else 0
            if not self.seen or self.seen[-1] != version:
                self.seen.append(version)


def test_of_two_processes_that_publish_at_once_one_wins_and_the_other_is_told(tmp_path: Path) -> None:
    store = VersionStore(tmp_path)
    winners = [0]
    with Reading(store) as reading, publishers(tmp_path) as both:
        for _ in range(ROUNDS):
            for word in ("ready", "publish"):
                for publisher in both:
                    publisher.tell(word)
                heard = [publisher.hear() for publisher in both]
                if word == "ready":
                    assert [found["parent"] for found in heard] == [winners[-1]] * PUBLISHERS
            (won,) = (found["version"] for found in heard if found["won"])
            (lost,) = (found for found in heard if not found["won"])
            parent = winners[-1]
            assert lost["exit_code"] == 75
            assert lost["error"] == (
                f"Not published: the pointer went from version {parent} to {won} while this run computed. "
                "Run it again; it starts from the new version."
            )
            winners.append(won)
            assert store.pointer().version == won
    assert reading.errors == []
    assert reading.seen == sorted(reading.seen)
    assert set(reading.seen) <= set(winners)
    assert len(winners) == ROUNDS + 1
    assert [manifest.version for manifest in store.whole()] == winners[:0:-1], "a loser leaves no manifest"
    assert store.numbers() == list(range(1, PUBLISHERS * ROUNDS + 1)), "no number is taken twice"
    assert not list(store.folder.glob("*.tmp"))
