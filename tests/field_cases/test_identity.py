"""Ids that start again in each split: whose text, whose recording, whose prediction is it?"""

import json
from functools import cache, partial
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from amrbench.data import prepare as preparation
from amrbench.data.concat_features import normalize_rows
from amrbench.data.feature_dataset import load_dataset
from amrbench.data.local_dataset import DatasetFolder, LocalDataset, PublishedSplit
from amrbench.data.published_features import published_source
from amrbench.data.required_splits import FeatureRequest
from amrbench.data.shards import make_shard
from amrbench.data.worker_pool import no_report
from amrbench.discovery import load_registry
from amrbench.errors import DataError
from amrbench.files.annotations import write_annotations
from amrbench.slots.data import DatasetPart
from amrbench.slots.features import FeatureBackend, FeaturesPart
from amrbench.slots.model import Limits
from amrbench.tools import extract_features as extraction
from amrbench.tools.import_features import import_features
from amrbench.types import FeatureWidths, Query
from tests.folders import DATA

SPLITS = ("train", "val", "test")


def write_rows(path, *rows):
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


def annotation(qid, query, vid, seconds=2):
    return {"qid": qid, "query": query, "vid": vid, "duration": seconds, "relevant_windows": [[0, 1]]}


def prediction(qid, vid):
    return {"qid": qid, "vid": vid, "pred_relevant_windows": [[0, 1, 0.9]]}


# ---------------------------------------------------------------- predictions of other recordings


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Annotations, predictions for them, and predictions for other recordings under the same ids."""
    monkeypatch.chdir(tmp_path)
    vids = {1: "test_a", 2: "test_b"}
    write_rows(Path("truth.jsonl"), *(annotation(qid, "a tone", vid) for qid, vid in vids.items()))
    write_rows(Path("good.jsonl"), *(prediction(qid, vid) for qid, vid in vids.items()))
    write_rows(Path("text-ids.jsonl"), *(prediction(str(qid), vid) for qid, vid in vids.items()))
    write_rows(Path("other.jsonl"), prediction(1, "val_a"), prediction(2, "val_b"))
    write_rows(Path("one-other.jsonl"), prediction(1, "test_a"), prediction(2, "val_b"))
    write_rows(Path("short.jsonl"), prediction(1, "test_a"))
    write_rows(Path("long.jsonl"), *(prediction(qid, vids.get(qid, "c")) for qid in (1, 2, 3)))
    write_rows(Path("without-vid.jsonl"), {"qid": 1, "pred_relevant_windows": [[0, 1, 0.9]]})
    return tmp_path


OTHER = "the prediction for '1' is about 'val_a', the query about 'test_a'"
TRUTH = ("--truth", "truth.jsonl")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param(
            ("score", "other.jsonl", *TRUTH, "--json"),
            ("other.jsonl against truth.jsonl: 2 of 2 predictions are about other recordings", OTHER),
            id="049-other-split-same-qid",
        ),
        pytest.param(("score", "other.jsonl", *TRUTH, "--partial"), (OTHER,), id="score-partial"),
        pytest.param(
            ("score", "one-other.jsonl", *TRUTH), ("1 of 2 predictions are about", "'val_b'"), id="score-one"
        ),
        pytest.param(
            ("score", "without-vid.jsonl", *TRUTH),
            ('without-vid.jsonl:1: "vid" is missing',),
            id="score-none",
        ),
        pytest.param(
            ("compare", "good.jsonl", "other.jsonl", *TRUTH),
            ("other.jsonl against truth.jsonl: ", OTHER),
            id="compare-other",
        ),
        pytest.param(
            ("compare", "good.jsonl", "short.jsonl", *TRUTH),
            ("short.jsonl against truth.jsonl: 1 of 2 queries have no prediction: '2'",),
            id="410-compare-one-query-missing",
        ),
        pytest.param(
            ("compare", "long.jsonl", "good.jsonl", *TRUTH),
            ("long.jsonl against truth.jsonl: 1 predictions belong to no annotated query: '3'",),
            id="compare-one-query-more",
        ),
        pytest.param(
            ("fuse", "good.jsonl", "other.jsonl", "-o", "out.jsonl"),
            ("good.jsonl and other.jsonl do not answer the same", "e.g. '1' about 'test_a' and 'val_a'"),
            id="fuse-other",
        ),
    ],
)
def test_predictions_for_other_recordings_are_refused(amrbench, files, arguments, words):
    code, out, err = amrbench(*arguments)
    assert (code, out) == (2, "")
    assert [word for word in words if word not in err] == []
    assert not (files / "out.jsonl").exists()


@pytest.mark.parametrize("name", ["good", "text-ids"])
def test_predictions_for_the_annotated_recordings_are_scored(amrbench, files, name):
    code, out, _ = amrbench("score", f"{name}.jsonl", *TRUTH, "--json")
    assert (code, json.loads(out)["metrics"]["R1@0.5"]) == (0, 100.0)


@pytest.fixture
def in_this_process(monkeypatch):
    """Make shards here, because starting a process takes a second."""

    def run_shards(pool, shards, *, what, report):
        for shard in shards:
            make_shard(shard)

    monkeypatch.setattr(preparation, "run_shards", run_shards)
    monkeypatch.setattr(extraction, "run_shards", run_shards)


# ---------------------------------------------------------------- texts of other splits

SENTENCES = {
    "train": ["a tone", "rain", "dog"],
    "val": ["wind", "rain", "car"],
    "test": ["bell", "rain", "horn"],
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A data set whose ids start again in each split."""
    monkeypatch.chdir(tmp_path)
    audio = tmp_path / "set" / "audio"
    audio.mkdir(parents=True)
    for split, sentences in SENTENCES.items():
        rows = [annotation(qid, text, f"{split}{qid}") for qid, text in enumerate(sentences)]
        write_rows(tmp_path / "set" / f"{split}.jsonl", *rows)
        for row in rows:
            soundfile.write(audio / f"{row['vid']}.wav", 0.2 * np.sin(np.arange(32000) / 20), 16000)
    return tmp_path / "set"


@cache
def registry():
    return load_registry()


def part(slot, content):
    return slot.model_validate(content, context=registry())


def source(folder, split, encoder="mini-clap"):
    dataset = part(DatasetPart, {"use": "files", "folder": str(folder)})
    return dataset.dataset_folder.source(split, part(FeaturesPart, encoder))


@pytest.mark.parametrize(
    ("sentences", "words"),
    [
        pytest.param(["a dog"], "1 ids of queries are in train.jsonl too", id="253-verify-qids-restart"),
        pytest.param(["a tone"], "", id="same-sentence"),
    ],
)
def test_ids_that_start_again_are_told(amrbench, folder, sentences, words):
    (folder / "test.jsonl").unlink()
    write_rows(folder / "val.jsonl", annotation("0", sentences[0], "val0"))
    code, out, _ = amrbench("data", "verify", "./set")
    assert code == 0
    assert ("ids of queries" in out) == bool(words)
    assert words in out


@pytest.mark.parametrize("case", [pytest.param("", id="259-extract-qids-restart-check")])
def test_extracted_texts_are_those_of_their_split(amrbench, folder, in_this_process, case):
    code, out, _ = amrbench("data", "extract", "./set", "--encoder", "mini-clap")
    assert (code, out) == (0, "set/features/mini-clap.h5: 9 recordings and 7 sentences\n")
    backend = part(FeaturesPart, "mini-clap").build()
    for split in SPLITS:
        own = source(folder, split)
        for query in own.queries:
            np.testing.assert_allclose(own.text(query), backend.text([query.query])[0], atol=1e-5)
    assert amrbench("data", "verify", "./set")[0] == 0

    write_rows(folder / "val.jsonl", annotation(0, "a frog", "val0"))
    code, out, _ = amrbench("data", "verify", "./set")
    assert code == 2
    assert "1 queries have sentences without features; 'amrbench data extract' adds them: '0'" in out
    with pytest.raises(DataError, match=r"mini-clap\.h5: has no features of 1 of the 1 .*\('0: a frog'\)"):
        source(folder, "val")
    code, out, err = amrbench("data", "extract", "./set", "--encoder", "mini-clap")
    assert code == 0
    assert "its features of 9 recordings and 7 sentences are kept; only the others were extracted" in err
    assert len(source(folder, "val").queries) == 1


def publish(folder, split, width=768):
    """Write published features of a split, the texts filled with the length of the sentence."""
    target = folder.parent / "published" / split
    for number, text in enumerate(SENTENCES[split]):
        for name, key, value in (
            (f"clap/{split}{number}.npz", "features", 1.0),
            (f"clap_text/qid{number}.npz", "last_hidden_state", len(text)),
        ):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            np.savez(target / name, **{key: np.full((2, width), value, np.float32)})
    return target


def test_published_features_of_several_splits_are_refused_where_ids_start_again(amrbench, folder):
    published = [publish(folder, split) for split in SPLITS]
    code, _, err = amrbench("data", "import", "./set", *published, "--encoder", "clap")
    assert code == 2
    assert "set/val.jsonl: 4 ids of queries have other sentences in another split" in err
    assert "'0' is 'wind' here and 'a tone' in set/train.jsonl" in err
    assert "'amrbench data import ./set FILES --encoder clap --split train'" in err
    for split, files in zip(SPLITS, published, strict=True):
        code, *_ = amrbench("data", "import", "./set", files, "--encoder", "clap", "--split", split)
        assert code == 0
    for split in SPLITS:
        own = source(folder, split, "clap")
        assert [own.text(query)[0, 0] for query in own.queries] == [len(text) for text in SENTENCES[split]]


@pytest.mark.parametrize(
    ("command", "key", "identifier"),
    [
        *(("import", "qid", name) for name in ("a/b", "a\\b", "..", "C:x", "a\tb", "x" * 201)),
        *(("import", "vid", name) for name in ("a/b", "..")),
        *(("predict-checkpoint", key, "a/b") for key in ("qid", "vid")),
    ],
)
def test_ids_that_cannot_name_a_file_are_refused_with_their_line(amrbench, folder, command, key, identifier):
    row = annotation(1, "a dog", "v") | {key: identifier}
    write_rows(folder / "val.jsonl", annotation(0, "a cat", "w"), row)
    if command == "import":
        arguments = ("data", "import", "./set", publish(folder, "train"), "--encoder", "clap")
    else:
        checkpoint = DATA / "lighthouse_checkpoint" / "best.ckpt"
        arguments = ("predict-checkpoint", "--checkpoint", checkpoint, "--features", folder)
        arguments += ("--annotations", "set/val.jsonl", "-o", "out.jsonl")
    code, _, err = amrbench(*arguments)
    assert code == 2
    assert f'set/val.jsonl:2: "{key}" is {json.dumps(identifier)[:57]}' in err
    assert "which cannot be the name of a file; use 1 to 200 bytes without '/'" in err


# ---------------------------------------------------------------- any annotations

RATE, SECONDS = 50, 2


class Spelling(FeatureBackend):
    """The level of each second, and the code of each letter, both beside a one that normalizing leaves."""

    name, audio_width, text_width, rate, hop = "spelling", 2, 2, RATE, 1.0

    def audio(self, waveform):
        return beside_ones(waveform[: len(waveform) // RATE * RATE].reshape(-1, RATE).mean(1))

    def text(self, sentences):
        return [spelled(text) for text in sentences]

    def fingerprint(self):
        return "spelling"


class SpellingPart(FeaturesPart):
    """An encoder that gives back what it got."""

    use = "spelling"

    def build(self):
        return Spelling()


class FolderPart(DatasetPart):
    """A folder with annotations and, maybe, audio and features."""

    use = "folder"
    folder: Path

    @property
    def dataset_folder(self):
        splits = {split: PublishedSplit(f"{split}.jsonl") for split in SPLITS}
        return DatasetFolder("any", self.folder, splits)

    def build(self):
        return LocalDataset(self.dataset_folder)


def beside_ones(values):
    return np.stack([values, np.ones(len(values))], 1).astype(np.float32)


def spelled(text):
    return beside_ones(np.array([ord(letter) for letter in text]) / 128)


def level(vid):
    """Return the value of all samples of a recording."""
    return (1 + 8 * SPLITS.index(vid[:-1]) + int(vid[-1])) / 32


def rows_of(vid):
    return beside_ones(np.full(SECONDS, level(vid)))


@st.composite
def queries_by_split(draw):
    """Queries whose ids, numbers or text, start again in each split; recordings belong to one split."""
    sentence = st.text("ab é", min_size=1, max_size=3).filter(str.strip)
    by_split = {}
    for split in SPLITS:
        asked = draw(st.lists(st.tuples(st.integers(0, 2), sentence), min_size=1, max_size=4))
        kind, first = draw(st.sampled_from([int, str])), draw(st.integers(0, 1))
        by_split[split] = [
            Query(kind(qid), text, f"{split}{number}", float(SECONDS), ((0.0, 1.0),))
            for qid, (number, text) in enumerate(asked, first)
        ]
    return by_split


def annotated(folder, by_split):
    """Write the annotations of a folder."""
    folder.mkdir(parents=True)
    for split, queries in by_split.items():
        write_annotations(folder / f"{split}.jsonl", queries)
    return FolderPart(folder=folder)


def with_audio(folder, by_split):
    (folder / "audio").mkdir()
    for vid in {query.vid for queries in by_split.values() for query in queries}:
        samples = np.full(RATE * SECONDS, level(vid), np.float32)
        soundfile.write(folder / "audio" / f"{vid}.wav", samples, RATE, subtype="FLOAT")


def published_files(folder, queries):
    for query in queries:
        for name, key, rows in (
            (f"spelling/{query.vid}.npz", "features", rows_of(query.vid)),
            (f"spelling_text/qid{query.qid}.npz", "last_hidden_state", spelled(query.query)),
        ):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            np.savez(folder / name, **{key: rows})


def prepared(dataset, cache):
    requests = [FeatureRequest(dataset, split, SpellingPart()) for split in SPLITS]
    return preparation.prepare(requests, cache=cache, jobs=1, report=no_report)


def expect_own_features(sources):
    """Check that training would read each query's sentence and recording, split by split and joined."""
    for joined in (*([source] for source in sources), sources):
        dataset = load_dataset(joined, Limits())
        for index, query in enumerate(dataset.queries):
            text = dataset.text[dataset.sentences[index]].numpy()
            audio = dataset.audio[dataset.recordings[index]].numpy()
            np.testing.assert_allclose(text, normalize_rows(spelled(query.query)), atol=1e-5)
            np.testing.assert_allclose(audio, normalize_rows(rows_of(query.vid)), atol=1e-5)


HERE = settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])


@HERE
@given(by_split=queries_by_split())
def test_what_is_encoded_here_belongs_to_the_sentence_and_the_recording(
    tmp_path_factory, in_this_process, by_split
):
    root = tmp_path_factory.mktemp("encoded")
    dataset = annotated(root / "set", by_split)
    with_audio(root / "set", by_split)
    expect_own_features(prepared(dataset, root / "cache"))
    job = extraction.job_for_dataset(dataset.dataset_folder, SpellingPart())
    extraction.extract_features(job, SpellingPart(), jobs=1, report=no_report)
    expect_own_features(prepared(dataset, root / "no-cache"))
    assert not (root / "no-cache").exists()


@HERE
@given(by_split=queries_by_split())
def test_what_is_published_belongs_to_the_sentence_and_the_recording(tmp_path_factory, by_split):
    root = tmp_path_factory.mktemp("published")
    widths = FeatureWidths(2, 2)
    for split, queries in by_split.items():
        published_files(root / split, queries)
    expect_own_features(
        [
            published_source(root / split, own, audio="spelling", text="spelling", widths=widths, hop=1.0)
            for split, own in by_split.items()
        ]
    )
    dataset = annotated(root / "set", by_split)
    take = partial(import_features, dataset.dataset_folder, SpellingPart(), report=no_report)
    for split in SPLITS:
        take([root / split], split=split)
    expect_own_features(prepared(dataset, root / "cache"))


@HERE
@given(by_split=queries_by_split())
def test_one_folder_for_all_splits_is_read_only_where_each_id_has_one_sentence(tmp_path_factory, by_split):
    root = tmp_path_factory.mktemp("together")
    dataset = annotated(root / "set", by_split)
    asked = [query for queries in by_split.values() for query in queries]
    published_files(root / "all", asked)
    take = partial(import_features, dataset.dataset_folder, SpellingPart(), [root / "all"], report=no_report)
    if len({(str(query.qid), query.query) for query in asked}) > len({str(query.qid) for query in asked}):
        with pytest.raises(DataError, match=r"have other sentences in another split"):
            take()
    else:
        take()
        expect_own_features(prepared(dataset, root / "cache"))
