"""The latency budget of a span: the mean of each stage, from the service's own figures (`serving.status.budget`)."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import httpx
from prometheus_client.parser import text_string_to_metric_families

from ops.context import Context

NAME = "slackwater_stage_seconds"

Line = tuple[str, str, str]


class Stage(NamedTuple):
    """What a stage's histogram holds so far."""

    events: float = 0.0
    seconds: float = 0.0


def stages_now(context: Context) -> dict[str, Stage]:
    """Stage -> its figures, in the order of the way."""
    return stages_in(httpx.get(f"{context.url}/metrics", timeout=10.0).raise_for_status().text)


def stages_in(text: str) -> dict[str, Stage]:
    """The same of a page of metrics."""
    found: dict[str, Stage] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples if family.name == NAME else ():
            stage = found.setdefault(sample.labels["stage"], Stage())
            if sample.name == f"{NAME}_count":
                found[sample.labels["stage"]] = stage._replace(events=sample.value)
            elif sample.name == f"{NAME}_sum":
                found[sample.labels["stage"]] = stage._replace(seconds=sample.value)
    return found


def budget_of(before: Mapping[str, Stage], after: Mapping[str, Stage]) -> dict[str, Any]:
    """Stage -> its mean in milliseconds, and how many events were sampled; stages that nothing passed are left out."""
    found = {}
    for stage, now in after.items():
        was = before.get(stage, Stage())
        if now.events > was.events:
            mean_ms = 1e3 * (now.seconds - was.seconds) / (now.events - was.events)
            found[stage] = {"mean_ms": round(mean_ms, 2), "count": round(now.events - was.events)}
    return found


def budget_lines(found: Mapping[str, Any]) -> list[Line]:
    """For the table."""
    parts = ", ".join(f"{stage} {figure['mean_ms']:.1f}" for stage, figure in found.items())
    whole = sum(figure["mean_ms"] for figure in found.values())
    return [("of which, means in ms", f"{parts}: {whole:.1f}", "")] if found else []
