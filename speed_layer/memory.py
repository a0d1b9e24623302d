"""Measures whether the speed layer's memory stays flat, over self-checkpoints and over restarts of the pipeline."""

import gc
import threading
from dataclasses import replace
from typing import Any

import numpy as np
import psutil

from slackwater.core.clock import Clock
from speed_layer.run import run_once
from speed_layer.source import PIPELINE_S, SLICE_S, SourceSettings

WARM = 0.4
"""The share of samples left out at the start: caches fill."""


def measure(settings: SourceSettings, checkpoints: int, restarts: int, clock: Clock) -> dict[str, Any]:
    """Run the real pipeline on the real log with short slices, sampling RSS; then pipelines one after the other.

    The log may be idle or busy. Slopes are least squares over the samples after the first two fifths.
    """
    process = psutil.Process()
    began = clock.elapsed_s()
    samples: list[int] = []
    stop = threading.Event()

    def sample() -> None:
        while not stop.wait(settings.slice_s):
            samples.append(process.memory_info().rss)

    sampler = threading.Thread(target=sample, daemon=True)
    sampler.start()
    run_once(replace(settings, pipeline_s=checkpoints * settings.slice_s))
    stop.set()
    sampler.join()
    between: list[int] = []
    for _ in range(restarts):
        run_once(replace(settings, pipeline_s=settings.slice_s))
        gc.collect()
        between.append(process.memory_info().rss)
    per_checkpoint, per_restart = _slope(samples), _slope(between)
    a_day = 86_400 / SLICE_S * per_checkpoint + 86_400 / PIPELINE_S * per_restart
    return {
        "checkpoints": checkpoints,
        "restarts": restarts,
        "samples": len(samples) + len(between),
        "seconds": round(clock.elapsed_s() - began, 1),
        "first_mb": samples[0] / 1e6,
        "last_mb": (between or samples)[-1] / 1e6,
        "kb_per_checkpoint": per_checkpoint / 1e3,
        "kb_per_restart": per_restart / 1e3,
        "mb_per_day": a_day / 1e6,
    }


def _slope(samples: list[int]) -> float:
    """Bytes a sample."""
    kept = samples[int(len(samples) * WARM) :]
    return float(np.polyfit(range(len(kept)), kept, 1)[0]) if len(kept) > 2 else 0.0
