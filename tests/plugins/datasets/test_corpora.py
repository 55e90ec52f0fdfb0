"""Data sets that are mixed from corpora: counts, levels, windows, splits, provenance, refusals."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from amrbench.config.load import load_protocol
from amrbench.discovery import load_registry
from amrbench.errors import DataError
from amrbench.slots.data import DatasetPart
from amrbench.tools.synthesize_audio import SynthesisJob, synthesize
from amrbench_plugins.datasets.corpora import catalogue, clotho_moment, intermediate, sound
from amrbench_plugins.datasets.corpora.catalogue import Background, Sound
from tests.plugins.datasets import corpora

REGISTRY = load_registry()


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpora")
    corpora.wavcaps(folder / "wavcaps")
    corpora.demand(folder / "demand")
    corpora.clotho(folder / "clotho")
    corpora.tours(folder / "walking-tours", sum(clotho_moment.TOURS.values(), ()))
    return folder


@pytest.fixture(autouse=True)
def data(place, monkeypatch):
    monkeypatch.setenv("AMRBENCH_DATA", str(place))


def five_minutes(**options):
    small = {
        "clips": [8, 3], "queries": [24, 8], "seconds": 40, "rate": 8000,
        "environments": ["NFIELD", "TCAR"], "subsets": ["SoundBible", "AudioSet_SL"],
    }  # fmt: skip
    return DatasetPart.model_validate({"use": "intermediate300", **small, **options}, context=REGISTRY)


def one_minute(**options):
    return DatasetPart.model_validate(
        {"use": "clotho-moment60", "rate": 8000, "step": 3, **options}, context=REGISTRY
    )


def clips(part, split):
    dataset = part.build()
    return [dataset.recording(split, index) for index in range(dataset.size(split))]


# ---------------------------------------------------------------- sounds


def test_what_is_active_of_a_sound():
    start, end = sound.active(corpora.tone(2.0, 440, silence=1.0).astype(np.float32), 8000)
    assert (start / 8000, end / 8000) == pytest.approx((0.95, 3.05), abs=0.03)
    assert sound.active(np.zeros(8000, np.float32), 8000) == (0, 0)
    assert sound.active(corpora.tone(2.0, 440).astype(np.float32), 8000) == (0, 16000), (
        "steady sounds are all of it"
    )
    assert sound.active(np.ones(10, np.float32), 8000) == (0, 0)


def test_the_loudest_stretch():
    wave = np.r_[np.zeros(50), np.ones(10), np.zeros(40)].astype(np.float32)
    assert sound.loudest(wave, 10) == 50
    assert sound.loudest(wave, 200) == 0


@pytest.mark.parametrize(("length", "offset"), [(500, 0), (999, 300), (3000, 950), (400, 999)])
def test_a_background_goes_round_without_a_jump(length, offset):
    wave = np.sin(2 * np.pi * 5 * np.arange(1000) / 1000).astype(np.float32)
    found = sound.turned(wave, length, offset, 100)
    assert len(found) == length
    assert np.abs(np.diff(found)).max() < 0.1


def test_a_mixture_that_is_too_loud_is_turned_down_as_a_whole():
    wave = np.array([0.5, -2.0], np.float32)
    found, gain = sound.guarded(wave)
    assert np.abs(found).max() == pytest.approx(0.97)
    assert found[0] / found[1] == pytest.approx(-0.25)
    assert gain == pytest.approx(20 * np.log10(0.97 / 2))
    assert sound.guarded(wave / 4)[1] == 0


# ---------------------------------------------------------------- five minutes


def test_the_numbers_are_those_of_table_1():
    part = DatasetPart.model_validate("intermediate300", context=REGISTRY)
    assert (part.clips, part.queries, part.seconds) == ((5000, 500), (14_385, 1_414), 300)
    dummy = intermediate.Part((), ())
    for split, clips_, queries in (("train", 5000, 14_385), ("val", 500, 1_414)):
        counts = intermediate.Planner(intermediate.Mix(), split, dummy).counts
        assert len(counts) == clips_
        assert counts.sum() == queries
        assert set(counts.tolist()) == {1, 2, 3, 4, 5}
        assert np.bincount(counts)[1:].min() > 0.1 * clips_, "spread over all"


def test_every_clip_has_what_was_planned():
    part = five_minutes()
    found = clips(part, "train")
    assert sum(len(each.queries) for each in found) == 24
    assert len({each.vid for each in found}) == 8
    for clip in found:
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


def test_levels_are_those_of_the_plan():
    for clip in clips(five_minutes(snr=[10, 15]), "train"):
        told = clip.provenance
        for query, event in zip(clip.queries, told["events"], strict=True):
            start, end = (round(each * 8000) for each in query.windows[0])
            beside = max(0, start - 4000)
            inside = sound.level(clip.waveform[start + 800 : end - 800])
            outside = sound.level(clip.waveform[beside : start - 800])
            # Signal and background together are louder than the signal alone.
            wanted = 10 * np.log10(10 ** (event["snr_db"] / 10) + 1)
            assert inside - outside == pytest.approx(wanted, abs=1.5)
            assert event["caption"] == query.query


def test_no_file_is_in_two_splits():
    sources = {}
    for split in ("train", "val"):
        found = [clip.provenance for clip in clips(five_minutes(), split)]
        sources[split] = {event["id"] for each in found for event in each["events"]}
        sources[split] |= {each["background"]["id"] for each in found}
    assert sources["train"].isdisjoint(sources["val"])


def test_provenance_names_corpus_file_and_licence():
    told = clips(five_minutes(), "val")[0].provenance
    assert json.loads(json.dumps(told))["background"]["licence"].startswith("CC BY-SA 3.0")
    event = told["events"][0]
    assert event.keys() >= {"corpus", "id", "file", "licence", "from_seconds", "window", "snr_db", "gain_db"}
    assert event["corpus"].startswith("WavCaps ")
    assert "academic use only" in event["licence"]


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
    more = tmp_path / "black.json"
    more.write_text(json.dumps({"SoundBible": [str(1000 + n) for n in range(30)]}))
    part = five_minutes(exclude=[str(ids), str(more)], queries=[16, 4])
    used = {event["id"] for clip in clips(part, "train") for event in clip.provenance["events"]}
    assert used <= {str(1030 + n) for n in range(30)}
    assert part.build().fingerprint() != five_minutes(queries=[16, 4]).build().fingerprint()


def test_silent_and_short_sounds_give_way_to_others(tmp_path, place):
    sounds = [
        Sound("x", str(n), tmp_path / f"{n}.wav", (f"{w} alone",), "") for n, w in enumerate("abcdefgh")
    ]
    for number, each in enumerate(sounds):
        wave = np.zeros(8000) if number < 4 else corpora.tone(1.0, 500)
        corpora.write(each.path, wave)
    beds = [Background("DEMAND", "TCAR ch01", "TCAR", place / "demand" / "TCAR_16k" / "ch01.wav", "")]
    part = intermediate.Part(tuple(sounds), tuple(beds))
    mix = intermediate.Mix(seconds=20, rate=8000, clips=(1, 1), queries=(3, 3))
    line = replace(intermediate.Planner(mix, "train", part).line(0), wanted=3, shares=(0.1, 0.5, 0.9))
    clip = intermediate.Renderer(mix, part).clip(line)
    assert {event["id"] for event in clip.provenance["events"]} <= set("4567")
    lacking = replace(line, sounds=(0, 1, 4), captions=(0, 0, 0), snrs=(1.0, 1.0, 1.0))
    with pytest.raises(DataError) as error:
        intermediate.Renderer(mix, part).clip(lacking)
    assert str(error.value) == (
        f"{line.vid}: only 1 of 3 events can be placed; the 3 sounds that were drawn are too short, "
        "silent or "
        "too long together. Use more of WavCaps, or a lower 'longest'."
    )


def test_long_sounds_are_cut_to_their_loudest_stretch():
    for clip in clips(five_minutes(longest=1.5), "val"):
        for query in clip.queries:
            start, end = query.windows[0]
            assert end - start <= 1.8


def test_captions_that_could_be_mistaken_do_not_meet():
    sounds = tuple(Sound("x", str(n), None, (f"a dog barks loudly {n}",), "") for n in range(9))
    planner = intermediate.Planner(intermediate.Mix(), "train", intermediate.Part(sounds, ()))
    assert len(planner._sounds(np.random.default_rng(0), 5)) == 1


@pytest.mark.parametrize(("silent", "said"), [((0, 20), "0 to 20"), ((12, 20), r"1[\d.]+ to 1[\d.]+")])
def test_a_background_that_is_silent_under_a_clip_or_a_sound_is_refused(tmp_path, silent, said):
    noise = np.random.default_rng(0).standard_normal(160_000) * 0.05
    noise[slice(*(each * 8000 for each in silent))] = 0
    bed = Background("DEMAND", "TCAR ch01", "TCAR", tmp_path / "bed.wav", "")
    heard = Sound("x", "dog", tmp_path / "dog.wav", ("a dog",), "")
    corpora.write(bed.path, noise)
    corpora.write(heard.path, corpora.tone(1.0, 500))
    mix = intermediate.Mix(seconds=20, rate=8000, clips=(1, 1), queries=(1, 1))
    part = intermediate.Part((heard,), (bed,))
    line = intermediate.Line("clip", 0, 0.0, -40.0, 1, (0,), (0,), (5.0,), (0.9,))
    with pytest.raises(DataError) as error:
        intermediate.Renderer(mix, part).clip(line)
    assert re.fullmatch(
        f"{bed.path}: is silent where it is the background of clip from {said} s: below -90 dB, and sounds "
        r"are set against its level\. Get the file anew\.",
        str(error.value),
    )
    before = replace(line, shares=(0.1,))
    if silent[0]:
        assert intermediate.Renderer(mix, part).clip(before).queries, "silence elsewhere does no harm"


# ---------------------------------------------------------------- one minute


def test_windows_of_tours_with_clotho_sounds():
    found = clips(one_minute(), "val")
    assert found
    assert len(found) < 11, "empty windows are left out"
    for clip in found:
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


def test_foregrounds_have_the_power_that_is_told():
    for clip in clips(one_minute(), "val"):
        for query in clip.queries:
            start, end = (round(each * 8000) for each in query.windows[0])
            inside = sound.level(clip.waveform[start:end]) - clip.provenance["gain_db"]
            wanted = -30 + 10 * np.log10(10 ** (query.extra["fg_dB"] / 10) + 1)
            assert inside == pytest.approx(wanted, abs=1)


def tour(tmp_path, wave):
    path = tmp_path / "Singapore.flac"
    corpora.write(path, wave)
    return path, Background("Walking Tours", "Singapore", "Singapore", path, "")


def test_a_tour_that_is_silent_under_a_window_is_refused(tmp_path):
    noise = np.random.default_rng(0).standard_normal(8000 * 140) * 0.1
    noise[8000 * 65 :] = 0
    path, place = tour(tmp_path, noise)
    corpora.write(tmp_path / "dog.wav", corpora.tone(2.5, 500))
    heard = Sound("Clotho", "dog", tmp_path / "dog.wav", ("a dog",), "")
    part = clotho_moment.Part("val", (heard,), (2,), (place,), (140,))
    mixer = clotho_moment.Mixer(part, seed=0, rate=8000, step=1)
    assert mixer.clip(clotho_moment.Place(0, 60)).waveform.any()
    with pytest.raises(DataError) as error:
        mixer.clip(clotho_moment.Place(0, 70))
    assert str(error.value) == (
        f"{path}: is silent from 70 to 130 s: below -90 dB, and sounds are set against its level. Get the "
        "file anew."
    )


def test_a_tour_that_is_shorter_than_a_window_is_refused(tmp_path):
    path, place = tour(tmp_path, np.zeros(8000 * 30))
    with pytest.raises(DataError) as error:
        clotho_moment.part_of("val", [], [place])
    assert str(error.value) == (
        f"{path}: has 30 s, and a tour fills windows of 60 s. Put the whole tour there."
    )


def test_splits_are_made_of_other_tours_and_sounds():
    told = {
        split: [clip.provenance for clip in clips(one_minute(step=15), split)]
        for split in ("train", "val", "test")
    }
    names = [{event["id"] for each in told[split] for event in each["events"]} for split in told]
    assert names[0].isdisjoint(names[1] | names[2])
    assert {each["background"]["id"] for each in told["test"]} <= {"Istanbul", "Wildlife"}
    assert one_minute().build().fingerprint() != one_minute(seed=1).build().fingerprint()


# ---------------------------------------------------------------- files


def test_audio_annotations_and_manifest_are_written(tmp_path):
    for jobs in (1, 2):
        synthesize(
            SynthesisJob(five_minutes(), "val", None, tmp_path / str(jobs)), jobs=jobs, tell=lambda _: None
        )
    first, second = ({p.name: p.read_bytes() for p in (tmp_path / each).iterdir()} for each in "12")
    assert first == second
    assert sorted(first)[:2] == ["annotations.jsonl", "int40_val_00000.flac"]
    manifest = [json.loads(line) for line in first["manifest.jsonl"].decode().splitlines()]
    assert [each["vid"] for each in manifest] == [f"int40_val_{n:05d}" for n in range(3)]


def test_a_folder_without_audio_is_no_corpus(tmp_path, monkeypatch):
    monkeypatch.setenv("AMRBENCH_DATA", str(tmp_path))
    for name in ("demand", "wavcaps"):
        (tmp_path / name / "inner").mkdir(parents=True)
        (tmp_path / name / "inner" / "captions.json").touch()
    (tmp_path / "demand" / "inner" / "ch01.wav").touch()
    assert [need.found for need in five_minutes().corpora()] == [True, False]


def test_corpora_that_are_not_here(tmp_path, monkeypatch):
    monkeypatch.setenv("AMRBENCH_DATA", str(tmp_path))
    with pytest.raises(DataError) as error:
        five_minutes().build().recording("train", 0)
    lines = str(error.value).splitlines()
    assert lines[0] == "data set 'intermediate300' needs what is not here:"
    assert lines[1] == (
        f"  corpus DEMAND: {tmp_path}/demand. Published at Zenodo 1227121 (about 9 GB for 18 "
        "environments). Put a "
        "copy there ($AMRBENCH_DATA chooses the folder of data), or name its folder in the protocol."
    )
    with pytest.raises(DataError, match="corpus Walking-Tours: "):
        one_minute().build().size("val")


def test_the_protocols_train_on_it_before_fine_tuning():
    for name in ("castella", "dcase2026"):
        assert load_protocol(name, REGISTRY).data.midtrain.use == "intermediate300"


def refusal(call, *arguments):
    with pytest.raises(DataError) as error:
        call(*arguments)
    return str(error.value)


def test_wavcaps_that_cannot_be_used(tmp_path):
    path = tmp_path / "SoundBible" / "sb_final.json"
    path.parent.mkdir()
    assert refusal(catalogue.wavcaps, tmp_path, ["SoundBible"], frozenset()).startswith(
        f"{path}: the captions of WavCaps cannot be read ("
    )
    path.write_text("version https://git-lfs.github.com/spec/v1\n")
    assert refusal(catalogue.wavcaps, tmp_path, ["SoundBible"], frozenset()) == (
        f"{path}: is a Git LFS pointer, not the captions. Download the file itself."
    )
    path.write_text('{"data": [{"id": 3}]}')
    assert "is not as WavCaps publishes it (KeyError: 'caption')" in refusal(
        catalogue.wavcaps, tmp_path, ["SoundBible"], frozenset()
    )
    path.write_text('{"data": [{"id": 3, "caption_1": "a  dog", "caption_2": "b"}]}')
    assert refusal(catalogue.wavcaps, tmp_path, ["SoundBible"], frozenset()) == (
        f"{path}: 1 of 1 recordings have no audio file in {tmp_path}/SoundBible: '3'. Unpack the whole "
        "archive there, name in 'exclude' a file with the ids that you lack, or leave the subset out."
    )
    corpora.write(tmp_path / "SoundBible" / "3.wav", corpora.tone(1, 440))
    assert catalogue.wavcaps(tmp_path, ["SoundBible"], frozenset())[0].captions == ("a dog", "b")
    path.write_text('{"data": ' + "[" * 100_000)
    assert "is not as WavCaps publishes it (RecursionError: " in refusal(
        catalogue.wavcaps, tmp_path, ["SoundBible"], frozenset()
    )


def test_captions_of_wavcaps_that_say_nothing_are_left_out(tmp_path):
    entries = [
        {"id": "1", "caption_1": "a dog", "caption_2": " ", "caption_3": None, "caption_4": "b"},
        {"id": "2", "caption": ""},
        {"id": "3", "caption_1": " "},
        {"id": "4", "caption": "a cat"},
    ]
    corpora.write(tmp_path / "SoundBible" / "1.wav", corpora.tone(1, 440))
    corpora.write(tmp_path / "SoundBible" / "4.wav", corpora.tone(1, 440))
    (tmp_path / "SoundBible" / "sb_final.json").write_text(json.dumps({"data": entries}))
    found = catalogue.wavcaps(tmp_path, ["SoundBible"], frozenset())
    assert [(each.name, each.captions) for each in found] == [("1", ("a dog", "b")), ("4", ("a cat",))]


def test_captions_of_clotho_that_say_nothing(tmp_path):
    corpora.clotho(tmp_path, 2)
    path = tmp_path / "clotho_captions_validation.csv"
    header = path.read_text().splitlines()[0]
    path.write_text(f"{header}\nvalidation 0.wav,a,, ,b\nvalidation 1.wav,c,d,e,f,g,beyond\n")
    found = catalogue.clotho(tmp_path, "validation")
    assert [each.captions for each in found] == [("a", "b"), ("c", "d", "e", "f", "g")]
    path.write_text(f"{header}\nvalidation 0.wav,a,b,c,d,e\nvalidation 1.wav,,, ,,\n")
    assert refusal(catalogue.clotho, tmp_path, "validation") == (
        f"{path}: row 3, 'validation 1.wav', has no caption. Download it with Clotho v2.1."
    )


def test_other_corpora_that_cannot_be_used(tmp_path, place):
    assert refusal(catalogue.demand, tmp_path, ["TCAR"]) == (
        f"{tmp_path}/TCAR: there is no ch01.wav. Unpack TCAR_16k.zip or TCAR_48k.zip of DEMAND there."
    )
    assert refusal(catalogue.tours, tmp_path, ["Venice"]).startswith(
        f"{tmp_path}: there is no audio file 'Venice' (.wav"
    )
    for end in ("flac", "wav"):
        (tmp_path / f"Venice.{end}").write_bytes(b"")
    assert refusal(catalogue.tours, tmp_path, ["Venice"]) == (
        f"{tmp_path}/Venice.wav: {tmp_path}/Venice.flac has the same name; move one of them away."
    )
    assert refusal(catalogue.clotho, tmp_path, "validation").startswith(
        f"{tmp_path}/clotho_captions_validation.csv: cannot be read ("
    )
    for name, text in (
        ("captions", "file_name,caption_1\nx.wav,a\n"),
        ("metadata", "file_name,license\nx.wav,CC0\n"),
    ):
        (tmp_path / f"clotho_{name}_validation.csv").write_text(text)
    assert refusal(catalogue.clotho, tmp_path, "validation") == (
        f"{tmp_path}/validation: there is no audio file 'x.wav', which the captions of Clotho name."
    )
    (tmp_path / "clotho_captions_validation.csv").write_text("a,b\n1,2\n")
    assert refusal(catalogue.clotho, tmp_path, "validation") == (
        f"{tmp_path}/clotho_captions_validation.csv: has no rows with file_name and caption_1. "
        "Download it with "
        "Clotho v2.1."
    )
    assert "the excluded ids cannot be read" in refusal(catalogue.excluded_ids, [str(tmp_path / "no.txt")])
    (tmp_path / "bad.json").write_text("{")
    assert "the excluded ids are no JSON" in refusal(catalogue.excluded_ids, [str(tmp_path / "bad.json")])


def test_splits_and_counts_that_do_not_exist():
    assert refusal(five_minutes().build().size, "test") == (
        "data set 'intermediate300' has no split 'test'. Splits: train, val."
    )
    assert refusal(five_minutes(queries=[99, 8]).build().recording, "train", 0) == (
        "99 queries do not fit into 8 clips with 1 to 5 events each. Change 'clips' or 'queries'."
    )


def test_a_damaged_source_is_named_and_nothing_takes_its_place(tmp_path, monkeypatch):
    corpora.wavcaps(tmp_path / "wavcaps", 20)
    corpora.demand(tmp_path / "demand")
    monkeypatch.setenv("AMRBENCH_DATA", str(tmp_path))
    for path in (tmp_path / "wavcaps").rglob("*.wav"):
        path.write_bytes(path.read_bytes()[:-99])
    with pytest.raises(DataError, match=r"wavcaps/AudioSet_SL/Y\d+\.wav: truncated"):
        clips(five_minutes(subsets=["AudioSet_SL"]), "train")
