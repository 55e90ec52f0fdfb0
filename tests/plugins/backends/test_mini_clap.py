"""The small encoders: their rows and their files of weights."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from amrbench.errors import DataError
from amrbench_plugins.backends import parts
from amrbench_plugins.backends.mini_clap import WEIGHTS, Config, MiniClap, load, pieces, save, words
from amrbench_plugins.backends.train_mini_clap import PRESETS
from amrbench_plugins.datasets.procedural.lexicon import LEXICON

SMALL = Config(width=8, channels=6, dilations=(1, 2), context=3, buckets=64, piece_width=4)
REMEDY = (
    "Install amrbench again, or make the file anew with "
    "`python -m amrbench_plugins.backends.train_mini_clap small {}`."
)


def network(seed=0, config=SMALL):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return MiniClap(config)


@pytest.fixture
def file(tmp_path):
    save(network(), tmp_path / "small.safetensors")
    return tmp_path / "small.safetensors"


@pytest.fixture
def backend(file):
    return load("small", file)


def waveform(seconds, seed=0):
    return np.random.default_rng(seed).normal(0, 0.1, round(seconds * 16_000)).astype(np.float32)


# ---------------------------------------------------------------- audio


@pytest.mark.parametrize(
    ("seconds", "rows"), [(1, 1), (2.99, 2), (3, 3), (3.01, 3), (60, 60), (0.99, 0), (0, 0)]
)
def test_there_is_one_unit_row_for_each_whole_second(backend, seconds, rows):
    features = backend.audio(waveform(seconds))
    assert features.shape == (rows, 8)
    assert features.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, atol=1e-5)


def test_audio_rows_repeat_bit_by_bit(backend, file):
    once = backend.audio(waveform(5))
    backend.audio(waveform(3, seed=1))
    assert backend.audio(waveform(5)).tobytes() == once.tobytes()
    assert load("small", file).audio(waveform(5)).tobytes() == once.tobytes()


def test_silence_after_a_recording_changes_no_distant_row(backend):
    longer = np.concatenate([waveform(8), np.zeros(64_000, np.float32)])
    np.testing.assert_allclose(backend.audio(longer)[:6], backend.audio(waveform(8))[:6], atol=1e-5)


def test_a_part_of_a_second_at_the_end_has_no_row(backend):
    longer = np.concatenate([waveform(4), waveform(0.5, seed=1)])
    assert len(backend.audio(longer)) == 4
    np.testing.assert_allclose(backend.audio(longer)[:2], backend.audio(waveform(4))[:2], atol=1e-5)


def test_recordings_of_a_batch_do_not_mix():
    audio = network().audio.eval()
    frames = torch.randn(3, 200, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        alone = torch.cat([audio(frames[row : row + 1]) for row in range(3)])
        torch.testing.assert_close(audio(frames), alone, atol=1e-5, rtol=0)


def test_without_dilated_blocks_and_context_a_row_depends_on_little_but_its_second():
    audio = network(config=Config(8, 6, (), 1, 64, 4)).audio.eval()
    frames = torch.randn(1, 200, 64, generator=torch.Generator().manual_seed(0))
    changed = frames.clone()
    changed[:, 102:] += 1
    with torch.inference_mode():
        torch.testing.assert_close(audio(changed)[:, :2], audio(frames)[:, :2], atol=1e-6, rtol=0)
        assert (audio(changed)[:, 2:] - audio(frames)[:, 2:]).abs().max() > 1e-3


# ---------------------------------------------------------------- text


def test_a_sentence_has_a_unit_row_a_word_and_one_for_itself(backend):
    rows = backend.text(["A dog barks.", "Rain"])
    assert [sentence.shape for sentence in rows] == [(4, 8), (2, 8)]
    for sentence in rows:
        np.testing.assert_allclose(np.linalg.norm(sentence, axis=1), 1, atol=1e-5)


def test_rows_of_a_sentence_do_not_depend_on_the_others(backend):
    together = backend.text(["A dog barks.", "Heavy rain is falling on a roof"])
    assert backend.text(["A dog barks."])[0].tobytes() == together[0].tobytes()


def test_padding_of_shorter_sentences_changes_nothing():
    text = network().text.eval()
    sentences = [words("a dog barks"), words("heavy rain is falling on a roof"), words("")]
    with torch.inference_mode():
        tokens, summaries = text(sentences)
        for index, sentence in enumerate(sentences):
            one, summary = text([sentence])
            torch.testing.assert_close(tokens[index, : len(sentence)], one[0], atol=1e-6, rtol=0)
            torch.testing.assert_close(summaries[index], summary[0], atol=1e-6, rtol=0)
            assert not tokens[index, len(sentence) :].any()


def test_capitals_and_punctuation_change_nothing(backend):
    a, b = backend.text(["A dog barks!", "a dog, barks"])
    assert a.tobytes() == b.tobytes()


@pytest.mark.parametrize("sentence", ["", "123 ...", "\u72ac"])
def test_a_sentence_without_letters_still_has_rows(backend, sentence):
    rows = backend.text([sentence])[0]
    assert rows.shape == (2, 8)
    assert np.isfinite(rows).all()


def test_similar_words_share_pieces():
    assert len(set(pieces("barking", 2**40)) & set(pieces("barks", 2**40))) >= 4
    assert not set(pieces("dog", 2**40)) & set(pieces("rain", 2**40))


def test_pieces_are_the_same_everywhere():
    # <dog>, <do, dog, og>, <dog, dog>, <dog>
    assert pieces("dog", 2048) == (1814, 824, 1081, 1552, 338, 1340, 1814)


# ---------------------------------------------------------------- files


def test_a_file_stores_numbers_in_half_precision(file, backend):
    stored = load_file(file)
    for name, value in network().state_dict().items():
        assert stored[name].dtype == torch.float16
        torch.testing.assert_close(stored[name].float(), value.half().float(), atol=0, rtol=0)
    assert backend.audio_width == backend.text_width == 8


def test_the_same_networks_make_the_same_file(file, tmp_path):
    save(network(), tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == file.read_bytes()


def test_the_fingerprint_depends_on_the_weights(backend, file, tmp_path):
    assert load("small", file).fingerprint() == backend.fingerprint()
    weights = load_file(file)
    weights["log_scale"] += 0.5
    save_file(weights, tmp_path / "other.safetensors", {"settings": config_text()})
    assert load("small", tmp_path / "other.safetensors").fingerprint() != backend.fingerprint()


def config_text(**changes):
    plain = {"width": 8, "channels": 6, "dilations": [1, 2], "context": 3, "buckets": 64, "piece_width": 4}
    return json.dumps({**plain, **changes})


def fault_of(path):
    with pytest.raises(DataError) as caught:
        load("small", path)
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    assert text.endswith(REMEDY.format(path))
    return text.removeprefix(f"{path}: ").removesuffix(REMEDY.format(path)).rstrip()


def test_a_missing_file_is_named(tmp_path):
    fault = fault_of(tmp_path / "none.safetensors")
    assert fault == "the weights of encoder 'small' cannot be read (No such file or directory)."


def test_a_missing_shipped_file_is_named():
    with pytest.raises(DataError) as caught:
        load("tiny-clap")
    assert str(caught.value).startswith(
        f"{WEIGHTS / 'tiny-clap.safetensors'}: the weights of encoder 'tiny-clap'"
    )


@pytest.mark.parametrize("keep", [0, 5, 100, -1])
def test_a_truncated_file_is_refused(file, keep):
    file.write_bytes(file.read_bytes()[:keep])
    assert fault_of(file).startswith("no weights for encoder 'small', or damaged: ")


def test_a_file_of_another_kind_is_refused(file):
    file.write_text("not a file of weights at all")
    assert fault_of(file).startswith("no weights for encoder 'small', or damaged: ")


def test_a_folder_is_refused(tmp_path):
    assert fault_of(tmp_path) == "the weights of encoder 'small' cannot be read (Is a directory)."


@pytest.mark.parametrize(
    ("metadata", "fault"),
    [
        (None, "it has no metadata 'settings'"),
        ({"amrbench": "{}"}, "it has no metadata 'settings'"),
        ({"settings": "{"}, "metadata settings: Invalid JSON"),
        ({"settings": "[]"}, "metadata settings: Input should be an object"),
        ({"settings": config_text(width="8")}, "metadata settings.width: Input should be a valid integer"),
        ({"settings": config_text(depth=1)}, "metadata settings.depth: Unexpected keyword argument"),
        ({"settings": config_text(context=2)}, "sizes must be at least 1, and context odd"),
        ({"settings": config_text(width=0)}, "sizes must be at least 1, and context odd"),
        ({"settings": config_text(width=9)}, "names or shapes of the tensors do not fit"),
        ({"settings": config_text(buckets=10**12)}, "names or shapes of the tensors do not fit"),
    ],
)  # fmt: skip
def test_foreign_metadata_is_refused(file, metadata, fault):
    save_file(load_file(file), file, metadata)
    assert fault in fault_of(file)


def test_missing_and_foreign_tensors_are_refused(file):
    weights = load_file(file)
    for changed in (
        {**weights, "more": torch.zeros(1)},
        {k: v for k, v in weights.items() if k != "silence"},
    ):
        save_file(changed, file, {"settings": config_text()})
        assert "names or shapes of the tensors do not fit the settings" in fault_of(file)


def test_numbers_that_are_not_finite_are_refused(file):
    weights = load_file(file)
    weights["silence"] = torch.tensor(torch.nan)
    save_file(weights, file, {"settings": config_text()})
    assert "some numbers are not finite" in fault_of(file)


# ---------------------------------------------------------------- the shipped encoders


@pytest.mark.parametrize("name", PRESETS)
def test_shipped_files_are_small_and_of_their_preset(name):
    assert (WEIGHTS / f"{name}.safetensors").stat().st_size < 1_000_000
    backend = load(name)
    assert backend.name == name
    assert backend.audio_width == PRESETS[name].config.width
    state = network(config=PRESETS[name].config).state_dict()
    assert {k: v.shape for k, v in load_file(WEIGHTS / f"{name}.safetensors").items()} == {
        key: value.shape for key, value in state.items()
    }


def test_every_shipped_file_has_a_preset():
    assert {file.stem for file in WEIGHTS.iterdir()} == set(PRESETS)


@pytest.mark.parametrize("part", [parts.MiniClap(), parts.MiniClapWide()])
def test_shipped_encoders_list_the_procedural_sounds(part):
    assert tuple(part.known_sounds()) == tuple(LEXICON)
