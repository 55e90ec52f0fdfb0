"""Audio that encoders hear in a second, at full size with random weights.

Run: pytest benchmarks/bench_encoders.py --benchmark-enable
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from time import process_time

import numpy as np
import pytest
import torch
import transformers
from pytest_benchmark.fixture import BenchmarkFixture

from amrbench.discovery import load_registry
from amrbench.slots.features import FeaturesPart
from amrbench_plugins.backends.laion_clap import LaionClap
from amrbench_plugins.backends.lazy_encoder import Rows, seconds_of
from amrbench_plugins.backends.m2d_clap import vit
from amrbench_plugins.backends.ms_clap import htsat

SECONDS = 16


def small(name: str) -> Callable[[Rows], Rows]:
    part = FeaturesPart.model_validate(name, context=load_registry())
    return part.build().audio


def m2d_clap() -> Callable[[Rows], Rows]:
    net = vit.AudioEncoder(vit.Sizes()).eval()

    @torch.inference_mode()
    def heard(waveform: Rows) -> Rows:
        rows: Rows = net(torch.from_numpy(seconds_of(waveform, vit.RATE))).numpy()
        return rows

    return heard


def clap() -> Callable[[Rows], Rows]:
    net = htsat.Htsat(htsat.Sizes()).eval()

    @torch.inference_mode()
    def heard(waveform: Rows) -> Rows:
        rows: Rows = net(torch.from_numpy(seconds_of(waveform, htsat.RATE))).numpy()
        return rows

    return heard


def laion_clap() -> Callable[[Rows], Rows]:
    # The audio side in the size that LAION-CLAP calls HTSAT-base; of the text side nothing is asked.
    audio = {
        "patch_embeds_hidden_size": 128,
        "depths": [2, 2, 12, 2],
        "num_attention_heads": [4, 8, 16, 32],
        "hidden_size": 1024,
    }
    config = transformers.ClapConfig(
        audio_config=audio, text_config={"num_hidden_layers": 1}, projection_dim=512
    )
    heard = transformers.ClapFeatureExtractor(truncation="rand_trunc", padding="repeatpad")
    return LaionClap(transformers.ClapModel(config).eval(), heard, None, Path()).audio


ENCODERS: dict[str, tuple[int, Callable[[], Callable[[Rows], Rows]]]] = {
    "mini-clap": (16000, lambda: small("mini-clap")),
    "mini-clap-wide": (16000, lambda: small("mini-clap-wide")),
    "clap": (44100, clap),
    "m2d-clap": (16000, m2d_clap),
    "laion-clap": (48000, laion_clap),
}


@pytest.mark.parametrize("name", ENCODERS)
def test_extraction(benchmark: BenchmarkFixture, name: str) -> None:
    """On one thread, as processor time."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    rate, make = ENCODERS[name]
    hear = make()
    waveform = (0.1 * np.random.default_rng(0).standard_normal(rate * SECONDS)).astype(np.float32)
    hear(waveform)
    start = process_time()
    rows = benchmark.pedantic(lambda: hear(waveform), rounds=1)
    spent = process_time() - start
    torch.set_num_threads(threads)
    assert len(rows) == SECONDS
    benchmark.extra_info.update(audio_seconds_per_second=round(SECONDS / spent, 1))
