import io
import os
from dataclasses import replace

import numpy as np
import pytest

from amrbench.errors import DataError
from amrbench.files.annotations import write_annotations
from amrbench.files.claim import claim_beside
from amrbench.files.feature_file import open_feature_file
from amrbench.types import Query
from benchmarks.bench_import import QUICK, measure
from tests.core.tools.published_files import (
    EarsPart,
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
from tests.small_world.locks import held


@pytest.fixture
def dataset(tmp_path):
    return dataset_in(tmp_path / "toy")


@pytest.mark.parametrize("kind", ["folder", "tar.gz", "tar", "zip"])
def test_features_are_read_from_folders_and_archives(dataset, tmp_path, kind):
    make = {
        "folder": folder,
        "tar.gz": tar,
        "tar": lambda path, files: tar(path, files, "w"),
        "zip": zipped,
    }[kind]
    result = take(dataset, make(tmp_path / f"x.{kind}", published() | {"notes.txt": b"hello"}))
    expect_complete(dataset)
    assert result.counts == {"audio": 3, "text": 4}
    assert (result.read, result.unknown, result.other_length) == (7, 0, 1), "b.0_é has a row too many"
    assert result.size == sum(map(len, published().values()))
    first, second, third = result.text().splitlines()
    assert first == f"{feature_file(dataset)}: 3 recordings and 4 queries"
    assert second.startswith("  read 7 files in ")
    assert (
        third == "  1 recordings have some rows more or less than their duration, at most a tenth; accepted"
    )


def test_the_same_files_give_the_same_bytes_whatever_their_order(dataset, tmp_path):
    take(dataset, folder(tmp_path / "one", published()))
    file = feature_file(dataset)
    before = file.read_bytes()
    file.unlink()
    take(dataset, tar(tmp_path / "x.tar", dict(reversed(published().items())), "w"))
    assert file.read_bytes() == before


def test_npy_files_and_names_without_dots_are_recognised(dataset, tmp_path):
    files = published()
    data = io.BytesIO()
    np.save(data, random_rows("-a", 4, 5))
    files["clap/-a.npy"] = data.getvalue()
    files["clap/b0_é.npz"] = files.pop("clap/b.0_é.npz")
    del files["clap/-a.npz"]
    take(dataset, folder(tmp_path / "x", files))
    expect_complete(dataset)


def test_files_of_unknown_recordings_are_counted(dataset, tmp_path):
    files = published() | {"clap/zzz.npz": npz(features=random_rows("z", 2, 5))}
    result = take(dataset, folder(tmp_path / "x", files))
    assert result.unknown == 1
    assert "  1 files are of recordings or queries that no annotation names" in result.text()
    expect_complete(dataset)


def test_unknown_files_are_those_that_the_split_does_not_name(dataset, tmp_path):
    result = take(dataset, folder(tmp_path / "x", published()), split="train")
    assert result.unknown > 0
    assert f"  {result.unknown} files are of recordings or queries that no annotation of 'train' names" in (
        result.text().splitlines()
    )


def test_missing_files_are_named_and_the_next_import_continues(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr("amrbench.tools.import_features.ITEMS_A_PART", 2)
    files = published()
    later = {name: files.pop(name) for name in ("clap/c.npz", "clap_text/qid7.npz")}
    file = feature_file(dataset)
    assert refusal(dataset, folder(tmp_path / "x", files)).splitlines() == [
        "toy: not all features could be imported.",
        "  1 of 3 recordings have none: 'c'.",
        "  1 of 4 queries have none: '7'.",
        f"  All missing files are listed in {file.with_suffix('.missing.txt')}.",
        f"  The other features are kept in {file.with_suffix('.importing')}; only files that change are read "
        "again.",
        "  Correct or add these files and give the same command again, import them from another place, or "
        "accept this with --partial.",
    ]
    assert not file.exists()
    assert file.with_suffix(".missing.txt").read_text() == "c.npz\nqid7.npz\n"
    assert take(dataset, folder(tmp_path / "y", later)).read == 2
    assert not file.with_suffix(".missing.txt").exists()
    expect_complete(dataset)


def test_a_complete_feature_file_is_not_imported_again(dataset, tmp_path):
    file = feature_file(dataset)
    take(dataset, folder(tmp_path / "x", published()))
    before = file.read_bytes()
    others = {name: npz(features=random_rows("other", 4, 5)) for name in ("clap/-a.npz", "clap/b.0_é.npz")}
    for source in (folder(tmp_path / "y", others), folder(tmp_path / "empty", {"notes.txt": b"x"})):
        assert refusal(dataset, source) == (
            f"{file}: is complete already, so nothing was read. Move it away to import it again."
        )
    assert file.read_bytes() == before


def test_features_that_were_imported_before_are_counted_and_not_read_again(dataset, tmp_path):
    files = published()
    last = {"clap/c.npz": files.pop("clap/c.npz")}
    take(dataset, folder(tmp_path / "x", files), partial=True)
    empty = folder(tmp_path / "empty", {"notes.txt": b"x"})
    assert refusal(dataset, empty, partial=True) == f"toy: none of its features are in {tmp_path}/empty."
    result = take(dataset, folder(tmp_path / "y", files | last))
    assert (result.read, result.known) == (1, 6)
    assert "  6 files were not read: their features were imported before" in result.text()
    expect_complete(dataset)


def test_a_moved_data_set_can_be_added_to(dataset, tmp_path):
    files = published()
    last = {"clap/c.npz": files.pop("clap/c.npz")}
    refusal(dataset, folder(tmp_path / "x", files))
    moved = replace(dataset, name="./toy/")
    take(moved, folder(tmp_path / "y", last))
    expect_complete(moved)


def test_leftovers_of_killed_imports_are_removed(dataset, tmp_path):
    file = feature_file(dataset)
    leftover, other = (
        file.with_name(f".{file.name}.0123456789-20179.part"),
        file.with_name(".clap.h5.0123456789-7.part"),
    )
    file.parent.mkdir()
    leftover.touch()
    other.touch()
    take(dataset, folder(tmp_path / "x", published()))
    assert (leftover.exists(), other.exists()) == (False, True)


@pytest.mark.parametrize("kind", ["folder", "tar", "zip"])
def test_features_of_another_source_are_not_mixed_with_those_of_an_unfinished_import(dataset, tmp_path, kind):
    make = {"folder": folder, "tar": tar, "zip": zipped}[kind]
    first = {
        name: npz(features=random_rows(f"{name} before", 4, 5)) if name.startswith("clap/") else data
        for name, data in published().items()
    }
    first["clap/c.npz"] = npz(features=np.full((2, 5), np.nan, np.float32))
    refusal(dataset, make(tmp_path / "first", first))
    result = take(dataset, make(tmp_path / "second", published()))
    assert (result.read, result.known, result.again, result.kept) == (7, 0, 6, 0)
    assert "  6 files replace features of other files that were imported before" in result.text()
    expect_complete(dataset)


def test_an_archive_or_file_that_was_replaced_is_read_again(dataset, tmp_path):
    files = published()
    last = {"clap/c.npz": files.pop("clap/c.npz")}
    other = {"clap/-a.npz": npz(features=random_rows("other", 4, 5))}
    source = folder(tmp_path / "x", files | other)
    os.utime(source / "clap/-a.npz", ns=(1, 1))
    refusal(dataset, source)
    result = take(dataset, folder(source, {"clap/-a.npz": files["clap/-a.npz"]} | last))
    assert (result.read, result.known, result.again) == (2, 5, 1)
    expect_complete(dataset)


def test_a_file_in_place_of_another_that_is_damaged_leaves_no_features_of_that_one(dataset, tmp_path):
    files = published()
    last = {"clap/c.npz": files.pop("clap/c.npz")}
    refusal(dataset, folder(tmp_path / "x", files))
    result = take(dataset, folder(tmp_path / "y", files | last | {"clap/-a.npz": b""}), partial=True)
    assert result.missing == {"audio": ["-a"]}
    assert list(open_feature_file(feature_file(dataset)).audio.ids) == ["b.0_é", "c"]


def test_without_their_origins_features_are_read_again(dataset, tmp_path):
    files = published()
    last = {"clap/c.npz": files.pop("clap/c.npz")}
    source = folder(tmp_path / "x", files)
    refusal(dataset, source)
    (origins,) = feature_file(dataset).with_suffix(".importing").glob("*.json")
    origins.unlink()
    assert take(dataset, folder(source, last)).again == 6
    expect_complete(dataset)


def test_an_import_says_how_many_features_it_keeps(dataset, tmp_path):
    files = published()
    last = {"clap/c.npz": files.pop("clap/c.npz")}
    refusal(dataset, folder(tmp_path / "x", files))
    result = take(dataset, folder(tmp_path / "y", last))
    assert "  6 recordings and queries keep features that were imported before" in result.text()


def test_an_interrupted_import_reads_nothing_twice(dataset, tmp_path, monkeypatch):
    def interrupt(progress):
        raise KeyboardInterrupt

    monkeypatch.setattr("amrbench.tools.import_features.ITEMS_A_PART", 2)
    source = folder(tmp_path / "x", published())
    with pytest.raises(KeyboardInterrupt):
        take(dataset, source, report=interrupt)
    assert take(dataset, source).read == 5
    expect_complete(dataset)


def test_with_partial_the_rest_is_imported_and_can_be_added(dataset, tmp_path):
    files = published()
    last = {"clap/c.npz": files.pop("clap/c.npz")}
    result = take(dataset, folder(tmp_path / "x", files), partial=True)
    assert result.text().splitlines()[-1] == "  without 1 recordings: 'c'"
    assert list(open_feature_file(feature_file(dataset)).audio.ids) == ["-a", "b.0_é"]
    take(dataset, folder(tmp_path / "y", last))
    expect_complete(dataset)


def test_parts_are_kept_when_the_feature_file_is_deleted(dataset, tmp_path):
    audio = {name: data for name, data in published().items() if name.startswith("clap/")}
    text = {name: data for name, data in published().items() if name not in audio}
    last = {"clap_text/qid7.npz": text.pop("clap_text/qid7.npz")}
    take(dataset, folder(tmp_path / "x", audio), partial=True)
    refusal(dataset, folder(tmp_path / "y", text))
    feature_file(dataset).unlink()
    result = take(dataset, folder(tmp_path / "z", audio | last))
    assert (result.read, result.counts) == (4, {"audio": 3, "text": 4})
    expect_complete(dataset)


def test_counts_are_those_of_the_feature_file_not_of_the_files_read(dataset, tmp_path):
    files = published()
    last = {"clap/-a.npz": files.pop("clap/-a.npz")}
    take(dataset, folder(tmp_path / "x", files), partial=True)
    result = take(dataset, folder(tmp_path / "y", last))
    assert (result.read, result.counts) == (1, {"audio": 3, "text": 4})


def test_features_of_a_split_whose_annotations_are_elsewhere_are_kept(dataset, tmp_path):
    files = published()
    last = {"clap/-a.npz": files.pop("clap/-a.npz")}
    take(dataset, folder(tmp_path / "x", files), partial=True)
    annotations = dataset.annotations("test").rename(tmp_path / "elsewhere.jsonl")
    take(dataset, folder(tmp_path / "y", last))
    annotations.rename(dataset.annotations("test"))
    expect_complete(dataset)


def test_rows_that_have_changed_on_disk_get_no_new_checksums(dataset, tmp_path):
    files = published()
    last = {"clap/-a.npz": files.pop("clap/-a.npz")}
    take(dataset, folder(tmp_path / "x", files), partial=True)
    file = feature_file(dataset)
    row = open_feature_file(file).audio.rows("c").tobytes()
    content = file.read_bytes()
    assert content.count(row) == 1
    file.write_bytes(content.replace(row, row[::-1]))
    text = refusal(dataset, folder(tmp_path / "y", last))
    assert text.startswith(f"{file}: audio/rows of item ")
    assert " ('c') have changed on disk: checksum " in text


AGAIN = {
    "train": [Query(1, "a dog", "a", 2.0, ()), Query(2, "rain", "a", 2.0, ())],
    "test": [Query("1", "a cat", "b", 3.0, ()), Query(2, "rain", "c", 3.0, ())],
}
"""Queries whose ids start again."""


def publish_again(root, split):
    """Write the published features of a split."""
    files = {}
    for query in AGAIN[split]:
        audio = npz(features=random_rows(query.vid, int(query.duration), 5))
        text = npz(last_hidden_state=random_rows(query.query, 2, 4))
        files |= {f"clap/{query.vid}.npz": audio, f"clap_text/qid{query.qid}.npz": text}
    return folder(root / split, files)


@pytest.fixture
def again(dataset):
    for split, queries in AGAIN.items():
        write_annotations(dataset.annotations(split), queries)
    return dataset


def test_splits_whose_ids_start_again_are_imported_one_by_one(again, tmp_path):
    for split in AGAIN:
        take(again, publish_again(tmp_path, split), split=split)
    for split, queries in AGAIN.items():
        source = again.source(split, EarsPart())
        source.verify()
        for query in queries:
            assert np.array_equal(source.text(query), random_rows(query.query, 2, 4))
            assert np.array_equal(source.audio(query.vid), random_rows(query.vid, int(query.duration), 5))


def test_the_import_of_a_split_needs_only_its_files_and_keeps_the_others(again, tmp_path):
    train, test = (publish_again(tmp_path, split) for split in AGAIN)
    text = train / "clap_text/qid1.npz"
    text.rename(tmp_path / "later.npz")
    assert "1 of 2 queries have none: '1'." in refusal(again, train, split="train")
    assert feature_file(again).with_suffix(".missing.txt").read_text() == "qid1.npz\n"
    take(again, test, split="test")
    (tmp_path / "later.npz").rename(text)
    result = take(again, train, split="train")
    assert (result.read, result.counts) == (1, {"audio": 3, "text": 3}), "'2: rain' is in both"
    for split in AGAIN:
        again.source(split, EarsPart()).verify()
    assert refusal(again, train, split="train").endswith(
        "is complete already, so nothing was read. Move it away to import it again."
    )


def test_a_sentence_that_was_changed_after_the_import_is_imported_again(again, tmp_path):
    train = publish_again(tmp_path, "train")
    take(again, train, split="train")
    write_annotations(again.annotations("train"), [replace(AGAIN["train"][0], query="a frog")])
    with pytest.raises(DataError, match=r"has no features of 1 of the 1 sentences of .*train\.jsonl"):
        again.source("train", EarsPart())
    assert take(again, train, split="train").read == 1
    again.source("train", EarsPart()).verify()


def test_an_import_reports_the_process_that_it_waits_for(dataset, tmp_path):
    file, reported = feature_file(dataset), []
    source = folder(tmp_path / "x", published())
    with held(claim_beside(file)) as release:

        def report(progress):
            reported.append(progress.what)
            release()

        take(dataset, source, report=report)
    assert reported == [f"{file}: waiting for process {os.getpid()}, which makes it"]
    expect_complete(dataset)


def test_a_source_that_is_named_twice_is_read_once(dataset, tmp_path):
    source = tar(tmp_path / "x.tar", published(), "w")
    assert take(dataset, source, source).read == 7
    expect_complete(dataset)


def test_two_thousand_files_of_the_published_shapes(tmp_path):
    measured = measure(tmp_path, QUICK)
    assert measured.files == QUICK
    assert measured.memory_mib < 2000
