"""What there is: instruments and versions."""

import logging
from dataclasses import asdict, replace
from typing import Any

import orjson
import pyarrow as pa
from starlette.requests import Request
from starlette.responses import Response

from serving.answer import time_json
from serving.handoff import proof_summary
from serving.look import TIME_TYPE
from serving.page import Page, page_reply
from serving.parameters import ValueRefusedError, read_parameters, whole
from serving.problems import ProblemError, retired, unreadable
from serving.query import instruments_look
from serving.reply import asked_headers, reply
from serving.service import Service
from serving.snapshot import Snapshot
from serving.spans import Place, spans
from serving.units import quantity_unit
from versions.errors import ManifestError, NoSuchVersionError, RetiredVersionError, VersionError
from versions.handoff import latest_proof
from versions.instruments import NO_INSTRUMENTS
from versions.manifest import Manifest
from versions.moves import Move
from versions.proof import Proof
from versions.retention import State, states

_LOG = logging.getLogger("slackwater.serving")


SCHEMA = pa.schema(
    [
        pa.field("venue", pa.string(), nullable=False),
        pa.field("symbol", pa.string(), nullable=False),
        pa.field("partition", pa.int64(), nullable=False),
        pa.field("first_start", TIME_TYPE, nullable=False),
        pa.field("last_start", TIME_TYPE, nullable=False),
        ("quantity_unit", pa.string()),
        pa.field("duplicates", pa.int64(), nullable=False),
    ]
)
"""Of a table of instruments."""


class CatalogRoutes:
    """Answers `/v1/instruments`, `/v1/versions` and `/v1/versions/{version}`."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def instruments(self, request: Request) -> Response:
        """Every instrument with an applied event, an entry for each partition that holds it.

        `duplicates` are those of the instrument in the batch view, in all partitions together.
        """
        asked = asked_headers(request.scope)
        look = instruments_look(request.query_params.multi_items()).chosen(asked.accept)
        iso = look.iso and look.of.text
        snapshot = self._service.snapshot()
        duplicates = {(each.venue, each.symbol): each.events for each in snapshot.manifest.duplicates}
        found = [
            {
                "venue": venue,
                "symbol": symbol,
                "partition": partition,
                "first_start": time_json(first, iso),
                "last_start": time_json(last, iso),
                "quantity_unit": quantity_unit(venue),
                "duplicates": duplicates.get((venue, symbol), 0),
            }
            for (venue, symbol, partition), (first, last) in self._spans(snapshot).items()
        ]
        about = {"version": snapshot.version}
        page = Page(SCHEMA, lambda: found, lambda: orjson.dumps({"instruments": found, **about}), about)
        return page_reply(page, look, asked, request.scope).response(asked, request.method == "HEAD")

    async def versions(self, request: Request) -> Response:
        """Every version that can be read, newest first, and which one is served."""
        read_parameters((), request.query_params.multi_items())
        manifests, moves = await self._service.pool.run(self._manifests)
        snapshot = self._service.watch.snapshot
        found = [
            {
                "version": manifest.version,
                "parent": manifest.parent,
                "created": manifest.created_us,
                "run_id": manifest.run_id,
                "cut": {str(p): at for p, at in sorted(manifest.cut.items())},
                "counts": dict(manifest.counts),
                "restated": dict(manifest.restated),
                "definitions": dict(manifest.definitions),
                "proof": proof_summary(proof),
                "state": state,
            }
            for manifest, proof, state in manifests
        ]
        served = snapshot and snapshot.version
        return reply(request, orjson.dumps({"versions": found, "served": served, "rollbacks": moves}))

    async def version(self, request: Request) -> Response:
        """One version's manifest, without the files of trade ids; of its instruments, how many entries there are."""
        read_parameters((), request.query_params.multi_items())
        text = request.path_params["version"]
        missing = ProblemError(404, "unknown-version", f"There is no version {text[:40]!r}. See /v1/versions.")
        try:
            number = whole(1, 2**31)(text)
            manifest = await self._service.pool.run(lambda: self._service.store.manifest(number))
        except RetiredVersionError as error:
            raise retired(number) from error
        except (ValueRefusedError, NoSuchVersionError) as error:
            raise missing from error
        except ManifestError as error:
            raise unreadable(number) from error
        return reply(request, orjson.dumps(_manifest_json(manifest)))

    def _manifests(self) -> tuple[list[tuple[Manifest, Proof, str]], list[dict[str, Any]]]:
        store = self._service.store
        found: dict[int, State] = {}
        moves: list[dict[str, Any]] = []
        try:
            found = states(store)
            moves = [move_json(move) for move in store.moves.until(store.pointer().move)]
        except VersionError as error:  # which version is current is unknown; which there are is not
            _LOG.warning("The states of versions are unknown: %s", error)
        return [(m, latest_proof(store, m), found.get(m.version, "unknown")) for m in store.readable()], moves

    def _spans(self, snapshot: Snapshot) -> dict[Place, tuple[int, int]]:
        hot, view = self._service.hot, snapshot.views[self._service.views[0].name]
        ends = hot.ends(snapshot.key, view.name, snapshot.cut) if snapshot.chain else None
        return spans(snapshot, hot, view, ends or {})


def move_json(move: Move) -> dict[str, Any]:
    """A rollback, as it was recorded."""
    facts = {"move": move.number, "from": move.source, "to": move.target}
    told = {"restated": dict(move.restated), "untold": move.untold}
    return {**facts, "at": move.at_us, "by": move.by, "reason": move.reason, **told}


def _manifest_json(manifest: Manifest) -> dict[str, Any]:
    facts = asdict(replace(manifest, ids=(), instruments=NO_INSTRUMENTS))
    del facts["ids"]
    facts["instruments"] = len(manifest.instruments)
    facts["delta_start"] = {str(p): at for p, at in manifest.delta_start.items()}
    return facts
