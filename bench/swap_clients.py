"""The clients of `slackwater swaps`: each asks over several connections that stay open, as fast as told, until the end.

What is counted while they ask: answers that are not 2xx, and those that go backwards. A request that is sent after a
client got an answer must not be answered from an older version, nor from fewer records, on any of its connections.
Every different answer is kept once, for the oracle (`bench.swaps`).
"""

import http.client
import threading
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson

NO_ANSWER = 0
"""The status of a request whose connection broke."""


class Client:
    """What one client has seen so far, on all of its connections."""

    def __init__(self) -> None:
        self.version = 0
        self.applied: dict[str, int] = {}
        self.lock = threading.Lock()

    def seen(self) -> tuple[int, dict[str, int]]:
        """The newest version, and the furthest offset of each partition."""
        with self.lock:
            return self.version, dict(self.applied)

    def see(self, version: int, applied: dict[str, int]) -> None:
        """Take what an answer says of itself."""
        with self.lock:
            self.version = max(self.version, version)
            for partition, at in applied.items():
                self.applied[partition] = max(at, self.applied.get(partition, 0))


class Clients:
    """`clients` with `connections` each, that ask `paths` in turn, `rate` times a second in all."""

    def __init__(self, host: str, port: int, paths: Sequence[str], rate: float, clients: int, connections: int) -> None:
        self._address = host, port
        self._paths = paths
        self._every_s = clients * connections / rate
        self._clients = [Client() for _ in range(clients)]
        self._connections = connections
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._statuses: Counter[int] = Counter()
        self._took_ms: list[float] = []
        self._answers: dict[tuple[str, bytes], int] = {}
        self._cuts: set[tuple[int, str, int]] = set()

    def run(self, closed: threading.Event) -> dict[str, Any]:
        """Ask until `closed`; what was found."""
        began = time.perf_counter()
        threads = [
            threading.Thread(target=self._ask, args=(client, number * len(self._clients) + at, closed))
            for number in range(self._connections)
            for at, client in enumerate(self._clients)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        p50, p99, most = np.percentile(self._took_ms, [50, 99, 100])
        answers = [{"path": path, "body": body.decode(), "times": n} for (path, body), n in self._answers.items()]
        return {
            "requests": len(self._took_ms),
            "seconds": time.perf_counter() - began,
            "statuses": dict(self._statuses),
            "version_backwards": self._counts["version"],
            "applied_backwards": self._counts["applied"],
            "refused": self._counts["refused"],
            "ms": {"p50": round(p50, 2), "p99": round(p99, 2), "max": round(most, 2)},
            "cuts": sorted(self._cuts),
            "answers": answers,
        }

    def _ask(self, client: Client, number: int, closed: threading.Event) -> None:
        service = http.client.HTTPConnection(*self._address, timeout=30)
        due = time.perf_counter() + self._every_s * number / (len(self._clients) * self._connections)
        while not closed.wait(max(0.0, due - time.perf_counter())):
            due = max(due + self._every_s, time.perf_counter() - 1.0)  # one second late is not made up for
            path = self._paths[number % len(self._paths)]
            number += 1
            floor, began = client.seen(), time.perf_counter()
            try:
                service.request("GET", path)
                response = service.getresponse()
                body = response.read()
            except (OSError, http.client.HTTPException):
                service.close()  # the next request opens it again
                self._count(NO_ANSWER, began)
                continue
            self._count(response.status, began)
            if response.status == http.HTTPStatus.OK:
                self._take(client, floor, path, body)
        service.close()

    def _count(self, status: int, began: float) -> None:
        with self._lock:
            self._took_ms.append((time.perf_counter() - began) * 1000)
            self._statuses[status] += 1

    def _take(self, client: Client, floor: tuple[int, dict[str, int]], path: str, body: bytes) -> None:
        about = orjson.loads(body)["meta"]
        with self._lock:
            self._counts["version"] += about["version"] < floor[0]
            self._counts["applied"] += any(at < floor[1].get(p, 0) for p, at in about["applied"].items())
            self._counts["refused"] += "refusal" in about or not about["complete"]
            self._cuts.update((about["version"], p, at) for p, at in about["cut"].items())
            kept = path, _without_version(body, about)
            self._answers[kept] = self._answers.get(kept, 0) + 1
        client.see(about["version"], about["applied"])


def _without_version(body: bytes, about: dict[str, Any]) -> bytes:
    """The answer's bytes up to what it says of itself, and its positions: the same for every version."""
    bars, _, _ = body.rpartition(b',"meta":')
    return bars + b',"applied":' + orjson.dumps(about["applied"]) + b"}"
