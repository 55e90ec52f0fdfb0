"""Encoders whose features are concatenated."""

from __future__ import annotations

import numpy as np
import pytest

from amrbench import load_protocol, load_recipe
from amrbench.discovery import load_registry
from amrbench.errors import DataError
from amrbench.part import Part
from amrbench.slots.features import FeaturesPart

REGISTRY = load_registry()


def part(*names) -> FeaturesPart:
    return FeaturesPart.model_validate({"use": "concat", "of": list(names)}, context=REGISTRY)


def test_rows_of_both_are_concatenated():
    both = part("mini-clap", "mini-clap-wide").build()
    first, second = (
        FeaturesPart.model_validate(name, context=REGISTRY).build()
        for name in ("mini-clap", "mini-clap-wide")
    )
    wave = np.random.default_rng(0).normal(0, 0.1, 48000).astype(np.float32)
    rows = both.audio(wave)
    assert (both.audio_width, both.text_width, both.rate) == (128, 128, 16000)
    assert rows.shape == (3, 128)
    np.testing.assert_allclose(rows[:, :64], first.audio(wave), atol=1e-4)
    np.testing.assert_allclose(rows[:, 64:], second.audio(wave), atol=1e-4)
    assert [words.shape[1] for words in both.text(["a dog", "rain"])] == [128, 128]
    assert both.fingerprint() == f"{first.fingerprint()} + {second.fingerprint()}"


def test_a_sentence_is_too_long_if_it_is_for_one_of_them():
    both = part("mini-clap", "mini-clap-wide").build()
    both.backends[0].too_long = lambda sentences: sentences[:1]
    assert both.too_long(["a dog", "rain"]) == ["a dog"]


def test_inner_lists_are_one_list():
    inner = {"use": "concat", "of": ["clap", "mini-clap"]}
    nested = part("m2d-clap", inner)
    assert [encoder.use for encoder in nested.encoders] == ["m2d-clap", "clap", "mini-clap"]
    assert nested.label == "m2d-clap+clap+mini-clap"
    files = [file for encoder in nested.encoders for file in encoder.required_files()]
    assert list(nested.required_files()) == files
    assert len(files) == 4


def test_an_encoder_is_listed_once():
    with pytest.raises(ValueError, match="'clap' is listed twice; keep one."):
        part("clap", {"use": "concat", "of": ["clap", "mini-clap"]})


def test_each_encoder_is_replaced_by_its_stand_in():
    rules = load_protocol("synthetic", REGISTRY)
    recipe = load_recipe("ours1", REGISTRY).model_copy(
        update={"features": part("clap", {"use": "concat", "of": ["m2d-clap", "laion-clap"]})}
    )
    resolved = rules.resolve(recipe).features
    assert [encoder.use for encoder in resolved.encoders] == ["mini-clap", "mini-clap-wide", "laion-clap"]
    assert (
        rules.stand_in_note(recipe) == "mini-clap stands in for clap, mini-clap-wide stands in for m2d-clap"
    )


def test_encoders_of_different_rates_cannot_read_one_waveform():
    both = part("clap", "m2d-clap").build()
    assert isinstance(part("clap", "m2d-clap"), Part)
    with pytest.raises(DataError) as error:
        both.audio(np.zeros(16000, np.float32))
    assert str(error.value) == (
        "encoders clap+m2d-clap expect 16000 Hz and 44100 Hz, so one waveform is not enough. Extract the "
        "features of each and concatenate them."
    )
