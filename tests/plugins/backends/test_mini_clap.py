"""The small encoders: rows, files of weights, and what the shipped ones know."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from amrbench.errors import DataError
from amrbench_plugins.backends import measure_mini_clap
from amrbench_plugins.backends.mini_clap import WEIGHTS, MiniClap, Settings, load, pieces, save, words
from amrbench_plugins.backends.train_mini_clap import PRESETS

SMALL = Settings(width=8, channels=6, dilations=(1, 2), context=3, buckets=64, piece_width=4)
REMEDY = (
    "Install amrbench again, or make the file anew with "
    "`python -m amrbench_plugins.backends.train_mini_clap small {}`."
)


def network(seed=0, settings=SMALL):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return MiniClap(settings)


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


@pytest.mark.parametrize(("seconds", "rows"), [(1, 1), (2.99, 2), (3, 3), (3.01, 3), (60, 60), (0.99, 0)])
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


def test_silence_behind_a_recording_changes_no_row_that_is_far_from_it(backend):
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
        alone = torch.cat([audio(frames[at : at + 1]) for at in range(3)])
        torch.testing.assert_close(audio(frames), alone, atol=1e-5, rtol=0)


def test_without_dilated_blocks_and_context_a_second_hears_little_else():
    audio = network(settings=Settings(8, 6, (), 1, 64, 4)).audio.eval()
    frames = torch.randn(1, 200, 64, generator=torch.Generator().manual_seed(0))
    changed = frames.clone()
    changed[:, 102:] += 1
    with torch.inference_mode():
        torch.testing.assert_close(audio(changed)[:, :2], audio(frames)[:, :2], atol=1e-6, rtol=0)
        assert (audio(changed)[:, 2:] - audio(frames)[:, 2:]).abs().max() > 1e-3


# ---------------------------------------------------------------- text


def test_a_sentence_has_a_unit_row_a_word_and_one_for_itself(backend):
    rows = backend.text(["A dog barks.", "Rain"])
    assert [each.shape for each in rows] == [(4, 8), (2, 8)]
    for each in rows:
        np.testing.assert_allclose(np.linalg.norm(each, axis=1), 1, atol=1e-5)


def test_rows_of_a_sentence_do_not_depend_on_the_others(backend):
    together = backend.text(["A dog barks.", "Heavy rain is falling on a roof"])
    assert backend.text(["A dog barks."])[0].tobytes() == together[0].tobytes()


def test_padding_of_shorter_sentences_changes_nothing():
    text = network().text.eval()
    sentences = [words("a dog barks"), words("heavy rain is falling on a roof"), words("")]
    with torch.inference_mode():
        tokens, wholes = text(sentences)
        for at, sentence in enumerate(sentences):
            one, whole = text([sentence])
            torch.testing.assert_close(tokens[at, : len(sentence)], one[0], atol=1e-6, rtol=0)
            torch.testing.assert_close(wholes[at], whole[0], atol=1e-6, rtol=0)
            assert not tokens[at, len(sentence) :].any()


def test_capitals_and_punctuation_say_nothing(backend):
    a, b = backend.text(["A dog barks!", "a dog, barks"])
    assert a.tobytes() == b.tobytes()


@pytest.mark.parametrize("sentence", ["", "123 ...", "\u72ac"])
def test_a_sentence_without_letters_still_has_rows(backend, sentence):
    rows = backend.text([sentence])[0]
    assert rows.shape == (2, 8)
    assert np.isfinite(rows).all()


def test_words_share_pieces_with_words_like_them():
    assert len(set(pieces("barking", 2**40)) & set(pieces("barks", 2**40))) >= 4
    assert not set(pieces("dog", 2**40)) & set(pieces("rain", 2**40))


def test_pieces_are_the_same_everywhere():
    # <dog>, <do, dog, og>, <dog, dog>, <dog>
    assert pieces("dog", 2048) == (1814, 824, 1081, 1552, 338, 1340, 1814)


# ---------------------------------------------------------------- files


def test_a_file_keeps_numbers_at_half_precision(file, backend):
    stored = load_file(file)
    for name, value in network().state_dict().items():
        assert stored[name].dtype == torch.float16
        torch.testing.assert_close(stored[name].float(), value.half().float(), atol=0, rtol=0)
    assert backend.audio_width == backend.text_width == 8


def test_the_same_networks_make_the_same_file(file, tmp_path):
    save(network(), tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == file.read_bytes()


def test_the_fingerprint_tells_weights_apart(backend, file, tmp_path):
    assert load("small", file).fingerprint() == backend.fingerprint()
    weights = load_file(file)
    weights["log_scale"] += 0.5
    save_file(weights, tmp_path / "other.safetensors", {"settings": settings_text()})
    assert load("small", tmp_path / "other.safetensors").fingerprint() != backend.fingerprint()


def settings_text(**changes):
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
        ({"settings": settings_text(width="8")}, "metadata settings.width: Input should be a valid integer"),
        ({"settings": settings_text(depth=1)}, "metadata settings.depth: Unexpected keyword argument"),
        ({"settings": settings_text(context=2)}, "sizes must be at least 1, and context odd"),
        ({"settings": settings_text(width=0)}, "sizes must be at least 1, and context odd"),
        ({"settings": settings_text(width=9)}, "names or shapes of the tensors do not fit"),
        ({"settings": settings_text(buckets=10**12)}, "names or shapes of the tensors do not fit"),
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
        save_file(changed, file, {"settings": settings_text()})
        assert "names or shapes of the tensors do not fit the settings" in fault_of(file)


def test_numbers_that_are_not_finite_are_refused(file):
    weights = load_file(file)
    weights["silence"] = torch.tensor(torch.nan)
    save_file(weights, file, {"settings": settings_text()})
    assert "some numbers are not finite" in fault_of(file)


# ---------------------------------------------------------------- the shipped encoders


@pytest.mark.parametrize("name", PRESETS)
def test_shipped_files_are_small_and_of_their_preset(name):
    assert (WEIGHTS / f"{name}.safetensors").stat().st_size < 1_000_000
    backend = load(name)
    assert backend.name == name
    assert backend.audio_width == PRESETS[name].settings.width
    state = network(settings=PRESETS[name].settings).state_dict()
    assert {k: v.shape for k, v in load_file(WEIGHTS / f"{name}.safetensors").items()} == {
        key: value.shape for key, value in state.items()
    }


def test_there_is_no_file_without_a_preset():
    assert {file.stem for file in WEIGHTS.iterdir()} == set(PRESETS)


@pytest.fixture(scope="module")
def measured():
    lines = [line for name in PRESETS for line in measure_mini_clap.measure(load(name), each=2)]
    return {(line.encoder, line.wording): line for line in lines}


def test_shipped_encoders_know_classes(measured):
    assert measured["mini-clap", "seen"].sound > 80
    assert measured["mini-clap-wide", "seen"].sound > 95


def test_the_wide_encoder_is_clearly_better(measured):
    for wording in ("seen", "unseen"):
        wide, small = measured["mini-clap-wide", wording], measured["mini-clap", wording]
        assert wide.kind > small.kind + 10


def test_unseen_wording_is_harder_but_far_from_chance(measured):
    for name in PRESETS:
        seen, unseen = measured[name, "seen"], measured[name, "unseen"]
        assert 4 * 2.5 < unseen.kind < seen.kind


def test_nearest_is_the_sentence_with_the_largest_product():
    rows = np.eye(len(measure_mini_clap.KINDS), dtype=np.float32)
    order = np.random.default_rng(0).permutation(len(rows))

    class Reader:
        def text(self, sentences):
            return [np.stack([rows[0], rows[at]]) for at in range(len(sentences))]

    seconds = measure_mini_clap.Seconds(rows[order], order)
    rng = np.random.default_rng(0)
    found = measure_mini_clap.nearest(Reader(), seconds, rng, measure_mini_clap.Wording.VALUE)
    assert found.tolist() == order.tolist()


@pytest.fixture
def one_thread():
    """The command sets threads and flushing for its whole process; put them back."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)
    torch.set_flush_denormal(False)


def test_the_command_prints_a_table(file, capsys, one_thread):
    measure_mini_clap.main([str(file), "--each", "1"])
    lines = capsys.readouterr().out.splitlines()
    names = [line.split("|")[1].strip() for line in lines]
    assert names[:1] + names[2:] == ["encoder", "small", "small", "chance"]
    assert [part.strip() for part in lines[-1].split("|")[3:5]] == ["5.0", "2.5"]
