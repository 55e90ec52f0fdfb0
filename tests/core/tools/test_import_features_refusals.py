"""Sources that are damaged, malicious or wrong, and folders that cannot be written."""

import io
import tarfile
import zipfile

import numpy as np
import pytest

from amrbench.data.local_dataset import DatasetFolder, PublishedSplit
from amrbench.files.annotations import write_annotations
from amrbench.types import Query
from tests.core.tools.published_files import (
    dataset_in,
    expect_complete,
    feature_file,
    folder,
    npz,
    published,
    random_rows,
    refusal,
    take,
    tar,
    zipped,
)


@pytest.fixture
def dataset(tmp_path):
    return dataset_in(tmp_path / "toy")


def header_alone(name, shape):
    """Return an .npz file with the header of an array of this shape, and without its numbers."""
    data, header = io.BytesIO(), io.BytesIO()
    layout = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(header, layout)
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr(f"{name}.npy", header.getvalue())
    return data.getvalue()


def overwritten(method):
    """Return a compressed .npz file with other bytes in its middle."""
    data, array = io.BytesIO(), io.BytesIO()
    np.save(array, random_rows("x", 4, 5))
    with zipfile.ZipFile(data, "w", method) as archive:
        archive.writestr("features.npy", array.getvalue())
    content = bytearray(data.getvalue())
    content[100:160] = b"\xff" * 60
    return bytes(content)


def test_the_message_names_no_folder_of_parts_if_nothing_was_read(dataset, tmp_path):
    lines = refusal(dataset, folder(tmp_path / "x", {"clap/-a.npz": b"<html>404</html>"})).splitlines()
    assert lines[3] == (
        f"  {tmp_path}/x/clap/-a.npz: is a web page. The download failed; open its address in a browser, and "
        "download it again."
    )
    assert lines[4:] == [
        f"  All missing files are listed in {feature_file(dataset).with_suffix('.missing.txt')}.",
        "  Correct or add these files and give the same command again, import them from another place, or "
        "accept this with --partial.",
    ]


@pytest.mark.parametrize(
    ("name", "cannot_be_written"),
    [("features", ".ears.amrbench.lock"), ("features/ears.importing", "ears.importing")],
)
def test_a_file_where_a_folder_must_be(dataset, tmp_path, name, cannot_be_written):
    source = folder(tmp_path / "x", published())
    (dataset.root / name).parent.mkdir(exist_ok=True)
    (dataset.root / name).touch()
    message = refusal(dataset, source)
    assert message.startswith(f"{dataset.root}/features/{cannot_be_written}")
    assert ": cannot be " in message
    assert "File exists)" in message


def test_parts_that_were_overwritten_are_refused(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr("amrbench.tools.import_features.ITEMS_A_PART", 2)
    parts = feature_file(dataset).with_suffix(".importing")

    def overwrite(progress):
        first, *later = sorted(parts.iterdir())
        for part in later:
            part.write_bytes(first.read_bytes())

    assert refusal(dataset, folder(tmp_path / "x", published()), report=overwrite) == (
        f"{parts}: features of 1 recordings were read and are missing now: 'c'. "
        "Delete the folder and import again."
    )
    assert not feature_file(dataset).exists()


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (npz(features=np.full((4, 5), np.nan, np.float32)), "'features' is not finite in row 0"),
        (npz(features=random_rows("x", 4, 6)), "'features' has shape (4, 6), not (1 or more, 5)"),
        (npz(features=random_rows("x", 9, 5)), "9 rows of 1 s cannot be those of '-a', which lasts 4 s."),
        (npz(features=np.zeros((0, 5), np.float32)), "'features' has shape (0, 5)"),
        (npz(features=np.array([{}, {}])), "no pickled objects are accepted"),
        (npz(other=random_rows("x", 4, 5)), "there is no array 'features'; the file holds 'other'"),
        (npz(features=random_rows("x", 4, 5))[:60], "'features' cannot be read"),
        (b"", "is empty. Copy or download it again."),
        (
            header_alone("features", (1_000_000, 5)),
            "1000000 rows of 1 s cannot be those of '-a', which lasts 4 s.",
        ),
        (header_alone("features", (4, 1_000_000)), "'features' has shape (4, 1000000), not (1 or more, 5)"),
        (header_alone("features", (4, 5)), "'features' cannot be read (EOF: reading array data"),
        (overwritten(zipfile.ZIP_LZMA), "'features' cannot be read (Corrupt input data)."),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\x7f{'descr", "'features' cannot be read (one array"),
    ],
)
def test_damaged_files_are_named_and_no_feature_file_is_written(dataset, tmp_path, data, text):
    files = published() | {"clap/-a.npz": data}
    for source in (folder(tmp_path / "x", files), zipped(tmp_path / "x.zip", files)):
        message = refusal(dataset, source)
        assert "1 of 3 recordings have none: '-a'." in message
        assert "clap/-a.npz: " in message
        assert text in message
        assert not feature_file(dataset).exists()


def test_names_that_point_out_of_an_archive(dataset, tmp_path):
    files = {"../../clap/-a.npz": b"x"}
    for source in (tar(tmp_path / "x.tar.gz", files), zipped(tmp_path / "x.zip", files)):
        assert refusal(dataset, source) == (
            f"{source}: the name '../../clap/-a.npz' points out of the archive. Published features have no "
            "such names; get the archive from its public home."
        )


def test_links_in_an_archive(dataset, tmp_path):
    source = tmp_path / "x.tar"
    with tarfile.open(source, "w") as archive:
        entry = tarfile.TarInfo("clap/-a.npz")
        entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(entry)
    assert refusal(dataset, source) == (
        f"{source}: 'clap/-a.npz' is a link or a device, not a file. Published features have none; get the "
        "archive from its public home."
    )


@pytest.mark.parametrize("suffix", ["tar.gz", "tar", "zip"])
def test_features_before_the_end_of_a_truncated_archive_are_kept(dataset, tmp_path, suffix):
    files = published()
    source = tmp_path / f"x.{suffix}"
    tar(source, files, "w" if suffix == "tar" else "w:gz") if suffix != "zip" else zipped(source, files)
    source.write_bytes(source.read_bytes()[: len(source.read_bytes()) // 3])
    message = refusal(dataset, source)
    assert message.startswith(f"{source}: cannot be read to its end (") or f"{source}: clap" in message
    assert "Download or copy it again." in message
    assert not feature_file(dataset).exists()
    take(dataset, folder(tmp_path / "complete", files))
    expect_complete(dataset)


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_a_name_that_is_in_an_archive_twice(dataset, tmp_path, kind):
    source = tmp_path / f"x.{kind}"
    second = npz(features=random_rows("other", 4, 5))
    if kind == "tar":
        tar(source, published(), "w")
        with tarfile.open(source, "a") as archive:
            entry = tarfile.TarInfo("clap/-a.npz")
            entry.size = len(second)
            archive.addfile(entry, io.BytesIO(second))
    else:
        zipped(source, published())
        with zipfile.ZipFile(source, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("clap/-a.npz", second)
    assert refusal(dataset, source) == (
        f"{source}: clap/-a.npz: is in the archive twice, so it is unclear which are the features of '-a'. "
        "Download the archive again, or unpack it and name the folder."
    )
    assert not feature_file(dataset).exists()


def test_names_in_an_archive_that_are_damaged(dataset, tmp_path):
    source = zipped(tmp_path / "x.zip", {"clap/-aé.npz": b"x"})
    source.write_bytes(source.read_bytes().replace("é".encode(), b"\xff\xff"))
    message = refusal(dataset, source)
    assert message.startswith(f"{source}: cannot be read to its end ('utf-8' codec can't decode")
    assert message.endswith("Download or copy it again.")


@pytest.mark.parametrize("kind", ["folder", "tar", "zip"])
def test_files_too_large_for_features_are_not_read(dataset, tmp_path, monkeypatch, kind):
    monkeypatch.setattr("amrbench.tools.import_features.LARGEST_FILE", 3000)
    make = {"folder": folder, "tar": tar, "zip": zipped}[kind]
    large = {"clap/-a.npz": npz(features=random_rows("-a", 4, 5), other=np.zeros(1000))}
    size = len(large["clap/-a.npz"])
    assert (
        f"clap/-a.npz: has {size:,} bytes; features of one recording or query have at most 3,000. "
        "Copy or download the file again."
    ) in refusal(dataset, make(tmp_path / f"x.{kind}", published() | large))


def test_texts_of_too_many_words(dataset, tmp_path):
    files = published() | {"clap_text/qid7.npz": header_alone("last_hidden_state", (1 << 20, 4))}
    source = folder(tmp_path / "x", files)
    assert (
        f"{source}/clap_text/qid7.npz: 1048576 rows cannot be those of the text of query '7'; "
        "the largest number is 16384."
    ) in refusal(dataset, source)


def test_two_files_of_one_recording(dataset, tmp_path):
    files = published() | {"slow/-a.npz": npz(features=random_rows("-a", 4, 5))}
    source = folder(tmp_path / "x", files)
    assert refusal(dataset, source) == (
        f"'-a' has features in {source}/clap/-a.npz and in {source}/slow/-a.npz. "
        "Name the folders or archives of one encoder only."
    )


def test_sources_that_are_neither_folder_nor_archive(dataset, tmp_path):
    assert refusal(dataset, tmp_path / "no") == f"{tmp_path}/no: there is no such folder or archive."
    (tmp_path / "x.rar").write_bytes(b"Rar!\x1a\x07\x00")
    assert refusal(dataset, tmp_path / "x.rar") == f"{tmp_path}/x.rar: is a RAR archive. Unpack it first."


def test_a_source_without_features(dataset, tmp_path):
    source = folder(tmp_path / "x", {"notes.txt": b"hello"})
    assert refusal(dataset, source, partial=True) == f"toy: none of its features are in {tmp_path}/x."


def test_a_data_set_without_annotations(tmp_path):
    dataset = DatasetFolder("toy", tmp_path, {"train": PublishedSplit("train.jsonl")})
    assert refusal(dataset, tmp_path) == (
        "toy: there are no annotations, so it is not known what to import. "
        f"Put one of {tmp_path}/train.jsonl there."
    )


def test_ids_that_cannot_be_file_names(dataset, tmp_path):
    queries = [Query(1, "x", "v", 3.0, ()), Query("a/b", "x", "../v", 3.0, ())]
    write_annotations(dataset.annotations("train"), queries)
    file = dataset.annotations("train")
    name = (
        "which cannot be the name of a file; use 1 to 200 bytes without '/', '\\' or control characters, not "
        "'.' or '..' and no drive letter."
    )
    assert refusal(dataset, tmp_path).splitlines() == [
        f'{file}:2: "qid" is "a/b", {name}',
        f'{file}:2: "vid" is "../v", {name}',
    ]


def test_ids_that_start_again_with_other_sentences(dataset, tmp_path):
    train, test = map(dataset.annotations, ("train", "test"))
    write_annotations(train, [Query(1, "a dog", "a", 3.0, ()), Query(2, "rain", "a", 3.0, ())])
    write_annotations(test, [Query("1", "a cat", "b", 3.0, ()), Query(2, "rain", "b", 3.0, ())])
    assert refusal(dataset, tmp_path) == (
        f"{test}: 1 ids of queries have other sentences in another split, so qid<id>.npz does not say whose "
        f"text it is: '1' is 'a cat' here and 'a dog' in {train}. Import the files of each split by "
        "themselves: 'amrbench data import toy FILES --encoder ears --split train'."
    )


def test_a_split_that_is_not_known_or_not_there(dataset, tmp_path):
    assert refusal(dataset, tmp_path, split="tran") == (
        "data set 'toy' has no split 'tran'. Did you mean 'train'? Splits: train, test."
    )
    dataset.annotations("test").unlink()
    assert f"annotations of toy test: {dataset.root}/test.jsonl" in refusal(dataset, tmp_path, split="test")


def test_a_recording_of_two_splits_with_other_features_in_each(dataset, tmp_path):
    for split in ("train", "test"):
        write_annotations(dataset.annotations(split), [Query(split, "a dog", "1", 3.0, ())])
        files = {
            "clap/1.npz": npz(features=random_rows(split, 3, 5)),
            f"clap_text/qid{split}.npz": npz(last_hidden_state=random_rows("a dog", 2, 4)),
        }
        folder(tmp_path / split, files)
    take(dataset, tmp_path / "train", split="train")
    assert refusal(dataset, tmp_path / "test", split="test") == (
        f"{tmp_path}/test/clap/1.npz: has other features than were imported before, and '1' is a recording "
        "of several splits of toy. Give each recording an id of its own in the annotations."
    )
    (tmp_path / "test/clap/1.npz").write_bytes((tmp_path / "train/clap/1.npz").read_bytes())
    assert take(dataset, tmp_path / "test", split="test").known == 1
