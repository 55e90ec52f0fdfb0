"""Own first data sets: few recordings and sentences, long sentences, and what is refused beforehand."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml

from amrbench.files.feature_file import FeatureHeader
from amrbench.files.feature_file_writer import InMemoryTable, write_feature_file

WIDTH = 64
"""Of the rows of the small encoders."""
LONG = " ".join(["a very long tone"] * 50)
CONTROL = "seed 0, queries shuffled"
TWO = [("test0", "a tone"), ("test1", "rain")]
PROTOCOL = {
    "name": "own",
    "data": {role: {"use": "files", "folder": "set"} for role in ("pretrain", "midtrain", "target")},
    "stand_ins": {"clap": "mini-clap", "m2d-clap": "mini-clap-wide"},
    "budget": {
        "epochs": {"pretrain": 1, "midtrain": 1, "target": 1},
        "width": 8,
        "feedforward": 8,
        "layers": 1,
        "dummies": 2,
        "batch": 4,
    },
    "seeds": 1,
    "splits": {"train": ["train"], "select": "val", "report": "test"},
}


def row(vid, query="a tone", duration=12, windows=((1, 4),), number=1, **more):
    windows = [list(window) for window in windows]
    known = {"qid": f"{vid}_{number}", "query": query, "vid": vid, "duration": duration}
    return {**known, "relevant_windows": windows, **more}


def write_set(folder, *, train=(), val=(), test=(), audio=(), **changes):
    """Write a data set and a protocol; without `audio`, it has features of both encoders.

    Args:
        folder: The data set is in its folder `set`.
        train: Rows of the annotations; by default about two recordings. Also `val` and `test`.
        audio: Seconds of recordings that are written instead of features, by id.
        changes: Of the protocol.
    """
    data = folder / "set"
    data.mkdir(parents=True)
    splits = {
        "train": train or [row("train0"), row("train1", "rain")],
        "val": val or [row("val0")],
        "test": test or [row(vid, query) for vid, query in TWO],
    }
    for split, rows in splits.items():
        (data / f"{split}.jsonl").write_text("".join(f"{json.dumps(each)}\n" for each in rows))
    if audio:
        (data / "audio").mkdir()
    for vid, seconds in dict(audio).items():
        wave = 0.1 * np.sin(np.arange(int(16000 * seconds)))
        soundfile.write(data / "audio" / f"{vid}.wav", wave, 16000)
    if not audio:
        write_features(data, [each for rows in splits.values() for each in rows])
    (folder / "own.yaml").write_text(yaml.safe_dump(PROTOCOL | changes))


def write_features(data, rows, lasting=None):
    """Write random features; `lasting` are the seconds of recordings whose features have another length."""
    rng = np.random.default_rng(0)
    seconds = {each["vid"]: int(each["duration"]) for each in rows} | (lasting or {})
    words = {each["query"]: len(each["query"].split()) + 1 for each in rows}
    tables = [
        InMemoryTable(
            tuple(counts), tuple(rng.standard_normal((n, WIDTH)).astype(np.float32) for n in counts.values())
        )
        for counts in (seconds, words)
    ]
    (data / "features").mkdir(exist_ok=True)
    for encoder in ("mini-clap", "mini-clap-wide"):
        header = FeatureHeader("set", encoder, "random", 1.0, WIDTH, WIDTH)
        write_feature_file(data / "features" / f"{encoder}.h5", header, audio=tables[0], text=tables[1])


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty working directory, with a cache of its own."""
    monkeypatch.setenv("AMRBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def ran(amrbench):
    """Return a function that runs a recipe and returns exit code, rows by member, notes and messages."""

    def run(recipe="cgdetr", *options, protocol="own.yaml"):
        code, out, error = amrbench("run", recipe, "--protocol", protocol, "--jobs", 1, "--json", *options)
        content = json.loads(out) if out else {}
        rows = {each["member"]: each for each in content.get("rows", ())}
        return code, rows, content.get("notes", []), error

    return run


# ---------------------------------------------------------------- what trains and ends with a table

SHORT = [row("train0"), row("short", duration=1.2, windows=((0, 1),)), row("train1")]
FULL = [row(f"train{number}", windows=((0, 12),)) for number in range(4)]
ALONE = "there is no recording but 'test0', and sentences are exchanged between recordings"


@pytest.mark.parametrize(
    ("recipe", "splits", "missing"),
    [
        pytest.param("cgdetr", {"train": FULL}, "", id="260-train-full-cover"),
        pytest.param("cgdetr", {"train": [row("train0")]}, "", id="261-train-one-query"),
        pytest.param(
            "ours3",
            {"train": [row(f"train{number}") for number in range(5)]},
            "",
            id="262-train-last-batch-of-one",
        ),
        pytest.param("ours3", {"train": SHORT}, "", id="263-train-one-frame-recording"),
        pytest.param(
            "ours1",
            {split: [row(split, duration=1, windows=((0, 1),))] for split in ("train", "val", "test")},
            "there is no recording but 'test', and sentences are exchanged between recordings",
            id="one-frame-everywhere",
        ),
        pytest.param(
            "sliding-window",
            {"train": FULL[:1], "test": [row("test0", query) for query in ("a tone", "rain", "wind")]},
            ALONE,
            id="one-test-recording",
        ),
        pytest.param(
            "cgdetr",
            {"test": [row("test0", text) for text in ("a tone", "rain", "wind")] + [row("test1")]},
            "3 of the 4 queries are about the recording 'test0', and sentences are exchanged between "
            "recordings, so none may have more than half of them",
            id="most-queries-about-one-recording",
        ),
        pytest.param(
            "cgdetr",
            {"test": [row(f"test{number}") for number in range(3)]},
            "all 3 queries have the same sentence",
            id="one-test-sentence",
        ),
    ],
)
def test_a_small_data_set_trains_and_ends_with_a_table(here, ran, recipe, splits, missing):
    for rows in splits.values():
        for number, each in enumerate(rows):
            each["qid"] = f"{each['vid']}_{number}"
    write_set(here, **splits)
    code, rows, notes, error = ran(recipe)
    assert code == 0, error
    assert set(rows["seed 0"]["metrics"]) == set(rows["always 0-10 s"]["metrics"])
    assert bool(rows[CONTROL]["metrics"]) == (not missing)
    expected = f"set/test.jsonl: the row {CONTROL!r} is missing, because {missing}."
    assert (expected in notes) == bool(missing)


def test_the_table_says_why_the_control_is_missing(here, amrbench):
    write_set(here, test=[row("test0", kind="near")], slices=["kind"])
    for options in ((), ("--by", "kind")):  # The second time, the run is finished.
        code, out, _ = amrbench("run", "cgdetr", "--protocol", "own.yaml", "--jobs", 1, *options)
        assert code == 0
        assert f"cgdetr, {CONTROL}: missing, because {ALONE}." in out.splitlines()


# ---------------------------------------------------------------- what is cut


@pytest.mark.parametrize(
    ("splits", "note"),
    [
        pytest.param(
            {"train": [row("train0", LONG), row("train1")]},
            "set/train.jsonl: of 1 of 2 sentences the model gets the first 32 tokens only ('limits.words'): "
            "'a very long tone a very long tone a very... (201)'.",
            id="264-train-long-text",
        ),
        pytest.param(
            {"test": [row("test0", LONG), row("test1", f"no {LONG}"), row("test2")]},
            "set/test.jsonl: of 2 of 3 sentences the model gets the first 32 tokens only ('limits.words'): ",
            id="long-text-in-test",
        ),
        pytest.param(
            {"val": [row("val0", duration=400), row("val1", duration=300)]},
            "set/val.jsonl: of 1 of 2 recordings the model gets the first 300 s only ('limits.frames'): "
            "'val0 (400 s)'.",
            id="long-recording",
        ),
    ],
)
def test_what_is_cut_is_noted_once_for_a_split(here, ran, splits, note):
    write_set(here, **splits)
    for options in (("--dry-run",), ("--seeds", 2)):
        code, _, notes, error = ran("cgdetr", *options)
        assert code == 0, error
        assert [text.startswith(note) for text in notes if "the model gets" in text] == [True]
        assert len(re.findall(re.escape(note), error)) == 1


@pytest.mark.parametrize(
    ("split", "text"),
    [
        (
            "train",
            "set/train.jsonl: training leaves out 2 of 3 queries, which have no window inside the feature "
            "rows of their recording: 'train1_1', 'train2_1'.",
        ),
        (
            "test",
            "set/test.jsonl: of the split that is scored, 2 queries without a window longer than 0 s and at "
            "most 1500 s were left out.",
        ),
    ],
)
def test_queries_that_training_or_scoring_leaves_out_are_noted_once(here, ran, split, text):
    windows = {f"{split}1": (), f"{split}2": ((5, 5),)}
    rows = [row(f"{split}0"), *(row(vid, windows=given) for vid, given in windows.items())]
    write_set(here, **{split: rows})
    code, _, notes, error = ran()
    assert (code, text in notes, error.count(text)) == (0, True, 1)


@pytest.mark.parametrize("queries", [pytest.param((LONG,), id="121-predict-query-long"), ("rain", LONG)])
def test_a_long_question_is_answered_with_a_note(here, ran, amrbench, queries):
    write_set(here)
    ran()
    soundfile.write("a.wav", 0.1 * np.sin(np.arange(16000 * 5)), 16000)
    code, out, error = amrbench("predict", "a.wav", *queries, "--top", 1, "--json")
    assert (code, len(json.loads(out)["models"][0]["queries"])) == (0, len(queries))
    note = (
        f"a.wav: of 1 of {len(queries)} sentences the model gets the first 32 tokens only ('limits.words'): "
        "'a very long tone a very long tone a very... (201)'."
    )
    assert f"note: {note}\n" in error
    assert note in json.loads(out)["notes"]


# ---------------------------------------------------------------- what is refused before the training

POINTS = [row("val0", windows=((2, 2),))]
LATE = [row("train0", windows=((350, 360),), duration=400)]
REFUSED = {
    "265-val-no-usable-window": (
        {"val": POINTS},
        "set/val.jsonl: none of the 1 queries ('val0_1: [2, 2]') has a window longer than 0 s and at most "
        "1500 s, so no epoch can be chosen by it. Correct the windows, or use another split.",
    ),
    "val-without-windows": ({"val": [row("val0", windows=())]}, "so no epoch can be chosen by it"),
    "val-with-endless-windows": (
        {"val": [row("val0", duration=2000, windows=((0, 1600),))]},
        "set/val.jsonl: none of the 1 queries ('val0_1: [0, 1600]') has a window",
    ),
    "test-no-usable-window": (
        {"test": [row("test0", windows=((3, 3),))]},
        "set/test.jsonl: none of the 1 queries ('test0_1: [3, 3]') has a window longer than 0 s and at "
        "most 1500 s, so there is nothing to score.",
    ),
    "train-no-usable-window": (
        {"train": [row("train0", windows=((4, 4),)), row("train1", windows=())]},
        "set/train.jsonl: none of 2 queries ('train0_1: [4, 4]', 'train1_1: no window') has a window inside "
        "the feature rows of its recording, so the stage 'pretrain' has nothing to learn. Check the windows, "
        "and 'limits.frames' of the recipe.",
    ),
    "train-windows-after-the-limit": ({"train": LATE}, "'train0_1: [350, 360]') has a window inside the"),
    "test-in-train": (
        {"train": [row(f"train{number}") for number in range(9)] + [row("test1", "rain")]},
        "own.yaml: the split 'test' is to be scored, but the stage 'pretrain' trains on 1 of its 2 queries",
    ),
    "unknown-slice": (
        {"slices": ["kin"], "test": [row("test0", kind="a")]},
        "own.yaml: 'slices' names 'kin', but no query of set/test.jsonl has this key. Did you mean 'kind'?",
    ),
}


@pytest.mark.parametrize(("changes", "words"), REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("command", ["run", "dry run", "check"])
def test_what_cannot_be_trained_or_scored_is_refused_before(here, amrbench, changes, words, command):
    write_set(here, **changes)
    options = {"run": ("run", "--jobs", 1), "dry run": ("run", "--dry-run"), "check": ("check",)}[command]
    code, _, error = amrbench(options[0], "cgdetr", "--protocol", "own.yaml", *options[1:])
    assert (code, "Traceback" in error) == (2, False)
    assert words in error
    assert "epoch 1" not in error
    assert not Path("cache/stages").exists()


@pytest.mark.parametrize("options", [("--jobs", 1), ("--dry-run",)])
def test_features_of_another_recording_are_refused_before(here, amrbench, options):
    rows = [row(vid) for vid in ("train0", "val0", "test0")]
    write_set(here, train=rows[:1], val=rows[1:2], test=rows[2:])
    write_features(here / "set", rows, {"test0": 30})
    code, _, error = amrbench("run", "cgdetr", "--protocol", "own.yaml", *options)
    assert code == 2
    assert "features of recording 'test0' last 30 s, but the annotations say 12 s" in error
    assert "epoch 1" not in error


def test_damaged_features_of_the_test_split_are_refused_before(here, amrbench):
    write_set(here)
    file = here / "set" / "features" / "mini-clap.h5"
    content = bytearray(file.read_bytes())
    rows = np.random.default_rng(0).standard_normal((60, WIDTH)).astype(np.float32)[40:42].tobytes()
    position = content.find(rows)
    assert position > 0, "the rows of test0 are written as they were drawn"
    content[position] ^= 1
    file.write_bytes(content)
    code, _, error = amrbench("run", "cgdetr", "--protocol", "own.yaml", "--jobs", 1)
    assert code == 2
    assert "have changed on disk" in error
    assert "epoch 1" not in error


@pytest.mark.parametrize("options", [("run", "--jobs", 1), ("run", "--dry-run"), ("check",)])
def test_a_soup_that_computes_losses_needs_windows_that_the_model_sees(here, amrbench, options):
    write_set(here, val=[row("val0", windows=((350, 360),), duration=400)])
    code, _, error = amrbench(options[0], "ours4", "--protocol", "own.yaml", *options[1:])
    assert code == 2
    assert (
        "set/val.jsonl: none of 1 queries ('val0_1: [350, 360]') has a window inside the feature rows of its "
        "recording, which the soup 'fisher' needs. Check the windows, and 'limits.frames' of the recipe."
    ) in error


def test_all_annotations_are_looked_at_before_any_feature_is_made(here, amrbench):
    """The query that is trained on and scored is the last of the split, after the sample of a dry run."""
    train = [*(row(f"train{number}") for number in range(6)), row("test1", "rain")]
    vids = [each["vid"] for each in train] + ["val0", "test0"]
    write_set(here, train=train, audio=dict.fromkeys(vids, 12))
    for options in (("--jobs", 1), ("--dry-run",)):
        code, _, error = amrbench("run", "cgdetr", "--protocol", "own.yaml", *options)
        assert code == 2
        assert "trains on 1 of its 2 queries" in error
        assert "encoding" not in error


def test_a_dry_run_encodes_recordings_that_can_be_trained_on(here, ran):
    train = [*(row(f"no{number}", windows=()) for number in range(5)), row("train0"), row("train1")]
    vids = [each["vid"] for each in train] + ["val0", "test0", "test1"]
    write_set(here, train=train, audio=dict.fromkeys(vids, 12))
    code, _, _, error = ran("cgdetr", "--dry-run")
    assert code == 0, error
    assert "files folder=set train for mini-clap: encoding 2 of 7 recordings" in error
    assert "timing steps" in error


SECONDS = {"train0": 12, "train1": 12, "val0": 12, "test0": 12, "test1": 12}


@pytest.mark.parametrize("options", [("--jobs", 1), ("--dry-run",)])
@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        pytest.param(
            SECONDS | {"test1": 0.4},
            "1 of 2 recordings are too short for the encoder 'mini-clap', which gives a row for each 1 s: "
            "'set/audio/test1.wav (0.400 s)'. Leave them out, and queries about them.",
            id="too-short",
        ),
        pytest.param(
            SECONDS | {"test1": 30},
            "1 of 2 recordings are not as long as annotated: 'set/audio/test1.wav: 30.0 s, annotated 12 s'. "
            "Download them again, or correct their durations.",
            id="another-recording",
        ),
        pytest.param(
            {vid: 12 for vid in SECONDS if vid != "test1"},
            "missing: 'test1'.",
            id="missing",
        ),
    ],
)
def test_all_recordings_are_measured_before_any_is_encoded(here, amrbench, options, seconds, words):
    write_set(here, audio=seconds)
    code, _, error = amrbench("run", "cgdetr", "--protocol", "own.yaml", *options)
    assert code == 2
    assert words in error
    assert not list(Path("cache").rglob("*.h5"))


# ---------------------------------------------------------------- paths of a protocol


@pytest.mark.parametrize(
    ("folders", "used", "note"),
    [
        pytest.param(("p",), "p/set", "", id="324-protocol-relative-folder"),
        pytest.param(
            ("p", "."),
            "p/set",
            "p/own.yaml: 'set' is p/set, beside this file; the one in the working directory is not used.",
            id="both",
        ),
        pytest.param(
            (".",),
            "set",
            "p/own.yaml: 'set' is taken from the working directory, because there is no p/set. Paths start "
            "from the folder of the file that names them.",
            id="working-directory",
        ),
    ],
)
def test_a_folder_is_relative_to_the_protocol_and_else_to_the_working_directory(
    here, amrbench, folders, used, note
):
    for folder in folders:
        write_set(here / folder)
    (here / "p").mkdir(exist_ok=True)
    (here / "p" / "own.yaml").write_text(yaml.safe_dump(PROTOCOL))
    code, out, error = amrbench("data", "status", "cgdetr", "--protocol", "p/own.yaml", "--json")
    assert code == 0, error
    assert {str(Path(file["place"]).parent) for file in json.loads(out)["files"]} == {
        used,
        f"{used}/features",
    }
    assert json.loads(out)["notes"] == [note] * bool(note)


@pytest.mark.parametrize(
    ("command", "code"),
    [(("run", "cgdetr"), 2), (("run", "cgdetr", "--dry-run"), 2), (("check", "cgdetr"), 0)],
)
def test_a_folder_that_is_nowhere_is_expected_beside_the_protocol(here, amrbench, command, code):
    (here / "p").mkdir()
    (here / "p" / "own.yaml").write_text(yaml.safe_dump(PROTOCOL))
    ended, out, error = amrbench(*command, "--protocol", "p/own.yaml")
    assert ended == code
    assert "annotations of p/set train: p/set/train.jsonl. Published at " in out + error


def test_the_same_protocol_from_another_folder_finds_the_finished_run(here, ran, monkeypatch):
    write_set(here / "p")
    first = ran("cgdetr", "--out", here / "runs", protocol="p/own.yaml")
    monkeypatch.chdir(here / "p")
    second = ran("cgdetr", "--out", here / "runs")
    assert (first[0], second[0]) == (0, 0)
    assert "scoring" in first[3]
    assert "scoring" not in second[3]
