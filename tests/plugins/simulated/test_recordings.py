import numpy as np
import pytest

from amrbench.types import Query
from amrbench_plugins.simulated.latents import SIZE, sentence_latent
from amrbench_plugins.simulated.marginals import CASTELLA
from amrbench_plugins.simulated.queries import DrawnQueries, QuerySource
from amrbench_plugins.simulated.recordings import RATE, SimulatedDataset, SimulatedSound, drift, mixed


class One(QuerySource):
    """One recording of 90.5 seconds with a query about it."""

    splits = ("train",)

    def __init__(self, *windows):
        self.query = Query("q", "w001 w002 w003", "v", 90.5, windows)

    def size(self, split):
        return 1

    def queries(self, split, index):
        return (self.query,)

    def fingerprint(self):
        return "one"


def code_of(data, split, index):
    waveform = data.recording(split, index).waveform
    return waveform[: len(waveform) // RATE * RATE].reshape(-1, SIZE)


def mixed_one_by_one(sounds, seconds):
    total = np.zeros((seconds, SIZE))
    for second in range(seconds):
        for sound in sounds:
            share = max(0.0, min(second + 1, sound.end) - max(second, sound.start))
            total[second] += share * sound.vector
    return total


def test_sounds_fill_their_share_of_each_second():
    rng = np.random.default_rng(0)
    sounds = [
        SimulatedSound(start, end, rng.standard_normal(SIZE).astype(np.float32))
        for start, end in ((2.5, 4.25), (-3.0, 1.0), (0.2, 0.4), (8.0, 99.0), (6.0, 5.0))
    ]
    np.testing.assert_allclose(mixed(sounds, 10), mixed_one_by_one(sounds, 10), atol=1e-5)
    assert not mixed([], 3).any()


def test_drift_is_an_autoregressive_process():
    drawn = np.random.default_rng(0).standard_normal((50, SIZE)) * 0.5 / np.sqrt(SIZE)
    slow = [drawn[0]]
    for noise in drawn[1:]:
        slow.append(0.97 * slow[-1] + np.sqrt(1 - 0.97**2) * noise)
    np.testing.assert_allclose(drift(50, np.random.default_rng(0)), slow, atol=1e-6)
    assert np.linalg.norm(slow, axis=1).mean() == pytest.approx(0.5, abs=0.1)


def test_a_recording_is_as_long_as_its_queries_say_and_keeps_to_full_scale():
    recording = SimulatedDataset(One((3.0, 8.0)), seed=0, signal=10.0).recording("train", 0)
    assert (recording.rate, len(recording.waveform)) == (RATE, round(90.5 * RATE))
    assert (recording.waveform.ndim, recording.waveform.dtype) == (1, np.float32)
    assert np.abs(recording.waveform).max() <= 1
    assert recording.vid == recording.queries[0].vid


def test_described_sounds_are_in_their_windows():
    source = DrawnQueries(CASTELLA, 0, 0.05)
    data, above = SimulatedDataset(source, seed=0, signal=0.5), []
    for index in range(source.size("train")):
        recording, code = data.recording("train", index), code_of(data, "train", index)
        for query in recording.queries:
            inside = np.zeros(len(code), bool)
            for start, end in query.windows:
                inside[int(start) : int(end)] = True
            likeness = code @ sentence_latent(query.query)
            if 0 < inside.sum() < len(code):
                above.append((likeness[inside].mean() - likeness[~inside].mean()) / likeness.std())
    assert np.mean(np.array(above) > 0.5) > 0.75
    assert np.mean(np.array(above) < 0) > 0.02, "some sounds are missing, so no score is perfect"


def test_without_signal_the_windows_do_not_matter():
    one, other = (
        SimulatedDataset(One(window), seed=0, signal=0.0).recording("train", 0).waveform
        for window in ((3.0, 8.0), (30.0, 80.0))
    )
    assert np.array_equal(one, other)


def test_seeds_and_signals_have_recordings_and_fingerprints_of_their_own():
    data = [SimulatedDataset(One((3.0, 8.0)), seed=seed, signal=1.0) for seed in (0, 1, 0)]
    data.append(SimulatedDataset(One((3.0, 8.0)), seed=0, signal=2.0))
    first, seeded, again, louder = (made.recording("train", 0).waveform for made in data)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, seeded)
    assert not np.array_equal(first, louder)
    assert len({made.fingerprint() for made in data}) == 3
