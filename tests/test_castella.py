"""Both protocols of real data, from published files to table and submission, on a few recordings."""

from __future__ import annotations

import gzip
import json
import tarfile
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from amrbench.config.load import load_protocol
from amrbench.config.study import expand
from amrbench.data.local_dataset import DatasetFolder
from amrbench.discovery import load_registry
from amrbench.errors import RunError
from amrbench.experiment.finished_run import open_run
from amrbench.experiment.run import Run, Settings, run
from amrbench.files.annotations import read_annotations, write_annotations
from amrbench.files.saliency import read_saliency
from amrbench.notes import collected_notes
from amrbench.slots.data import DatasetPart
from amrbench.slots.features import FeaturesPart
from amrbench.tools.dry_run import dry_run
from amrbench.tools.import_features import import_features
from amrbench.tools.pack_submission import pack
from amrbench.training.progress_bars import NULL_REPORTER
from amrbench.types import Query
from tests.folders import DATA, ROOT
from tests.plugins.backends.published import M2D_AUDIO, M2D_TEXT, m2d_files, m2d_weights
from tests.plugins.datasets.corpora import small_corpora as corpora

REGISTRY = load_registry()
PUBLISHED = {"m2d-clap": "m2d", "clap": "clap"}
"""Encoders, and the names of their folders in the published layout."""
WINDOWS = DATA / "castella_windows.json.gz"
LIMIT = 90


def queries_of(split: str, recordings: int) -> list[Query]:
    """The first recordings of CASTELLA that last at most 90 s; numbers stand for the texts."""
    rows = [row for row in json.loads(gzip.decompress(WINDOWS.read_bytes()))[split] if row[2] <= LIMIT]
    vids = list(dict.fromkeys(row[1] for row in rows))[:recordings]
    return [
        Query(qid, f"sound {text}", vid, duration, tuple(map(tuple, windows)))
        for qid, vid, duration, windows, text in rows
        if vid in vids
    ]


def publish(queries: list[Query], path: Path, name: str) -> Path:
    """Write features in the published layout, called `name` there, as a tar archive; return it."""
    folder = path.with_suffix("")
    for kind in (name, f"{name}_text"):
        (folder / kind).mkdir(parents=True)
    for query in queries:
        rng = np.random.default_rng(zlib.crc32(query.vid.encode()))
        audio = rng.standard_normal((int(query.duration), 768)).astype(np.float32)
        np.savez(folder / name / f"{query.vid}.npz", features=audio)
        text = rng.standard_normal((1, 768)).astype(np.float32)
        np.savez(folder / f"{name}_text" / f"qid{query.qid}.npz", last_hidden_state=text)
    with tarfile.open(path, "w:gz") as archive:
        archive.add(folder, arcname="features")
    return path


def write_encoder(models: Path) -> None:
    """Write random weights of M2D-CLAP, of its width but with one layer."""
    sizes = {
        "audio_config": replace(M2D_AUDIO, width=768, depth=1, heads=12),
        "text_sizes": M2D_TEXT | {"hidden_size": 768, "num_hidden_layers": 1, "num_attention_heads": 12},
    }
    weights, vocabulary = m2d_files(models / "m2d-clap", m2d_weights(**sizes))
    published = models / "m2d-clap" / "m2d_clap_vit_base-80x1001p16x16p16kpBpTI-2025" / weights.name
    published.parent.mkdir()
    weights.rename(published)
    assert vocabulary.parent == models / "m2d-clap"


def folder_of(name: str) -> DatasetFolder:
    """Return the folder of a data set."""
    return DatasetPart.model_validate(name, context=REGISTRY).dataset_folder


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The first recordings of the data sets, imported from archives; small corpora and a small encoder."""
    folder = tmp_path_factory.mktemp("castella")
    clotho = [Query(str(n), f"moment {n}", f"Tour_{n}.0_{n + 60}.0", 60.0, ((10.0, 25.0),)) for n in range(6)]
    hidden = [Query(str(n), f"evaluation {n}", f"e{n // 2}", 80.0, ()) for n in range(4)]
    sets = {
        "castella": {split: queries_of(split, 3) for split in ("train", "val", "test")},
        "clotho-moment": {"train": clotho[:4], "val": clotho[4:]},
        "dcase2026-evaluation": {"evaluation": hidden},
    }
    corpora.wavcaps(folder / "wavcaps")
    corpora.demand(folder / "demand")
    write_encoder(folder / "models")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AMRBENCH_DATA", str(folder))
        patch.setenv("AMRBENCH_MODELS", str(folder / "models"))
        for name, splits in sets.items():
            dataset = folder_of(name)
            dataset.root.mkdir()
            for split, queries in splits.items():
                write_annotations(dataset.annotations(split), queries)
            all_queries = [query for queries in splits.values() for query in queries]
            for encoder, folder_name in PUBLISHED.items():
                source = publish(all_queries, folder / f"{name}-{folder_name}.tar.gz", folder_name)
                part = FeaturesPart.model_validate(encoder, context=REGISTRY)
                import_features(dataset, part, [source], report=lambda _: None)
        yield folder


def shortened(data: Path, name: str, **splits: object) -> Path:
    """Return a protocol of one epoch for each stage, two seeds, and few, short mixtures."""
    protocol = yaml.safe_load((ROOT / "protocols" / f"{name}.yaml").read_text())
    protocol["data"]["midtrain"] = {
        "use": protocol["data"]["midtrain"],
        "clips": [3, 2], "queries": [6, 4], "seconds": 40,
        "environments": ["NFIELD", "TCAR"], "subsets": ["SoundBible", "AudioSet_SL"],
    }  # fmt: skip
    protocol["budget"] = {"epochs": {"pretrain": 1, "midtrain": 1, "target": 1}}
    protocol |= {"seeds": 2, "against": []}
    protocol["splits"] |= splits
    path = data / f"short-{name}-{len(splits)}.yaml"
    path.write_text(yaml.safe_dump(protocol))
    return path


def run_ours3(data: Path, name: str, **splits: object) -> Run:
    return run_under(shortened(data, name, **splits), data, data / "cache")


def run_under(protocol: str | Path, data: Path, cache: Path) -> Run:
    settings = Settings(jobs=1, out=data / "runs", cache=cache)
    with collected_notes():  # After so little training, models are not better than the baselines.
        return run("ours3", protocol, registry=REGISTRY, settings=settings)


def test_all_stages_run_at_full_size_and_the_test_split_is_scored(data):
    done = run_ours3(data, "castella")
    assert done.result.recipe.options["model"]["width"] == 256
    assert done.result.recipe.replaced == (
        "stages.0.epochs: 200 -> 1",
        "stages.1.epochs: 100 -> 1",
        "stages.2.epochs: 200 -> 1",
    )
    assert [stage.stage for stage in done.result.stages] == [
        "ours3 pretrain",
        "ours3 midtrain",
        "ours3 finetune, seed 0",
        "ours3 finetune, seed 1",
    ]
    assert done.result.row("uniform soup").queries == len(queries_of("test", 3))
    asked = read_annotations(done.folder / done.result.truth)
    assert asked == queries_of("test", 3)
    # The first seed alone says what it finds in each second.
    files = {row.member: row.saliency for row in done.result.rows if row.saliency}
    assert files == {"seed 0": "saliency/seed-0.test.jsonl"}
    saliency = read_saliency(done.folder / files["seed 0"])
    assert [(own.qid, own.vid, own.hop) for own in saliency] == [(each.qid, each.vid, 1.0) for each in asked]
    assert [len(own.values) for own in saliency] == [int(query.duration) for query in asked]
    assert len({own.values.tobytes() for own in saliency}) >= len({query.vid for query in asked})


def test_a_submission_is_predicted_without_metrics_and_packed(data, monkeypatch):
    monkeypatch.setenv("AMRBENCH_CACHE", str(data / "cache"))
    done = run_ours3(data, "dcase2026")
    assert not done.result.scored
    finished = open_run(done.folder, REGISTRY)
    path, label = data / "Lee_KAIST_task6_1.zip", "Lee_KAIST_task6_1"
    with pytest.raises(RunError, match="not a submission to the challenge: its budget replaces"):
        pack(finished, label, path)
    packed = pack(finished, label, path, not_a_submission=True)
    assert packed.queries == 4
    assert packed.total - packed.trainable > 190_000_000, "parameters of the published encoder"
    with zipfile.ZipFile(packed.path) as archive:
        lines = archive.read("Lee_KAIST_task6_1/Lee_KAIST_task6_1.output.jsonl").decode().splitlines()
    assert [json.loads(line)["vid"] for line in lines] == ["e0", "e0", "e1", "e1"]


@pytest.mark.parametrize("name", ["castella-small", "dcase2026-small"])
def test_the_small_protocols_go_the_whole_way_with_castella_alone(data, monkeypatch, name):
    done = run_under(name, data, data / "small-cache")
    assert [stage.stage for stage in done.result.stages] == [
        "ours3 pretrain",
        "ours3 midtrain",
        "ours3 finetune, seed 0",
        "ours3 finetune, seed 1",
    ]
    assert {split.dataset for split in done.result.data} <= {"castella", "dcase2026-evaluation"}
    assert "uniform soup" in [row.member for row in done.result.rows]
    assert done.result.scored == (name == "castella-small")
    finished = open_run(done.folder, REGISTRY, cache=data / "small-cache")
    packed = pack(finished, "Lee_KAIST_task6_1", data / f"{name}.zip", not_a_submission=True)
    assert packed.faults[0].startswith("its budget replaces 'model.width: 256 -> 32'")


def test_a_split_that_was_trained_on_is_not_scored(data):
    train = folder_of("castella").annotations("train")
    original = train.read_bytes()
    write_annotations(train, [*read_annotations(train), queries_of("test", 3)[0]])
    try:
        with pytest.raises(
            RunError, match="the split 'test' is to be scored, but the stage 'finetune' trains on 1"
        ):
            run_ours3(data, "castella", select="val")
    finally:
        train.write_bytes(original)


def test_table_2_is_laid_out_whole(data):
    protocol = yaml.safe_load(shortened(data, "castella").read_text())
    protocol["budget"] |= {"width": 32, "feedforward": 48, "dummies": 4}
    (small := data / "small-castella.yaml").write_text(yaml.safe_dump(protocol))
    study = expand("table2", REGISTRY)
    settings = Settings(jobs=1, out=data / "runs", cache=data / "table2-cache")
    with collected_notes():
        forecast = dry_run([study], small, registry=REGISTRY, settings=settings, reporter=NULL_REPORTER)
    stages = [stage.name for stage in forecast.stages]
    seeds = ["finetune, seed 0", "finetune, seed 1"]
    for recipe in ("qd-detr", "cgdetr", "ours1"):
        assert [name for name in stages if name.startswith(f"{recipe} ")] == [
            f"{recipe} {name}" for name in ("pretrain", *seeds)
        ]
    # ours2 starts from the pre-training of ours3, whose own stages are those of ours3-search and ours4.
    assert [name for name in stages if name.startswith("ours2 ")] == [f"ours2 {name}" for name in seeds]
    assert len(stages) == 3 * 3 + 2 + 4
    assert min(forecast.seconds, forecast.disk_mib) > 0


def test_table_2_has_the_baselines_and_the_four_submissions():
    study = expand(ROOT / "recipes" / "table2.yaml", REGISTRY)
    assert [method.recipe.name for method in study.methods] == [
        "qd-detr", "cgdetr", "ours1", "ours2", "ours3", "ours4"
    ]  # fmt: skip


# ---------------------------------------------------------------- the protocols, as the report describes them


def test_the_submission_trains_25_times_on_train_and_test():
    protocol = load_protocol("dcase2026", REGISTRY)
    assert protocol.seeds == 25
    assert protocol.splits.train == ("train", "test")
    assert (protocol.splits.select, protocol.splits.report) == ("val", "evaluation")


def test_table_2_trains_10_times_on_train():
    protocol = load_protocol("castella", REGISTRY)
    assert protocol.seeds == 10
    assert protocol.splits.train == ("train",)
    assert (protocol.splits.select, protocol.splits.report) == ("val", "test")


@pytest.mark.parametrize("name", ["castella", "dcase2026"])
def test_both_protocols_pre_train_on_the_data_of_the_report(name):
    data_sets = load_protocol(name, REGISTRY).data
    assert (data_sets.pretrain.use, data_sets.midtrain.use) == ("clotho-moment", "intermediate300")
    assert data_sets.target.use == "castella"
