"""The REST service, as the proof asks it, and what it answers."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from verify.definition import Definition, StreamData
from verify.errors import ServiceError

EVER = "1970-01-01"
FAR = "2100-01-01"
PAGE = 10_000

Entity = tuple[Any, ...]


@dataclass(frozen=True)
class Answer:
    """One answer of the service, its pages joined: rows of a view at an interval, or, without one, events.

    An entity lies in one partition, unless a foreign writer chose others: `others` are these, with what is applied.
    `start` and `end` are the bounds that were asked for; None: none. `at`: all events before that time, at no interval.
    """

    stream: StreamData
    entity: Entity
    interval: str
    version: int
    partition: int
    applied: int
    rows: list[dict[str, Any]]
    view: Definition | None = None
    start: int | None = None
    end: int | None = None
    others: tuple[tuple[int, int], ...] = ()
    definition: str = ""
    refusal: str = ""
    at: int | None = None
    quantiles: bool = False

    @property
    def name(self) -> str:
        """Of the view, or of the stream."""
        return self.view.name if self.view else self.stream.name

    @property
    def ends(self) -> tuple[tuple[int, int], ...]:
        """(partition, applied) of each partition that it stands on."""
        return (self.partition, self.applied), *self.others


class Client:
    """The REST service. A context manager."""

    def __init__(self, url: str, timeout_s: float = 30.0, http: httpx.Client | None = None) -> None:
        self.url = url
        self._http = http or httpx.Client(base_url=url, timeout=timeout_s)

    def get(self, path: str, **parameters: object) -> Any:
        """A JSON answer.

        Raises:
            ServiceError: the service is not there, or answers an error.
        """
        try:
            found = self._http.get(path, params={k: str(v) for k, v in parameters.items()})
        except httpx.HTTPError as error:
            raise ServiceError(self.url, str(error) or type(error).__name__) from error
        if found.status_code != httpx.codes.OK:
            raise ServiceError(self.url, f"{path} answers {found.status_code}: {found.text[:300]}", found.status_code)
        return found.json()

    def entities(self, stream: StreamData) -> Iterator[Entity]:
        """Every entity of a stream, page by page; one that lies in several partitions comes once for each."""
        for page in self._pages("/v1/instruments", stream=stream.name):
            for instrument in page["instruments"]:
                yield tuple(instrument[name] for name in stream.entity)

    def answer(self, view: Definition, entity: Entity, interval: str, quantiles: bool = False) -> Answer:
        """All rows of an entity, or their quantiles, every page at the same positions."""
        query = {"interval": interval, "start": EVER} | ({"quantiles": "true"} if quantiles else {})
        return self._joined(view.stream, entity, query, view=view, interval=interval, quantiles=quantiles)

    def before(self, view: Definition, entity: Entity, at: int) -> Answer:
        """A row a key of all events of an entity before a time."""
        return self._joined(view.stream, entity, {"at": at}, view=view, interval=f"before {at}", at=at)

    def events(self, stream: StreamData, entity: Entity) -> Answer:
        """All events of an entity, every page at the same positions."""
        return self._joined(stream, entity, {"start": EVER, "end": FAR}, view=None, interval="")

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def _joined(self, stream: StreamData, entity: Entity, query: Mapping[str, object], **about: Any) -> Answer:
        name = (about["view"] or stream).name
        first, *further = self._pages(f"/v1/{name}", **dict(zip(stream.entity, entity, strict=True)), **query)
        meta = first["meta"]
        (partition, applied), *others = sorted((int(p), at) for p, at in meta["applied"].items())
        return Answer(
            stream=stream,
            entity=entity,
            version=meta["version"],
            partition=partition,
            applied=applied,
            rows=[row for page in (first, *further) for row in page[name]],
            others=tuple(others),
            definition=meta.get("definition", ""),
            refusal=meta.get("refusal") or "",
            **about,
        )

    def _pages(self, path: str, **query: object) -> Iterator[dict[str, Any]]:
        page = self.get(path, **query, limit=PAGE)
        yield page
        while page["next"] is not None:
            page = self.get(path, **query, limit=PAGE, cursor=page["next"])
            yield page
