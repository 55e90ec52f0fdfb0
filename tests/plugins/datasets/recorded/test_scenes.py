"""Recordings that are mixed from takes: what sounds when, how loudly, and what queries say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import soundfile

from amrbench.errors import DataError
from amrbench_plugins.datasets.corpora import sound
from amrbench_plugins.datasets.recorded.collection import SPLITS, read_collection
from amrbench_plugins.datasets.recorded.scenes import (
    Options,
    RecordedDataset,
    cast,
    phrased,
    plan,
    played,
    read_take,
)
from tests.plugins.datasets.corpora.small_corpora import tone, write
from tests.plugins.datasets.recorded.made_takes import CLASSES, RATE, collection

OPTIONS = Options("scenes-small", 0, RATE, (5, 2, 5))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return collection(tmp_path_factory.mktemp("recorded"))


@pytest.fixture(scope="module")
def takes(folder):
    return read_collection(folder)


def data(takes, options=OPTIONS):
    return RecordedDataset(lambda: takes, options)


def recordings(takes, split="train", count=5, options=OPTIONS):
    return [data(takes, options).recording(split, number) for number in range(count)]


def scenes(takes, split="train", count=5):
    return [plan(takes, OPTIONS, split, number) for number in range(count)]


def test_a_recording_depends_on_seed_split_and_number_alone(takes):
    first, again = recordings(takes), data(takes).recording("train", 3)
    assert first[3].vid == again.vid == "recorded_scenes-small_train_0003"
    assert first[3].queries == again.queries
    assert np.array_equal(first[3].waveform, again.waveform)
    others = [
        *recordings(takes, "val", 1),
        *recordings(takes, options=Options("scenes-small", 1, RATE, (5, 2, 5)), count=1),
    ]
    assert len({recording.queries[0].windows for recording in (*first, *others)}) == 7


def test_times_and_windows_are_those_of_the_layout(takes):
    for scene, recording in zip(scenes(takes), recordings(takes), strict=True):
        layout = scene.layout
        assert len(recording.waveform) == layout.seconds * RATE
        assert [query.windows for query in recording.queries] == [each.windows for each in layout.requests]
        assert [query.qid for query in recording.queries] == [
            f"{recording.vid}_{index}" for index in range(len(layout.requests))
        ]
        rows = recording.provenance["sounds"]
        assert rows[0]["class"] == "background"
        assert rows[1]["class"] == scene.classes[-1].name or not layout.bed
        events = rows[1 + bool(layout.bed) :]
        assert [row["seconds"] for row in events] == [[event.start, event.end] for event in layout.events]
        names = [scene.classes[event.sound].name for event in layout.events]
        assert [row["class"] for row in events] == names


def test_queries_are_known_before_the_audio_is_made(takes):
    assert [recording.queries for recording in recordings(takes)] == [
        data(takes).queries("train", number) for number in range(5)
    ]


def test_sounds_and_background_have_the_levels_of_the_layout(takes):
    """Each class is a tone of its own pitch, which is measured in the mix while it lasts."""
    checked = 0
    for scene, recording in zip(scenes(takes), recordings(takes), strict=True):
        level = recording.provenance["level_db"]
        for event in scene.layout.events:
            piece = recording.waveform[round(event.start * RATE) : round(event.end * RATE)]
            alone = [other for other in scene.layout.events if other.sound == event.sound]
            if event.seconds < 1 or event.snr < 3 or len(alone) > 1:
                continue
            spectrum = np.abs(np.fft.rfft(piece.astype(np.float64))) ** 2 * 2 / len(piece) ** 2
            hertz = np.fft.rfftfreq(len(piece), 1 / RATE)
            base = 200 + 120 * CLASSES.index(scene.classes[event.sound].name)
            inside = (hertz > base - 25) & (hertz < base + 75)
            measured = 10 * np.log10(spectrum[inside].sum())
            assert measured == pytest.approx(level + event.snr, abs=2)
            checked += 1
    assert checked > 3


def test_splits_play_other_takes(takes):
    files = {
        split: {
            file
            for recording in recordings(takes, split, 4)
            for row in recording.provenance["sounds"]
            for file in row["files"]
        }
        for split in SPLITS
    }
    assert all(files.values())
    assert files["train"].isdisjoint(files["val"] | files["test"])
    assert files["val"].isdisjoint(files["test"])


def test_only_test_queries_have_held_out_phrases(takes):
    unseen = {
        split: [
            query.extra["unseen_phrase"] for each in recordings(takes, split, 8) for query in each.queries
        ]
        for split in SPLITS
    }
    assert not any(unseen["train"] + unseen["val"])
    assert 0.3 < np.mean(unseen["test"]) < 0.9


def test_queries_name_the_sounds_of_their_windows(takes):
    rng = np.random.default_rng(0)
    for _ in range(20):
        kinds = [takes.classes[index] for index in rng.permutation(len(CLASSES))[:2]]
        text, unseen = phrased(rng, kinds, "test")
        assert all(any(phrase in text.lower() for phrase in kind.phrases) for kind in kinds)
        assert unseen == any(phrase in text.lower() for kind in kinds for phrase in kind.phrases[3:])
        text, _ = phrased(rng, kinds[:1], "train")
        assert text.rstrip(".").lower() in kinds[0].known_phrases
    kinds = {query.extra["kind"] for each in recordings(takes) for query in each.queries}
    assert kinds == {"single", "while"}


def test_classes_of_a_recording_differ_and_speech_lies_under_it_where_the_layout_says_so(takes):
    beds = []
    for scene in scenes(takes, count=40):
        assert (
            len({kind.name for kind in scene.classes}) == len(scene.classes) == len(scene.layout.sounds) + 1
        )
        if scene.layout.bed and scene.layout.bed.speech:
            beds.append(scene.classes[-1].name)
    assert set(beds) == {"man"}


def test_speech_is_more_common_than_other_classes(takes):
    names = [kind.name for scene in scenes(takes, count=60) for kind in scene.classes[:-1]]
    assert names.count("man") > 1.3 * names.count("dog") > 0


def test_long_takes_are_cut_and_short_ones_repeated(tmp_path):
    for name, seconds in (("long", 20.0), ("short", 0.5)):
        write(tmp_path / f"{name}.wav", tone(seconds, 440))
    rng = np.random.default_rng(0)
    wave, used = played(rng, [tmp_path / "long.wav"], 3 * RATE, rate=RATE)
    assert used == [tmp_path / "long.wav"]
    assert sound.level(wave) == pytest.approx(sound.level(tone(3, 440)), abs=0.2)
    wave, _ = played(rng, [tmp_path / "short.wav"], 6 * RATE, rate=RATE)
    silent = np.convolve(np.abs(wave) < 1e-6, np.ones(160), "valid") == 160
    assert 3 <= np.count_nonzero(np.diff(silent.astype(int)) == 1) <= 12, "pauses between the calls"
    assert not np.convolve(np.abs(wave) < 1e-6, np.ones(round(0.5 * RATE)), "valid").max() >= 0.5 * RATE


def test_silence_at_the_ends_of_a_take_is_cut(tmp_path):
    write(tmp_path / "a.wav", tone(1.0, 440, silence=2.0))
    assert len(read_take(tmp_path / "a.wav", RATE)) / RATE == pytest.approx(1.1, abs=0.1)
    write(tmp_path / "b.wav", 1e-3 * tone(1.0, 440))
    with pytest.raises(DataError) as error:
        read_take(tmp_path / "b.wav", RATE)
    assert str(error.value) == f"{tmp_path}/b.wav: nothing is audible in the first 60 s. Move it away."


def test_takes_of_another_rate_are_resampled(tmp_path):
    soundfile.write(tmp_path / "a.flac", 0.3 * np.sin(np.arange(44_100) * 0.06), 44_100)
    assert len(read_take(tmp_path / "a.flac", RATE)) == pytest.approx(RATE, abs=10)


def test_too_few_classes_are_refused(takes):
    layout = scenes(takes)[0].layout
    few = replace(takes, classes=takes.classes[: len(layout.sounds)])
    with pytest.raises(DataError) as error:
        cast(np.random.default_rng(0), few, layout)
    assert str(error.value) == (
        f"{takes.folder}: has {len(layout.sounds)} classes, but a recording needs {len(layout.sounds) + 1} "
        "different ones. Add classes, or choose a preset with fewer sounds."
    )


def test_a_damaged_take_is_named(tmp_path):
    folder = collection(tmp_path)
    for path in folder.rglob("*.wav"):
        path.write_bytes(path.read_bytes()[:-99])
    with pytest.raises(DataError, match=r"noise \d\.wav: truncated"):
        recordings(read_collection(folder), count=1)


def test_the_data_set_reads_the_collection_when_it_is_needed(takes):
    calls = []

    def read():
        calls.append("read")
        return takes

    data = RecordedDataset(read, OPTIONS)
    assert [data.size(split) for split in data.splits()] == [5, 2, 5]
    assert calls == []
    assert data.recording("val", 1).vid == "recorded_scenes-small_val_0001"
    assert (
        data.fingerprint() != RecordedDataset(read, Options("scenes-small", 1, RATE, (5, 2, 5))).fingerprint()
    )
    assert calls == ["read", "read"]
