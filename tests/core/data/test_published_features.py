from __future__ import annotations

from pathlib import Path, PurePosixPath

import numpy as np
import pytest

from amrbench.data.feature_dataset import load_dataset
from amrbench.data.feature_source import FeatureSource
from amrbench.data.published_features import ExpectedFeatures, published_source
from amrbench.errors import DataError
from amrbench.files.annotations import read_annotations
from amrbench.files.feature_file import FeatureHeader
from amrbench.slots.model import Limits
from amrbench.types import FeatureWidths, Query
from tests.folders import DATA

FOLDER = DATA / "lighthouse_checkpoint"
QUERIES = read_annotations(FOLDER / "data" / "castella_test_release.jsonl")


def source(
    folder: Path = FOLDER / "features" / "castella",
    queries: list[Query] = QUERIES,
    *,
    text: str = "clap",
    width: int = 768,
) -> FeatureSource:
    widths = FeatureWidths(width, width)
    return published_source(folder, queries, audio="clap", text=text, widths=widths, hop=1.0)


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
        expected = np.load(path)[key][: len(rows)]
        expected = expected / (np.linalg.norm(expected, axis=1, keepdims=True) + 1e-5)
        np.testing.assert_allclose(rows[: len(expected)], expected, rtol=1e-6)


def test_missing_files_are_listed(tmp_path: Path) -> None:
    count = len({query.vid for query in QUERIES})
    with pytest.raises(
        DataError, match=rf"{tmp_path}/clap: {count} feature files are missing: '.*npz'.* and \d+ more"
    ):
        load_dataset([source(tmp_path)], Limits())


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a/b", "..", "a\x00b"])
def test_ids_that_leave_the_folder_are_refused(tmp_path: Path, name: str) -> None:
    published = source(tmp_path)
    with pytest.raises(DataError, match="cannot be the name of a file"):
        published.audio(name)
    with pytest.raises(DataError, match="cannot be the name of a file"):
        published.text(Query(name, "a dog", "v", 5.0, ()))
    with pytest.raises(DataError, match="cannot be the name of a file"):
        source(tmp_path, [Query("1", "a dog", name, 5.0, ())]).verify()


def test_names_of_encoders_that_leave_the_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be the name of a file"):
        source(tmp_path, text="../clap")


def test_ids_may_begin_with_a_dash_and_hold_any_letter(tmp_path: Path) -> None:
    queries = [Query("-é_1", "a dog", "-é", 2.0, ())]
    for path, key in (("clap/-é.npz", "features"), ("clap_text/qid-é_1.npz", "last_hidden_state")):
        (tmp_path / path).parent.mkdir()
        np.savez(tmp_path / path, **{key: np.ones((2, 4), np.float32)})
    published = source(tmp_path, queries, width=4)
    published.verify()
    assert published.audio("-é").shape == published.text(queries[0]).shape == (2, 4)


@pytest.mark.parametrize(
    ("vid", "name"), [("che\u0301", "ch\u00e9.npz"), ("a.wav", "a.npz"), ("2.5", "25.npz"), ("a", "x/a.NPZ")]
)
def test_files_are_found_by_loose_names(tmp_path: Path, vid: str, name: str) -> None:
    (tmp_path / "clap" / name).parent.mkdir(parents=True)
    with (tmp_path / "clap" / name).open("wb") as file:
        np.savez(file, features=np.ones((2, 4), np.float32))
    assert source(tmp_path, [Query("1", "a dog", vid, 2.0, ())], width=4).audio(vid).shape == (2, 4)


def test_what_is_there_instead_of_a_file_is_named(tmp_path: Path) -> None:
    for name in ("clap/A.npz", "clap_text/1.npz"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    published = source(tmp_path, [Query(1, "a dog", "a", 2.0, ())])
    rest = "Give the folder that holds them, or annotations that fit."
    with pytest.raises(DataError) as error:
        published.audio("a")
    assert str(error.value).splitlines() == [
        f"{tmp_path}/clap: 1 feature files are missing: 'a.npz'. {rest}",
        f"  'a': {tmp_path}/clap/A.npz is there, whose name differs in case only. Rename it.",
    ]
    with pytest.raises(DataError) as error:
        published.text(published.queries[0])
    assert str(error.value).splitlines() == [
        f"{tmp_path}/clap_text: 1 feature files are missing: 'qid1.npz'. {rest}",
        f"  'qid1': {tmp_path}/clap_text/1.npz is there, without 'qid' in its name. Rename it to qid1.npz.",
    ]


def test_the_fingerprint_follows_folder_encoders_and_queries(tmp_path: Path) -> None:
    assert source().fingerprint == source().fingerprint
    others = [source(queries=QUERIES[1:]), source(tmp_path), source(text="other")]
    assert len({source().fingerprint, *(other.fingerprint for other in others)}) == 4


def test_a_name_without_dots_is_nobodys_where_two_recordings_could_have_it() -> None:
    header = FeatureHeader("x", "clap", "1", 1.0, 4, 4)
    expected = ExpectedFeatures("x", header, {"a.b.c": 9.0, "ab.c": 9.0, "d.e": 9.0}, {})
    assert expected.identify(PurePosixPath("clap/abc.npz")) is None
    assert expected.identify(PurePosixPath("clap/ab.c.npz")) == ("audio", "ab.c")
    assert expected.identify(PurePosixPath("clap/de.npz")) == ("audio", "d.e")
