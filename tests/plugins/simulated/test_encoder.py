import numpy as np
import pytest

from amrbench_plugins.simulated.encoder import WIDTH, SimulatedEncoder
from amrbench_plugins.simulated.latents import sentence_latent
from amrbench_plugins.simulated.marginals import CASTELLA
from amrbench_plugins.simulated.queries import DrawnQueries
from amrbench_plugins.simulated.recordings import RATE, SimulatedDataset


def encoder(**options):
    return SimulatedEncoder(**{"seed": 0, "noise": 0.9, "text": "tokens"} | options)


def test_rows_are_as_wide_as_those_of_clap():
    assert encoder().audio(np.zeros(3 * RATE + 5, np.float32)).shape == (3, WIDTH)
    assert [rows.shape for rows in encoder().text(["w001 w002", ""])] == [(3, WIDTH), (2, WIDTH)]
    assert [rows.shape for rows in encoder(text="sentence").text(["w001 w002", ""])] == [(1, WIDTH)] * 2
    assert (encoder().audio_width, encoder().text_width) == (768, 768)


def test_without_noise_angles_and_lengths_of_the_latents_are_kept():
    rng = np.random.default_rng(0)
    code = rng.uniform(-0.2, 0.2, (5, RATE)).astype(np.float32)
    rows = encoder(noise=0.0).audio(code.reshape(-1))
    np.testing.assert_allclose(rows @ rows.T, code @ code.T, atol=1e-5)


def test_noise_has_its_length():
    rows = encoder(noise=0.9).audio(np.zeros(20 * RATE, np.float32))
    assert np.linalg.norm(rows, axis=1) == pytest.approx(0.9, abs=0.1)


def test_audio_and_text_are_in_different_directions():
    latent = sentence_latent("w001 w002")
    audio = encoder(noise=0.0).audio(latent)[0]
    text = encoder(text="sentence").text(["w001 w002"])[0][0]
    assert abs(audio @ text) < 0.2


def test_other_options_give_other_features():
    variants = [{}, {"seed": 1}, {"noise": 0.5}, {"text": "sentence"}, {}]
    assert len({encoder(**options).fingerprint() for options in variants}) == 4
    code = np.full(RATE, 0.1, np.float32)
    assert not np.array_equal(encoder().audio(code), encoder(seed=1).audio(code))


def test_a_linear_map_from_text_to_audio_is_learned_and_finds_windows_of_other_recordings():
    source = DrawnQueries(CASTELLA, 0, 0.1)
    data, encode = SimulatedDataset(source, seed=0, signal=0.5), encoder(text="sentence")

    def examples(split):
        for index in range(source.size(split)):
            recording = data.recording(split, index)
            rows = encode.audio(recording.waveform)
            for query in recording.queries:
                inside = np.zeros(len(rows), bool)
                for start, end in query.windows:
                    inside[int(start) : int(end)] = True
                if 0 < inside.sum() < len(rows):
                    yield encode.text([query.query])[0][0], rows, inside

    learned = np.zeros((WIDTH, WIDTH), np.float32)
    for text, rows, inside in examples("train"):
        learned += np.outer(text, rows[inside].mean(0) - rows[~inside].mean(0))
    ranks = []
    for text, rows, inside in examples("test"):
        order = np.argsort(np.argsort(text @ learned @ rows.T))
        ranks.append(order[inside].mean() / (len(rows) - 1))
    assert np.mean(ranks) > 0.75, "0.5 is a guess"
