"""M2D-CLAP with files in the layout of the published ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from amrbench.errors import CheckpointError, DataError
from amrbench_plugins.backends.m2d_clap import vit
from amrbench_plugins.backends.m2d_clap.encoder import load, load_audio
from amrbench_plugins.backends.parts import M2dClap
from tests.plugins.backends.published import M2D_AUDIO, WORDS, bert_names, m2d_files, m2d_weights, noise


@pytest.mark.parametrize(("seconds", "rows"), [(0, 0), (0.5, 0), (1, 1), (2.99, 2), (17.2, 17)])
def test_there_is_a_row_for_each_whole_second(encoder, seconds, rows):
    assert encoder.audio(noise(vit.RATE, seconds)).shape == (rows, 64)


def test_rows_depend_on_their_own_second_alone(encoder):
    wave = noise(vit.RATE, 20)
    together = encoder.audio(wave)
    alone = np.concatenate([encoder.audio(wave[16000 * t : 16000 * t + 16000]) for t in range(20)])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert np.array_equal(together, encoder.audio(wave))


def test_silence_and_full_scale_are_finite(encoder):
    for wave in (np.zeros(16000), np.ones(16000), np.sign(noise(vit.RATE, 1))):
        assert np.isfinite(encoder.audio(wave.astype(np.float32))).all()


def test_tokens_follow_the_sentence(files, encoder):
    tokens = load(*files, "tokens")
    first, second = tokens.text(["a dog barks!", "rain"])
    assert (first.shape, second.shape) == ((6, 64), (2, 64))
    assert np.array_equal(first[:1], encoder.text(["a dog barks!"])[0])
    assert tokens.fingerprint() != encoder.fingerprint()


def test_files_are_found_in_the_folder_of_models(tmp_path, monkeypatch):
    monkeypatch.setenv("AMRBENCH_MODELS", str(tmp_path))
    part = M2dClap()
    m2d_files(tmp_path / "m2d-clap" / part.required_files()[0].path.parent.name)
    (part.required_files()[0].path.parent / "vocab.txt").rename(tmp_path / "m2d-clap" / "vocab.txt")
    backend = part.build()
    assert (backend.rate, backend.hop, backend.audio_width, backend.text_width) == (16000, 1.0, 768, 768)
    assert all(file.present for file in part.required_files())
    assert backend.text(["a dog"])[0].shape == (1, 64)


def test_the_label_of_its_features_has_the_options_that_change_them():
    assert (M2dClap().label, M2dClap(text="tokens").label) == ("m2d-clap", "m2d-clap+text=tokens")
    assert M2dClap(weights="x").label == "m2d-clap"


def test_weights_with_the_prefix_of_training_and_without_prefix_are_read(tmp_path, encoder):
    wave = noise(vit.RATE, 1)
    weights = m2d_weights()
    trained = {
        f"module.ar.runtime.{name}" if name.startswith("backbone") else name: t for name, t in weights.items()
    }
    bare = {name.removeprefix("backbone."): tensor for name, tensor in weights.items()}
    for number, layout in enumerate((trained, bare)):
        again = load(*m2d_files(tmp_path / str(number), layout), "sentence")
        assert np.array_equal(again.audio(wave), encoder.audio(wave))
    torch.save(bare, tmp_path / "bare.pth")
    assert np.array_equal(
        load(tmp_path / "bare.pth", tmp_path / "0" / "vocab.txt", "sentence").audio(wave), encoder.audio(wave)
    )


def test_mean_and_deviation_of_the_spectrogram_may_be_missing(tmp_path):
    weights = m2d_weights()
    del weights["backbone.norm_stats"]
    assert load(*m2d_files(tmp_path, weights), "sentence").audio_net.norm_stats.tolist() == pytest.approx(
        [-7.1, 4.2]
    )


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_the_depth_of_the_semantic_blocks_is_that_of_the_file(depth):
    net = vit.AudioEncoder(replace(M2D_AUDIO, semantic_depth=depth))
    assert len(load_audio(net.state_dict(), "x").audio_proj.sem_blocks) == depth


def refusal(tmp_path, weights) -> str:
    file, vocabulary = m2d_files(tmp_path, weights)
    with pytest.raises(CheckpointError) as error:
        load(file, vocabulary, "sentence")
    return str(error.value).removeprefix(f"{file}: ")


def test_other_weights_are_refused(tmp_path):
    weights = m2d_weights()
    incomplete = {name: tensor for name, tensor in weights.items() if name != "backbone.norm.bias"}
    assert refusal(tmp_path, incomplete) == (
        "not the weights that this encoder reads: without 'norm.bias'. Get the published file."
    )
    assert refusal(tmp_path, weights | {"backbone.more": torch.zeros(1)}) == (
        "not the weights that this encoder reads: with 'more'. Get the published file."
    )
    assert refusal(tmp_path, weights | {"backbone.norm.bias": torch.zeros(3)}) == (
        "'norm.bias' has shape (3,), not (64,). Get the published file."
    )
    no_text = {name: tensor for name, tensor in weights.items() if name.startswith("backbone")}
    assert refusal(tmp_path, no_text) == (
        "holds no text encoder (text_encoder.text_encoder....). Get the file of 2025, whose name ends in TI."
    )
    not_semantic = {name: tensor for name, tensor in weights.items() if "sem_" not in name}
    assert refusal(tmp_path, not_semantic) == (
        "not the weights that this encoder reads: without 'audio_proj.sem_blocks.0.mlp.fc1.weight'. "
        "Get the published file."
    )


@pytest.mark.parametrize("lines", [WORDS[:-3], [*WORDS, "Dog"]])
def test_a_vocabulary_of_another_model_is_refused(tmp_path, lines):
    file, vocabulary = m2d_files(tmp_path)
    vocabulary.write_text("\n".join(lines) + "\n", "utf-8")
    with pytest.raises(DataError) as error:
        load(file, vocabulary, "sentence")
    assert str(error.value) == (
        f"{vocabulary}: has {len(lines)} tokens, but {file} has rows for {len(WORDS)}. The file is cut "
        "off or of another model. Get vocab.txt of bert-base-uncased, not that of a cased model."
    )


@pytest.mark.slow
def test_the_published_sizes_are_read(tmp_path):
    net, text = vit.AudioEncoder(vit.Config()), bert_names(longest=512)
    weights = {f"backbone.{name}": tensor for name, tensor in net.state_dict().items()}
    assert len(weights) == 166, "as many as the public notebook prints"
    weights |= {f"text_encoder.text_encoder.{name}": tensor for name, tensor in text.items()}
    encoder = load(*m2d_files(tmp_path, weights), "sentence")
    assert encoder.audio(noise(vit.RATE, 3)).shape == (3, 768)
    assert encoder.text(["a dog"])[0].shape == (1, 768)
