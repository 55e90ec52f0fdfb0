"""The two mixed data sets: their corpora, and audio files of them."""

import json

import pytest

from amrbench.config.load import load_protocol
from amrbench.errors import DataError
from amrbench.tools.synthesize_audio import SynthesisJob, synthesize
from tests.plugins.datasets import corpora
from tests.plugins.datasets.corpora import clips, five_minutes, one_minute, refusal

pytestmark = pytest.mark.usefixtures("local_corpora")


def test_audio_annotations_and_manifest_are_written(tmp_path):
    for jobs in (1, 2):
        job = SynthesisJob(five_minutes(), "val", None, tmp_path / str(jobs))
        synthesize(job, jobs=jobs, report=lambda _: None)
    first, second = ({p.name: p.read_bytes() for p in (tmp_path / jobs).iterdir()} for jobs in "12")
    assert first == second
    assert sorted(first)[:2] == ["annotations.jsonl", "int40_val_00000.flac"]
    manifest = [json.loads(line) for line in first["manifest.jsonl"].decode().splitlines()]
    assert [row["vid"] for row in manifest] == [f"int40_val_{n:05d}" for n in range(3)]


def test_a_folder_without_audio_is_no_corpus(tmp_path, monkeypatch):
    monkeypatch.setenv("AMRBENCH_DATA", str(tmp_path))
    for name in ("demand", "wavcaps"):
        (tmp_path / name / "inner").mkdir(parents=True)
        (tmp_path / name / "inner" / "captions.json").touch()
    (tmp_path / "demand" / "inner" / "ch01.wav").touch()
    assert [corpus.present for corpus in five_minutes().corpora()] == [True, False]


def test_missing_corpora_are_named(tmp_path, monkeypatch):
    monkeypatch.setenv("AMRBENCH_DATA", str(tmp_path))
    with pytest.raises(DataError) as error:
        five_minutes().build().recording("train", 0)
    lines = str(error.value).splitlines()
    assert lines[0] == "data set 'intermediate300' needs files that are missing:"
    assert lines[1] == (
        f"  corpus DEMAND: {tmp_path}/demand. Published at Zenodo 1227121 (about 9 GB for 18 environments). "
        "Put a copy there ($AMRBENCH_DATA chooses the folder of data), or name its folder in the protocol."
    )
    with pytest.raises(DataError, match="corpus Walking-Tours: "):
        one_minute().build().size("val")


def test_the_protocols_train_on_it_before_fine_tuning():
    for name in ("castella", "dcase2026"):
        assert load_protocol(name, corpora.REGISTRY).data.midtrain.use == "intermediate300"


def test_unknown_splits_and_impossible_counts_are_refused():
    assert refusal(five_minutes().build().size, "test") == (
        "data set 'intermediate300' has no split 'test'. Splits: train, val."
    )
    assert refusal(one_minute().build().recording, "tain", 0) == (
        "data set 'clotho-moment60' has no split 'tain'. Did you mean 'train'? Splits: train, val, test."
    )
    assert refusal(five_minutes(queries=[99, 8]).build().recording, "train", 0) == (
        "99 queries do not fit into 8 clips with 1 to 5 events each. Change 'clips' or 'queries'."
    )


def test_a_damaged_source_is_named_and_not_replaced(tmp_path, monkeypatch):
    corpora.wavcaps(tmp_path / "wavcaps", 20)
    corpora.demand(tmp_path / "demand")
    monkeypatch.setenv("AMRBENCH_DATA", str(tmp_path))
    for path in (tmp_path / "wavcaps").rglob("*.wav"):
        path.write_bytes(path.read_bytes()[:-99])
    with pytest.raises(DataError, match=r"wavcaps/AudioSet_SL/Y\d+\.wav: truncated"):
        clips(five_minutes(subsets=["AudioSet_SL"]), "train")
