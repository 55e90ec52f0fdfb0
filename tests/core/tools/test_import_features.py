import io
import os
import tarfile
import tracemalloc
import zipfile
from dataclasses import replace

import numpy as np
import pytest

from amrbench.data.local_dataset import DatasetFolder, PublishedSplit
from amrbench.errors import DataError
from amrbench.files.annotations import write_annotations
from amrbench.files.archives import archive_entries
from amrbench.files.feature_file import open_feature_file
from amrbench.slots.features import FeaturesPart
from amrbench.tools.import_features import import_features
from amrbench.types import Query
from benchmarks.bench_import import QUICK, measure
from tests.core.world import held

QUERIES = {
    "train": [
        Query("-a_1", "ein Hund", "-a", 4.0, ((0.0, 1.0),)),
        Query("-a_2", "a cat", "-a", 4.0, ((1.0, 2.0),)),
        Query("b.0_1", "a dog", "b.0_é", 3.0, ((0.0, 1.0),)),
    ],
    "test": [Query(7, "a dog", "c", 2.0, ((0.0, 1.0),))],
}
RECORDINGS = {"-a": 4, "b.0_é": 4, "c": 2}
TEXTS = {"-a_1": 3, "-a_2": 1, "b.0_1": 2, "7": 2}


class Ears:
    """Known by its widths only."""

    name, audio_width, text_width, rate, hop = "ears", 5, 4, 8000, 1.0


class EarsPart(FeaturesPart):
    """An encoder that nobody has."""

    use = "ears"

    def build(self):
        return Ears()


@pytest.fixture
def home(tmp_path):
    facts = {split: PublishedSplit(f"{split}.jsonl") for split in QUERIES}
    home = DatasetFolder("toy", tmp_path / "toy", facts)
    home.root.mkdir()
    for split, queries in QUERIES.items():
        write_annotations(home.annotations(split), queries)
    return home


def rows(name, count, width):
    return np.random.default_rng((sum(name.encode()), width)).normal(size=(count, width)).astype(np.float32)


def npz(**arrays):
    data = io.BytesIO()
    np.savez(data, **arrays)
    return data.getvalue()


def published():
    """All files of the data set by name, as they are published."""
    audio = {f"clap/{vid}.npz": npz(features=rows(vid, count, 5)) for vid, count in RECORDINGS.items()}
    text = {
        f"clap_text/qid{qid}.npz": npz(last_hidden_state=rows(qid, count, 4)) for qid, count in TEXTS.items()
    }
    return audio | text


def folder(place, files):
    for name, data in files.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(data)
    return place


def tar(place, files, mode="w:gz"):
    with tarfile.open(place, mode) as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return place


def zipped(place, files):
    with zipfile.ZipFile(place, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return place


def bomb(name, shape):
    """An archive with the header of an array, and without the array."""
    data, header = io.BytesIO(), io.BytesIO()
    layout = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(header, layout)
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr(f"{name}.npy", header.getvalue())
    return data.getvalue()


def spoiled(method):
    """A packed .npz file with bytes in its middle that are none of its own."""
    data, array = io.BytesIO(), io.BytesIO()
    np.save(array, rows("x", 4, 5))
    with zipfile.ZipFile(data, "w", method) as archive:
        archive.writestr("features.npy", array.getvalue())
    whole = bytearray(data.getvalue())
    whole[100:160] = b"\xff" * 60
    return bytes(whole)


class Told(list):
    def __call__(self, progress):
        self.append(progress)


def take(home, *sources, **options):
    return import_features(home, EarsPart(), sources, tell=Told(), **options)


def refusal(home, *sources):
    with pytest.raises(DataError) as error:
        take(home, *sources)
    return str(error.value)


def check(home):
    store = open_feature_file(home.store(EarsPart()))
    store.verify()
    assert list(store.audio.ids) == list(RECORDINGS)
    assert list(store.text.ids) == list(TEXTS)
    assert all(np.array_equal(store.audio.rows(vid), rows(vid, n, 5)) for vid, n in RECORDINGS.items())
    assert all(np.array_equal(store.text.rows(qid), rows(qid, n, 4)) for qid, n in TEXTS.items())
    assert [path.name for path in home.store(EarsPart()).parent.iterdir() if path.is_dir()] == []


@pytest.mark.parametrize("kind", ["folder", "tar.gz", "tar", "zip"])
def test_features_are_read_from_folders_and_archives(home, tmp_path, kind):
    make = {
        "folder": folder,
        "tar.gz": tar,
        "tar": lambda place, files: tar(place, files, "w"),
        "zip": zipped,
    }[kind]
    done = take(home, make(tmp_path / f"x.{kind}", published() | {"notes.txt": b"hello"}))
    check(home)
    assert done.counts == {"audio": 3, "text": 4}
    assert (done.read, done.unknown, done.other_length) == (7, 0, 1), "b.0_é has a row too many"
    assert done.size == sum(map(len, published().values()))
    first, second, third = done.text().splitlines()
    assert first == f"{home.store(EarsPart())}: 3 recordings and 4 queries"
    assert second.startswith("  read 7 files in ")
    assert third == "  1 recordings have a row more or less than their duration; accepted"


def test_the_same_files_give_the_same_bytes_whatever_their_order(home, tmp_path):
    take(home, folder(tmp_path / "one", published()))
    store = home.store(EarsPart())
    before = store.read_bytes()
    store.unlink()
    take(home, tar(tmp_path / "x.tar", dict(reversed(published().items())), "w"))
    assert store.read_bytes() == before


def test_npy_files_and_names_without_points_are_known(home, tmp_path):
    files = published()
    data = io.BytesIO()
    np.save(data, rows("-a", 4, 5))
    files["clap/-a.npy"] = data.getvalue()
    files["clap/b0_é.npz"] = files.pop("clap/b.0_é.npz")
    del files["clap/-a.npz"]
    take(home, folder(tmp_path / "x", files))
    check(home)


def test_files_that_nobody_asks_for_are_counted(home, tmp_path):
    done = take(home, folder(tmp_path / "x", published() | {"clap/zzz.npz": npz(features=rows("z", 2, 5))}))
    assert done.unknown == 1
    assert "  1 files are of recordings or queries that no annotation names" in done.text()
    check(home)


def test_what_is_missing_is_named_and_an_import_goes_on_where_it_was(home, tmp_path, monkeypatch):
    monkeypatch.setattr("amrbench.tools.import_features.IN_A_PART", 2)
    files = published()
    later = {name: files.pop(name) for name in ("clap/c.npz", "clap_text/qid7.npz")}
    store = home.store(EarsPart())
    assert refusal(home, folder(tmp_path / "x", files)).splitlines() == [
        "toy: not all features could be imported.",
        "  1 of 3 recordings have none: 'c'.",
        "  1 of 4 queries have none: '7'.",
        f"  All that is missing is listed in {store.with_suffix('.missing.txt')}.",
        f"  What was read is kept in {store.with_suffix('.importing')}.",
        "  Name the missing files in another import, or accept this with --partial.",
    ]
    assert not store.exists()
    assert store.with_suffix(".missing.txt").read_text() == "c.npz\nqid7.npz\n"
    done = take(home, folder(tmp_path / "y", later))
    assert done.read == 2
    assert not store.with_suffix(".missing.txt").exists()
    check(home)


def test_nothing_is_said_to_be_kept_where_nothing_was_read(home, tmp_path):
    said = refusal(home, folder(tmp_path / "x", {"clap/-a.npz": b"<html>404</html>"})).splitlines()
    assert said[3] == (
        f"  {tmp_path}/x/clap/-a.npz: 'features' cannot be read (not an .npz file). "
        "Copy or download the file again."
    )
    assert said[4:] == [
        f"  All that is missing is listed in {home.store(EarsPart()).with_suffix('.missing.txt')}.",
        "  Name the missing files in another import, or accept this with --partial.",
    ]


def test_a_complete_feature_file_is_not_imported_again(home, tmp_path):
    store = home.store(EarsPart())
    take(home, folder(tmp_path / "x", published()))
    before = store.read_bytes()
    others = {name: npz(features=rows("other", 4, 5)) for name in ("clap/-a.npz", "clap/b.0_é.npz")}
    for source in (folder(tmp_path / "y", others), folder(tmp_path / "empty", {"notes.txt": b"x"})):
        assert refusal(home, source) == (
            f"{store}: is complete already, so nothing was read. Move it away to import anew."
        )
    assert store.read_bytes() == before


def test_what_was_imported_before_is_counted_and_not_read_again(home, tmp_path):
    files = published()
    last = {"clap/c.npz": files.pop("clap/c.npz")}
    take(home, folder(tmp_path / "x", files), partial=True)
    with pytest.raises(DataError) as error:
        take(home, folder(tmp_path / "empty", {"notes.txt": b"x"}), partial=True)
    assert str(error.value) == f"toy: none of its features are in {tmp_path}/empty."
    done = take(home, folder(tmp_path / "y", files | last))
    assert (done.read, done.known) == (1, 6)
    assert "  6 files were not read: what they are features of was there before" in done.text()
    check(home)


def test_a_moved_data_set_can_be_added_to(home, tmp_path):
    files = published()
    last = {"clap/c.npz": files.pop("clap/c.npz")}
    refusal(home, folder(tmp_path / "x", files))
    moved = replace(home, name="./toy/")
    take(moved, folder(tmp_path / "y", last))
    check(moved)


def test_parts_that_killed_imports_left_are_removed(home, tmp_path):
    store = home.store(EarsPart())
    left, other = store.with_name(f".{store.name}.20179.part"), store.with_name(".clap.h5.7.part")
    store.parent.mkdir()
    left.touch()
    other.touch()
    take(home, folder(tmp_path / "x", published()))
    assert (left.exists(), other.exists()) == (False, True)


@pytest.mark.parametrize("name", ["features", "features/ears.importing"])
def test_a_file_where_a_folder_must_be(home, tmp_path, name):
    source = folder(tmp_path / "x", published())
    (home.root / name).parent.mkdir(exist_ok=True)
    (home.root / name).touch()
    said = refusal(home, source)
    assert said.startswith(f"{home.root}/features/ears.")
    assert ": cannot be " in said
    assert "File exists)" in said


def test_an_import_that_was_broken_off_reads_nothing_twice(home, tmp_path, monkeypatch):
    monkeypatch.setattr("amrbench.tools.import_features.IN_A_PART", 2)
    source = folder(tmp_path / "x", published())
    with pytest.raises(KeyboardInterrupt):
        import_features(home, EarsPart(), [source], tell=interrupt)
    assert take(home, source).read == 5
    check(home)


def interrupt(progress):
    raise KeyboardInterrupt


def test_with_partial_the_rest_is_imported_and_can_be_added(home, tmp_path):
    files = published()
    last = {"clap/c.npz": files.pop("clap/c.npz")}
    done = take(home, folder(tmp_path / "x", files), partial=True)
    assert done.text().splitlines()[-1] == "  without 1 recordings: 'c'"
    assert list(open_feature_file(home.store(EarsPart())).audio.ids) == ["-a", "b.0_é"]
    take(home, folder(tmp_path / "y", last))
    check(home)


def test_parts_outlive_the_feature_file_that_they_were_to_be_added_to(home, tmp_path):
    audio = {name: data for name, data in published().items() if name.startswith("clap/")}
    text = {name: data for name, data in published().items() if name not in audio}
    last = {"clap_text/qid7.npz": text.pop("clap_text/qid7.npz")}
    take(home, folder(tmp_path / "x", audio), partial=True)
    refusal(home, folder(tmp_path / "y", text))
    home.store(EarsPart()).unlink()
    done = take(home, folder(tmp_path / "z", audio | last))
    assert (done.read, done.counts) == (4, {"audio": 3, "text": 4})
    check(home)


def test_parts_that_lost_what_was_read_are_named(home, tmp_path, monkeypatch):
    monkeypatch.setattr("amrbench.tools.import_features.IN_A_PART", 2)
    parts = home.store(EarsPart()).with_suffix(".importing")

    def spoil(progress):
        first, *later = sorted(parts.iterdir())
        for each in later:
            each.write_bytes(first.read_bytes())

    with pytest.raises(DataError) as error:
        import_features(home, EarsPart(), [folder(tmp_path / "x", published())], tell=spoil)
    assert str(error.value) == (
        f"{parts}: features of 1 recordings that were read are no longer there: 'c'. "
        "Delete the folder and import again."
    )
    assert not home.store(EarsPart()).exists()


def test_what_is_in_the_feature_file_is_counted_not_what_was_read(home, tmp_path):
    files = published()
    last = {"clap/-a.npz": files.pop("clap/-a.npz")}
    take(home, folder(tmp_path / "x", files), partial=True)
    home.annotations("test").unlink()
    done = take(home, folder(tmp_path / "y", last))
    assert done.counts == {"audio": 2, "text": 3}
    store = open_feature_file(home.store(EarsPart()))
    assert (len(store.audio.ids), len(store.text.ids)) == (2, 3)


def test_an_import_says_whom_it_waits_for(home, tmp_path):
    store, told = home.store(EarsPart()), []
    source = folder(tmp_path / "x", published())
    with held(store.with_suffix(".lock")) as let_go:

        def tell(progress):
            told.append(progress.what)
            let_go()

        import_features(home, EarsPart(), [source], tell=tell)
    assert told == [f"{store}: waiting for process {os.getpid()}, which makes it"]
    check(home)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (npz(features=np.full((4, 5), np.nan, np.float32)), "'features' is not finite in row 0"),
        (npz(features=rows("x", 4, 6)), "'features' has shape (4, 6), not (1 or more, 5)"),
        (npz(features=rows("x", 9, 5)), "9 rows of 1 s cannot be those of '-a', which lasts 4 s."),
        (npz(features=np.zeros((0, 5), np.float32)), "'features' has shape (0, 5)"),
        (npz(features=np.array([{}, {}])), "no pickled objects are accepted"),
        (npz(other=rows("x", 4, 5)), "there is no array 'features'; the file holds 'other'"),
        (npz(features=rows("x", 4, 5))[:60], "'features' cannot be read"),
        (b"", "'features' cannot be read (not an .npz file). Copy or download the file again."),
        (bomb("features", (1_000_000, 5)), "1000000 rows of 1 s cannot be those of '-a', which lasts 4 s."),
        (bomb("features", (4, 1_000_000)), "'features' has shape (4, 1000000), not (1 or more, 5)"),
        (bomb("features", (4, 5)), "'features' cannot be read (EOF: reading array data"),
        (spoiled(zipfile.ZIP_LZMA), "'features' cannot be read (Corrupt input data)."),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\x7f{'descr", "'features' cannot be read (one array"),
    ],
)
def test_damaged_files_are_named_and_nothing_takes_their_place(home, tmp_path, data, text):
    files = published() | {"clap/-a.npz": data}
    for source in (folder(tmp_path / "x", files), zipped(tmp_path / "x.zip", files)):
        said = refusal(home, source)
        assert "1 of 3 recordings have none: '-a'." in said
        assert "clap/-a.npz: " in said
        assert text in said
        assert not home.store(EarsPart()).exists()


def test_names_that_point_out_of_an_archive(home, tmp_path):
    bad = {"../../clap/-a.npz": b"x"}
    for source in (tar(tmp_path / "x.tar.gz", bad), zipped(tmp_path / "x.zip", bad)):
        assert refusal(home, source) == (
            f"{source}: the name '../../clap/-a.npz' points out of the archive. Published features have no "
            "such names; get the archive from its public home."
        )


def test_links_in_an_archive(home, tmp_path):
    source = tmp_path / "x.tar"
    with tarfile.open(source, "w") as archive:
        entry = tarfile.TarInfo("clap/-a.npz")
        entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(entry)
    assert refusal(home, source) == (
        f"{source}: 'clap/-a.npz' is a link or a device, not a file. Published features have none; get the "
        "archive from its public home."
    )


@pytest.mark.parametrize("end", ["tar.gz", "tar", "zip"])
def test_a_truncated_archive_keeps_what_was_read(home, tmp_path, end):
    files = published()
    source = tmp_path / f"x.{end}"
    tar(source, files, "w" if end == "tar" else "w:gz") if end != "zip" else zipped(source, files)
    source.write_bytes(source.read_bytes()[: len(source.read_bytes()) // 3])
    said = refusal(home, source)
    assert said.startswith(f"{source}: cannot be read to its end (") or f"{source}: clap" in said
    assert "Download or copy it again." in said
    assert not home.store(EarsPart()).exists()
    take(home, folder(tmp_path / "whole", files))
    check(home)


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_a_name_that_stands_twice_in_an_archive(home, tmp_path, kind):
    source = tmp_path / f"x.{kind}"
    second = npz(features=rows("other", 4, 5))
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
    assert refusal(home, source) == (
        f"{source}: clap/-a.npz: stands twice in the archive, so it is not known which are the features of "
        "'-a'. Get the archive from its public home, or unpack it and name the folder."
    )
    assert not home.store(EarsPart()).exists()


def test_a_source_that_is_named_twice_is_read_once(home, tmp_path):
    source = tar(tmp_path / "x.tar", published(), "w")
    assert take(home, source, source).read == 7
    check(home)


def test_names_in_an_archive_that_are_damaged(home, tmp_path):
    source = zipped(tmp_path / "x.zip", {"clap/-aé.npz": b"x"})
    source.write_bytes(source.read_bytes().replace("é".encode(), b"\xff\xff"))
    said = refusal(home, source)
    assert said.startswith(f"{source}: cannot be read to its end ('utf-8' codec can't decode")
    assert said.endswith("Download or copy it again.")


@pytest.mark.parametrize("kind", ["folder", "tar", "zip"])
def test_files_too_large_for_features_are_not_read(home, tmp_path, monkeypatch, kind):
    monkeypatch.setattr("amrbench.tools.import_features.LARGEST_FILE", 3000)
    make = {"folder": folder, "tar": tar, "zip": zipped}[kind]
    large = {"clap/-a.npz": npz(features=rows("-a", 4, 5), other=np.zeros(1000))}
    size = len(large["clap/-a.npz"])
    assert (
        f"clap/-a.npz: has {size:,} bytes; more than 3,000 cannot be features of one recording or query. "
        "Copy or download the file again."
    ) in refusal(home, make(tmp_path / f"x.{kind}", published() | large))


def test_a_zip_member_longer_than_its_archive_says_is_not_unpacked(tmp_path):
    source = tmp_path / "x.zip"
    with zipfile.ZipFile(source, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npz", bytes(50_000_000))
    size = (50_000_000).to_bytes(4, "little")
    source.write_bytes(source.read_bytes().replace(size, (9).to_bytes(4, "little")))
    found = archive_entries(source)
    member = next(found)
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=r"x\.zip: a\.npz: cannot be read to its end \(.*CRC"):
            member.read()
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_texts_of_more_words_than_there_are(home, tmp_path):
    files = published() | {"clap_text/qid7.npz": bomb("last_hidden_state", (1 << 20, 4))}
    source = folder(tmp_path / "x", files)
    assert (
        f"{source}/clap_text/qid7.npz: 1048576 rows cannot be those of the text of query '7'; "
        "16384 are the most."
    ) in refusal(home, source)


def test_two_files_of_one_recording(home, tmp_path):
    files = published() | {"slow/-a.npz": npz(features=rows("-a", 4, 5))}
    source = folder(tmp_path / "x", files)
    assert refusal(home, source) == (
        f"'-a' has features in {source}/clap/-a.npz and in {source}/slow/-a.npz. "
        "Name the folders or archives of one encoder only."
    )


def test_sources_that_are_none(home, tmp_path):
    assert refusal(home, tmp_path / "no") == f"{tmp_path}/no: there is no such folder or archive."
    (tmp_path / "x.rar").write_bytes(b"x")
    assert refusal(home, tmp_path / "x.rar") == (
        f"{tmp_path}/x.rar: neither a folder nor an archive (.tar, .tar.gz, .tgz, .tar.bz2, .tar.xz, .zip)."
    )


def test_a_source_with_nothing_in_it(home, tmp_path):
    with pytest.raises(DataError) as error:
        take(home, folder(tmp_path / "x", {"notes.txt": b"hello"}), partial=True)
    assert str(error.value) == f"toy: none of its features are in {tmp_path}/x."


def test_annotations_come_first(tmp_path):
    home = DatasetFolder("toy", tmp_path, {"train": PublishedSplit("train.jsonl")})
    assert refusal(home, tmp_path) == (
        "toy: no annotations are placed, so it is not known what to import. "
        f"Place one of {tmp_path}/train.jsonl."
    )


def test_ids_that_cannot_be_file_names(home, tmp_path):
    write_annotations(home.annotations("train"), [Query("a/b", "x", "../v", 3.0, ())])
    assert refusal(home, tmp_path) == (
        f"{home.root}: query 'a/b' of toy: id \"../v\" cannot be the name of a file; use 1 to 200 bytes "
        "without '/', '\\' or control characters, not '.' or '..' and no drive letter."
    )


def test_two_thousand_files_of_the_published_shapes(tmp_path):
    found = measure(tmp_path, QUICK)
    assert found.files == QUICK
    assert found.memory_mib < 2000
