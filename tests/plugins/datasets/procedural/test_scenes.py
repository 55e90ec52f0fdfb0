"""What the procedural world renders: the audio of a plan."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest

from amrbench.data.worker_pool import worker_pool
from amrbench.files.annotations import read_annotations, write_annotations
from amrbench.slots.data import Recording
from amrbench_plugins.datasets.procedural import planning, scenes
from amrbench_plugins.datasets.procedural.dsp import RATE
from amrbench_plugins.datasets.procedural.presets import PRESETS
from amrbench_plugins.datasets.procedural.scenes import ProceduralDataset

KEYS = [("scenes-small", "test", index) for index in range(6)] + [
    ("scenes", "test", 3),
    ("short", "train", 0),
    ("long", "val", 0),
]


@dataclass(frozen=True)
class Rendered:
    """A plan, its background and events rendered alone, and the finished clip."""

    scene: planning.ScenePlan
    background: np.ndarray
    events: list[tuple[int, np.ndarray]]
    clip: Recording


def clip(preset, split, index, seed=0):
    return ProceduralDataset(PRESETS[preset], seed).recording(split, index)


@cache
def rendered(preset, split, index):
    scene = planning.plan(PRESETS[preset], split, index, seed=0)
    background = scenes.rendered_background(scene)
    return Rendered(scene, background, scenes.rendered_events(scene), clip(preset, split, index))


@pytest.fixture(params=KEYS, ids=lambda key: "-".join(map(str, key)))
def one(request):
    return rendered(*request.param)


def decibels(signal):
    return 10 * np.log10(np.mean(signal.astype(np.float64) ** 2))


# ---------------------------------------------------------------- determinism


def test_a_clip_has_the_same_bits_whatever_was_made_before():
    first = clip("scenes-small", "train", 5, 2)
    clip("scenes-small", "train", 4, 2)
    again = clip("scenes-small", "train", 5, 2)
    assert first.waveform.tobytes() == again.waveform.tobytes()
    assert first.queries == again.queries


def test_a_worker_process_makes_the_same_bits():
    with worker_pool(1, "makes clips") as pool:
        there = pool.submit(clip, "scenes-small", "test", 0).result()
    here = rendered("scenes-small", "test", 0).clip
    assert there.waveform.tobytes() == here.waveform.tobytes()
    assert there.queries == here.queries


def test_splits_share_no_audio():
    audio = [clip("scenes-small", split, 0).waveform[: 50 * RATE] for split in ("train", "val", "test")]
    for a, b in ((0, 1), (0, 2), (1, 2)):
        assert abs(np.corrcoef(audio[a], audio[b])[0, 1]) < 0.1


# ---------------------------------------------------------------- queries


def test_queries_are_known_without_the_audio(one):
    name, split, index = one.scene.vid.split("_")
    assert tuple(ProceduralDataset(PRESETS[name], 0).queries(split, int(index))) == one.clip.queries


def test_queries_are_the_same_after_they_were_written_and_read(one, tmp_path):
    write_annotations(tmp_path / "a.jsonl", one.clip.queries)
    assert read_annotations(tmp_path / "a.jsonl") == list(one.clip.queries)


def test_the_audio_is_as_long_as_the_queries_say(one):
    assert {query.duration for query in one.clip.queries} == {len(one.clip.waveform) / RATE}


# ---------------------------------------------------------------- levels


def test_the_background_has_the_level_of_the_plan(one):
    assert decibels(one.background) == pytest.approx(one.scene.level, abs=0.01)


def test_each_event_is_above_the_background_as_planned(one):
    for planned, (first, signal) in zip(one.scene.layout.events, one.events, strict=True):
        assert decibels(signal) - decibels(one.background) == pytest.approx(planned.snr, abs=0.01)
        assert first == round(planned.start * RATE)
        assert len(signal) == round(planned.seconds * RATE)


def test_events_can_be_heard_where_they_begin_and_end(one):
    """Ends are quieter, but within 30 dB of the event as a whole in its first and last seconds."""
    for planned, (_, signal) in zip(one.scene.layout.events, one.events, strict=True):
        edge = int(min(0.5 * planned.seconds, 1.5) * RATE)
        for part in (signal[:edge], signal[-edge:]):
            assert decibels(part) > decibels(signal) - 30


def test_a_clip_is_its_background_and_events_turned_down_together(one):
    mix = one.background.astype(np.float64)
    for first, signal in one.events:
        end = min(len(mix), first + len(signal))
        mix[first:end] += signal[: end - first]
    peak = np.abs(mix).max()
    np.testing.assert_allclose(one.clip.waveform, mix * min(1, 0.98 / peak), atol=1e-6)


def test_audio_is_finite_and_within_full_scale(one):
    assert one.clip.waveform.dtype == np.float32
    assert np.isfinite(one.clip.waveform).all()
    assert np.abs(one.clip.waveform).max() <= 0.981


def test_a_bed_changes_the_background_but_not_its_level():
    beds = {rendered(*key).scene.bed is not None for key in KEYS}
    assert beds == {False, True}


# ---------------------------------------------------------------- data set


def test_the_fingerprint_depends_on_seed_preset_and_laws():
    prints = {ProceduralDataset(preset, seed).fingerprint() for preset in PRESETS.values() for seed in (0, 1)}
    assert len(prints) == 2 * len(PRESETS)
