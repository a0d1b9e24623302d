"""`/health/live`, `/health/ready` and `/metrics`. Query parameters mean nothing here and are ignored."""

from typing import Annotated, Literal, get_args

import orjson
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from serving.http.models import Closed, Count, ProofLine, Served, absent
from serving.http.route import Route
from serving.http.routes.versions import proof_summary
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


def _json(status: int, facts: object) -> Response:
    return Response(orjson.dumps(facts), status, _FRESH, "application/json")


def routes(
    readiness: Readiness, watch: VersionsWatch, proofs: ProofWatch, layers: Layers, metrics: Metrics
) -> list[Route]:

    async def live(request: Request) -> Response:
        return _json(200, {"live": True})

    async def ready(request: Request) -> Response:
        """200 or 503; the reasons, the hand-off and each layer's state either way."""
        found, snapshot = readiness.check(), watch.snapshot
        facts = {"ready": found.ready, "reasons": found.reasons, "version": snapshot and snapshot.version}
        if snapshot is not None and snapshot.version:
            facts["proof"] = proof_summary(proofs.proof(snapshot))
        return _json(200 if found.ready else 503, {**facts, "layers": layers.facts()})

    async def figures(request: Request) -> Response:
        return Response(metrics.text(), 200, _FRESH, CONTENT_TYPE)

    whether, why = "Whether the process answers.", "Whether the full promise is kept, and if not, why."
    text = {"schema": {"type": "string"}}
    return [
        Route("/health/live", live, whether, "health", Liveness, cached=False, open=True),
        Route("/health/ready", ready, why, "health", Ready, cached=False, open=True, also={503: Ready}),
        Route("/metrics", figures, "Figures for Prometheus.", "health", cached=False, media=_PLAIN, content=text),
    ]
