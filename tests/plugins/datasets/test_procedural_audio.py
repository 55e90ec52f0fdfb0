"""What the procedural world renders: audio, and windows measured from it."""

from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np
import pytest

from amrbench.data.worker_pool import worker_pool
from amrbench_plugins.datasets.procedural import dsp, planning, scenes, sounds
from amrbench_plugins.datasets.procedural.dsp import RATE

KEYS = [("scenes", "test", index) for index in range(10)] + [("short", "train", 0), ("long", "val", 0)]


@dataclass(frozen=True)
class Made:
    """A plan, its events rendered alone, and the finished clip."""

    scene: planning.ScenePlan
    events: list[scenes.Placed]
    clip: scenes.RenderedClip


@cache
def made(preset, split, index):
    scene = scenes.plan(preset, split, index, 0)
    return Made(scene, scenes.placed(scene), scenes.clip(preset, split, index, 0))


@pytest.fixture(params=KEYS, ids=lambda key: "-".join(map(str, key)))
def one(request):
    return made(*request.param)


def generator(seed):
    return np.random.Generator(np.random.SFC64(seed))


def heard_by_hand(event):
    """First and last second at which an event is above a hundredth of its peak, sample by sample."""
    signal = [abs(float(sample)) for sample in event.signal]
    bound = max(signal) / 100
    loud = [at for at, sample in enumerate(signal) if sample > bound]
    return round((event.first + loud[0]) / RATE, 1), round((event.first + loud[-1] + 1) / RATE, 1)


# ---------------------------------------------------------------- determinism


def test_a_clip_has_the_same_bits_whatever_was_made_before():
    first = scenes.clip("scenes", "train", 5, 2)
    scenes.clip("scenes", "train", 4, 2)
    again = scenes.clip("scenes", "train", 5, 2)
    assert first.audio.tobytes() == again.audio.tobytes()
    assert first.rows == again.rows


def test_a_worker_process_makes_the_same_bits():
    with worker_pool(1) as pool:
        there = pool.submit(scenes.clip, "scenes", "test", 0, 0).result()
    here = made("scenes", "test", 0).clip
    assert there.audio.tobytes() == here.audio.tobytes()
    assert there.rows == here.rows


def test_splits_share_no_audio():
    audio = [scenes.clip("scenes", split, 0, 0).audio for split in ("train", "val", "test")]
    for a, b in ((0, 1), (0, 2), (1, 2)):
        assert abs(np.corrcoef(audio[a], audio[b])[0, 1]) < 0.1


# ---------------------------------------------------------------- windows


def test_windows_are_where_the_rendered_events_are_heard(one):
    heard = [heard_by_hand(event) for event in one.events]
    for ask, row in zip(one.scene.asks, one.clip.rows, strict=True):
        expected = [heard[number] for number in ask.events]
        if ask.kind == "then":
            expected = [(expected[0][0], expected[1][1])]
        elif ask.kind == "while":
            expected = [(max(start for start, _ in expected), min(end for _, end in expected))]
        assert row["relevant_windows"] == [list(window) for window in sorted(expected)]


def test_windows_are_inside_the_clip_and_never_empty_nor_overlapping(one):
    for row in one.clip.rows:
        windows = row["relevant_windows"]
        assert all(0 <= start < end <= row["duration"] for start, end in windows)
        assert all(a[1] <= b[0] for a, b in pairwise(windows))


def test_windows_are_told_to_a_tenth_of_a_second(one):
    times = [time for row in one.clip.rows for window in row["relevant_windows"] for time in window]
    assert all(time == round(time, 1) for time in times)


def test_both_kinds_of_composites_are_among_the_clips():
    kinds = {row["kind"] for key in KEYS for row in made(*key).clip.rows}
    assert kinds == {"single", "then", "while"}


def test_rows_say_what_they_can_be_sliced_by(one):
    for number, (ask, row) in enumerate(zip(one.scene.asks, one.clip.rows, strict=True)):
        assert row["qid"] == f"{one.clip.vid}_{number}"
        assert (row["query"], row["kind"], row["twin"], row["unseen_phrase"]) == (
            ask.text, ask.kind, ask.twin, ask.unseen
        )  # fmt: skip
        assert row["tight"] == any(end - start <= 4 for start, end in row["relevant_windows"])
        assert row["duration"] == len(one.clip.audio) / RATE


# ---------------------------------------------------------------- levels


def test_each_event_stands_above_the_background_as_planned(one):
    background = unscaled(one)
    for event in one.events:
        background[event.first : event.first + len(event.signal)] -= event.signal
    quiet = np.sqrt(np.mean(background**2))
    assert 20 * np.log10(quiet) == pytest.approx(one.scene.level, abs=0.01)
    for planned, event in zip(one.scene.events, one.events, strict=True):
        level = np.sqrt(np.mean(event.signal.astype(np.float64) ** 2))
        assert 20 * np.log10(level / quiet) == pytest.approx(planned.snr, abs=0.01)


def unscaled(one):
    """The mix before it was turned down to fit into full scale, checked against the clip."""
    mix = scenes._background(one.scene).astype(np.float64)
    for event in one.events:
        mix[event.first : event.first + len(event.signal)] += event.signal
    peak = np.abs(mix).max()
    np.testing.assert_allclose(one.clip.audio, mix * min(1, 0.98 / peak), atol=1e-6)
    return mix


def test_audio_is_finite_and_within_full_scale(one):
    assert one.clip.audio.dtype == np.float32
    assert one.clip.audio.shape == (int(one.scene.preset.seconds * RATE),)
    assert np.isfinite(one.clip.audio).all()
    assert np.abs(one.clip.audio).max() <= 0.981


def test_loud_scenes_are_turned_down_as_a_whole():
    peaks = [np.abs(made(*key).clip.audio).max() for key in KEYS]
    assert max(peaks) == pytest.approx(0.98, abs=1e-4)
    assert min(peaks) < 0.9


# ---------------------------------------------------------------- sounds


@pytest.mark.parametrize("kind", sounds.BACKGROUNDS)
@pytest.mark.parametrize("seconds", [1.0, 7.3])
def test_backgrounds_are_finite_and_of_unit_level(kind, seconds):
    signal = sounds.background(generator(0), kind, seconds=seconds)
    assert signal.shape == (dsp.samples(seconds),)
    assert signal.dtype == np.float32
    assert dsp.rms(signal) == pytest.approx(1, abs=1e-3)


def longest_pause(signal):
    """Seconds of the longest stretch below -40 dB of the peak, ends included."""
    loud = np.flatnonzero(np.abs(signal) > np.abs(signal).max() / 100)
    return np.diff(np.concatenate([[0], loud, [len(signal)]])).max() / RATE


@pytest.mark.parametrize("name", sounds.CLASSES)
@pytest.mark.parametrize("value", [0, 1])
def test_a_sound_has_a_peak_of_one_and_no_long_pause(name, value):
    for seed in range(4):
        signal = sounds.sound(generator(seed), name, value=value, seconds=6.0)
        assert signal.shape == (6 * RATE,)
        assert signal.dtype == np.float32
        assert np.abs(signal).max() == pytest.approx(1, abs=0.2)
        assert np.abs(signal).max() <= 1 + 1e-6
        assert longest_pause(signal) < 1.6


@pytest.mark.parametrize("name", sounds.CLASSES)
def test_the_two_values_of_a_class_sound_different(name):
    signals = [sounds.sound(generator(1), name, value=value, seconds=3.0) for value in (0, 1)]
    powers = [np.abs(np.fft.rfft(signal)) ** 2 for signal in signals]
    zero, one = (power / power.sum() for power in powers)
    assert np.abs(zero - one).sum() > 0.3


def test_distance_dulls_a_sound():
    signal = sounds.sound(generator(0), "rain", value=1, seconds=3.0)
    far = sounds.from_afar(generator(1), signal)
    assert far.shape == signal.shape
    assert treble(far) < treble(signal) / 3


def treble(signal):
    """Share of the power above 5 kHz."""
    power = np.abs(np.fft.rfft(signal)) ** 2
    return power[np.fft.rfftfreq(len(signal), 1 / RATE) > 5000].sum() / power.sum()


# ---------------------------------------------------------------- building blocks


def test_noise_has_the_spectrum_that_was_asked_for():
    signal = dsp.noise(generator(0), 4 * RATE, dsp.Band(500, 2000))
    power = np.abs(np.fft.rfft(signal)) ** 2
    grid = np.fft.rfftfreq(len(signal), 1 / RATE)
    assert power[(grid > 300) & (grid < 3300)].sum() > 0.98 * power.sum()
    assert signal.std() == pytest.approx(1, abs=1e-3)


def test_harmonic_has_its_partials_where_they_belong():
    signal = dsp.steady(RATE, 440.0, (1.0, 0.0, 0.5))
    power = np.abs(np.fft.rfft(signal)) ** 2
    assert set(np.argsort(power)[-2:]) == {440, 1320}


def test_grains_lie_at_their_times():
    times = np.array([0.1, 0.5])
    signal = dsp.grains(generator(0), RATE, times, lambda: np.ones(160, np.float32))
    on = np.flatnonzero(signal)
    assert on.tolist() == [*range(1600, 1760), *range(8000, 8160)]


def test_low_pass_halves_the_amplitude_at_its_corner():
    tone = dsp.steady(RATE, 1000.0, (1.0,))
    assert dsp.rms(dsp.low_pass(tone, 1000.0)) / dsp.rms(tone) == pytest.approx(0.5, abs=0.05)
