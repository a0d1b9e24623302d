"""The first look at Kafka's servers, over real sockets: one that hangs costs little, and the one that works is kept.

Not here: certificates, credentials and refusals of a real broker (`test_secure_broker.py`).
"""

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress

import pytest

from slackwater.core.kafka_security import PLAIN_TEXT
from slackwater.log.errors import LogRefusedError, LogUnreachableError
from slackwater.log.kafka_greeting import begin_with, greet, listens

LONG_S, QUICK_S = 20.0, 0.2
_NO_BROKERS = struct.pack(">iii", 0, -1, 0)
"""The rest of an answer to Metadata: no brokers, no controller, no topics."""


class Listener:
    """A server that says nothing to its first `silent` connections and `says` this to each question after them.

    `trickles`: it begins a long answer, and sends a byte of it now and then until the connection is closed.
    """

    def __init__(self, silent: int = 0, says: bytes | None = None, trickles: bool = False) -> None:
        self.met = 0
        self._silent, self._says, self._trickles = silent, says, trickles
        self._ended = threading.Event()
        self._held = ExitStack()
        self._socket = self._held.enter_context(closing(socket.create_server(("127.0.0.1", 0))))
        self.name = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        self._ended.set()
        socket.create_connection(self._socket.getsockname()).close()
        self._thread.join()
        self._held.close()

    def _serve(self) -> None:
        while True:
            one, _ = self._socket.accept()
            self._held.enter_context(closing(one))
            if self._ended.is_set():
                return
            self.met += 1
            if self.met > self._silent:
                with suppress(ConnectionError):
                    self._answer(one)

    def _answer(self, one: socket.socket) -> None:
        head = one.recv(4, socket.MSG_WAITALL)
        if not head:  # whoever only looks whether somebody listens
            return
        (size,) = struct.unpack(">i", head)
        asked = one.recv(size, socket.MSG_WAITALL)[4:8]
        if self._trickles:
            one.sendall(struct.pack(">i", 1_000_000))
            while not self._ended.wait(0.02):
                one.sendall(b"\0")
        else:
            one.sendall(struct.pack(">i", 16) + asked + _NO_BROKERS if self._says is None else self._says)


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    with ExitStack() as found:
        yield found


def test_a_server_that_hangs_is_met_once_and_the_one_that_lets_us_in_is_kept(opened: ExitStack) -> None:
    hangs, works = (opened.enter_context(closing(Listener(silent))) for silent in (1_000, 0))
    servers = f"{hangs.name}, {works.name}"
    assert begin_with(servers) == [hangs.name, works.name]
    for _ in range(3):
        assert greet(servers, PLAIN_TEXT, LONG_S, QUICK_S).server == works.name
        listens(servers)
    assert hangs.met == 1
    assert begin_with(servers) == [works.name], "a client begins with any one of those that it is given"


def test_one_that_is_kept_and_gone_is_followed_by_another(opened: ExitStack) -> None:
    second = opened.enter_context(closing(Listener()))
    with closing(Listener()) as first:
        servers = f"{first.name},{second.name}"
        assert greet(servers, PLAIN_TEXT).server == first.name
    assert greet(servers, PLAIN_TEXT).server == second.name
    assert begin_with(servers) == [second.name]


@pytest.mark.parametrize("servers", [1, 2])
def test_a_server_that_trickles_is_given_up(opened: ExitStack, servers: int) -> None:
    bad = [opened.enter_context(closing(Listener(trickles=True))) for _ in range(servers)]
    with pytest.raises(LogUnreachableError, match=r"took the connection and did not answer in 0\.5 s") as caught:
        greet(",".join(one.name for one in bad), PLAIN_TEXT, 0.5, QUICK_S)
    assert caught.value.retriable


def test_where_none_answers_soon_each_is_given_the_whole_time(opened: ExitStack) -> None:
    slow, hangs = (opened.enter_context(closing(Listener(silent))) for silent in (1, 1_000))
    assert greet(f"{slow.name},{hangs.name}", PLAIN_TEXT, LONG_S, QUICK_S).server == slow.name
    assert (slow.met, hangs.met) == (2, 1)


def test_a_refusal_is_an_answer_and_the_others_are_not_waited_for(opened: ExitStack) -> None:
    hangs = opened.enter_context(closing(Listener(1_000)))
    refuses = opened.enter_context(closing(Listener(says=b"\x15\x03\x03\0\x02\x02\x28")))
    with pytest.raises(LogRefusedError, match="speaks TLS"):
        greet(f"{hangs.name},{refuses.name}", PLAIN_TEXT, LONG_S, QUICK_S)
    assert hangs.met == 1
