"""`/health/live`, `/health/ready` and `/metrics`. Query parameters mean nothing here and are ignored."""

from typing import Annotated, Literal, get_args

import orjson
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from serving.http.models import Closed, Count, ProofLine, Served, absent
from serving.http.proofs import proof_summary
from serving.http.route import Route
from serving.status.layers import Layers, Readiness, State
from serving.status.metrics import CONTENT_TYPE, Metrics
from serving.watch.proof_watch import ProofWatch
from serving.watch.versions_watch import VersionsWatch

_FRESH = {"Cache-Control": "no-store"}
_PLAIN = "text/plain; version=0.0.4; charset=utf-8"


class Liveness(Closed):
    """The process answers."""

    live: Literal[True]


class Layer(BaseModel):
    """What a layer does now."""

    state: Literal[*get_args(State)]  # type: ignore[valid-type]
    text: str
    since: Annotated[int | None, Field(description="When this began, microseconds; null while it is up.")]
    lag: Count = absent("Records of the log that are not applied; of the speed layer.")
    applied: Count = absent("Records that were applied in all; of the speed layer.")


class Ready(BaseModel):
    """Whether the full promise is kept now. More members may come."""

    ready: bool
    reasons: Annotated[list[str], Field(description="What is missing, each in a sentence.")]
    version: Served
    proof: ProofLine = absent()
    layers: dict[str, Layer] = absent()

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"ready": True, "reasons": [], "version": 7, "layers": {}}]}
    )


class HealthRoutes:
    """Answers `/health/*` and `/metrics`."""

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
        found = self._readiness.check()
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


def routes(
    readiness: Readiness, watch: VersionsWatch, proofs: ProofWatch, layers: Layers, metrics: Metrics
) -> list[Route]:
    """See `serving.http.route`."""
    of = HealthRoutes(readiness, watch, proofs, layers, metrics)
    live, ready = "Whether the process answers.", "Whether the full promise is kept, and if not, why."
    text = {"schema": {"type": "string"}}
    return [
        Route("/health/live", of.live, live, "health", Liveness, cached=False, open=True),
        Route("/health/ready", of.ready, ready, "health", Ready, cached=False, open=True, also={503: Ready}),
        Route("/metrics", of.metrics, "Figures for Prometheus.", "health", cached=False, media=_PLAIN, content=text),
    ]
