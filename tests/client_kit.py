"""Both clients behind one face, so that a test of the client is written once and run on each."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Protocol

from slackwater_client import AsyncClient, Client, Event, Retry

Stop = Callable[[Event], object]


class Asker(Protocol):
    """A client, seen from a test."""

    def __call__(self, method: str, *arguments: Any, **named: Any) -> Any:
        """What a method gives, or raises."""
        ...

    def events(self, stop: Stop, *arguments: Any, **named: Any) -> list[Event]:
        """The events of `stream` up to and with the one for which `stop` is true; it may act between two events."""
        ...

    def close(self) -> None: ...


QUICK = Retry(attempts=6, base_s=0.02, most_s=0.1, draw=lambda: 1.0)
"""As many tries as a restart of the service in a test takes, at known times."""


class Blocking:
    """`Client`."""

    def __init__(self, url: str, **options: Any) -> None:
        self._client = Client(url, **{"retry": QUICK, **options})

    def __call__(self, method: str, *arguments: Any, **named: Any) -> Any:
        return getattr(self._client, method)(*arguments, **named)

    def events(self, stop: Stop, *arguments: Any, **named: Any) -> list[Event]:
        found: list[Event] = []
        stream: Iterator[Event] = self._client.stream(*arguments, **named)
        for event in stream:
            found.append(event)
            if stop(event):
                break
        stream.close()  # type: ignore[attr-defined]
        return found

    def close(self) -> None:
        self._client.close()


class Asynchronous:
    """`AsyncClient`, on an event loop of its own."""

    def __init__(self, url: str, **options: Any) -> None:
        self._runner = asyncio.Runner()
        self._client = AsyncClient(url, **{"retry": QUICK, **options})

    def __call__(self, method: str, *arguments: Any, **named: Any) -> Any:
        return self._runner.run(getattr(self._client, method)(*arguments, **named))

    def events(self, stop: Stop, *arguments: Any, **named: Any) -> list[Event]:
        async def read() -> list[Event]:
            found: list[Event] = []
            stream: AsyncIterator[Event] = self._client.stream(*arguments, **named)
            async for event in stream:
                found.append(event)
                if await asyncio.to_thread(stop, event):  # it may ask the service, with an event loop of its own
                    break
            await stream.aclose()  # type: ignore[attr-defined]
            return found

        return self._runner.run(read())

    def close(self) -> None:
        self._runner.run(self._client.close())
        self._runner.close()


KINDS: dict[str, Callable[..., Asker]] = {"blocking": Blocking, "asynchronous": Asynchronous}
