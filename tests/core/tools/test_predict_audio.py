import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile

from amrbench.api import predict
from amrbench.data.audio import AudioFile
from amrbench.errors import DataError, RunError
from amrbench.experiment.finished_run import open_run
from amrbench.files.predictions import read_predictions
from amrbench.notes import collected_notes
from amrbench.tools.predict_audio import (
    OVERLAP,
    SAME_IOU,
    audio_windows,
    find_moments,
    merge,
    system_names,
)
from amrbench.tools.random_sentences import LEVEL
from tests.small_world.data import EVENT_RATE, SECONDS, EventsDataset, OneHotEncoder
from tests.small_world.parts import PROTOCOL, RECIPE, REGISTRY
from tests.small_world.runs import run_in, write_yaml

# ---------------------------------------------------------------- audio windows


@pytest.mark.parametrize("rows", [1, 7, 99, 100, 101, 130, 175, 176, 1000, 12345])
def test_windows_cover_everything_and_each_position_is_in_one_zone(rows):
    windows = audio_windows(rows, 100)
    assert windows[0].start == 0
    assert windows[-1].stop == rows
    assert all(0 < window.stop - window.start <= 100 for window in windows)
    assert len(windows) == 1 or all(window.stop - window.start == 100 for window in windows)
    for first, second in pairwise(windows):
        assert first.start < second.start
        assert first.stop - second.start >= 100 * OVERLAP
        assert first.zone_end == second.zone_start == (first.stop + second.start) / 2
    for position in np.arange(0.5, rows):
        (owner,) = [window for window in windows if window.owns(position)]
        assert owner.start <= position < owner.stop


def spans_of(windows):
    return [(window.start, window.stop) for window in windows]


def test_no_more_windows_than_needed():
    assert spans_of(audio_windows(100, 100)) == [(0, 100)]
    assert spans_of(audio_windows(101, 100)) == [(0, 100), (1, 101)]
    assert spans_of(audio_windows(250, 100)) == [(0, 100), (75, 175), (150, 250)]


def test_with_a_limit_of_one_row_each_row_is_a_window():
    assert spans_of(audio_windows(3, 1)) == [(0, 1), (1, 2), (2, 3)]


def merged_by_hand(tables, windows, hop):
    """Best first; each moment is compared with all that were kept."""
    moments = []
    for number, (table, window) in enumerate(zip(tables, windows, strict=True)):
        for start, end, score in table:
            if window.zone_start <= (start + end) / 2 / hop < window.zone_end:
                moments.append((score, number, start, end))
    kept = []
    for score, number, start, end in sorted(moments, key=lambda moment: -moment[0]):
        same = False
        for _, other, other_start, other_end in kept:
            overlap = max(0, min(end, other_end) - max(start, other_start))
            union = end - start + other_end - other_start - overlap
            same |= other != number and overlap / union >= SAME_IOU
        if not same:
            kept.append((score, number, start, end))
    return np.array([[start, end, score] for score, _, start, end in kept])


@pytest.mark.parametrize("seed", range(20))
def test_merging_is_the_plain_rule(seed):
    rng = np.random.default_rng(seed)
    windows = audio_windows(250, 100)
    tables = []
    for window in windows:
        start = rng.uniform(window.start, window.stop, 30) * 0.5
        tables.append(np.column_stack([start, start + rng.uniform(1, 20, 30), rng.random(30)]))
    np.testing.assert_array_equal(merge(tables, windows, 0.5), merged_by_hand(tables, windows, 0.5))


def test_moments_of_one_window_are_all_kept():
    table = np.array([[1.0, 5.0, 0.9], [1.0, 5.0, 0.8], [2.0, 3.0, 0.7]])
    assert np.array_equal(merge([table], audio_windows(60, 100), 1.0), table)


# ---------------------------------------------------------------- prediction


@pytest.fixture
def run(soup_run, monkeypatch):
    """A finished run whose stages are in the cache folder of the user."""
    monkeypatch.setenv("AMRBENCH_CACHE", str(soup_run.folder.parents[1] / "cache"))
    return soup_run


def recorded(path, waveform):
    soundfile.write(path, waveform, EVENT_RATE, subtype="FLOAT")
    return path


def long_recording(minutes):
    """Return silence with one short event of class 1, and one of class 2."""
    wave = np.zeros(60 * minutes * EVENT_RATE, np.float32)
    wave[:EVENT_RATE] = 1
    wave[100 * EVENT_RATE : 103 * EVENT_RATE] = 2
    return wave


@pytest.mark.parametrize("member", ["soup", "seed 1"])
def test_a_recording_of_the_data_set_is_predicted_as_in_the_run(run, tmp_path, member):
    finished = open_run(run.folder, REGISTRY, member=member)
    row = run.result.row(member)
    expected = {moments.qid: moments for moments in read_predictions(run.folder / row.predictions)}
    for index in range(3):
        recording = EventsDataset("target", 12).recording("test", index)
        path = recorded(tmp_path / f"{index}.wav", recording.waveform)
        result = find_moments(path, [query.query for query in recording.queries], finished)
        assert result.windows == 1
        for query, answer in zip(recording.queries, result.answers, strict=True):
            np.testing.assert_allclose(answer.moments[:, :2], expected[query.qid].windows, atol=1e-4)
            np.testing.assert_allclose(answer.moments[:, 2], expected[query.qid].scores, atol=1e-4)


def test_a_long_recording_is_read_in_windows(run, tmp_path, monkeypatch):
    read, lengths = AudioFile.read, []

    def counted(self, start=0, stop=None):
        samples = read(self, start, stop)
        lengths.append(len(samples))
        return samples

    monkeypatch.setattr(AudioFile, "read", counted)
    path = recorded(tmp_path / "long.wav", long_recording(20))
    result = find_moments(path, ["class 2", "class 1"], open_run(run.folder, REGISTRY))
    assert result.windows > 100
    assert max(lengths) <= SECONDS * EVENT_RATE + 1, "memory does not grow with the length"
    moments = result.answers[0].moments
    start, end, _ = moments[0]
    assert 99 <= start < end <= 104
    assert (moments[:, 1] <= 1200).all()
    assert (np.diff(moments[:, 2]) <= 0).all()


def test_a_window_of_a_long_recording_is_predicted_as_if_it_were_alone(run, tmp_path):
    finished = open_run(run.folder, REGISTRY)
    wave = long_recording(3)
    (best, *_) = find_moments(recorded(tmp_path / "a.wav", wave), ["class 2"], finished).answers[0].moments
    piece = recorded(tmp_path / "b.wav", wave[99 * EVENT_RATE : 111 * EVENT_RATE])
    (alone, *_) = find_moments(piece, ["class 2"], finished).answers[0].moments
    assert abs(best[0] - alone[0] - 99) < 2
    assert abs(best[1] - alone[1] - 99) < 2


def test_the_command_prints_run_protocol_and_stand_ins(run, tmp_path, monkeypatch, amrbench):
    path = recorded(tmp_path / "a.wav", long_recording(1))
    monkeypatch.setattr("amrbench.discovery.load_registry", lambda **_: REGISTRY)

    def call(*arguments):
        code, out, _ = amrbench("predict", path, *arguments)
        assert code == 0
        return out

    lines = call("class 2", "class 1", "--run", run.folder, "--top", 2).splitlines()
    assert lines[:4] == [
        f"{path}: 60.0 s in {len(audio_windows(60, SECONDS))} windows",
        f"toy, soup, of {run.folder}",
        "Protocol tiny: For tests.",
        "Stand-ins: one-hot stands in for absent. A stand-in recognises only the sounds it was trained on.",
    ]
    assert lines[5] == "class 2"
    assert lines[9] == "class 1"
    assert len(lines) == 12
    (content,) = json.loads(call("class 2", "--run", run.folder, "--json", "--top", 3))["models"]
    assert content.keys() == {
        *("recording", "seconds", "windows", "run", "recipe", "member"),
        *("protocol", "protocol_about", "stand_ins", "queries"),
    }
    assert content["stand_ins"] == "one-hot stands in for absent"
    assert [row["query"] for row in content["queries"]] == ["class 2"]
    assert content["queries"][0]["moments"][0].keys() == {"start", "end", "score"}
    assert len(content["queries"][0]["moments"]) == 3
    monkeypatch.chdir(run.folder.parents[1])
    content = json.loads(call("class 2", "--json"))
    assert content.keys() == {"models", "notes"}
    assert content["models"][0]["run"] == f"runs/{run.folder.name}"


def test_several_models_answer_one_after_another(run, finished, tmp_path, monkeypatch, amrbench):
    path = recorded(tmp_path / "a.wav", long_recording(1))
    monkeypatch.setattr("amrbench.discovery.load_registry", lambda **_: REGISTRY)
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / "stages").mkdir()
    for folder in (run.folder, finished.folder):
        for stage in (folder.parents[1] / "cache" / "stages").iterdir():
            if not (cache / "stages" / stage.name).exists():
                (cache / "stages" / stage.name).symlink_to(stage)
    monkeypatch.setenv("AMRBENCH_CACHE", str(cache))
    command = ("predict", path, "class 2", "--top", 1, "--run", run.folder, "--run", finished.folder)
    code, out, _ = amrbench(*command)
    assert code == 0
    blocks = out.split("\n\n")
    assert [block.splitlines()[0] for block in blocks[::2]] == [f"{path}: 60.0 s in 7 windows"] * 2
    assert [block.splitlines()[1] for block in blocks[::2]] == [
        f"toy, soup, of {run.folder}",
        f"toy, seed 0, of {finished.folder}",
    ]
    _, out, _ = amrbench(*command, "--json")
    assert [row["member"] for row in json.loads(out)["models"]] == ["soup", "seed 0"]


def test_models_are_told_apart_by_the_folders_of_their_runs_or_by_their_paths(run, tmp_path):
    path = recorded(tmp_path / "a.wav", long_recording(1))
    result = find_moments(path, ["class 2"], open_run(run.folder, REGISTRY))
    one, two, other = (
        replace(result, finished=replace(result.finished, folder=Path(folder)))
        for folder in ("runs/x", "from-gpu/x", "runs/y")
    )
    assert system_names([one]) == ["toy, soup"]
    assert system_names([one, other]) == ["toy, soup, x", "toy, soup, y"]
    assert system_names([one, two, other]) == [
        "toy, soup, runs/x",
        "toy, soup, from-gpu/x",
        "toy, soup, y",
    ]


# ---------------------------------------------------------------- sentences for which nothing stands out


def test_a_sentence_is_compared_with_random_ones_in_the_same_recording(run, tmp_path, monkeypatch):
    path, opened = recorded(tmp_path / "a.wav", long_recording(2)), open_run(run.folder, REGISTRY)
    others = ["class 1", "class 3", "class 1 or 2"] * 10
    alone = find_moments(path, ["class 2", *others], opened).answers
    assert [answer.above for answer in alone] == [None] * 31, "the run has three sentences"
    monkeypatch.setattr("amrbench.tools.predict_audio.random_sentences", lambda *_: tuple(others))
    result = find_moments(path, ["class 2", "class 3"], opened)
    best = [answer.moments[0, 2] for answer in alone]
    for answer, own in zip(result.answers, (best[0], best[2]), strict=True):
        below = sum(other < own - 1e-4 for other in best[1:])
        equal = sum(abs(other - own) <= 1e-4 for other in best[1:])
        assert answer.above == pytest.approx((below + equal / 2) / 30)
    assert len(result.answers) == 2, "no random sentence is answered"


def test_a_sentence_for_which_nothing_stands_out_says_so(run, tmp_path):
    result = find_moments(
        recorded(tmp_path / "a.wav", long_recording(1)), ["class 2"], open_run(run.folder, REGISTRY)
    )
    (answer,) = result.answers
    weak = replace(result, answers=(replace(answer, above=0.4142),))
    remark = (
        "Nothing is above what a random sentence gets here: of random sentences about this recording, 41% "
        "score lower."
    )
    assert weak.text(1).splitlines()[4:7] == ["", "class 2", f"  {remark}"]
    assert weak.as_json(1)["queries"][0]["above_random"] == 0.4142
    for above in (LEVEL, None):
        assert replace(answer, above=above).remark() == ""


def test_notes_are_about_the_sentences_that_were_asked(run, tmp_path, monkeypatch):
    words = " ".join(["class 2"] * 500)
    path, opened = recorded(tmp_path / "a.wav", long_recording(1)), open_run(run.folder, REGISTRY)
    monkeypatch.setattr("amrbench.tools.predict_audio.random_sentences", lambda *_: (words,) * 20)
    with collected_notes() as notes:
        find_moments(path, ["class 2"], opened)
    assert notes == []


def test_python_returns_what_the_command_prints(run, tmp_path, monkeypatch):
    path = recorded(tmp_path / "a.wav", long_recording(1))
    expected = find_moments(path, ["class 2"], open_run(run.folder, REGISTRY))
    monkeypatch.chdir(run.folder.parents[1])
    for folder in (None, run.folder):
        result = predict(path, ["class 2"], run=folder, registry=REGISTRY)
        assert result.as_json(10)["queries"] == expected.as_json(10)["queries"]


def test_python_predicts_with_a_seed_whose_stages_are_in_another_cache(soup_run, tmp_path):
    path = recorded(tmp_path / "a.wav", long_recording(1))
    cache = soup_run.folder.parents[1] / "cache"
    result = predict(
        *(path, ["class 2"]), run=soup_run.folder, member="seed 1", cache=cache, registry=REGISTRY
    )
    assert len(result.answers) == 1


def test_a_run_with_a_single_seed_predicts_too(new_toy_folder, monkeypatch, tmp_path):
    folder = new_toy_folder()
    *earlier, last = RECIPE["stages"]
    write_yaml(folder / "once.yaml", RECIPE | {"stages": [*earlier, last | {"seeds": "one"}]})
    write_yaml(folder / "tiny.yaml", PROTOCOL)
    monkeypatch.setenv("AMRBENCH_CACHE", str(folder / "cache"))
    finished = open_run(run_in(folder, "once").folder, REGISTRY)
    assert finished.member.member == "seed 0"
    assert finished.weights.is_file()
    path = recorded(tmp_path / "a.wav", long_recording(1))
    assert len(find_moments(path, ["class 2"], finished).answers[0].moments)


def test_missing_weights_are_named(run, monkeypatch, tmp_path):
    monkeypatch.setenv("AMRBENCH_CACHE", str(tmp_path))
    finished = open_run(run.folder, REGISTRY, member="seed 0")
    with pytest.raises(RunError) as error:
        find_moments(recorded(tmp_path / "a.wav", long_recording(1)), ["class 1"], finished)
    assert str(error.value).startswith(f"{finished.weights}: the weights of 'seed 0' are ")
    assert open_run(run.folder, REGISTRY).criterion, "a soup is in the folder of the run"


def refusal(path, queries, run):
    with pytest.raises(DataError) as error:
        find_moments(path, queries, open_run(run.folder, REGISTRY))
    return str(error.value)


def test_recordings_and_queries_that_cannot_be_used(run, tmp_path):
    path = recorded(tmp_path / "a.wav", np.zeros(1, np.float32))
    assert refusal(path, ["class 1"], run) == (
        f"{path}: lasts 0.50 s, but the encoder gives one row for each 1 s. Use a longer recording."
    )
    assert (
        refusal(tmp_path / "no.wav", ["x"], run)
        == f"{tmp_path}/no.wav: there is no such audio file. Check the path."
    )
    assert refusal(path, [" "], run) == "a query is blank. Describe in a sentence what to find."
    assert refusal(path, ["a\udcff"], run) == "the query 'a\\udcff' is not UTF-8. Type it again."


def test_features_that_are_not_finite_are_refused(run, tmp_path, monkeypatch):
    encode = OneHotEncoder.audio

    def overflowing(self, waveform):
        rows = encode(self, np.minimum(waveform, 1))
        return np.where(waveform[::EVENT_RATE, None] > 1e20, np.float32(np.inf), rows)

    monkeypatch.setattr(OneHotEncoder, "audio", overflowing)
    wave = long_recording(1)
    wave[30 * EVENT_RATE : 31 * EVENT_RATE] = 1e25
    path = recorded(tmp_path / "loud.wav", wave)
    assert refusal(path, ["class 2"], run) == (
        f"{path}: the features at 30 s are not finite; the samples there are too large, or the encoder is "
        "broken. Export the recording again, with samples from -1 to 1."
    )
