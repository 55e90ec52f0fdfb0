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


def test_rows_of_both_stand_side_by_side():
    both = part("mini-clap", "mini-clap-wide").build()
    first, second = (
        FeaturesPart.model_validate(name, context=REGISTRY).build()
        for name in ("mini-clap", "mini-clap-wide")
    )
    wave = np.random.default_rng(0).normal(0, 0.1, 48000).astype(np.float32)
    found = both.audio(wave)
    assert (both.audio_width, both.text_width, both.rate) == (128, 128, 16000)
    assert found.shape == (3, 128)
    np.testing.assert_allclose(found[:, :64], first.audio(wave), atol=1e-4)
    np.testing.assert_allclose(found[:, 64:], second.audio(wave), atol=1e-4)
    assert [each.shape[1] for each in both.text(["a dog", "rain"])] == [128, 128]
    assert both.fingerprint() == f"{first.fingerprint()} + {second.fingerprint()}"


def test_inner_lists_are_one_list():
    inner = {"use": "concat", "of": ["clap", "mini-clap"]}
    nested = part("m2d-clap", inner)
    assert [each.use for each in nested.members] == ["m2d-clap", "clap", "mini-clap"]
    assert nested.label == "m2d-clap+clap+mini-clap"
    assert len(nested.needs()) == len([need for each in nested.members for need in each.needs()]) == 4


def test_one_encoder_stands_once():
    with pytest.raises(ValueError, match="'clap' stands twice in this list; keep one."):
        part("clap", {"use": "concat", "of": ["clap", "mini-clap"]})


def test_stand_ins_take_the_place_of_each_member():
    rules = load_protocol("synthetic", REGISTRY)
    recipe = load_recipe("ours1", REGISTRY).model_copy(
        update={"features": part("clap", {"use": "concat", "of": ["m2d-clap", "laion-clap"]})}
    )
    found = rules.resolve(recipe).features
    assert [each.use for each in found.members] == ["mini-clap", "mini-clap-wide", "laion-clap"]
    assert (
        rules.stand_in_note(recipe) == "mini-clap stands in for clap, mini-clap-wide stands in for m2d-clap"
    )


def test_encoders_of_different_rates_do_not_hear_one_waveform():
    both = part("clap", "m2d-clap").build()
    assert isinstance(part("clap", "m2d-clap"), Part)
    with pytest.raises(DataError) as error:
        both.audio(np.zeros(16000, np.float32))
    assert str(error.value) == (
        "encoders clap+m2d-clap expect 16000 Hz and 44100 Hz, so one waveform is not enough. Extract the "
        "features of each and put them side by side."
    )
