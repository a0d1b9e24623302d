"""The feeder: trades of a seed through real ingest processes, portion by portion, at an even rate, some of them twice.

What was late, because an ingest process had to begin anew, follows without a pause: the rate holds for the whole.

An ingest process reads a pipe. One that dies, or that the log left alone, is followed by another, which gets
the whole portion again: what was taken is a duplicate then. A portion is done when its ingest process ended with 0.
"""

import contextlib
import random
import subprocess
import threading
import time

from tests.crash.up import Up

SYMBOLS = 8
STEP_US = 3_000
PORTION = 10_000
TWICE = 0.01
AGAIN_S = 0.5


def identity(number: int) -> tuple[str, str]:
    """The symbol and the id of one trade, as a decoded event has them."""
    return f"S{number % SYMBOLS}", str(number)


def line(start_us: int, number: int) -> bytes:
    """One trade, as ingest reads it; a pure function."""
    price, quantity = 100 + number * 7919 % 9973 / 100, 1 + number % 13
    symbol, trade_id = identity(number)
    return (
        f'{{"venue":"soak","symbol":"{symbol}","trade_id":{trade_id},'
        f'"time":{start_us + number * STEP_US},"price":"{price:.2f}","quantity":"{quantity}",'
        f'"side":"{("buy", "sell")[number % 2]}"}}\n'
    ).encode()


class Feeder:
    """A thread that feeds `records` trades, `rate` a second. `fed` is how many were given to one so far."""

    def __init__(self, up: Up, records: int, rate: float, seed: int) -> None:
        self.fed = 0
        self.restarts = 0
        self.start_us = time.time_ns() // 1000 - 3_600_000_000
        self.process: subprocess.Popen[bytes] | None = None
        self.error: BaseException | None = None
        self._up = up
        self._records = records
        self._rate = rate
        self._random = random.Random(seed)
        self._began = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    @property
    def done(self) -> bool:
        """Whether all are in the log."""
        return not self._thread.is_alive()

    @property
    def time_us(self) -> int:
        """The time of the newest trade that was given."""
        return self.start_us + self.fed * STEP_US

    def expected(self) -> set[tuple[str, str]]:
        """(symbol, id) of every trade."""
        return {identity(number) for number in range(self._records)}

    def stop(self) -> None:
        """Give up, or join what is done."""
        self._stop.set()
        if self.process is not None:
            self.process.kill()
        self._thread.join()

    def line(self, number: int) -> bytes:
        """One trade."""
        return line(self.start_us, number)

    def _run(self) -> None:
        try:
            for first in range(0, self._records, PORTION):
                while not self._stop.is_set() and not self._portion(first, min(first + PORTION, self._records)):
                    self.restarts += 1
                    self._stop.wait(AGAIN_S)
        except BaseException as error:
            self.error = error
            raise

    def _portion(self, first: int, upto: int) -> bool:
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        # Unbuffered: an ingest process that died leaves nothing behind that could not be flushed.
        with self._up.start("ingest", "-", "--json", stdin=subprocess.PIPE, bufsize=0, **quiet) as process:
            self.process = process
            assert process.stdin is not None
            with contextlib.suppress(BrokenPipeError):  # ingest died; its exit code says so
                paced = max(first, self.fed)
                for number in range(first, upto):
                    process.stdin.write(self.line(number))
                    if self._random.random() < TWICE:
                        process.stdin.write(self.line(self._random.randrange(number + 1)))
                    if number >= paced:
                        self.fed = number + 1
                        due = self._began + number / self._rate
                        if due > time.monotonic() and self._stop.wait(due - time.monotonic()):
                            return False
                process.stdin.close()
            return process.wait() == 0
