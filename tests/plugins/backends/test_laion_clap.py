"""LAION-CLAP with a tiny model in the files of a published one."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from amrbench.errors import DataError
from amrbench_plugins.backends.laion_clap import RATE, load
from amrbench_plugins.backends.parts import LaionClap
from tests.plugins.backends.published import noise

transformers = pytest.importorskip("transformers")

WORDS = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", *"abcdefghijklmnopqrstuvwxyzĠ!"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tiny model with random weights, in the files of a published one."""
    folder = tmp_path_factory.mktemp("laion")
    audio = {
        "patch_embeds_hidden_size": 8, "depths": [2, 2, 2, 2], "num_attention_heads": [1, 2, 2, 4],
        "hidden_size": 64, "enable_fusion": False,
    }  # fmt: skip
    text = {
        "vocab_size": len(WORDS), "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
        "intermediate_size": 16, "max_position_embeddings": 40,
    }  # fmt: skip
    config = transformers.ClapConfig(text_config=text, audio_config=audio, projection_dim=512)
    transformers.ClapModel(config).save_pretrained(folder)
    transformers.ClapFeatureExtractor(truncation="rand_trunc", padding="repeatpad").save_pretrained(folder)
    vocabulary = {word: number for number, word in enumerate(WORDS)}
    transformers.RobertaTokenizer(vocab=vocabulary, merges=[], model_max_length=32).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def encoder(folder):
    return load(folder)


def test_a_row_for_each_second_and_one_for_the_sentence(encoder):
    rows = encoder.audio(noise(RATE, 2.5))
    assert rows.shape == (2, 512)
    assert rows.dtype == np.float32
    assert np.array_equal(rows, encoder.audio(noise(RATE, 2.5)))
    np.testing.assert_allclose(rows[1:], encoder.audio(noise(RATE, 2.5)[48000:]), atol=1e-5)
    assert encoder.audio(noise(RATE, 0.5)).shape == (0, 512)
    both = encoder.text(["a dog", "rain falls !"])
    assert [words.shape for words in both] == [(1, 512), (1, 512)]
    assert np.array_equal(both[1], encoder.text(["rain falls !"])[0])


def test_sentences_that_are_too_long_are_known(encoder):
    fits, cut = "a" * 30, "a" * 31
    assert encoder.too_long([fits, cut, "a dog"]) == [cut]
    assert np.array_equal(*encoder.text([fits, cut]))


def test_the_rows_are_those_of_the_library(encoder, folder):
    import torch

    model = transformers.ClapModel.from_pretrained(folder).eval()
    extractor = transformers.ClapFeatureExtractor.from_pretrained(folder)
    inputs = extractor(noise(RATE, 1), sampling_rate=48000, return_tensors="pt")
    with torch.no_grad():
        output = model.get_audio_features(
            inputs["input_features"], is_longer=torch.zeros(1, 1, dtype=torch.bool)
        )
    expected = getattr(output, "pooler_output", output)
    np.testing.assert_allclose(encoder.audio(noise(RATE, 1)), expected.numpy(), atol=1e-5)


def test_the_part_finds_the_folder(folder, monkeypatch, tmp_path):
    monkeypatch.setenv("AMRBENCH_MODELS", str(tmp_path))
    (tmp_path / "laion-clap").symlink_to(folder)
    part = LaionClap()
    assert part.required_files()[0].present
    backend = part.build()
    assert (backend.rate, backend.audio_width, backend.text_width) == (48000, 512, 512)
    assert backend.fingerprint().startswith("laion-clap 1 ")


def test_a_folder_without_weights_is_refused(tmp_path):
    with pytest.raises(DataError) as error:
        load(tmp_path)
    assert str(error.value) == (
        f"{tmp_path}: has no model.safetensors. Download the whole folder, with weights as safetensors, from "
        "laion/larger_clap_general on Hugging Face."
    )


def test_a_folder_that_is_no_model_is_refused(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"x")
    with pytest.raises(DataError) as error:
        load(tmp_path)
    assert str(error.value).startswith(f"{tmp_path}: transformers cannot read it as a CLAP model (")


def test_without_the_library_the_message_names_it(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(DataError) as error:
        load(tmp_path)
    assert str(error.value) == (
        "encoder 'laion-clap' needs the package transformers. Install it with "
        "'pip install amrbench[laion-clap]'."
    )
