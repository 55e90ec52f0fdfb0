"""The files of the corpora: what is used of them, and what is refused."""

import json
from dataclasses import replace

from amrbench.notes import collected_notes
from amrbench_plugins.datasets.corpora import catalogue
from tests.plugins.datasets.corpora import small_corpora as corpora
from tests.plugins.datasets.corpora.small_corpora import refusal


def test_wavcaps_that_cannot_be_used(tmp_path):
    path = tmp_path / "SoundBible" / "sb_final.json"
    path.parent.mkdir()
    assert refusal(catalogue.wavcaps_sounds, tmp_path, ["SoundBible"], {}) == (
        f"{path}: cannot be read (No such file or directory). Check the path."
    )
    path.write_text("version https://git-lfs.github.com/spec/v1\n")
    assert refusal(catalogue.wavcaps_sounds, tmp_path, ["SoundBible"], {}) == (
        f"{path}: is a Git LFS pointer, whose content 'git lfs pull' fetches, and not plain text. Get the "
        "text file itself."
    )
    path.write_text('{"data": [{"id": 3}]}')
    assert "is not as WavCaps publishes it (KeyError: 'caption')" in refusal(
        catalogue.wavcaps_sounds, tmp_path, ["SoundBible"], {}
    )
    path.write_text('{"data": [{"id": 3, "caption_1": "a  dog", "caption_2": "b"}]}')
    assert refusal(catalogue.wavcaps_sounds, tmp_path, ["SoundBible"], {}) == (
        f"{path}: 1 of 1 recordings have no audio file in {tmp_path}/SoundBible: '3'. Unpack the whole "
        "archive there, name in 'exclude' a file with the missing ids, or leave the subset out."
    )
    corpora.write(tmp_path / "SoundBible" / "3.wav", corpora.tone(1, 440))
    assert catalogue.wavcaps_sounds(tmp_path, ["SoundBible"], {})[0].captions == ("a dog", "b")
    path.write_text('{"data": ' + "[" * 100_000)
    assert "is not as WavCaps publishes it (RecursionError: " in refusal(
        catalogue.wavcaps_sounds, tmp_path, ["SoundBible"], {}
    )


def test_linked_folders_are_read_and_metadata_of_macos_is_not(tmp_path):
    folder = tmp_path / "SoundBible"
    corpora.write(tmp_path / "store" / "1.wav", corpora.tone(1, 440))
    folder.mkdir()
    (folder / "part1").symlink_to(tmp_path / "store")
    (folder / "._1.wav").write_bytes(b"x")
    (folder / "sb_final.json").write_text(json.dumps({"data": [{"id": "1", "caption": "a dog"}]}))
    (sound,) = catalogue.wavcaps_sounds(tmp_path, ["SoundBible"], {})
    assert sound.path == folder / "part1" / "1.wav"


def exclude(folder, name, content):
    """Return the names of the sounds that a file of excluded ids leaves, and the last note."""
    (folder / name).write_bytes(content)
    with collected_notes() as notes:
        excluded = catalogue.excluded_ids([str(folder / name)])
        sounds = catalogue.wavcaps_sounds(folder, ["SoundBible"], excluded)
    return [sound.name for sound in sounds], notes[-1]


def two_sounds(folder):
    entries = [{"id": name, "caption": "a dog"} for name in ("111", "222")]
    for name in ("111", "222"):
        corpora.write(folder / "SoundBible" / f"{name}.wav", corpora.tone(1, 440))
    (folder / "SoundBible" / "sb_final.json").write_text(json.dumps({"data": entries}))


def test_excluded_ids_are_read_as_programs_write_them(tmp_path):
    two_sounds(tmp_path)
    for name, content in (
        ("mark.txt", b"\xef\xbb\xbf111\r\n"),
        ("mark.json", b'\xef\xbb\xbf["111"]'),
        ("utf16.txt", "111\n".encode("utf-16")),
        ("table.csv", b'id\n"111"\n'),
        ("capitals.txt", b"111.WAV\n"),
        ("capitals.JSON", b'{"ids": ["111"]}'),
    ):
        assert exclude(tmp_path, name, content)[0] == ["222"], name


def test_excluded_ids_of_an_unknown_user_are_refused():
    assert refusal(catalogue.excluded_ids, ["~castella/ids.txt"]) == (
        "'~castella/ids.txt': there is no user 'castella', so this path is not known. Write "
        "~/castella/ids.txt for one in your own folder."
    )


def test_it_is_noted_how_many_excluded_ids_are_known(tmp_path):
    two_sounds(tmp_path)
    names, note = exclude(tmp_path, "ids.txt", b"111\nno-such\n\n")
    assert names == ["222"]
    assert note == f"{tmp_path}/ids.txt: 1 of its 2 ids are in WavCaps SoundBible and left out."


def test_files_that_would_leave_nothing_out_are_refused(tmp_path):
    two_sounds(tmp_path)
    for content, start in (
        (b"typo\nid\n", "none of its 2 ids ('id', 'typo') is"),
        (b"\n", "it has no ids, so none is"),
    ):
        assert refusal(exclude, tmp_path, "ids.txt", content) == (
            f"{tmp_path}/ids.txt: {start} in WavCaps SoundBible, so 'exclude' would leave nothing out. Write "
            "one id on each line, or ids in JSON (a name that ends in .json); or take the file out of "
            "'exclude'."
        )
    (tmp_path / "SoundBible" / "111.wav").unlink()
    assert "none of its 1 ids" in refusal(exclude, tmp_path, "ids.txt", b"typo"), "named before missing audio"


def test_empty_captions_of_wavcaps_are_left_out(tmp_path):
    entries = [
        {"id": "1", "caption_1": "a dog", "caption_2": " ", "caption_3": None, "caption_4": "b"},
        {"id": "2", "caption": ""},
        {"id": "3", "caption_1": " "},
        {"id": "4", "caption": "a cat"},
    ]
    corpora.write(tmp_path / "SoundBible" / "1.wav", corpora.tone(1, 440))
    corpora.write(tmp_path / "SoundBible" / "4.wav", corpora.tone(1, 440))
    (tmp_path / "SoundBible" / "sb_final.json").write_text(json.dumps({"data": entries}))
    sounds = catalogue.wavcaps_sounds(tmp_path, ["SoundBible"], {})
    assert [(sound.name, sound.captions) for sound in sounds] == [("1", ("a dog", "b")), ("4", ("a cat",))]


def test_empty_captions_of_clotho_are_left_out(tmp_path):
    corpora.clotho(tmp_path, 2)
    path = tmp_path / "clotho_captions_validation.csv"
    header = path.read_text().splitlines()[0]
    path.write_text(f"{header}\nvalidation 0.wav,a,, ,b\nvalidation 1.wav,c,d,e,f,g,beyond\n")
    sounds = catalogue.clotho_sounds(tmp_path, "validation")
    assert [sound.captions for sound in sounds] == [("a", "b"), ("c", "d", "e", "f", "g")]
    path.write_text(f"{header}\nvalidation 0.wav,a,b,c,d,e\nvalidation 1.wav,,, ,,\n")
    assert refusal(catalogue.clotho_sounds, tmp_path, "validation") == (
        f"{path}: row 3, 'validation 1.wav', has no caption. Download it with Clotho v2.1."
    )


def test_other_corpora_that_cannot_be_used(tmp_path):
    assert refusal(catalogue.demand_backgrounds, tmp_path, ["TCAR"]) == (
        f"{tmp_path}/TCAR: there is no ch01.wav. Unpack TCAR_16k.zip or TCAR_48k.zip of DEMAND there."
    )
    assert refusal(catalogue.tour_backgrounds, tmp_path, ["Venice"]).startswith(
        f"{tmp_path}: there is no audio file 'Venice' (.wav"
    )
    for end in ("flac", "wav"):
        (tmp_path / f"Venice.{end}").write_bytes(b"")
    assert refusal(catalogue.tour_backgrounds, tmp_path, ["Venice"]) == (
        f"{tmp_path}/Venice.wav: {tmp_path}/Venice.flac has the same name; move one of them away."
    )
    assert refusal(catalogue.clotho_sounds, tmp_path, "validation").startswith(
        f"{tmp_path}/clotho_captions_validation.csv: cannot be read ("
    )
    for name, text in (
        ("captions", "file_name,caption_1\nx.wav,a\n"),
        ("metadata", "file_name,license\nx.wav,CC0\n"),
    ):
        (tmp_path / f"clotho_{name}_validation.csv").write_text(text)
    assert refusal(catalogue.clotho_sounds, tmp_path, "validation") == (
        f"{tmp_path}/validation: there is no audio file 'x.wav', which the captions of Clotho name."
    )
    (tmp_path / "clotho_captions_validation.csv").write_text("a,b\n1,2\n")
    assert refusal(catalogue.clotho_sounds, tmp_path, "validation") == (
        f"{tmp_path}/clotho_captions_validation.csv: has no rows with file_name and caption_1. "
        "Download it with Clotho v2.1."
    )
    (tmp_path / "bad.json").write_text("{")
    assert "the excluded ids are no JSON" in refusal(catalogue.excluded_ids, [str(tmp_path / "bad.json")])


def test_the_hash_of_sources_depends_on_captions_and_sizes(tmp_path):
    sounds = [catalogue.Sound("x", "1", tmp_path / "1.wav", "", ("a dog",))]
    sounds[0].path.write_bytes(b"audio")
    before = catalogue.hash_of_sources(sounds)
    assert before == catalogue.hash_of_sources(sounds)
    assert before != catalogue.hash_of_sources([replace(sounds[0], captions=("a cat",))])
    sounds[0].path.write_bytes(b"other audio")
    assert before != catalogue.hash_of_sources(sounds)


def test_the_split_of_a_recording_depends_on_its_name_alone():
    fractions = [catalogue.hash_fraction(f"WavCaps SoundBible {number}") for number in range(1000)]
    assert min(fractions) >= 0
    assert max(fractions) < 1
    assert 70 < sum(fraction < 0.1 for fraction in fractions) < 130
    assert fractions[0] == catalogue.hash_fraction("WavCaps SoundBible 0")
