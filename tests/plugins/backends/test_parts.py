"""Encoders by name: their files, sizes and features."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from scipy.signal import firwin, resample_poly

from amrbench.data.audio import open_audio
from amrbench.data.resample import resample
from amrbench.discovery import load_registry
from amrbench.errors import DataError
from amrbench.slots.features import FeatureBackend
from amrbench_plugins.backends.m2d_clap.encoder import load as load_m2d_clap
from amrbench_plugins.backends.ms_clap.encoder import load as load_ms_clap
from tests.plugins.backends.published import clap_files, m2d_files


@pytest.mark.parametrize(
    ("name", "published"), [("clap", "Zenodo 8378278"), ("m2d-clap", r"release v0\.5\.0 of nttcslab/m2d")]
)
def test_encoders_without_weights_say_what_can_be_done(
    name: str, published: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AMRBENCH_MODELS", str(tmp_path))
    backend = load_registry().entry("features", name).part().build()  # type: ignore[attr-defined]
    assert (backend.audio_width, backend.text_width, backend.hop) == (768, 768, 1.0)
    with pytest.raises(
        DataError, match=rf"weights of {name}: {tmp_path}/{name}/.* Published at {published}.* Put it"
    ):
        backend.fingerprint()


@pytest.mark.parametrize(
    ("name", "count"),
    # The audio side of M2D-CLAP has 89.04 million weights, BERT-base without its pooler 108.9 million.
    [("clap", None), ("m2d-clap", 197_937_410), ("mini-clap", None), ("mini-clap-wide", None)],
)
def test_sizes_are_known_without_weights(name: str, count: int | None) -> None:
    parameters = load_registry().entry("features", name).part().parameters()  # type: ignore[attr-defined]
    assert parameters > 10_000
    assert count is None or abs(parameters - count) < 1_000_000


def shipped(name: str) -> FeatureBackend:
    return load_registry().entry("features", name).part().build()  # type: ignore[attr-defined, no-any-return]


@pytest.mark.parametrize(
    ("rate", "encoder"),
    [
        (16000, lambda folder: shipped("mini-clap")),
        (16000, lambda folder: shipped("mini-clap-wide")),
        (16000, lambda folder: load_m2d_clap(*m2d_files(folder), "sentence")),
        (44100, lambda folder: load_ms_clap(*clap_files(folder))),
    ],
    ids=["mini-clap", "mini-clap-wide", "m2d-clap", "clap"],
)
def test_a_stereo_flac_has_the_features_of_its_mono_wav(
    rate: int, encoder: Callable[[Path], FeatureBackend], tmp_path: Path
) -> None:
    """Both contain the same sound below 7 kHz; SciPy resamples with another filter than ours."""
    noise = np.random.default_rng(0).standard_normal((2, 3 * 44100)) * [[0.05], [0.2]]
    low = np.stack([np.convolve(channel, firwin(201, 7000, fs=44100), "same") for channel in noise], 1)
    stereo = np.clip(low * np.repeat([1, 0.2, 1.5], 44100)[:, None], -1, 1)
    soundfile.write(tmp_path / "a.flac", stereo, 44100)
    mono = resample_poly(stereo.mean(1), 160, 441, window=("kaiser", 12.0))
    soundfile.write(tmp_path / "a.wav", mono, 16000)
    encode = encoder(tmp_path / "files").audio
    files = [open_audio(tmp_path / name) for name in ("a.flac", "a.wav")]
    flac, wav = (encode(resample(file.read(), file.rate, rate)) for file in files)
    assert flac.shape == wav.shape
    between_seconds = np.abs(np.diff(flac, axis=0)).max()
    assert np.abs(flac - wav).max() < between_seconds / 4
    similarity = (flac * wav).sum(1) / np.linalg.norm(flac, axis=1) / np.linalg.norm(wav, axis=1)
    assert similarity.min() > 0.998
