"""Programs that take turns: real code in greenlets, of which one runs at a time, until its next call to the outside.

A call to the log, to files or to the clock's sleep is where a program waits, so every interleaving of such calls can
happen and nothing else can. Who runs next is the seed's choice. A crash is an exception that no `except Exception`
catches, raised at the call that the program waits in; a dead program's further calls raise it again, so that clean-up
code of a process that is gone changes nothing outside.
"""

import hashlib
from collections import Counter, deque
from collections.abc import Callable
from random import Random

from greenlet import getcurrent, greenlet

KEPT_LINES = 60


class Crash(BaseException):
    """The process is gone."""


class Trace:
    """Everything that happened, as one hash; the last lines in full."""

    def __init__(self) -> None:
        self.last: deque[str] = deque(maxlen=KEPT_LINES)
        self.counts: Counter[str] = Counter()
        self._hash = hashlib.sha256()

    def note(self, line: str, *data: bytes) -> None:
        """One thing that happened, with the bytes that belong to it."""
        self.last.append(line)
        self._hash.update(line.encode())
        for part in data:
            self._hash.update(b"\0%d\0" % len(part) + part)

    def count(self, event: str, times: int = 1) -> None:
        """An event that the simulation must have seen often enough to say anything."""
        self.counts[event] += times

    def digest(self) -> str:
        """The hash so far."""
        return self._hash.hexdigest()


class Program:
    """A process: one greenlet for each of its threads. `pace` is how eagerly it is chosen to run."""

    def __init__(self, scheduler: "Scheduler", name: str, mains: tuple[Callable[[], None], ...], pace: float) -> None:
        self.name = name
        self.kind = name.split("-", maxsplit=1)[0]
        self.pace = pace
        self.dead = False
        self.waits_in = ""
        self.on_crash: list[Callable[[], None]] = []
        self._scheduler = scheduler
        self._threads = [greenlet(main) for main in mains]

    @property
    def running(self) -> bool:
        """Whether it has something left to do."""
        if self.dead:
            return False
        for thread in self._threads:
            if thread.dead:
                self._threads = [each for each in self._threads if not each.dead]
                break
        return bool(self._threads)

    def advance(self, calls: int) -> None:
        """Run its threads in turn up to so many calls."""
        for _ in range(calls):
            if not self.running:
                return
            self._scheduler.enter(self, self._scheduler.choose(self._threads))

    def kill(self) -> None:
        """End it where it stands."""
        self.dead = True
        for thread in self._threads:
            if thread and not thread.dead:  # one that never ran has nothing to end
                self._scheduler.end(self, thread)
        for call in self.on_crash:
            call()


class Scheduler:
    """Switches between the world (the main greenlet) and programs."""

    def __init__(self, trace: Trace, random: Random) -> None:
        self.trace = trace
        self._random = random
        self.current: Program | None = None
        self._main = getcurrent()

    def pause(self, call: str) -> None:
        """A program is about to do `call`: let the world choose who goes on. The world itself never waits."""
        program = self.current
        if program is None or getcurrent() is self._main:
            return
        if not program.dead:
            program.waits_in = call
            self._main.switch()
        if program.dead:
            raise Crash(program.name)
        self.trace.note(f"{program.name}: {call}")

    def choose(self, threads: list[greenlet]) -> greenlet:
        """One of the threads of a program."""
        return threads[0] if len(threads) == 1 else self._random.choice(threads)

    def enter(self, program: Program, thread: greenlet) -> None:
        """Let `thread` run to its next call."""
        self.current = program
        try:
            thread.switch()
        finally:
            self.current = None

    def end(self, program: Program, thread: greenlet) -> None:
        """Raise `Crash` in `thread`."""
        self.current = program
        try:
            thread.throw(Crash(program.name))
        except Crash:
            return
        finally:
            self.current = None
