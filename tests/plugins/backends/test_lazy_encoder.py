"""Encoders whose files are read when they are first needed."""

from __future__ import annotations

import numpy as np
from torch import nn

from amrbench_plugins.backends.lazy_encoder import LazyEncoder, count_parameters, whole_seconds


class Loaded:
    def audio(self, waveform):
        return waveform[:, None]

    def text(self, sentences):
        return [np.zeros((1, 1), np.float32) for _ in sentences]

    def too_long(self, sentences):
        return [sentence for sentence in sentences if len(sentence) > 1]

    def fingerprint(self):
        return "loaded"


def test_files_are_read_once_at_the_first_call():
    loads = []

    def load():
        loads.append("load")
        return Loaded()

    encoder = LazyEncoder("toy", 16000, 1, 1, load)
    assert (encoder.rate, encoder.hop, encoder.audio_width) == (16000, 1.0, 1)
    assert loads == []
    assert encoder.audio(np.zeros(3, np.float32)).shape == (3, 1)
    assert len(encoder.text(["a", "b"])) == 2
    assert encoder.too_long(["a", "bb"]) == ["bb"]
    assert encoder.fingerprint() == "loaded"
    assert loads == ["load"]


def test_a_part_of_a_second_is_cut():
    assert whole_seconds(np.arange(7, dtype=np.float32), 3).tolist() == [[0, 1, 2], [3, 4, 5]]
    assert whole_seconds(np.arange(2, dtype=np.float32), 3).shape == (0, 3)


def test_parameters_are_counted_without_memory_for_them():
    assert count_parameters(lambda: nn.Linear(10_000_000, 1_000_000)) == 10_000_001_000_000
