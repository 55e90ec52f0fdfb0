"""The five-minute set: counts, levels, windows, splits, provenance, refusals."""

import json
import re
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from pydantic import ValidationError

from amrbench.errors import DataError
from amrbench.notes import collected_notes
from amrbench.slots.data import DatasetPart
from amrbench_plugins.datasets.corpora import intermediate, sound
from amrbench_plugins.datasets.corpora.catalogue import Background, Sound
from amrbench_plugins.datasets.corpora.intermediate import SplitSources
from tests.plugins.datasets.corpora import small_corpora as corpora
from tests.plugins.datasets.corpora.small_corpora import clips, five_minutes

pytestmark = pytest.mark.usefixtures("local_corpora")


def test_the_numbers_are_those_of_table_1():
    part = DatasetPart.model_validate("intermediate300", context=corpora.REGISTRY)
    assert (part.clips, part.queries, part.seconds) == ((5000, 500), (14_385, 1_414), 300)
    for split, number, queries in (("train", 5000, 14_385), ("val", 500, 1_414)):
        counts = intermediate.event_counts(part.build().options, split)
        assert len(counts) == number
        assert counts.sum() == queries
        assert set(counts.tolist()) == {1, 2, 3, 4, 5}
        assert np.bincount(counts)[1:].min() > 0.1 * number, "every count is frequent"


def test_sounds_and_backgrounds_are_those_of_section_5():
    part = DatasetPart.model_validate("intermediate300", context=corpora.REGISTRY)
    assert len(set(part.environments)) == len(part.environments) == 6
    assert set(part.subsets) == {"AudioSet_SL", "BBC_Sound_Effects", "SoundBible"}


def test_every_clip_has_what_was_planned():
    recordings = clips(five_minutes(), "train")
    assert sum(len(clip.queries) for clip in recordings) == 24
    assert len({clip.vid for clip in recordings}) == 8
    for clip in recordings:
        assert clip.vid.startswith("int40_train_0000")
        assert clip.waveform.shape == (40 * 8000,)
        assert clip.waveform.dtype == np.float32
        assert np.abs(clip.waveform).max() <= 0.98
        windows = sorted(query.windows[0] for query in clip.queries)
        assert windows[0][0] >= 0.9
        assert windows[-1][1] <= 39.1
        for (_, end), (start, _) in pairwise(windows):
            assert start - end >= 0.7, "a gap of a second, windows rounded outward"
        texts = [query.query for query in clip.queries]
        assert len(set(texts)) == len(texts)


def test_levels_are_those_of_the_plan(monkeypatch):
    monkeypatch.setattr(intermediate, "_SNR", (10.0, 15.0))
    for clip in clips(five_minutes(), "train"):
        for query, event in zip(clip.queries, clip.provenance["events"], strict=True):
            start, end = (round(second * 8000) for second in query.windows[0])
            inside = sound.level(clip.waveform[start + 800 : end - 800])
            outside = sound.level(clip.waveform[max(0, start - 4000) : start - 800])
            # Signal and background together are louder than the signal alone.
            difference = 10 * np.log10(10 ** (event["snr_db"] / 10) + 1)
            assert inside - outside == pytest.approx(difference, abs=1.5)
            assert event["caption"] == query.query


def test_no_file_is_in_two_splits():
    sources = {}
    for split in ("train", "val"):
        rows = [clip.provenance for clip in clips(five_minutes(), split)]
        sources[split] = {event["id"] for row in rows for event in row["events"]}
        sources[split] |= {row["background"]["id"] for row in rows}
    assert sources["train"].isdisjoint(sources["val"])


def test_validation_has_an_environment_of_its_own():
    environments = ["TCAR", "NFIELD"]
    for split, environment in (("train", "TCAR"), ("val", "NFIELD")):
        made = clips(five_minutes(environments=environments), split)
        names = {clip.provenance["background"]["id"].split()[0] for clip in made}
        assert names == {environment}, "channels of one environment are one recording"


@pytest.mark.parametrize(
    ("environments", "message"),
    [
        (["TCAR"], "Tuple should have at least 2 items after validation, not 1"),
        (["TCAR", "TCAR"], "'TCAR' is listed twice; keep one."),
    ],
)
def test_without_a_second_environment_there_is_no_set(environments, message):
    with pytest.raises(ValidationError) as error:
        five_minutes(environments=environments)
    assert message in str(error.value)


def test_provenance_names_corpus_file_and_licence():
    row = clips(five_minutes(), "val")[0].provenance
    assert json.loads(json.dumps(row))["background"]["licence"].startswith("CC BY-SA 3.0")
    event = row["events"][0]
    assert event.keys() >= {"corpus", "id", "file", "licence", "from_seconds", "window", "snr_db", "gain_db"}
    assert event["corpus"].startswith("WavCaps ")
    assert "academic use only" in event["licence"]


def test_provenance_holds_the_plan_under_the_keys_of_the_manifest():
    row = clips(five_minutes(), "val")[0].provenance
    keys = ["vid", "background", "offset", "level", "wanted", "sounds", "captions", "snrs", "shares"]
    assert list(row["plan"]) == keys
    assert row["plan"]["wanted"] == len(row["plan"]["shares"]) == len(row["events"])


def test_clips_do_not_depend_on_what_was_asked_before():
    one, other = five_minutes().build(), five_minutes().build()
    first = one.recording("train", 5)
    other.recording("train", 7)
    again = other.recording("train", 5)
    assert np.array_equal(first.waveform, again.waveform)
    assert first.queries == again.queries
    assert one.fingerprint() == other.fingerprint() != five_minutes(seed=1).build().fingerprint()


def test_other_seeds_are_other_sets():
    assert clips(five_minutes(seed=1), "val")[0].queries != clips(five_minutes(), "val")[0].queries


def test_excluded_ids_are_not_used(tmp_path):
    ids = tmp_path / "ids.txt"
    ids.write_text("\n".join([f"Y{n:011d}.wav" for n in range(60)]))
    more = tmp_path / "more.json"
    more.write_text(json.dumps({"SoundBible": [str(1000 + n) for n in range(30)]}))
    part = five_minutes(exclude=[str(ids), str(more)], queries=[16, 4])
    with collected_notes() as notes:
        used = {event["id"] for clip in clips(part, "train") for event in clip.provenance["events"]}
        fingerprint = part.build().fingerprint()
    assert used <= {str(1030 + n) for n in range(30)}
    assert notes == [
        f"{ids}: 60 of its 60 ids are in WavCaps SoundBible, AudioSet_SL and left out.",
        f"{more}: 30 of its 30 ids are in WavCaps SoundBible, AudioSet_SL and left out.",
    ]
    assert fingerprint != five_minutes(queries=[16, 4]).build().fingerprint()


def test_silent_and_short_sounds_are_replaced_by_others(tmp_path, corpora_folder):
    sounds = [
        Sound("x", str(n), tmp_path / f"{n}.wav", "", (f"{w} alone",)) for n, w in enumerate("abcdefgh")
    ]
    for number, source in enumerate(sounds):
        wave = np.zeros(8000) if number < 4 else corpora.tone(1.0, 500)
        corpora.write(source.path, wave)
    channel = corpora_folder / "demand" / "TCAR_16k" / "ch01.wav"
    sources = SplitSources(sounds, [Background("DEMAND", "TCAR ch01", channel, "", "TCAR")])
    options = intermediate.MixOptions(seed=0, seconds=20, rate=8000, clips=(1, 1), queries=(3, 3))
    plan = intermediate.plan_clip(options, "train", 0, sources)
    with collected_notes() as notes:
        clip = intermediate.mix_clip(options, plan, sources)
    assert all("is silent" in note for note in notes)
    assert {event["id"] for event in clip.provenance["events"]} <= set("4567")
    short = replace(plan, sounds=(0, 1, 4), captions=(0, 0, 0), snrs=(1.0, 1.0, 1.0))
    with collected_notes(), pytest.raises(DataError) as error:
        intermediate.mix_clip(options, short, sources)
    assert str(error.value) == (
        f"{plan.vid}: only 1 of 3 events fit; the 3 sounds that were drawn are silent, too short, or too "
        "long together. Use more subsets of WavCaps."
    )


def test_long_sounds_are_cut_to_their_loudest_part(monkeypatch):
    monkeypatch.setattr(intermediate, "_LONGEST", 1.5)
    for clip in clips(five_minutes(), "val"):
        for query in clip.queries:
            start, end = query.windows[0]
            assert end - start <= 1.8


def test_sounds_with_captions_that_are_alike_are_not_in_one_clip():
    sounds = [Sound("x", str(n), None, "", (f"a dog barks loudly {n}",)) for n in range(9)]
    assert len(SplitSources(sounds, []).draw_sounds(np.random.default_rng(0), 5)) == 1


@pytest.mark.parametrize(("silent", "times"), [((0, 20), "0 to 20"), ((12, 20), r"1[\d.]+ to 1[\d.]+")])
def test_a_background_that_is_silent_under_a_clip_or_a_sound_is_refused(tmp_path, silent, times):
    noise = np.random.default_rng(0).standard_normal(160_000) * 0.05
    noise[slice(*(second * 8000 for second in silent))] = 0
    background = Background("DEMAND", "TCAR ch01", tmp_path / "background.wav", "", "TCAR")
    dog = Sound("x", "dog", tmp_path / "dog.wav", "", ("a dog",))
    corpora.write(background.path, noise)
    corpora.write(dog.path, corpora.tone(1.0, 500))
    options = intermediate.MixOptions(seed=0, seconds=20, rate=8000, clips=(1, 1), queries=(1, 1))
    sources = SplitSources([dog], [background])
    plan = intermediate.ClipPlan("clip", 0, 0.0, -40.0, 1, (0,), (0,), (5.0,), (0.9,))
    with collected_notes(), pytest.raises(DataError) as error:
        intermediate.mix_clip(options, plan, sources)
    assert re.fullmatch(
        f"{background.path}: is silent where it is the background of clip from {times} s: its level is below "
        r"-90 dB, and the levels of sounds are relative to it\. Download the file again\.",
        str(error.value),
    )
    before = replace(plan, positions=(0.1,))
    if silent[0]:
        assert intermediate.mix_clip(options, before, sources).queries, "silence elsewhere is fine"
