"""What names of data sets mean: parts, parts with options, folders and files."""

import pytest

from amrbench.discovery import load_registry
from amrbench.errors import DataError
from amrbench.files.annotations import write_annotations
from amrbench.tools.named_data import (
    annotations_of,
    dataset_folder,
    dataset_part,
    encoder_of,
    holds_shards,
    is_dataset,
)
from amrbench.types import Query

REGISTRY = load_registry()
QUERY = Query("a_1", "a dog", "a", 3.0, ((0.0, 1.0),))


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """The working directory and the folder of data sets, which are two."""
    monkeypatch.setenv("AMRBENCH_DATA", str(tmp_path / "data"))
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def annotate(folder):
    folder.mkdir(parents=True, exist_ok=True)
    write_annotations(folder / "test.jsonl", [QUERY])
    return folder


@pytest.mark.parametrize("name", ["set😀", 'a"b', "sét", "a: b", "{use: x}"])
def test_a_folder_may_have_any_name(here, name):
    annotate(here / name)
    assert is_dataset(f"./{name}", REGISTRY)
    assert dataset_folder(f"./{name}", REGISTRY).present_splits == ["test"]
    assert [title for title, _ in annotations_of(f"./{name}", REGISTRY)] == [f"./{name} test"]


def test_the_name_of_a_data_set_comes_before_a_folder_of_that_name(here, tmp_path):
    annotate(here / "castella")
    assert dataset_folder("castella", REGISTRY).root == tmp_path / "data" / "castella"
    assert dataset_folder("./castella", REGISTRY).present_splits == ["test"]


def test_a_name_with_options_is_a_part():
    assert is_dataset("{use: procedural, preset: scenes}", REGISTRY)
    part = dataset_part("{use: procedural, preset: scenes}", REGISTRY)
    assert (part.use, part.preset) == ("procedural", "scenes")


def test_a_recipe_with_a_colon_in_its_name_is_no_data_set(here):
    (here / "a: b.yaml").touch()
    assert not is_dataset("a: b.yaml", REGISTRY)


def test_a_file_is_annotations_and_no_data_set(here):
    annotate(here)
    assert list(annotations_of("test.jsonl", REGISTRY)) == [("test.jsonl", [QUERY])]
    assert not is_dataset("test.jsonl", REGISTRY)
    with pytest.raises(DataError, match=r"^test\.jsonl: is a file\. Name a data set, or the folder of its"):
        dataset_folder("test.jsonl", REGISTRY)


def test_a_folder_with_a_manifest_holds_shards_unless_it_has_annotations(here):
    folder = here / "shards"
    folder.mkdir()
    assert not holds_shards("shards", REGISTRY)
    (folder / "manifest.jsonl").write_text('{"shard": "a.h5"}\n')
    assert holds_shards("shards", REGISTRY)
    annotate(folder)
    assert not holds_shards("shards", REGISTRY)


def test_encoders_are_named_one_by_one():
    assert encoder_of("clap", REGISTRY).use == "clap"
    both = "{use: concat, of: [clap, m2d-clap]}"
    with pytest.raises(DataError, match=r"'concat' combines several encoders \(.*\); give them one"):
        encoder_of(both, REGISTRY)
