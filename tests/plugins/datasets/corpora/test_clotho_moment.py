"""One-minute clips in the manner of Clotho-Moment."""

import numpy as np
import pytest

from amrbench.errors import DataError
from amrbench_plugins.datasets.corpora import clotho_moment, sound
from amrbench_plugins.datasets.corpora.catalogue import Background, Sound
from tests.plugins.datasets.corpora import small_corpora as corpora
from tests.plugins.datasets.corpora.small_corpora import clips, one_minute

pytestmark = pytest.mark.usefixtures("local_corpora")


def test_excerpts_of_tours_with_clotho_sounds():
    recordings = clips(one_minute(), "val")
    assert recordings
    assert len(recordings) < 31, "clips without sounds are left out"
    for clip in recordings:
        assert clip.vid.startswith("Singapore_")
        assert clip.waveform.shape == (480_000,)
        assert len(clip.queries) >= 1
        for query in clip.queries:
            start, end = query.windows[0]
            assert 0 <= start < end <= 60
            assert (end - start) == pytest.approx(round(end - start)), "whole seconds"
            assert start * 10 == pytest.approx(round(start * 10))
            assert -5 <= query.extra["fg_dB"] <= 5
            assert "validation" in query.query
        assert clip.provenance["events"][0]["licence"] == "CC0"


def test_foregrounds_have_the_power_of_their_annotation():
    for clip in clips(one_minute(), "val"):
        for query in clip.queries:
            start, end = (round(second * 8000) for second in query.windows[0])
            inside = sound.level(clip.waveform[start:end]) - clip.provenance["gain_db"]
            expected = -30 + 10 * np.log10(10 ** (query.extra["fg_dB"] / 10) + 1)
            assert inside == pytest.approx(expected, abs=1)


def singapore(tmp_path, wave):
    path = tmp_path / "Singapore.flac"
    corpora.write(path, wave)
    return Background("Walking Tours", "Singapore", path, "", "Singapore")


def test_a_tour_that_is_silent_under_a_clip_is_refused(tmp_path):
    noise = np.random.default_rng(0).standard_normal(8000 * 140) * 0.1
    noise[8000 * 65 :] = 0
    tour = singapore(tmp_path, noise)
    corpora.write(tmp_path / "dog.wav", corpora.tone(2.5, 500))
    dog = Sound("Clotho", "dog", tmp_path / "dog.wav", "", ("a dog",))
    sources = clotho_moment.TourSources("val", (dog,), (2,), (tour,), (140,))
    mixer = clotho_moment.ExcerptMixer(sources, seed=0, rate=8000)
    assert mixer.clip(clotho_moment.TourExcerpt(0, 60)).waveform.any()
    with pytest.raises(DataError) as error:
        mixer.clip(clotho_moment.TourExcerpt(0, 70))
    assert str(error.value) == (
        f"{tour.path}: is silent from 70 to 130 s: its level is below -90 dB, and the levels of sounds are "
        "relative to it. Download the file again."
    )


def test_a_tour_that_is_shorter_than_a_clip_is_refused(tmp_path, corpora_folder):
    tour = singapore(tmp_path, np.zeros(8000 * 30))
    with pytest.raises(DataError) as error:
        clotho_moment.list_sources("val", corpora_folder / "clotho", tmp_path)
    assert str(error.value) == (f"{tour.path}: has 30 s, less than a clip of 60 s. Put the whole tour there.")


def test_splits_are_made_of_other_tours_and_sounds():
    dataset = one_minute().build()
    rows = {
        split: [dataset.recording(split, n).provenance for n in range(0, dataset.size(split), 12)]
        for split in ("train", "val", "test")
    }
    ids = [{event["id"] for row in rows[split] for event in row["events"]} for split in rows]
    assert ids[0].isdisjoint(ids[1] | ids[2])
    assert {row["background"]["id"] for row in rows["test"]} <= {"Istanbul", "Wildlife"}
    assert one_minute().build().fingerprint() != one_minute(seed=1).build().fingerprint()
