"""What the procedural world renders: audio, and windows measured from it."""

from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np
import pytest

from amrbench.data.worker_pool import worker_pool
from amrbench.files.annotations import read_annotations, write_annotations
from amrbench_plugins.datasets.procedural import planning, scenes
from amrbench_plugins.datasets.procedural.dsp import RATE
from amrbench_plugins.datasets.procedural.presets import PRESETS
from amrbench_plugins.datasets.procedural.scenes import ProceduralDataset

KEYS = [("scenes", "test", index) for index in range(10)] + [("short", "train", 0), ("long", "val", 0)]


@dataclass(frozen=True)
class Rendered:
    """A plan, its events rendered alone, and the finished clip."""

    scene: planning.ScenePlan
    events: list[scenes.RenderedEvent]
    clip: scenes.RenderedClip


def clip(preset, split, index, seed=0):
    return ProceduralDataset(PRESETS[preset], seed).recording(split, index)


@cache
def rendered(preset, split, index):
    scene = planning.plan(PRESETS[preset], split, index, seed=0)
    return Rendered(scene, scenes.rendered_events(scene), clip(preset, split, index))


@pytest.fixture(params=KEYS, ids=lambda key: "-".join(map(str, key)))
def one(request):
    return rendered(*request.param)


def audible_by_hand(event):
    """First and last second at which an event is above a hundredth of its peak, sample by sample."""
    signal = [abs(float(sample)) for sample in event.signal]
    bound = max(signal) / 100
    loud = [index for index, sample in enumerate(signal) if sample > bound]
    return round((event.first + loud[0]) / RATE, 1), round((event.first + loud[-1] + 1) / RATE, 1)


# ---------------------------------------------------------------- determinism


def test_a_clip_has_the_same_bits_whatever_was_made_before():
    first = clip("scenes", "train", 5, 2)
    clip("scenes", "train", 4, 2)
    again = clip("scenes", "train", 5, 2)
    assert first.waveform.tobytes() == again.waveform.tobytes()
    assert first.queries == again.queries


def test_a_worker_process_makes_the_same_bits():
    with worker_pool(1, "makes clips") as pool:
        there = pool.submit(clip, "scenes", "test", 0).result()
    here = rendered("scenes", "test", 0).clip
    assert there.waveform.tobytes() == here.waveform.tobytes()
    assert there.queries == here.queries


def test_splits_share_no_audio():
    audio = [clip("scenes", split, 0).waveform for split in ("train", "val", "test")]
    for a, b in ((0, 1), (0, 2), (1, 2)):
        assert abs(np.corrcoef(audio[a], audio[b])[0, 1]) < 0.1


# ---------------------------------------------------------------- windows


def test_windows_are_where_the_rendered_events_are_audible(one):
    audible = [audible_by_hand(event) for event in one.events]
    for planned, query in zip(one.scene.queries, one.clip.queries, strict=True):
        expected = [audible[number] for number in planned.events]
        if planned.kind == "then":
            expected = [(expected[0][0], expected[1][1])]
        elif planned.kind == "while":
            expected = [(max(start for start, _ in expected), min(end for _, end in expected))]
        assert query.windows == tuple(sorted(expected))


def test_windows_are_inside_the_clip_and_never_empty_nor_overlapping(one):
    for query in one.clip.queries:
        assert all(0 <= start < end <= query.duration for start, end in query.windows)
        assert all(a[1] <= b[0] for a, b in pairwise(query.windows))


def test_windows_are_given_to_a_tenth_of_a_second(one):
    times = [time for query in one.clip.queries for window in query.windows for time in window]
    assert all(time == round(time, 1) for time in times)


def test_both_kinds_of_composites_are_among_the_clips():
    kinds = {query.extra["kind"] for key in KEYS for query in rendered(*key).clip.queries}
    assert kinds == {"single", "then", "while"}


def test_queries_are_the_same_after_they_were_written_and_read(one, tmp_path):
    write_annotations(tmp_path / "a.jsonl", one.clip.queries)
    assert read_annotations(tmp_path / "a.jsonl") == list(one.clip.queries)


def test_queries_say_what_they_can_be_sliced_by(one):
    for number, (planned, query) in enumerate(zip(one.scene.queries, one.clip.queries, strict=True)):
        assert query.qid == f"{one.clip.vid}_{number}"
        assert query.query == planned.text
        assert query.extra == {
            "kind": planned.kind,
            "twin": planned.twin,
            "unseen_phrase": planned.unseen,
            "tight": any(end - start <= 4 for start, end in query.windows),
        }
        assert query.duration == len(one.clip.waveform) / RATE


# ---------------------------------------------------------------- levels


def test_each_event_is_above_the_background_as_planned(one):
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
    mix = scenes.rendered_background(one.scene).astype(np.float64)
    for event in one.events:
        mix[event.first : event.first + len(event.signal)] += event.signal
    peak = np.abs(mix).max()
    np.testing.assert_allclose(one.clip.waveform, mix * min(1, 0.98 / peak), atol=1e-6)
    return mix


def test_audio_is_finite_and_within_full_scale(one):
    assert one.clip.waveform.dtype == np.float32
    assert one.clip.waveform.shape == (int(one.scene.preset.seconds * RATE),)
    assert np.isfinite(one.clip.waveform).all()
    assert np.abs(one.clip.waveform).max() <= 0.981


def test_all_of_a_loud_scene_is_turned_down():
    peaks = [np.abs(rendered(*key).clip.waveform).max() for key in KEYS]
    assert max(peaks) == pytest.approx(0.98, abs=1e-4)
    assert min(peaks) < 0.9
