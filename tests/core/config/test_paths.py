"""Paths start from the folder of the file that names them."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from amrbench.config.paths import with_absolute_paths, with_resolved_paths, without_paths
from amrbench.notes import collected_notes
from amrbench.part import Strict, location


class Inner(Strict):
    """Options with paths."""

    folder: str = location("a folder")
    several: tuple[str, ...] = location("some files", ())
    name: str = "set"


class Outer(Strict):
    """Options around them."""

    one: Inner = Inner()
    listed: tuple[Inner, ...] = ()
    named: Mapping[str, Inner] = {}


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p" / "set").mkdir(parents=True)
    return tmp_path


FILE = Path("p/own.yaml")


def test_paths_at_any_depth_are_resolved_and_other_text_is_not(here):
    inner = Inner(folder="set", several=("set", "more"))
    resolved = with_resolved_paths(Outer(one=inner, listed=(inner,), named={"a": inner}), FILE)
    expected = Inner(folder="p/set", several=("p/set", "p/more"))
    assert resolved == Outer(one=expected, listed=(expected,), named={"a": expected})


@pytest.mark.parametrize("given", ["", "~/set", "/set"])
def test_other_paths_stay_as_they_are(here, given):
    assert with_resolved_paths(Inner(folder=given), FILE) == Inner(folder=given)


@pytest.mark.parametrize("given", ["set", "./set", "../set", "missing"])
def test_from_the_folder_of_the_file_nothing_changes(here, given):
    options = Inner(folder=given)
    assert with_resolved_paths(options, Path("own.yaml")) is options


@pytest.mark.parametrize("given", ["", "~/set", "/set"])
def test_absolute_paths_stay_as_they_are(here, given):
    assert with_absolute_paths(Inner(folder=given)) == Inner(folder=given)


def test_other_paths_become_absolute_from_the_working_directory(here):
    assert with_absolute_paths(Outer(one=Inner(folder="p/../set"))).one.folder == str(here / "set")


def test_options_without_paths_are_the_same_object(here):
    options = Outer(listed=(Inner(),))
    assert with_resolved_paths(options, FILE) is options


def test_all_paths_are_empty_without_them_and_other_text_stays():
    inner = Inner(folder="set", several=("set", "more"), name="mine")
    empty = Inner(folder="", several=("", ""), name="mine")
    given = Outer(one=inner, listed=(inner,), named={"a": inner})
    assert without_paths(given) == Outer(one=empty, listed=(empty,), named={"a": empty})
    assert without_paths(Outer()) == Outer()


def folders_and_notes(given):
    with collected_notes() as notes:
        return with_resolved_paths(Inner(folder=given), FILE).folder, notes


def test_what_exists_in_the_working_directory_alone_is_taken_from_there(here):
    (here / "there").mkdir()
    assert folders_and_notes("there") == (
        "there",
        [
            "p/own.yaml: 'there' is taken from the working directory, because there is no p/there. Paths "
            "start from the folder of the file that names them."
        ],
    )


def test_of_two_folders_that_beside_the_file_is_taken(here):
    (here / "set").mkdir()
    text = "p/own.yaml: 'set' is p/set, beside this file; the one in the working directory is not used."
    assert folders_and_notes("set") == ("p/set", [text])


def test_two_names_of_one_folder_need_no_note(here):
    (here / "set").symlink_to(here / "p" / "set")
    assert folders_and_notes("set") == ("p/set", [])
    assert folders_and_notes("nowhere") == ("p/nowhere", [])
