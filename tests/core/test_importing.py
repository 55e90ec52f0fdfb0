import io
import os
import tarfile
import zipfile

import numpy as np
import pytest

from amrbench.annotations import Query, write_annotations
from amrbench.data.home import Home, SplitFacts
from amrbench.data.importing import import_features
from amrbench.errors import DataError
from amrbench.files.store import open_store
from amrbench.slots import FeaturesPart
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
    facts = {split: SplitFacts(f"{split}.jsonl") for split in QUERIES}
    home = Home("toy", tmp_path / "toy", facts)
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
    store = open_store(home.store(EarsPart()))
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
    monkeypatch.setattr("amrbench.data.importing.IN_A_PART", 2)
    files = published()
    later = {name: files.pop(name) for name in ("clap/c.npz", "clap_text/qid7.npz")}
    store = home.store(EarsPart())
    assert refusal(home, folder(tmp_path / "x", files)).splitlines() == [
        "toy: not all features could be imported.",
        "  1 of 3 recordings have none: 'c'.",
        "  1 of 4 queries have none: '7'.",
        f"  What was read is kept in {store.with_suffix('.importing')}. Name the missing files in another "
        "import, or accept this with --partial.",
    ]
    assert not store.exists()
    done = take(home, folder(tmp_path / "y", later))
    assert done.read == 2
    check(home)


def test_an_import_that_was_broken_off_reads_nothing_twice(home, tmp_path, monkeypatch):
    monkeypatch.setattr("amrbench.data.importing.IN_A_PART", 2)
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
    assert list(open_store(home.store(EarsPart())).audio.ids) == ["-a", "b.0_é"]
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
    monkeypatch.setattr("amrbench.data.importing.IN_A_PART", 2)
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
    store = open_store(home.store(EarsPart()))
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
        (b"", "'features' cannot be read"),
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
    home = Home("toy", tmp_path, {"train": SplitFacts("train.jsonl")})
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
