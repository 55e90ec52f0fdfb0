"""Names of files: which file is that of an id, and what is there instead of a missing one."""

import gzip
import io
import json
import tarfile
import unicodedata
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from amrbench.config.load import parse_part
from amrbench.data.required_splits import FeatureRequest
from amrbench.data.usable_splits import annotated_splits, refuse_missing_recordings
from amrbench.discovery import load_registry
from amrbench.errors import DataError
from amrbench.files.feature_file import open_feature_file
from amrbench.slots.data import DatasetPart
from amrbench.slots.features import FeaturesPart

SECONDS = 3
NFC = "ch\u00e2teau"
NFD = unicodedata.normalize("NFD", NFC)
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 99\n"
PAGE = b"<!DOCTYPE html><html><body>Access denied</body></html>"
NAMES = ("train0", "train1", "val0")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("amrbench.data.audio.has_pyav", lambda: False)


def write(path, data):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def annotate(vids, seconds=SECONDS):
    """Write a data set with one query about each recording; the last is in val, the others in train."""
    Path("set").mkdir(exist_ok=True)
    for split, own in (("train", vids[:-1]), ("val", vids[-1:])):
        rows = [
            {
                "qid": f"{vid}_1",
                "query": "a dog",
                "vid": vid,
                "duration": seconds,
                "relevant_windows": [[0, 1]],
            }
            for vid in own
        ]
        Path(f"set/{split}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))


def npz(key):
    data = io.BytesIO()
    np.savez_compressed(data, **{key: np.ones((SECONDS, 768), np.float16)})
    return data.getvalue()


def published(names=NAMES, *, text="qid{}_1"):
    """Return the content of feature files by their names."""
    audio = {f"clap/{name}.npz": npz("features") for name in names}
    return audio | {f"clap_text/{text.format(name)}.npz": npz("last_hidden_state") for name in names}


def publish(files, folder="f"):
    for name, data in files.items():
        write(f"{folder}/{name}", data)


def zipped(files, name="f.zip", change=lambda name: name):
    with zipfile.ZipFile(name, "w") as archive:
        for own, data in files.items():
            archive.writestr(change(own), data)
    return Path(name).read_bytes()


def tarred(files, name="f.tar", change=lambda name: name):
    with tarfile.open(name, "w") as archive:
        for own, data in files.items():
            entry = tarfile.TarInfo(change(own))
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return Path(name).read_bytes()


# ---------------------------------------------------------------- data import


def linked_folders():
    publish(published(), "store")
    Path("f").mkdir()
    for name in ("clap", "clap_text"):
        Path("f", name).symlink_to(f"../store/{name}")


def renamed(old, new):
    publish({name.replace(old, new): data for name, data in published().items()})


def decomposed():
    annotate([NFC, "val0"])
    publish(published([NFD, "val0"]))


def composed():
    annotate([NFD, "val0"])
    publish(published([NFC, "val0"]))


def hidden_files():
    publish(published())
    for name in published():
        write(Path("f", name).with_name(f"._{Path(name).name}"), b"\x00\x05\x16\x07")
    write("f/__MACOSX/clap/train0.npz", b"x")
    write("f/.ipynb_checkpoints/train0.npz", b"x")


def with_suffix_in_ids():
    annotate(["train0.wav", "-train1.mp4", "val0"])
    files = published(["train0", "-train1", "val0"], text="{}")
    texts = {"train0": "qidtrain0.wav_1", "-train1": "qid-train1.mp4_1", "val0": "qidval0_1"}
    publish(
        {
            name if name.startswith("clap/") else f"clap_text/{texts[Path(name).stem]}.npz": data
            for name, data in files.items()
        }
    )


def in_another_coding():
    annotate([NFC, "val0"])
    data = bytearray(zipped(published([NFD, "val0"])))
    for start, flag in ((b"PK\x03\x04", 7), (b"PK\x01\x02", 9)):
        position = -1
        while (position := data.find(start, position + 1)) >= 0:
            data[position + flag] &= ~0x08
    write("f.zip", bytes(data))


READ = {
    "215-symlinked-subfolders": (linked_folders, "f"),
    "223-nfd-file-names": (decomposed, "f"),
    "composed-file-names": (composed, "f"),
    "hidden-files": (hidden_files, "f"),
    "suffix-in-capitals": (lambda: renamed(".npz", ".NPZ"), "f"),
    "deeper-folders": (lambda: renamed("clap", "data/2024/clap"), "f"),
    "suffix-in-ids": (with_suffix_in_ids, "f"),
    "back-slashes-in-zip": (
        lambda: zipped(published(), change=lambda name: name.replace("/", "\\")),
        "f.zip",
    ),
    "back-slashes-in-tar": (
        lambda: tarred(published(), change=lambda name: name.replace("/", "\\")),
        "f.tar",
    ),
    "names-without-the-utf-8-flag": (in_another_coding, "f.zip"),
    "zip-in-capitals": (lambda: zipped(published(), "F.ZIP"), "F.ZIP"),
    "address-as-name": (lambda: tarred(published(), "f.tar?download=1"), "f.tar?download=1"),
    "tar-named-tar.gz": (lambda: tarred(published(), "f.tar.gz"), "f.tar.gz"),
    "unpacked-back-slashes": (
        lambda: publish({name.replace("/", "\\"): data for name, data in published().items()}),
        "f",
    ),
    "macos-zip": (
        lambda: zipped(published() | {f"__MACOSX/{name}": b"x" for name in published()}),
        "f.zip",
    ),
}


@pytest.mark.parametrize("case", READ)
def test_features_are_imported(amrbench, case):
    annotate(list(NAMES))
    make, source = READ[case]
    make()
    code, out, error = amrbench("data", "import", "set", source, "--encoder", "clap")
    assert (code, error) == (0, ""), error
    assert "no annotation names" not in out
    table = open_feature_file(Path("set/features/clap.h5")).audio
    vids = [
        json.loads(line)["vid"]
        for split in ("train", "val")
        for line in Path(f"set/{split}.jsonl").read_text().splitlines()
    ]
    assert list(table.ids) == vids


def publish_but(names, data=b"x", *, new=None):
    files = published()
    for name in names:
        del files[name]
        files[new(name) if new else name] = data
    publish(files)


def split_archive():
    data = gzip.compress(tarred(published()))
    write("f.tar.gz.part-aa", data[: len(data) // 2])
    write("f.tar.gz.part-ab", data[len(data) // 2 :])


def zip_in_parts(last="f.zip"):
    zipped(published())
    write("f.z01", b"x")


def only_links():
    publish_but(["clap/train0.npz"], new=lambda name: "clap/other.npz")
    Path("f/clap/train0.npz").symlink_to("../../gone/train0.npz")


MISSING = {
    "211-pt-files": (
        lambda: publish_but(
            [f"clap/{name}.npz" for name in NAMES], new=lambda name: name.replace("npz", "pt")
        ),
        ["f"],
        [
            "3 of 3 recordings have none: 'train0', 'train1', 'val0'.",
            "f/clap/train0.pt is there. .pt files are not read. Save the numbers as .npz with numpy.savez",
        ],
    ),
    "220-archive-parts": (
        split_archive,
        ["f.tar.gz.part-aa", "f.tar.gz.part-ab"],
        [
            "f.tar.gz.part-aa: is a part of an archive. Join all parts first: "
            "'cat f.tar.gz.part-* > f.tar.gz', or on Windows 'copy /b f.tar.gz.part-* f.tar.gz'."
        ],
    ),
    "archive-parts-that-are-not-joined": (
        split_archive,
        ["f.tar.gz"],
        ["f.tar.gz: is not there, but parts of it are: 'f.tar.gz.part-aa', 'f.tar.gz.part-ab'."],
    ),
    "archive-parts-in-the-folder": (
        lambda: (split_archive(), write("f/f.tar.gz.001", b"x")),
        ["f"],
        [
            "none of its features are in f",
            "f/f.tar.gz.001 is there. It is a part of an archive. Join all parts",
        ],
    ),
    "zip-in-parts": (
        zip_in_parts,
        ["f.zip"],
        ["f.zip: is the last part of an archive: 'f.z01'. Join all parts first: 'zip -s 0 f.zip --out "],
    ),
    "221-git-lfs-pointer": (
        lambda: publish_but(["clap/train0.npz"], POINTER),
        ["f"],
        ["f/clap/train0.npz: is a Git LFS pointer, whose content 'git lfs pull' fetches."],
    ),
    "git-lfs-pointer-in-zip": (
        lambda: zipped(published() | {"clap/train0.npz": POINTER}),
        ["f.zip"],
        ["f.zip: clap/train0.npz: is a Git LFS pointer, whose content 'git lfs pull' fetches."],
    ),
    "git-lfs-pointer-as-archive": (
        lambda: write("f.tar.gz", POINTER),
        ["f.tar.gz"],
        ["f.tar.gz: is a Git LFS pointer, whose content 'git lfs pull' fetches. Run it, and try again."],
    ),
    "git-annex-pointer": (
        lambda: publish_but(["clap/train0.npz"], b"/annex/objects/SHA256E-s9--00.npz\n"),
        ["f"],
        ["f/clap/train0.npz: is a git-annex pointer, whose content 'git annex get' fetches."],
    ),
    "222-html-as-archive": (
        lambda: write("f.tar.gz", PAGE),
        ["f.tar.gz"],
        ["f.tar.gz: is a web page. The download failed;"],
    ),
    "html-as-npz": (
        lambda: publish_but(["clap/train0.npz"], PAGE),
        ["f"],
        ["f/clap/train0.npz: is a web page. The download failed;"],
    ),
    "xml-as-archive": (
        lambda: write("f.zip", b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>'),
        ["f.zip"],
        ["f.zip: is an XML file. The download failed;"],
    ),
    "json-as-archive": (
        lambda: write("f.zip", b'{"status": 429}'),
        ["f.zip"],
        ['f.zip: is a JSON file: "{\\"status\\": 429}". Copy or download the right file.'],
    ),
    "text-as-npz": (
        lambda: publish_but(["clap/train0.npz"], b"404: Not Found"),
        ["f"],
        ['f/clap/train0.npz: is text: "404: Not Found".'],
    ),
    "empty-archive": (
        lambda: write("f.zip", b""),
        ["f.zip"],
        ["f.zip: is empty. Copy or download it again."],
    ),
    "empty-npz": (
        lambda: publish_but(["clap/train0.npz"], b""),
        ["f"],
        ["f/clap/train0.npz: is empty. Copy or download it again."],
    ),
    "rar": (lambda: write("f.zip", b"Rar!\x1a\x07\x00"), ["f.zip"], ["f.zip: is a RAR archive."]),
    "7z": (lambda: write("f.7z", b"7z\xbc\xaf\x27\x1c"), ["f.7z"], ["f.7z: is a 7-Zip archive."]),
    "zstandard": (
        lambda: write("f.tar.zst", b"\x28\xb5\x2f\xfd"),
        ["f.tar.zst"],
        ["f.tar.zst: is a Zstandard file. Unpack it first."],
    ),
    "archive-in-the-folder": (
        lambda: (Path("f").mkdir(), tarred(published(), "f/CLAP.tar")),
        ["f"],
        ["none of its features are in f", "f/CLAP.tar is there. It is an archive. Unpack it."],
    ),
    "224-other-case": (
        lambda: publish_but(["clap/train0.npz"], new=lambda name: "clap/Train0.npz"),
        ["f"],
        [
            "1 of 3 recordings have none: 'train0'.",
            "'train0': f/clap/Train0.npz is there, whose name differs in case only.",
        ],
    ),
    "225-text-files-without-qid": (
        lambda: publish(published(text="{}_1")),
        ["f"],
        [
            "3 of 3 queries have none: 'train0_1', 'train1_1', 'val0_1'.",
            "f/clap_text/train0_1.npz is there, without 'qid' in its name. Rename it to qidtrain0_1.npz.",
        ],
    ),
    "other-marks": (
        lambda: publish_but(["clap/train0.npz"], new=lambda name: "clap/train-0.npz"),
        ["f"],
        ["f/clap/train-0.npz is there, whose name differs in accents, zeros or other marks. Rename it."],
    ),
    "unfinished-download": (
        lambda: publish_but(["clap/train0.npz"], new=lambda name: f"{name}.part"),
        ["f"],
        ["f/clap/train0.npz.part is there. Its download has not ended."],
    ),
    "two-files-of-one-id": (
        lambda: publish(published() | {"old/train0.npz": npz("features")}),
        ["f"],
        ["'train0' has features in f/clap/train0.npz and in f/old/train0.npz."],
    ),
    "one-file-of-torch": (
        lambda: zipped({"train0/data.pkl": b"x"}, "train0.pt"),
        ["train0.pt"],
        ["train0.pt: is a file of torch.save, which is not read."],
    ),
}


@pytest.mark.parametrize("case", MISSING)
def test_an_import_says_what_is_there_instead(amrbench, case):
    annotate(list(NAMES))
    make, sources, words = MISSING[case]
    make()
    partial = ["--partial"] * ("in-the-folder" in case)
    code, out, error = amrbench("data", "import", "set", *sources, "--encoder", "clap", *partial)
    assert (code, out) == (2, "")
    for text in words:
        assert text in error, error


# ---------------------------------------------------------------- data extract and verify


def record(*names, form="WAV"):
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        with Path(name).open("wb") as file:
            soundfile.write(file, np.full(8000 * SECONDS, 0.1), 8000, format=form)


@pytest.fixture
def extract(amrbench, monkeypatch):
    """Call `data extract` up to the extraction; return its code, the files by id, and the messages."""
    jobs = []

    def extract_features(job, encoder, **options):
        jobs.append(job)
        return len(job.audio), len(job.sentences)

    monkeypatch.setattr("amrbench.tools.extract_features.extract_features", extract_features)

    def call(*arguments):
        code, _, error = amrbench("data", "extract", *arguments, "--encoder", "mini-clap")
        files = {own: path.as_posix() for own, path in jobs[-1].audio.items()} if jobs else {}
        return code, files, error

    return call


def link(name, target):
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).symlink_to(target)


FOLDERS = {
    "230-extract-appledouble": (
        lambda: (record("rec/a.wav"), write("rec/._a.wav", b"\x00\x05\x16\x07")),
        {"a": "rec/a.wav"},
        "",
    ),
    "231-extract-symlinked-subfolder": (
        lambda: (record("store/a.wav"), link("rec/day1", "../store")),
        {"day1/a": "rec/day1/a.wav"},
        "",
    ),
    "links-in-a-circle": (
        lambda: (record("rec/day1/a.wav"), link("rec/day1/up", "..")),
        {"day1/a": "rec/day1/a.wav"},
        "",
    ),
    "suffix-in-capitals": (lambda: record("rec/A.WAV"), {"A": "rec/A.WAV"}, ""),
    "decomposed-names": (lambda: record(f"rec/{NFD}.wav"), {NFC: f"rec/{NFD}.wav"}, ""),
    "hidden-recording": (
        lambda: record("rec/a.wav", "rec/.b.wav"),
        {"a": "rec/a.wav"},
        "note: rec: 'rec/.b.wav': Hidden files are not read.",
    ),
    "also-another-format": (
        lambda: (record("rec/a.wav"), write("rec/b.m4a", b"x")),
        {"a": "rec/a.wav"},
        "note: rec: 'rec/b.m4a': .m4a files are not read. Convert it, e.g. with 'ffmpeg -i rec/b.m4a ",
    ),
    "broken-link": (
        lambda: (record("rec/a.wav"), link("rec/b.wav", "gone.wav")),
        {"a": "rec/a.wav"},
        "note: rec: 'rec/b.wav': It is a link to gone.wav, which is not there.",
    ),
}


@pytest.mark.parametrize("case", FOLDERS)
def test_recordings_of_a_folder_are_extracted(extract, case):
    make, expected, text = FOLDERS[case]
    make()
    code, files, error = extract("rec", "-o", "out.h5")
    assert (code, files) == (0, expected), error
    assert text in error if text else not error, error


NO_AUDIO = {
    "236-extract-video-files": (
        lambda: [write(f"rec/{name}", b"x") for name in ("a.webm", "b.m4a")],
        [
            "rec: there are no audio files (.wav, ",
            "'rec/a.webm': .webm files are not read. Convert it, e.g. with 'ffmpeg -i rec/a.webm -vn ",
            "'rec/b.m4a': .m4a files are not read.",
        ],
    ),
    "only-metadata-of-macos": (
        lambda: write("rec/._a.wav", b"\x00\x05\x16\x07"),
        ["there are no audio files", "'rec/._a.wav': It holds metadata of macOS. Copy the file itself"],
    ),
    "archive": (
        lambda: write("rec/audio.zip", b"PK"),
        ["there are no audio files", "'rec/audio.zip': It is an archive. Unpack it."],
    ),
    "one-file": (lambda: record("rec"), ["rec: is a file, not a folder. Name the folder that it is in."]),
    "two-formats": (
        lambda: record("rec/a.wav", "rec/a.flac"),
        ["rec: 'a.flac' and 'a.wav' could both be the file of 'a'. Move one of them away,"],
    ),
}


@pytest.mark.parametrize("case", NO_AUDIO)
def test_a_folder_without_recordings_says_what_is_there(extract, case):
    make, words = NO_AUDIO[case]
    make()
    code, _, error = extract("rec", "-o", "out.h5")
    assert code == 2
    for text in words:
        assert text in error, error


SETS = {
    "241-set-vid-with-suffix": (["a.wav", "b"], ["a.wav", "b.wav"]),
    "suffix-of-a-video": (["a.mp4", "b"], ["a.wav", "b.wav"]),
    "242-set-vid-nfc-file-nfd": ([NFC, "b"], [f"{NFD}.wav", "b.wav"]),
    "244-set-audio-subfolders": (["a", "b"], ["train/a.wav", "val/b.wav"]),
    "ids-that-begin-with-a-dash": (["-a_1", "--help"], ["-a_1.wav", "--help.WAV"]),
    "ids-that-are-paths": (["train/a", "audio/val/b.wav"], ["train/a.wav", "val/b.wav"]),
    "doubled-suffix": (["a", "b"], ["a.wav.wav", "b.wav"]),
    "unpacked-back-slashes": (["a", "train/b"], ["train\\a.wav", "train\\b.wav"]),
}


@pytest.mark.parametrize("case", SETS)
def test_recordings_of_a_data_set_are_extracted(extract, case):
    vids, names = SETS[case]
    annotate(vids)
    record(*(f"set/audio/{name}" for name in names))
    write("set/audio/._a.wav", b"\x00\x05\x16\x07")
    code, files, error = extract("set")
    assert (code, files) == (0, {vid: f"set/audio/{name}" for vid, name in zip(vids, names, strict=True)}), (
        error
    )


NOT_THERE = {
    "240-set-audio-m4a": (
        lambda: [write(f"set/audio/{name}.m4a", b"x") for name in "ab"],
        [
            "set/audio: 2 of 2 recordings are missing: 'a', 'b'.",
            "'a', 'b': set/audio/a.m4a is there. .m4a files are not read. Convert it, e.g. with 'ffmpeg -i ",
        ],
    ),
    "other-case": (
        lambda: record("set/audio/A.wav"),
        ["set/audio/A.wav is there, whose name differs in case"],
    ),
    "two-folders": (
        lambda: record("set/audio/x/a.wav", "set/audio/y/a.wav"),
        ["set/audio: 'x/a.wav' and 'y/a.wav' could both be the file of 'a'. Move one of them away,"],
    ),
    "beside-the-folder": (
        lambda: record("set/a.wav"),
        ["There is no folder set/audio.", "set has audio files, e.g. a.wav. Move them to set/audio."],
    ),
    "archive": (
        lambda: write("set/audio/a.tar.gz", b"x"),
        ["set/audio/a.tar.gz is there. It is an archive."],
    ),
    "archive-beside-the-folder": (
        lambda: write("set/audio.zip", b"x"),
        ["There is no folder set/audio.", "set/audio.zip is there. It is an archive. Unpack it."],
    ),
    "link-to-a-drive": (
        lambda: link("set/audio", "/mnt/gone"),
        ["set/audio is a link to /mnt/gone, which is not there."],
    ),
}


@pytest.mark.parametrize("case", NOT_THERE)
def test_an_extraction_says_what_is_there_instead(extract, case):
    annotate(["a", "b"])
    make, words = NOT_THERE[case]
    make()
    code, _, error = extract("set")
    assert code == 2
    for text in words:
        assert text in error, error


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (POINTER, "is a Git LFS pointer, whose content 'git lfs pull' fetches."),
        (PAGE, "is a web page. The download failed;"),
        (b"", "is empty. Copy or download it again."),
    ],
    ids=["git-lfs-pointer", "html", "empty"],
)
def test_another_file_with_the_name_of_a_recording(amrbench, data, text):
    write("rec/a.wav", data)
    write("labels/a.txt", b"0.5\t2.5\tbark\n")
    code, _, error = amrbench("data", "convert", "labels", "-o", "out.jsonl", "--audio", "rec")
    assert code == 2
    assert f"rec/a.wav: {text}" in error


def test_a_run_misses_a_recording_before_any_is_encoded():
    registry = load_registry()
    dataset = parse_part('{"use": "files", "folder": "set"}', DatasetPart, registry, called="x")
    features = parse_part("mini-clap", FeaturesPart, registry, called="x")
    annotate(["a", "b"])
    record("set/audio/A.wav", "set/audio/b.wav")
    refuse_missing_recordings(annotated_splits([FeatureRequest(dataset, "val", features)]).values())
    with pytest.raises(DataError) as error:
        refuse_missing_recordings(annotated_splits([FeatureRequest(dataset, "train", features)]).values())
    assert str(error.value).splitlines() == [
        "set/audio: a recording is missing: 'a'. Published at no public place: they are your own.",
        "  'a': set/audio/A.wav is there, whose name differs in case only. Rename it.",
    ]


def verified(amrbench):
    code, out, error = amrbench("data", "verify", "set", "--json")
    assert (code, error) == (0, "")
    return json.loads(out)["splits"]


@pytest.mark.parametrize("case", ["250-verify-audio-missing", "other-case"])
def test_recordings_that_are_missing_are_noted(amrbench, case):
    annotate(["train", "val"])
    record("set/audio/val.wav", *["set/audio/Train.wav"] * (case == "other-case"))
    findings = verified(amrbench)
    text = "1 recordings are not in set/audio, and 'amrbench data extract' needs them"
    assert {"text": text, "fault": False, "where": ["train"]} in findings["train"]
    texts = [finding["text"] for finding in findings["train"]]
    assert any("set/audio/Train.wav is there" in text for text in texts) == (case == "other-case")
    assert not any("set/audio," in finding["text"] for finding in findings["val"])


def test_two_recordings_with_one_file_are_noted(amrbench):
    annotate(["a", "a.wav"])
    record("set/audio/a.wav")
    where = {
        split: [finding["where"] for finding in own if "the same file" in finding["text"]]
        for split, own in verified(amrbench).items()
    }
    assert where == {"train": [["a"]], "val": [["a.wav"]], "test": []}


def test_annotations_with_another_name(amrbench):
    annotate(["a", "b"])
    Path("set/train.jsonl").rename("set/Train.jsonl")
    Path("set/val.jsonl").rename("set/val.json")
    record("set/audio/a.wav")
    lines = [
        "'train': set/Train.jsonl is there, whose name differs in case only. Rename it.",
        "'val': set/val.json is there. Annotations are in .jsonl files. Rename it if it has JSON lines, or "
        "use 'amrbench data convert'.",
    ]
    for command in (
        ("verify", "set"),
        ("import", "set", "f", "--encoder", "clap"),
        ("extract", "set", "--encoder", "mini-clap"),
    ):
        code, _, error = amrbench("data", *command)
        assert (code, error.splitlines()[1:]) == (2, [f"  {line}" for line in lines])
    Path("set/Train.jsonl").rename("set/train.jsonl")
    texts = [finding["text"] for finding in verified(amrbench)["val"]]
    assert texts == ["no annotations: there is no set/val.jsonl", lines[1]]


def test_a_source_of_features_with_another_name(amrbench):
    annotate(list(NAMES))
    tarred(published(), "CLAP.tar")
    code, _, error = amrbench("data", "import", "set", "CLAP.tar.gz", "--encoder", "clap")
    assert (code, error) == (
        2,
        "error: CLAP.tar.gz: there is no such folder or archive. Did you mean 'CLAP.tar'?\n",
    )
    link("f", "/mnt/gone")
    code, _, error = amrbench("data", "import", "set", "f", "--encoder", "clap")
    assert (code, error) == (2, "error: f: is a link to /mnt/gone, which is not there.\n")


# ---------------------------------------------------------------- data convert


def test_metadata_of_macos_beside_labels(amrbench):
    """Case 010-audacity-appledouble."""
    record("rec/street.wav")
    write("labels/street.txt", b"0.5\t2.5\tbark\n")
    write("labels/._street.txt", b"\x00\x05\x16\x07")
    code, out, error = amrbench("data", "convert", "labels", "-o", "out.jsonl", "--audio", "rec")
    assert (code, out, error) == (0, "out.jsonl: 1 queries\n", "")


def test_composed_and_decomposed_letters_of_one_name_are_joined(amrbench):
    """Case 019-csv-nfd-nfc."""
    rows = f"vid,query,start,end,duration\n{NFC},a dog,1.5,3.5,60\n{NFD},a dog,5,6,60\n"
    Path("a.csv").write_text(rows, encoding="utf-8")
    code, out, error = amrbench("data", "convert", "a.csv", "-o", "out.jsonl")
    assert (code, out) == (0, "out.jsonl: 1 queries\n")
    assert "note: a.csv" in error
    (row,) = map(json.loads, Path("out.jsonl").read_text().splitlines())
    assert (row["vid"], row["relevant_windows"]) == (NFC, [[1.5, 3.5], [5, 6]])


def test_a_recording_of_labels_that_is_missing(amrbench):
    record("rec/Street.wav")
    write("labels/street.txt", b"0.5\t2.5\tbark\n")
    code, _, error = amrbench("data", "convert", "labels", "-o", "out.jsonl", "--audio", "rec")
    assert code == 2
    assert "rec/Street.wav is there, whose name differs in case only. Rename it." in error
