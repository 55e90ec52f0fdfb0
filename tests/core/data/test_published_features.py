from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from amrbench.data.feature_dataset import load_dataset
from amrbench.data.published_features import PublishedFeatures
from amrbench.errors import CheckpointError, DataError
from amrbench.files.annotations import read_annotations
from amrbench.files.npz_features import read_rows
from amrbench.registry import Registry
from amrbench.slots.checkpoint import CheckpointPart
from amrbench.tools.predict_checkpoint import load_foreign
from amrbench.types import Checkpoint, FeatureWidths, ForeignModel, Limits, Query
from tests.folders import DATA

FOLDER = DATA / "lighthouse_checkpoint"
QUERIES = read_annotations(FOLDER / "data" / "castella_test_release.jsonl")


def source(folder: Path = FOLDER / "features" / "castella", width: int = 768) -> PublishedFeatures:
    return PublishedFeatures(folder, "clap", "clap", QUERIES, FeatureWidths(width, width), 1.0)


def test_a_split_of_published_features() -> None:
    split = load_dataset([source()], Limits(frames=100, words=10))
    batch = split.batch([0, 1])
    assert batch.audio.shape == (2, 100, 768)
    assert batch.text.shape[1] <= 10
    vid, qid = QUERIES[1].vid, QUERIES[1].qid
    folder = FOLDER / "features" / "castella"
    for rows, path, key in (
        (batch.audio[1], folder / "clap" / f"{vid}.npz", "features"),
        (batch.text[1], folder / "clap_text" / f"qid{qid}.npz", "last_hidden_state"),
    ):
        truth = np.load(path)[key][: len(rows)]
        truth = truth / (np.linalg.norm(truth, axis=1, keepdims=True) + 1e-5)
        np.testing.assert_allclose(rows[: len(truth)], truth, rtol=1e-6)


def test_missing_files_are_listed(tmp_path: Path) -> None:
    count = len({query.vid for query in QUERIES}) + len(QUERIES)
    with pytest.raises(
        DataError, match=rf"{tmp_path}: {count} feature files are missing: 'clap/.*npz'.* and \d+ more"
    ):
        load_dataset([source(tmp_path)], Limits())


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a/b", "..", "a\x00b"])
def test_ids_that_leave_the_folder_are_refused(tmp_path: Path, name: str) -> None:
    query = Query("1", "a dog", name, 5.0, ())
    with pytest.raises(DataError, match="cannot be the name of a file"):
        PublishedFeatures(tmp_path, "clap", "clap", [query], FeatureWidths(4, 4), 1.0).check()


def test_ids_may_begin_with_a_dash_and_hold_any_letter(tmp_path: Path) -> None:
    queries = [Query("-é_1", "a dog", "-é", 2.0, ())]
    for path, key in (("clap/-é.npz", "features"), ("clap_text/qid-é_1.npz", "last_hidden_state")):
        (tmp_path / path).parent.mkdir()
        np.savez(tmp_path / path, **{key: np.ones((2, 4), np.float32)})
    published = PublishedFeatures(tmp_path, "clap", "clap", queries, FeatureWidths(4, 4), 1.0)
    published.check()
    assert published.audio("-é").shape == published.text(queries[0]).shape == (2, 4)


def test_the_fingerprint_follows_files_and_queries(tmp_path: Path) -> None:
    assert source().fingerprint == source().fingerprint
    fewer = PublishedFeatures(source().folder, "clap", "clap", QUERIES[1:], FeatureWidths(768, 768), 1.0)
    assert fewer.fingerprint != source().fingerprint


# ---------------------------------------------------------------- single files


def saved(tmp_path: Path, **arrays: object) -> Path:
    np.savez(tmp_path / "x.npz", **arrays)  # type: ignore[arg-type]
    return tmp_path / "x.npz"


def test_half_precision_and_pooled_features_are_read(tmp_path: Path) -> None:
    rows = read_rows(saved(tmp_path, features=np.arange(4, dtype=np.float16)), "features", 4)
    assert rows.dtype == np.float32
    assert rows.tolist() == [[0, 1, 2, 3]]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            np.ones((2, 5), np.float32),
            r"'features' has shape \(2, 5\), not \(1 or more, 4\). Use the features",
        ),
        (np.ones((0, 4), np.float32), r"'features' has shape \(0, 4\)"),
        (np.ones((1, 2, 4), np.float32), r"'features' has shape \(1, 2, 4\)"),
        (np.ones((2, 4), np.int64), "'features' holds int64 values, not floating-point features"),
        (np.array(["a"]), "'features' holds <U1 values"),
        (np.full((2, 4), np.nan, np.float32), "'features' is not finite in row 0; extract or copy"),
        (np.full((2, 4), 1e300), "'features' is not finite in row 0"),
        (np.array([{}]), "'features' cannot be read .*; no pickled objects are accepted"),
    ],
)
def test_wrong_arrays_are_refused(tmp_path: Path, value: object, message: str) -> None:
    with pytest.raises(DataError, match=rf"x.npz: {message}"):
        read_rows(saved(tmp_path, features=value), "features", 4)


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="x.npz: there is no array 'features'; the file holds 'b', 'feature'"):
        read_rows(saved(tmp_path, feature=1, b=2), "features", 4)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="x.npz: there is no such feature file"):
        read_rows(tmp_path / "x.npz", "features", 4)


@pytest.mark.parametrize("share", [0.1, 0.6, 0.95])
def test_truncated_files_are_refused(tmp_path: Path, share: float) -> None:
    path = saved(tmp_path, features=np.ones((50, 4), np.float32))
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(DataError, match="x.npz: 'features' cannot be read"):
        read_rows(path, "features", 4)


@pytest.mark.parametrize("data", [b"", b"text", b"\x80\x04]\x94.", b"\x93NUMPY"])
def test_other_files_are_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x.npz"
    path.write_bytes(data)
    with pytest.raises(DataError, match="x.npz: 'features' cannot be read"):
        read_rows(path, "features", 4)


def test_a_single_array_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "x.npz").open("wb") as file:
        np.save(file, np.ones((2, 4), np.float32))
    with pytest.raises(DataError, match=r"cannot be read \(one array, not an archive of named arrays\)"):
        read_rows(tmp_path / "x.npz", "features", 4)


def test_a_flipped_byte_is_found(tmp_path: Path) -> None:
    path = saved(tmp_path, features=np.ones((50, 4), np.float32))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match="x.npz: 'features' cannot be read .*CRC"):
        read_rows(path, "features", 4)


def test_huge_claims_are_refused(tmp_path: Path) -> None:
    header = b"\x93NUMPY\x01\x00" + (118).to_bytes(2, "little")
    header += b"{'descr': '<f4', 'fortran_order': False, 'shape': (10000000000000, 4)}".ljust(117) + b"\n"
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("features.npy", header)
    with pytest.raises(DataError, match="x.npz: 'features' cannot be read"):
        read_rows(tmp_path / "x.npz", "features", 4)


# ---------------------------------------------------------------- foreign checkpoints


class OtherNet(CheckpointPart):
    """A checkpoint of a model that this test knows."""

    use = "cg_detr"

    def build(self, checkpoint: Checkpoint) -> ForeignModel:
        raise CheckpointError(f"built from {checkpoint.path.name} by {self.use}")


def test_the_model_name_chooses_the_part() -> None:
    with pytest.raises(CheckpointError, match="built from best.ckpt by cg_detr"):
        load_foreign(FOLDER / "best.ckpt", Registry.of(OtherNet))


def test_an_unknown_model_is_named() -> None:
    with pytest.raises(
        CheckpointError,
        match=r"best.ckpt: option 'model_name' is 'cg_detr'; no checkpoint part is called 'cg_detr'.*none",
    ):
        load_foreign(FOLDER / "best.ckpt", Registry.of())
