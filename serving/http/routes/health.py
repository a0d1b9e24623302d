"""Liveness, readiness and metrics."""

import orjson
from starlette.requests import Request
from starlette.responses import Response

from serving.http.routes.handoff import proof_summary
from serving.status.layers import Layers
from serving.status.metrics import CONTENT_TYPE, Metrics
from serving.status.readiness import Readiness
from serving.watch.proof_watch import ProofWatch
from serving.watch.versions_watch import VersionsWatch

_FRESH = {"Cache-Control": "no-store"}


class HealthRoutes:
    """Answers `/health/*` and `/metrics`. Query parameters mean nothing here and are ignored."""

    def __init__(
        self, readiness: Readiness, watch: VersionsWatch, proofs: ProofWatch, layers: Layers, metrics: Metrics
    ) -> None:
        self._readiness = readiness
        self._watch = watch
        self._proofs = proofs
        self._layers = layers
        self._metrics = metrics

    async def live(self, request: Request) -> Response:
        """200 while the process answers."""
        return _json(200, {"live": True})

    async def ready(self, request: Request) -> Response:
        """200 while the full promise is kept, else 503; the reasons, the hand-off and each layer's state either way."""
        found = self._readiness.look()
        snapshot = self._watch.snapshot
        facts = {"ready": found.ready, "reasons": found.reasons, "version": snapshot and snapshot.version}
        if snapshot is not None and snapshot.version:
            facts["proof"] = proof_summary(self._proofs.proof(snapshot))
        facts["layers"] = self._layers.facts()
        return _json(200 if found.ready else 503, facts)

    async def metrics(self, request: Request) -> Response:
        """Prometheus' text format."""
        return Response(self._metrics.text(), 200, _FRESH, CONTENT_TYPE)


def _json(status: int, facts: object) -> Response:
    return Response(orjson.dumps(facts), status, _FRESH, "application/json")
