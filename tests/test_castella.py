"""The protocol castella from published files to its table: on a few recordings, at full model size."""

from __future__ import annotations

import gzip
import json
import tarfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import yaml

from amrbench.annotations import Query, read_annotations, write_annotations
from amrbench.data.importing import import_features
from amrbench.errors import RunError
from amrbench.plugins import load_registry
from amrbench.running.runner import Settings, run
from amrbench.slots import DatasetPart, FeaturesPart

REGISTRY = load_registry()
WINDOWS = Path(__file__).parent / "data" / "castella_windows.json.gz"
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


def publish(queries: list[Query], path: Path) -> Path:
    """Write features in the published layout, as a tar archive."""
    folder = path.with_suffix("")
    for kind in ("m2d", "m2d_text"):
        (folder / kind).mkdir(parents=True)
    for query in queries:
        rng = np.random.default_rng(zlib.crc32(query.vid.encode()))
        audio = rng.standard_normal((int(query.duration), 768)).astype(np.float32)
        np.savez(folder / "m2d" / f"{query.vid}.npz", features=audio)
        text = rng.standard_normal((1, 768)).astype(np.float32)
        np.savez(folder / "m2d_text" / f"qid{query.qid}.npz", last_hidden_state=text)
    with tarfile.open(path, "w:gz") as archive:
        archive.add(folder, arcname="features")
    return path


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Cut-down copies of the data sets of the protocol, imported from archives."""
    folder = tmp_path_factory.mktemp("castella")
    clotho = [Query(str(n), f"moment {n}", f"Tour_{n}.0_{n + 60}.0", 60.0, ((10.0, 25.0),)) for n in range(6)]
    sets = {
        "castella": {split: queries_of(split, 3) for split in ("train", "val", "test")},
        "clotho-moment": {"train": clotho[:4], "val": clotho[4:]},
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AMRBENCH_DATA", str(folder))
        for name, splits in sets.items():
            home = DatasetPart.model_validate(name, context=REGISTRY).home
            assert home is not None
            home.root.mkdir()
            for split, queries in splits.items():
                write_annotations(home.annotations(split), queries)
            every = [query for queries in splits.values() for query in queries]
            encoder = FeaturesPart.model_validate("m2d-clap", context=REGISTRY)
            source = publish(every, folder / f"{name}.tar.gz")
            import_features(home, encoder, [source], tell=lambda _: None)
        yield folder


def shortened(place: Path, **splits: object) -> Path:
    """Return the protocol castella with one epoch a stage, two seeds, and without clips that are mixed."""
    protocol = yaml.safe_load((Path(__file__).parents[1] / "protocols" / "castella.yaml").read_text())
    protocol["data"]["midtrain"] = "clotho-moment"
    protocol["budget"] = {"epochs": {"pretrain": 1, "midtrain": 1, "target": 1}}
    protocol |= {"seeds": 2, "against": []}
    protocol["splits"] |= splits
    path = place / f"short-{len(splits)}.yaml"
    path.write_text(yaml.safe_dump(protocol))
    return path


def settings(place: Path) -> Settings:
    return Settings(jobs=1, out=place / "runs", cache=place / "cache")


def test_all_stages_run_at_full_size_and_the_test_split_is_scored(place):
    done = run("ours3", shortened(place), registry=REGISTRY, settings=settings(place))
    lock = json.loads((done.folder / "lock.json").read_text())
    assert lock["recipe"]["model"]["width"] == 256
    assert lock["replaced"] == [
        "stages.0.epochs: 200 -> 1",
        "stages.1.epochs: 100 -> 1",
        "stages.2.epochs: 200 -> 1",
    ]
    assert list(lock["stages"]) == [
        "ours3 pretrain",
        "ours3 midtrain",
        "ours3 finetune, seed 0",
        "ours3 finetune, seed 1",
    ]
    assert done.results.row("uniform soup").queries == len(queries_of("test", 3))
    assert read_annotations(done.folder / done.results.truth) == queries_of("test", 3)


def test_a_split_that_was_trained_on_is_not_scored(place):
    known = queries_of("test", 3)
    home = DatasetPart.model_validate("castella", context=REGISTRY).home
    assert home is not None
    kept = home.annotations("train").read_bytes()
    write_annotations(home.annotations("train"), [*read_annotations(home.annotations("train")), known[0]])
    try:
        with pytest.raises(
            RunError, match="the split 'test' is to be scored, but the stage 'finetune' trains on 1"
        ):
            run("ours3", shortened(place, select="val"), registry=REGISTRY, settings=settings(place))
    finally:
        home.annotations("train").write_bytes(kept)
