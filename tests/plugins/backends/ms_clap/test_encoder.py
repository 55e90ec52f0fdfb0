"""MS-CLAP with files in the layout of the published ones."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from transformers import GPT2Config, GPT2Model

from amrbench.errors import CheckpointError, DataError
from amrbench_plugins.backends.ms_clap import htsat, tables
from amrbench_plugins.backends.ms_clap.encoder import load
from amrbench_plugins.backends.parts import Clap
from tests.plugins.backends.published import CLAP_MERGES, CLAP_TOKENS, clap_files, clap_weights, noise

AUDIO = "audio_encoder.base.htsat."


@pytest.mark.parametrize(("seconds", "rows"), [(0, 0), (0.99, 0), (1, 1), (2.5, 2)])
def test_there_is_a_row_for_each_whole_second(encoder, seconds, rows):
    assert encoder.audio(noise(htsat.RATE, seconds)).shape == (rows, 64)


def test_rows_depend_on_their_own_second_alone(encoder):
    wave = noise(htsat.RATE, 10)
    together = encoder.audio(wave)
    alone = np.concatenate([encoder.audio(wave[44100 * t : 44100 * t + 44100]) for t in range(10)])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert np.array_equal(together, encoder.audio(wave))


def test_silence_and_full_scale_are_finite(encoder):
    for wave in (np.zeros(44100), np.ones(44100)):
        assert np.isfinite(encoder.audio(wave.astype(np.float32))).all()


def test_long_sentences_are_cut(encoder):
    assert encoder.text(["dog " * 200])[0].shape == (77, 64)
    assert encoder.too_long(["dog", "dog " * 200]) == ["dog " * 200]


def test_a_sentence_of_77_tokens_is_read_whole(encoder):
    fits = "!" * 75  # With a blank and the end mark.
    assert len(encoder.text([fits])[0]) == 77
    assert encoder.too_long([fits, fits + "!"]) == [fits + "!"]


def test_files_are_found_in_the_folder_of_models(tmp_path, monkeypatch, files):
    monkeypatch.setenv("AMRBENCH_MODELS", str(tmp_path))
    clap_files(tmp_path / "clap")
    (tmp_path / "clap" / "vocab.json").rename(tmp_path / "clap" / "encoder.json")
    (tmp_path / "clap" / "merges.txt").rename(tmp_path / "clap" / "vocab.bpe")
    (tmp_path / "clap").rename(tmp_path / "both")
    (tmp_path / "clap").mkdir()
    (tmp_path / "both" / "CLAP_weights_2023.pth").rename(tmp_path / "clap" / "CLAP_weights_2023.pth")
    (tmp_path / "both").rename(tmp_path / "gpt2")
    part = Clap()
    assert [file.present for file in part.required_files()] == [True, True]
    backend = part.build()
    assert (backend.rate, backend.hop, backend.audio_width, backend.text_width) == (44100, 1.0, 768, 768)
    assert backend.text(["a dog"])[0].shape == (4, 64)
    assert backend.fingerprint().startswith("clap 2 ")
    assert Clap(tokenizer=str(files[1].parent)).required_files()[1].present


def test_tables_of_another_model_are_refused(tmp_path):
    paths = clap_files(tmp_path)
    paths[1].write_text(json.dumps(CLAP_TOKENS | {"dogba": len(CLAP_TOKENS)}))
    paths[2].write_text("\n".join([*CLAP_MERGES, "dog ba"]), "utf-8")
    with pytest.raises(DataError) as error:
        load(*paths)
    assert str(error.value) == (
        f"{paths[1]}: has {len(CLAP_TOKENS) + 1} tokens, but {paths[0]} has rows for {len(CLAP_TOKENS)}. The "
        "file is cut off or of another model. Get vocab.json and merges.txt of GPT-2."
    )


def refusal(tmp_path, weights) -> str:
    paths = clap_files(tmp_path, weights)
    with pytest.raises(CheckpointError) as error:
        load(*paths)
    return str(error.value).removeprefix(f"{paths[0]}: ")


def test_other_weights_are_refused(tmp_path):
    weights = clap_weights()
    incomplete = {name: tensor for name, tensor in weights.items() if not name.endswith("htsat.norm.bias")}
    assert refusal(tmp_path, incomplete) == (
        "not the weights that this encoder reads: without 'norm.bias'. Get the published file."
    )
    assert refusal(tmp_path, weights | {f"{AUDIO}more": torch.zeros(1)}) == (
        "not the weights that this encoder reads: with 'more'. Get the published file."
    )
    assert refusal(tmp_path, {"x": torch.zeros(1)}) == (
        "not the weights that this encoder reads: without 'patch_embed.norm.weight'. Get the published file."
    )


@pytest.mark.slow
def test_the_published_sizes_are_read(tmp_path):
    audio = {f"{AUDIO}{n}": t for n, t in htsat.Htsat(htsat.Config()).state_dict().items()}
    text = {f"caption_encoder.base.{n}": t for n, t in GPT2Model(GPT2Config(n_layer=2)).state_dict().items()}
    file, _, _ = clap_files(tmp_path, audio | text)
    encoder = load(file, *tables.find(""))
    assert encoder.audio(noise(htsat.RATE, 2)).shape == (2, 768)
    assert encoder.text(["a dog barks"])[0].shape == (6, 768)
