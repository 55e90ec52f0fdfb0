"""Collections of takes: which files are whose, and what is refused."""

from __future__ import annotations

import shutil

import pytest

from amrbench.errors import DataError
from amrbench_plugins.datasets.recorded.collection import SPLITS, divided, read_collection
from tests.folders import ROOT
from tests.plugins.datasets.recorded.made_takes import CLASSES, collection, sounds, write_sounds


def refusal(folder) -> str:
    with pytest.raises(DataError) as error:
        read_collection(folder)
    return str(error.value)


def test_splits_share_no_take(tmp_path):
    read = read_collection(collection(tmp_path))
    assert [kind.name for kind in read.classes] == list(CLASSES)
    assert [kind.name for kind in read.classes if kind.speech] == ["man"]
    for takes in (*(kind.takes for kind in read.classes), read.background):
        parts = [set(takes.of(split)) for split in SPLITS]
        assert len(set.union(*parts)) == sum(map(len, parts))
        assert all(parts)
    assert [len(read.classes[0].takes.of(split)) for split in SPLITS] == [3, 1, 2]


def test_two_takes_are_enough_and_one_is_kept_for_test(tmp_path):
    takes = read_collection(collection(tmp_path, takes=2)).classes[0].takes
    assert takes.train == takes.val
    assert set(takes.train).isdisjoint(takes.test)


def test_the_last_of_five_phrases_are_for_test_only(tmp_path):
    kind = read_collection(collection(tmp_path)).classes[4]
    assert kind.known_phrases == ("a dog sounds", "a dog is heard", "a dog makes noise")
    assert kind.phrases[3:] == ("a dog begins", "a dog can be noticed")


def test_takes_of_one_folder_stay_together(tmp_path):
    folder = collection(tmp_path)
    for number in range(6):
        inside = folder / "dog" / ("old" if number < 4 else "new")
        inside.mkdir(exist_ok=True)
        (folder / "dog" / f"dog {number}.wav").rename(inside / f"dog {number}.wav")
    takes = next(kind.takes for kind in read_collection(folder).classes if kind.name == "dog")
    assert {path.parent.name for path in takes.test}.isdisjoint(path.parent.name for path in takes.train)


def test_the_division_depends_on_names_alone(tmp_path):
    groups = [(tmp_path / f"{number}.wav",) for number in range(12)]
    takes, moved = divided(groups, "dog"), divided(groups[::-1], "dog")
    assert takes == moved
    assert divided(groups, "cat") != takes
    assert [len(takes.of(split)) for split in SPLITS] == [6, 2, 4]


def test_the_fingerprint_changes_with_phrases_and_files(tmp_path):
    folder = collection(tmp_path)
    first = read_collection(folder).fingerprint()
    assert read_collection(folder).fingerprint() == first
    (folder / "dog" / "dog 0.wav").write_bytes((folder / "dog" / "dog 1.wav").read_bytes())
    second = read_collection(folder).fingerprint()
    content = sounds()
    content["phrases"]["dog"][0] = "a dog barks"
    write_sounds(folder, content)
    assert len({first, second, read_collection(folder).fingerprint()}) == 3


def test_another_take_of_the_same_size_is_another_collection(tmp_path):
    folder = collection(tmp_path)
    first = read_collection(folder).fingerprint()
    take = folder / "dog" / "dog 0.wav"
    content = take.read_bytes()
    take.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert read_collection(folder).fingerprint() != first


def test_a_missing_list_of_sounds_is_named(tmp_path):
    assert refusal(tmp_path) == (
        f"{tmp_path}/sounds.yaml: cannot be read (No such file or directory). Check the path."
    )


def test_mistakes_in_the_list_of_sounds_are_named_with_their_lines(tmp_path):
    path = write_sounds(tmp_path, {"speach": [], "phrases": {"dog": "barks", "cat": ["", "a cat"]}})
    assert refusal(tmp_path).splitlines() == [
        f"{path} has 3 mistakes",
        "",
        "  line 1  speach         unknown field 'speach'. Did you mean 'speech'?",
        "  line 3  phrases.dog    this must be a list, such as [barks], not 'barks'.",
        "  line 5  phrases.cat.0  String should have at least 1 character, not ''.",
    ]


def test_folders_and_phrases_must_name_the_same_classes(tmp_path):
    folder = collection(tmp_path)
    (folder / "dog").rename(folder / "dogs")
    shutil.rmtree(folder / "background")
    content = sounds()
    content["speech"] = ["men"]
    path = write_sounds(folder, content)
    assert refusal(folder).splitlines() == [
        f"{path} has 4 mistakes",
        "",
        "  line 1                there is no folder 'background' with ambiences beside this file.",
        "  line 2   speech.0     there are no phrases for 'men'. Did you mean 'man'?",
        "  line 3   phrases      has no phrases for 'dogs'; add them, or move the folders away.",
        "  line 28  phrases.dog  there is no folder of takes 'dog' beside this file. Did you mean 'dogs'?",
    ]


def test_a_class_of_one_take_is_refused(tmp_path):
    folder = collection(tmp_path)
    for number in range(1, 6):
        (folder / "dog" / f"dog {number}.wav").unlink()
    assert refusal(folder) == (
        f"{folder}/dog: holds one take. At least two are needed, one of which is kept for test. Add takes, "
        "or delete the class from sounds.yaml and move its folder away."
    )
    shutil.copytree(folder / "cat", folder / "dog" / "inside")
    (folder / "dog" / "dog 0.wav").unlink()
    assert refusal(folder).startswith(
        f"{folder}/dog: holds 6 takes in one folder, which stays together. At least two are needed"
    )
    shutil.rmtree(folder / "dog" / "inside")
    assert refusal(folder).startswith(f"{folder}/dog: holds no take. At least two are needed")


def test_the_example_names_each_class_once_with_five_phrases(tmp_path):
    folder = ROOT / "examples" / "recorded"
    listed = [line.split(":")[0] for line in (folder / "takes.txt").read_text().splitlines()]
    for name in listed:
        for take in range(2):
            (tmp_path / name).mkdir(exist_ok=True)
            (tmp_path / name / f"{take}.ogg").touch()
    shutil.copy(folder / "sounds.yaml", tmp_path)
    read = read_collection(tmp_path)
    phrases = [phrase for kind in read.classes for phrase in kind.phrases]
    assert len(read.classes) == len(listed) - 1 == len(set(listed)) - 1
    assert len(set(phrases)) == len(phrases) == 5 * len(read.classes)
    assert all(phrase == phrase.lower() for phrase in phrases)
