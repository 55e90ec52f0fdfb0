"""Processor time of a minute of procedural audio, for each preset.

Run: pytest benchmarks/bench_synthesis.py --benchmark-enable
"""

from __future__ import annotations

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from amrbench_plugins.datasets.procedural.dsp import RATE
from amrbench_plugins.datasets.procedural.presets import PRESETS
from amrbench_plugins.datasets.procedural.scenes import ProceduralDataset
from benchmarks.interleaved import numerics_of_training, seconds

CLIPS = 24
MOST = 0.15
"""Seconds of one processor for a minute of audio."""


@pytest.mark.parametrize("name", PRESETS)
def test_synthesis(benchmark: BenchmarkFixture, name: str) -> None:
    """On one thread, as processor time; the first clips of the training split."""
    dataset, minutes = ProceduralDataset(PRESETS[name], seed=0), 0.0

    def synthesize() -> None:
        nonlocal minutes
        for index in range(CLIPS if benchmark.enabled else 1):
            minutes += len(dataset.recording("train", index).waveform) / RATE / 60

    with numerics_of_training():
        spent = seconds(lambda: benchmark.pedantic(synthesize, rounds=1))
    benchmark.extra_info.update(seconds_per_minute=round(spent / minutes, 3))
    if benchmark.enabled:
        assert spent / minutes <= MOST
