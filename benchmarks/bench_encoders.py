"""Seconds of audio that encoders process in a second, at full size with random weights.

Run: pytest benchmarks/bench_encoders.py --benchmark-enable
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from pytest_benchmark.fixture import BenchmarkFixture
from torch import nn

from amrbench.discovery import load_registry
from amrbench.slots.features import FeaturesPart
from amrbench.types import Rows
from amrbench_plugins.backends import laion_clap
from amrbench_plugins.backends.aisfx_minilm import cnn
from amrbench_plugins.backends.aisfx_minilm.encoder import AisfxMiniLm
from amrbench_plugins.backends.bert import Bert
from amrbench_plugins.backends.lazy_encoder import whole_seconds
from amrbench_plugins.backends.m2d_clap import vit
from amrbench_plugins.backends.ms_clap import htsat
from benchmarks.interleaved import numerics_of_training, seconds

SECONDS = 16
Encode = Callable[[Rows], Rows]
"""From a waveform (samples,) to rows (T, D)."""


def shipped(name: str) -> Encode:
    part = FeaturesPart.model_validate(name, context=load_registry())
    return part.build().audio


def over_seconds(net: nn.Module, rate: int) -> Encode:
    net.eval()

    @torch.inference_mode()
    def encode(waveform: Rows) -> Rows:
        rows: Rows = net(torch.from_numpy(whole_seconds(waveform, rate))).numpy()
        return rows

    return encode


def aisfx_encoder() -> Encode:
    return AisfxMiniLm(cnn.AudioEncoder().eval(), Bert(None, None), "sentence", ()).audio


def laion_encoder() -> Encode:
    # The audio side in the size that LAION-CLAP calls HTSAT-base; the text side is not used.
    audio = {
        "patch_embeds_hidden_size": 128,
        "depths": [2, 2, 12, 2],
        "num_attention_heads": [4, 8, 16, 32],
        "hidden_size": 1024,
    }
    config = transformers.ClapConfig(
        audio_config=audio, text_config={"num_hidden_layers": 1}, projection_dim=512
    )
    feature_extractor = transformers.ClapFeatureExtractor(truncation="rand_trunc", padding="repeatpad")
    return laion_clap.LaionClap(transformers.ClapModel(config).eval(), feature_extractor, None, Path()).audio


ENCODERS: dict[str, tuple[int, Callable[[], Encode]]] = {
    "mini-clap": (16000, lambda: shipped("mini-clap")),
    "mini-clap-wide": (16000, lambda: shipped("mini-clap-wide")),
    "clap": (htsat.RATE, lambda: over_seconds(htsat.Htsat(htsat.Config()), htsat.RATE)),
    "m2d-clap": (vit.RATE, lambda: over_seconds(vit.AudioEncoder(vit.Config()), vit.RATE)),
    "aisfx-minilm": (cnn.RATE, aisfx_encoder),
    "laion-clap": (laion_clap.RATE, laion_encoder),
}


@pytest.mark.parametrize("name", ENCODERS)
def test_extraction(benchmark: BenchmarkFixture, name: str) -> None:
    """On one thread, as processor time."""
    rate, make = ENCODERS[name]
    encode = make()
    waveform = (0.1 * np.random.default_rng(0).standard_normal(rate * SECONDS)).astype(np.float32)
    with numerics_of_training():
        assert len(encode(waveform)) == SECONDS
        spent = seconds(lambda: benchmark.pedantic(lambda: encode(waveform), rounds=1))
    benchmark.extra_info.update(audio_seconds_per_second=round(SECONDS / spent, 1))
