import os
from dataclasses import replace

import numpy as np
import pytest
import soundfile

from amrbench.data.local_dataset import DatasetFolder, LocalDataset, PublishedSplit
from amrbench.errors import DataError
from amrbench.files.annotations import write_annotations
from amrbench.files.feature_file import IMPORTED, FeatureHeader, open_feature_file
from amrbench.files.feature_file_writer import InMemoryTable, write_feature_file
from amrbench.required_files import Published
from amrbench.slots.features import FeatureBackend, FeaturesPart
from amrbench.types import FeatureWidths, Query
from tests.core.tools.published_files import EarsPart

HEADER = FeatureHeader(source="x", backend="ears", fingerprint="1", hop=1.0, audio_width=4, text_width=3)


class Ears(FeaturesPart):
    """An encoder that is not installed."""

    use = "ears"

    def build(self) -> FeatureBackend:
        raise NotImplementedError


QUERIES = [
    Query("a_1", "a dog", "a.0", 3.0, ((0.0, 1.0),)),
    Query("a_2", "a cat", "a.0", 3.0, ((1.0, 2.0),)),
    Query(7, "a dog", "b", 2.0, ((0.0, 1.0),)),
]


@pytest.fixture
def empty(tmp_path):
    """The folder of a data set before anything is put there."""
    splits = {
        "train": PublishedSplit("x_train.jsonl", Published("Zenodo 1", "1 MB")),
        "test": PublishedSplit("x_test.jsonl"),
    }
    return DatasetFolder("x", tmp_path / "x", splits, {"ears": Published("Zenodo 2")}, Published("a friend"))


@pytest.fixture
def folder(empty):
    """A folder with annotations of one split."""
    empty.root.mkdir()
    write_annotations(empty.annotations("train"), QUERIES)
    return empty


def rows(name, width):
    count = {"a.0": 3, "b": 2}.get(name, 2)
    return np.random.default_rng((len(name), width)).normal(size=(count, width)).astype(np.float32)


def items(names, width):
    return InMemoryTable(tuple(names), tuple(rows(name, width) for name in names))


def add_features(folder, texts=("a dog", "a cat"), header=HEADER):
    file = folder.feature_file(Ears())
    file.parent.mkdir()
    write_feature_file(file, header, audio=items(("a.0", "b"), 4), text=items(texts, 3))


def test_an_empty_folder_lists_all_files_that_it_needs(empty):
    root = empty.root
    assert [(file.present, file.text()) for file in empty.required_files("train", Ears())] == [
        (
            False,
            f"annotations of x train: {root}/x_train.jsonl. Published at Zenodo 1 (1 MB). "
            "Put the file there.",
        ),
        (
            False,
            f"features ears of x: {root}/features/ears.h5. Published at Zenodo 2. Import published files "
            f"with 'amrbench data import x FILES --encoder ears', or put the recordings into {root}/audio.",
        ),
    ]
    with pytest.raises(DataError) as error:
        empty.queries("train")
    assert str(error.value).splitlines()[0] == "data set 'x' needs files that are missing:"


def test_a_file_may_be_published_nowhere(empty):
    assert "Published at no known place." in empty.required_files("test", Ears())[0].text()


def test_audio_may_be_there_instead_of_features(folder):
    add_audio(folder, "b.flac")
    assert [(file.what, file.present) for file in folder.required_files("train", Ears())] == [
        ("annotations of x train", True),
        ("audio of x", True),
    ]


def test_a_feature_file_whose_name_differs_in_case_is_named_also_beside_audio(folder):
    add_features(folder)
    other = folder.feature_file(Ears()).rename(folder.root / "features" / "EARS.h5")
    for _ in range(2):
        file = folder.required_files("train", Ears())[-1]
        assert (file.present, file.text()) == (
            False,
            f"features ears of x: {folder.root}/features/ears.h5. Published at Zenodo 2. {other} is there, "
            "whose name differs in case only. Rename it to ears.h5, or move it away.",
        )
        add_audio(folder, "b.flac")
    other.rename(folder.root / "features" / "m2d-ears.h5")
    assert folder.required_files("train", Ears())[-1].what == "audio of x", "another encoder's file"


def test_an_empty_folder_of_audio_is_no_audio(folder):
    folder.audio_folder.mkdir()
    (folder.audio_folder / "readme.txt").write_text("to be unpacked here")
    assert [(file.what, file.present) for file in folder.required_files("train", Ears())] == [
        ("annotations of x train", True),
        ("features ears of x", False),
    ]


def test_a_split_that_it_does_not_have(empty):
    with pytest.raises(DataError) as error:
        empty.annotations("tran")
    assert str(error.value) == (
        "data set 'x' has no split 'tran'. Did you mean 'train'? Splits: train, test."
    )


def test_extracted_texts_are_found_by_their_sentences(folder):
    add_features(folder)
    source = folder.source("train", Ears())
    assert source.queries == tuple(QUERIES)
    assert (source.widths, source.hop, source.encoder) == (FeatureWidths(4, 3), 1.0, "ears 1")
    assert np.array_equal(source.audio("a.0"), rows("a.0", 4))
    assert np.array_equal(source.text(QUERIES[2]), rows("a dog", 3))
    assert source.text_key(QUERIES[0]) == source.text_key(QUERIES[2]), "one text for both queries"
    source.verify()


IMPORTED_HEADER = replace(HEADER, fingerprint=IMPORTED)


def test_imported_texts_are_found_by_ids_and_sentences(folder):
    add_features(folder, ("a_1\ta dog", "a_2\ta cat", "7\ta dog"), IMPORTED_HEADER)
    source = folder.source("train", Ears())
    assert np.array_equal(source.text(QUERIES[2]), rows("7\ta dog", 3))
    assert source.text_key(QUERIES[0]) != source.text_key(QUERIES[2]), "texts have rows query by query"
    source.verify()


def test_sentences_that_were_changed_after_the_extraction_are_named(folder):
    add_features(folder)
    edited = [QUERIES[0], *(replace(query, query="a cow") for query in QUERIES[1:])]
    write_annotations(folder.annotations("train"), edited)
    with pytest.raises(DataError) as error:
        folder.source("train", Ears())
    assert str(error.value) == (
        f"{folder.root}/features/ears.h5: has no features of 2 of the 3 sentences of "
        f"{folder.root}/x_train.jsonl ('a_2: a cow', '7: a cow'). They were added or changed since it was "
        "made. Add them with 'amrbench data extract x --encoder ears'."
    )


def test_sentences_that_were_changed_after_the_import_are_named(folder):
    add_features(folder, ("a_1\ta dog", "a_2\ta cow", "7\ta dog"), IMPORTED_HEADER)
    with pytest.raises(DataError) as error:
        folder.source("train", Ears())
    assert str(error.value) == (
        f"{folder.root}/features/ears.h5: has no features of 1 of the 3 sentences of "
        f"{folder.root}/x_train.jsonl ('a_2: a cat'). They were added or changed since it was made. "
        "Add them with 'amrbench data import x FILES --encoder ears'."
    )


def test_texts_that_are_named_by_ids_alone_are_nobodys(folder):
    add_features(folder, ("a_1", "a_2", "7"))
    with pytest.raises(DataError, match=r"has no features of 3 of the 3 sentences"):
        folder.source("train", Ears())


@pytest.mark.parametrize("header", [HEADER, IMPORTED_HEADER], ids=["extracted", "imported"])
def test_features_of_another_encoder_are_refused(folder, header):
    add_features(folder, header=replace(header, backend="nose"))
    with pytest.raises(DataError) as error:
        folder.source("train", EarsPart())
    assert str(error.value) == (
        f"{folder.root}/features/ears.h5: has features of 'nose', but its name says 'ears'. Give it the name "
        "of its encoder, and import or extract the features that are asked for."
    )


def test_a_missing_feature_file_is_named(folder):
    with pytest.raises(DataError, match="features/ears.h5: there is no such feature file"):
        folder.source("train", Ears())


def test_other_annotations_are_another_source(folder):
    add_features(folder)
    before = folder.source("train", Ears()).fingerprint
    assert folder.source("train", Ears()).fingerprint == before
    write_annotations(folder.annotations("train"), QUERIES[:2])
    assert folder.source("train", Ears()).fingerprint != before


def test_features_of_a_recording_that_is_not_in_the_file(folder):
    add_features(folder)
    with pytest.raises(DataError, match="'c'"):
        folder.source("train", Ears()).audio("c")
    write_annotations(folder.annotations("train"), [*QUERIES, Query("c", "a cat", "c", 2.0, ())])
    with pytest.raises(DataError, match="'c'"):
        folder.source("train", Ears()).verify()
    assert open_feature_file(folder.feature_file(Ears())).header == HEADER


def add_audio(folder, name, seconds=1.0):
    folder.audio_folder.mkdir(exist_ok=True)
    soundfile.write(folder.audio_folder / name, np.full(round(8000 * seconds), 0.25), 8000)


def test_recordings_come_in_the_order_of_the_annotations(folder):
    add_audio(folder, "b.flac", 2)
    add_audio(folder, "a.0.wav", 3)
    dataset = LocalDataset(folder)
    assert dataset.splits() == ["train", "test"]
    assert dataset.size("train") == 2
    first, second = (dataset.recording("train", index) for index in range(2))
    assert (first.vid, len(first.waveform), first.rate) == ("a.0", 24000, 8000)
    assert first.queries == tuple(QUERIES[:2])
    assert second.vid == "b"
    assert np.allclose(second.waveform, 0.25, atol=1e-4)


def test_dots_may_be_missing_from_file_names(folder):
    add_audio(folder, "a0.flac")
    assert folder.find_audio("a.0") == folder.audio_folder / "a0.flac"
    with pytest.raises(DataError, match="a recording is missing: 'b'"):
        folder.find_audio("b")


def test_dots_may_not_be_missing_where_two_recordings_have_the_same_name_without(folder):
    write_annotations(folder.annotations("test"), [Query("c", "a cow", "a0", 2.0, ())])
    add_audio(folder, "a0.flac")
    assert folder.find_audio("a0") == folder.audio_folder / "a0.flac"
    with pytest.raises(DataError, match="a recording is missing: 'a.0'"):
        folder.find_audio("a.0")


def test_two_files_of_one_recording(folder):
    add_audio(folder, "b.flac")
    add_audio(folder, "b.wav")
    with pytest.raises(DataError) as error:
        folder.find_audio("b")
    assert str(error.value) == (
        f"{folder.audio_folder}: 'b.flac' and 'b.wav' could both be the file of 'b'. Move one of them away, "
        "or give the two recordings ids of their own."
    )


def test_a_recording_that_is_not_there(folder):
    add_audio(folder, "a.0.wav")
    with pytest.raises(DataError) as error:
        LocalDataset(folder).recording("train", 1)
    assert str(error.value) == (f"{folder.audio_folder}: a recording is missing: 'b'. Published at a friend.")


def test_missing_recordings_are_counted_with_what_is_there_instead(folder):
    add_audio(folder, "A.0.wav")
    with pytest.raises(DataError) as error:
        folder.refuse_missing_audio(["a.0", "b", "b"])
    audio = folder.audio_folder
    assert str(error.value).splitlines() == [
        f"{audio}: 2 of 2 recordings are missing: 'a.0', 'b'. Published at a friend.",
        f"  'a.0': {audio}/A.0.wav is there, whose name differs in case only. Rename it.",
    ]


@pytest.mark.parametrize("name", ["b.WAV", "train/b.wav", "b.wav.wav"])
def test_recordings_are_where_people_put_them(folder, name):
    (folder.audio_folder / "train").mkdir(parents=True)
    soundfile.write(folder.audio_folder / name, np.full(8000, 0.25), 8000, format="WAV")
    assert folder.has_audio
    assert folder.find_audio("b") == folder.audio_folder / name


def test_names_of_files_may_hold_any_bytes(folder):
    folder.audio_folder.mkdir()
    before = LocalDataset(folder).fingerprint()
    (folder.audio_folder / os.fsdecode(b"caf\xe9.wav")).write_bytes(b"x")
    assert LocalDataset(DatasetFolder(folder.name, folder.root, folder.splits)).fingerprint() != before


def test_hidden_files_are_no_audio(folder):
    folder.audio_folder.mkdir()
    (folder.audio_folder / "._b.wav").write_bytes(b"x")
    assert not folder.has_audio


def test_another_recording_is_another_data_set(folder):
    add_audio(folder, "b.wav")
    before = LocalDataset(folder).fingerprint()
    assert LocalDataset(folder).fingerprint() == before
    add_audio(folder, "b.wav", 1.5)
    again = DatasetFolder(folder.name, folder.root, folder.splits)
    assert LocalDataset(again).fingerprint() != before


def test_a_recording_that_was_changed_in_its_middle_is_another_data_set(folder):
    folder.audio_folder.mkdir()
    content = bytearray(300_000)
    (folder.audio_folder / "b.wav").write_bytes(content)
    before = LocalDataset(folder).fingerprint()
    content[150_000] = 1
    (folder.audio_folder / "b.wav").write_bytes(content)
    assert LocalDataset(folder).fingerprint() != before
