import numpy as np
import pytest
import soundfile

from amrbench.data.local_dataset import DatasetFolder, Imported, LocalDataset, PublishedSplit
from amrbench.errors import DataError
from amrbench.files.annotations import write_annotations
from amrbench.files.feature_file import FeatureHeader, open_feature_file
from amrbench.files.feature_file_writer import InMemoryTable, write_feature_file
from amrbench.required_files import Published
from amrbench.slots.features import FeatureBackend, FeaturesPart
from amrbench.types import FeatureWidths, Query

HEADER = FeatureHeader(source="x", backend="ears", fingerprint="1", hop=1.0, audio_width=4, text_width=3)


class Ears(FeaturesPart):
    """An encoder that nobody has."""

    use = "ears"

    def build(self) -> FeatureBackend:
        raise NotImplementedError


QUERIES = [
    Query("a_1", "a dog", "a.0", 3.0, ((0.0, 1.0),)),
    Query("a_2", "a cat", "a.0", 3.0, ((1.0, 2.0),)),
    Query(7, "a dog", "b", 2.0, ((0.0, 1.0),)),
]


@pytest.fixture
def home(tmp_path):
    facts = {
        "train": PublishedSplit("x_train.jsonl", Published("Zenodo 1", "1 MB")),
        "test": PublishedSplit("x_test.jsonl"),
    }
    return DatasetFolder("x", tmp_path / "x", facts, {"ears": Published("Zenodo 2")}, Published("a friend"))


@pytest.fixture
def placed(home):
    home.root.mkdir()
    write_annotations(home.annotations("train"), QUERIES)
    return home


def rows(name, width):
    count = {"a.0": 3, "b": 2}.get(name, 2)
    return np.random.default_rng((len(name), width)).normal(size=(count, width)).astype(np.float32)


def items(names, width):
    return InMemoryTable(tuple(names), tuple(rows(name, width) for name in names))


def with_features(home):
    store = home.store(Ears())
    store.parent.mkdir()
    texts = [str(query.qid) for query in QUERIES]
    write_feature_file(store, HEADER, audio=items(("a.0", "b"), 4), text=items(texts, 3))
    return home


def texts(needs):
    return [(need.found, need.text()) for need in needs]


def test_an_empty_home_says_all_that_it_needs(home):
    root = home.root
    assert texts(home.needs("train", Ears())) == [
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
        home.queries("train")
    assert str(error.value).splitlines()[0] == "data set 'x' needs what is not here:"


def test_what_has_no_public_place_is_said_to_have_none(home):
    assert "Published at no public place that we know of." in home.needs("test", Ears())[0].text()


def test_audio_takes_the_place_of_features(placed):
    audio(placed, "b.flac")
    assert [(need.what, need.found) for need in placed.needs("train", Ears())] == [
        ("annotations of x train", True),
        ("audio of x", True),
    ]


def test_an_empty_folder_of_audio_is_no_audio(placed):
    placed.audio_folder.mkdir()
    (placed.audio_folder / "readme.txt").write_text("to be unpacked here")
    assert [(need.what, need.found) for need in placed.needs("train", Ears())] == [
        ("annotations of x train", True),
        ("features ears of x", False),
    ]


def test_a_split_that_it_does_not_have(home):
    with pytest.raises(DataError) as error:
        home.annotations("tran")
    assert str(error.value) == (
        "data set 'x' has no split 'tran'. Did you mean 'train'? Splits: train, test."
    )


def test_features_of_a_split_are_found_by_the_ids_of_its_queries(placed):
    assert placed.source("train", Ears()) is None
    source = with_features(placed).source("train", Ears())
    assert isinstance(source, Imported)
    assert source.queries == tuple(QUERIES)
    assert (source.widths, source.hop, source.encoder) == (FeatureWidths(4, 3), 1.0, "ears 1")
    assert np.array_equal(source.audio("a.0"), rows("a.0", 4))
    assert np.array_equal(source.text(QUERIES[2]), rows("7", 3))
    assert source.text_key(QUERIES[0]) != source.text_key(QUERIES[2]), "texts have rows query by query"
    source.check()


def test_other_annotations_are_another_source(placed):
    before = with_features(placed).source("train", Ears()).fingerprint
    assert placed.source("train", Ears()).fingerprint == before
    write_annotations(placed.annotations("train"), QUERIES[:2])
    assert placed.source("train", Ears()).fingerprint != before


def test_features_of_a_recording_that_is_not_in_the_file(placed):
    source = with_features(placed).source("train", Ears())
    with pytest.raises(DataError, match="'c'"):
        source.audio("c")
    write_annotations(placed.annotations("train"), [*QUERIES, Query("c", "a cow", "c", 2.0, ())])
    with pytest.raises(DataError, match="'c'"):
        placed.source("train", Ears()).check()
    assert open_feature_file(placed.store(Ears())).header == HEADER


def audio(home, name, seconds=1.0):
    home.audio_folder.mkdir(exist_ok=True)
    soundfile.write(home.audio_folder / name, np.full(round(8000 * seconds), 0.25), 8000)


def test_recordings_come_in_the_order_of_the_annotations(placed):
    audio(placed, "b.flac", 2)
    audio(placed, "a.0.wav", 3)
    dataset = LocalDataset(placed)
    assert dataset.splits() == ["train", "test"]
    assert dataset.size("train") == 2
    first, second = (dataset.recording("train", index) for index in range(2))
    assert (first.vid, len(first.waveform), first.rate) == ("a.0", 24000, 8000)
    assert first.queries == tuple(QUERIES[:2])
    assert second.vid == "b"
    assert np.allclose(second.waveform, 0.25, atol=1e-4)


def test_points_may_be_missing_from_file_names(placed):
    audio(placed, "a0.flac")
    assert placed.find_audio("a.0") == placed.audio_folder / "a0.flac"
    assert placed.find_audio("b") is None


def test_points_may_not_be_missing_where_two_recordings_could_be_meant(placed):
    write_annotations(placed.annotations("test"), [Query("c", "a cow", "a0", 2.0, ())])
    audio(placed, "a0.flac")
    assert placed.find_audio("a0") == placed.audio_folder / "a0.flac"
    assert placed.find_audio("a.0") is None


def test_two_files_of_one_recording(placed):
    audio(placed, "b.flac")
    audio(placed, "b.wav")
    with pytest.raises(DataError) as error:
        placed.find_audio("b")
    assert str(error.value) == (
        f"{placed.audio_folder}/b.wav: {placed.audio_folder}/b.flac has the same name; move one of them away."
    )


def test_a_recording_that_is_not_there(placed):
    audio(placed, "a.0.wav")
    with pytest.raises(DataError) as error:
        LocalDataset(placed).recording("train", 1)
    assert str(error.value) == (
        f"{placed.audio_folder}: there is no recording 'b' (.wav, .flac, .ogg, .opus, .mp3, .aiff, .aif, "
        ".au, .caf, .w64). Put it there; it is published at a friend."
    )


def test_another_recording_is_another_data_set(placed):
    audio(placed, "b.wav")
    before = LocalDataset(placed).fingerprint()
    assert LocalDataset(placed).fingerprint() == before
    audio(placed, "b.wav", 1.5)
    again = DatasetFolder(placed.name, placed.root, placed.facts)
    assert LocalDataset(again).fingerprint() != before
