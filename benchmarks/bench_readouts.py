"""Time to read moments out of 32 queries of 300 frames, on one processor thread.

Run: pytest benchmarks/bench_readouts.py --benchmark-enable
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from amrbench.discovery import load_registry
from amrbench.slots.readout import ReadoutPart
from amrbench.testing import sample
from amrbench.training.reading import propose
from amrbench.types import Outputs
from benchmarks.interleaved import numerics_of_training

QUERIES, FRAMES, SPANS = 32, 300, 10
SECONDS = 0.3
REGISTRY = load_registry()
WIDTHS = tuple(np.random.default_rng(0).uniform(0.003, 0.5, 1000).tolist())


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with numerics_of_training():
        yield


def outputs() -> Outputs:
    """Noise, which has more runs and changes than any real curve."""
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(FRAMES // 2, FRAMES + 1, (QUERIES, 1), generator=generator)
    tensors = {
        "saliency": 3 * torch.randn(QUERIES, FRAMES, generator=generator),
        "spans": torch.rand(2, QUERIES, SPANS, 2, generator=generator),
        "segments": 3 * torch.randn(QUERIES, FRAMES, 4, generator=generator),
        "scores": torch.rand(2, QUERIES, SPANS, generator=generator),
    }
    return Outputs(tensors, torch.arange(FRAMES) < lengths)


@pytest.mark.quick
@pytest.mark.parametrize("use", REGISTRY.names("readout"))
def test_readout(benchmark: BenchmarkFixture, use: str) -> None:
    part = sample(REGISTRY.find("readout", use), REGISTRY)
    assert isinstance(part, ReadoutPart)
    given = outputs()
    readout = part.build(part.fit(WIDTHS))
    benchmark(lambda: propose(readout, given))
    if benchmark.enabled:
        assert benchmark.stats.stats.median <= SECONDS
