"""The commands of `amrbench data` from outside."""

import json

import numpy as np
import pytest
import soundfile

from amrbench.files.annotations import write_annotations
from amrbench.files.feature_file import open_feature_file
from amrbench.types import Query


@pytest.fixture
def castella(tmp_path, monkeypatch):
    """A folder of CASTELLA with two queries of its val split."""
    monkeypatch.setenv("AMRBENCH_DATA", str(tmp_path))
    folder = tmp_path / "castella"
    folder.mkdir()
    queries = [
        Query("a_1", "a dog barks", "a", 3.0, ((0.0, 1.0),)),
        Query("b_1", "rain", "b", 2.0, ((0.0, 1.0),)),
    ]
    write_annotations(folder / "castella_val_release.jsonl", queries)
    return folder


def write_audio(folder):
    (folder / "audio").mkdir()
    for name, seconds in (("a", 3), ("b", 2)):
        soundfile.write(folder / "audio" / f"{name}.flac", np.full(16000 * seconds, 0.25), 16000)


def publish(folder):
    for name, key, shape in (
        *(("clap/a.npz", "features", (3, 768)), ("clap/b.npz", "features", (2, 768))),
        *(("clap_text/qida_1.npz", "last_hidden_state", (4, 768)),),
        *(("clap_text/qidb_1.npz", "last_hidden_state", (1, 768)),),
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        np.savez(folder / name, **{key: np.ones(shape, np.float32)})
    return folder


def test_status_lists_present_and_missing_files(amrbench, castella):
    code, out, _ = amrbench("data", "status", "cgdetr", "--protocol", "castella")
    assert code == 0
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in out.splitlines()[2:-1]]
    present = {row[0]: row[1] for row in rows}
    assert present["annotations of castella val"] == "yes"
    assert present["annotations of castella test"] == "no"
    assert present["features clap of clotho-moment"] == "no"
    assert out.splitlines()[-1] == f"1 of {len(rows)} are here."
    rows = json.loads(amrbench("data", "status", "cgdetr", "--json")[1])["files"]
    assert {"what", "here", "place", "published", "size"} == set(rows[0])


def test_status_of_a_data_set_takes_the_names_that_verify_takes(amrbench, castella):
    code, out, error = amrbench("data", "status", "castella")
    assert code == 0
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in out.splitlines()[2:-1]]
    assert [row[:2] for row in rows] == [
        ["annotations of castella train", "no"],
        ["annotations of castella val", "yes"],
        ["annotations of castella test", "no"],
        ["features clap of castella", "no"],
        ["features m2d-clap of castella", "no"],
        ["audio of castella", "no"],
    ]
    assert out.splitlines()[-1] == "1 of 6 are here."
    assert (
        f"note: {castella}/castella_val_release.jsonl: 2 queries about 2 recordings; not the newest" in error
    )
    (castella / "test.jsonl").write_text('{"qid": 1')
    code, out, error = amrbench("data", "status", castella)
    assert (code, out.splitlines()[-1]) == (0, "0 of 4 are here, 1 faulty.")
    assert f"note: {castella}/test.jsonl" in error
    assert amrbench("data", "status", f"{{use: files, folder: {castella}}}") == (code, out, error)


@pytest.mark.parametrize(
    ("name", "near"), [("castela", "castella"), ("cgdert", "cgdetr"), ("clams", "claims")]
)
def test_status_suggests_recipes_studies_and_data_sets(amrbench, name, near):
    code, _, error = amrbench("data", "status", name)
    assert code == 2
    assert error.startswith(
        f"error: there is no recipe, study or data set {name!r}: no such file or folder, and none of this "
        f"name. Did you mean {near!r}? Recipes: beyond, cgdetr, "
    )
    assert ". Studies: additions, " in error
    assert ". Data sets: castella, " in error


def test_status_of_a_protocol_is_as_right_as_verify(amrbench, castella, tmp_path):
    amrbench("data", "import", "castella", publish(tmp_path / "published"), "--encoder", "clap")
    features = castella / "features" / "clap.h5"
    features.write_bytes(features.read_bytes()[:-4])
    code, out, _ = amrbench("data", "status", "cgdetr", "--protocol", "castella", "--json")
    assert code == 0
    here = {file["what"]: file["here"] for file in json.loads(out)["files"]}
    assert here["features clap of castella"] == "faulty"
    assert [str(features) in text for text in json.loads(out)["notes"]].count(True) == 1
    assert amrbench("data", "verify", "castella")[0] == 2


def test_status_of_a_protocol_that_needs_nothing(amrbench):
    code, out, _ = amrbench("data", "status", "--protocol", "synthetic")
    assert (code, out) == (0, "The protocol synthetic needs only this package.\n")


def test_published_features_are_imported_and_verified(amrbench, castella, tmp_path):
    source = publish(tmp_path / "published")
    code, out, _ = amrbench("data", "import", "castella", source, "--encoder", "clap")
    assert code == 0
    assert out.startswith(f"{castella}/features/clap.h5: 2 recordings and 2 queries\n  read 4 files in ")
    code, out, _ = amrbench("data", "verify", "castella")
    assert code == 0
    assert out.splitlines()[2] == "castella val"
    assert "no features" not in out
    (source / "clap" / "a.npz").unlink()
    (castella / "features" / "clap.h5").unlink()
    code, out, error = amrbench("data", "import", "castella", source, "--encoder", "clap")
    assert (code, out) == (2, "")
    assert "1 of 2 recordings have none: 'a'." in error


def test_a_fault_is_exit_code_2(amrbench, castella, tmp_path):
    amrbench("data", "import", "castella", publish(tmp_path / "published"), "--encoder", "clap")
    rows = [Query("a_1", "a dog barks", "a", 30.0, ((0.0, 1.0),))]
    write_annotations(castella / "castella_val_release.jsonl", rows)
    code, out, error = amrbench("data", "verify", "castella")
    assert code == 2
    assert "  FAULT clap: 1 recordings have features of another length: 'a'" in out.splitlines()
    assert error == "error: castella: 1 faults must be corrected before it can be used.\n"
    assert json.loads(amrbench("data", "verify", "castella", "--json")[1])["faults"] == 1


def test_features_are_extracted_for_a_data_set_and_for_a_folder(amrbench, castella, tmp_path):
    write_audio(castella)
    code, out, _ = amrbench("data", "extract", "castella", "--encoder", "mini-clap")
    assert (code, out) == (0, f"{castella}/features/mini-clap.h5: 2 recordings and 2 sentences\n")
    output = tmp_path / "mine.h5"
    code, out, _ = amrbench("data", "extract", castella / "audio", "--encoder", "mini-clap", "-o", output)
    assert (code, out) == (0, f"{output}: 2 recordings and 0 sentences\n")
    paths = (output, castella / "features" / "mini-clap.h5")
    assert np.array_equal(*(open_feature_file(path).audio.rows("a") for path in paths))


def test_a_folder_of_shards_is_extracted_with_an_executor_and_verified(amrbench, castella, tmp_path):
    write_audio(castella)
    options = ("--encoder", "mini-clap", "-o", tmp_path / "shards", "--half", "--shard-size", 1)
    arguments = ("data", "extract", castella / "audio", *options)
    code, out, _ = amrbench(*arguments, "--executor", "local")
    assert (code, out) == (0, f"{tmp_path}/shards: 2 recordings and 0 sentences\n")
    code, out, _ = amrbench("data", "verify", tmp_path / "shards")
    assert code == 0
    assert "2 feature files: 2 recordings, 5 rows and " in out
    assert json.loads(amrbench("data", "verify", tmp_path / "shards", "--json")[1])["faults"] == 0
    next((tmp_path / "shards").glob("*.h5")).unlink()
    code, _, error = amrbench("data", "verify", tmp_path / "shards")
    assert (code, error) == (
        2,
        f"error: {tmp_path}/shards: 1 faults must be corrected before it can be used.\n",
    )


def test_only_a_manifest_of_shards_makes_a_folder_one_of_shards(amrbench, castella, tmp_path, monkeypatch):
    manifest = tmp_path / "sound" / "manifest.jsonl"
    manifest.parent.mkdir()
    manifest.write_text('{"vid": "a", "sounds": []}\n')
    code, _, error = amrbench("data", "verify", tmp_path / "sound")
    assert (code, error.split(". ")[0]) == (2, f"error: {tmp_path}/sound: there are no annotations")
    (tmp_path / "sound" / "test.jsonl").write_bytes((castella / "castella_val_release.jsonl").read_bytes())
    for text in ('{"vid": "a", "sounds": []}\n', '{"shard": "a.h5"}\n'):
        manifest.write_text(text)
        code, out, _ = amrbench("data", "verify", tmp_path / "sound")
        assert (code, out.splitlines()[4]) == (0, f"{tmp_path}/sound test")
    monkeypatch.chdir(tmp_path)
    (castella / "manifest.jsonl").write_text('{"shard": "a.h5"}\n')
    code, out, _ = amrbench("data", "verify", "castella")
    assert (code, out.splitlines()[2]) == (0, "castella val")
    code, _, error = amrbench("data", "verify", "./castella")
    assert code == 2
    assert error.startswith("error: castella/manifest.jsonl:1: ")


def test_shards_of_a_data_set_need_an_output(amrbench, castella):
    code, _, error = amrbench("data", "extract", "castella", "--encoder", "mini-clap", "--shard-size", 9)
    assert (code, error) == (
        2,
        "error: --shard-size needs -o: the features of a data set are one file in its folder.\n",
    )


def test_annotations_are_converted(amrbench, tmp_path):
    (tmp_path / "a.csv").write_text("vid,query,start,end,duration\na,a dog,1,2,60\n")
    code, out, _ = amrbench("data", "convert", tmp_path / "a.csv", "-o", tmp_path / "a.jsonl")
    assert (code, out) == (0, f"{tmp_path}/a.jsonl: 1 queries\n")


def test_any_folder_with_annotations_is_a_data_set(amrbench, tmp_path):
    write_annotations(tmp_path / "test.jsonl", [Query("a_1", "a dog", "a", 3.0, ((0.0, 1.0),))])
    code, out, _ = amrbench("data", "verify", tmp_path)
    assert (code, out.splitlines()[4:6]) == (
        0,
        [f"{tmp_path} test", "  note  1 queries about 1 recordings"],
    )


def test_statistics_of_files_folders_and_data_sets_are_in_one_table(amrbench, castella, tmp_path):
    write_annotations(tmp_path / "test.jsonl", [Query("a_1", "a dog", "a", 3.0, ((0.0, 1.0),))])
    names = (tmp_path / "test.jsonl", tmp_path, "castella", "{use: procedural, preset: short}")
    code, out, _ = amrbench("data", "statistics", *names, "--format", "tsv")
    assert code == 0
    heading, *rows = (line.split("\t") for line in out.splitlines())
    assert [cell.strip() for cell in heading[:4]] == ["annotations", "recordings", "queries", "recording, s"]
    assert [row[0].strip() for row in rows] == [
        str(tmp_path / "test.jsonl"),
        f"{tmp_path} test",
        "castella val",
        "procedural preset=short train",
        "procedural preset=short val",
    ]
    assert rows[0][3].strip() == "3/3/3, mean 3"
    content = json.loads(amrbench("data", "statistics", tmp_path, "--json")[1])
    assert content["annotations"][f"{tmp_path} test"]["widths"] == {"p5": 1, "median": 1, "p95": 1, "mean": 1}


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (
            ("verify", "castela"),
            "there is no data set 'castela': no such file or folder, and none of this name. "
            "Did you mean 'castella'? Data sets: castella, clotho-moment, ",
        ),
        (("verify", __file__), f"{__file__}: is a file. Name a data set, or the folder of its annotations."),
        (
            ("verify", "procedural"),
            "the data set 'procedural' is generated and has no folder. Name one with files, or a folder.",
        ),
        (("statistics", "castela"), "and none of this name. Did you mean 'castella'?"),
        (
            ("statistics", "nofile.jsonl"),
            "there is no data set 'nofile.jsonl': no such file or folder, and none of this name. Data sets: ",
        ),
        (("statistics", "{use: castela}"), "no dataset part is called 'castela'. Did you mean 'castella'?"),
        (
            ("statistics", "unav100-subset"),
            "unav100-subset: there are no annotations. Put them at ",
        ),
        (
            ("import", "castella", ".", "--encoder", "clapp"),
            "no features part is called 'clapp'. Did you mean 'clap'?",
        ),
    ],
)
def test_names_that_are_wrong(amrbench, castella, arguments, text):
    code, _, error = amrbench("data", *arguments)
    assert code == 2
    assert text in error


def test_synthesize_writes_recordings_and_annotations(amrbench, tmp_path):
    folder = tmp_path / "audio"
    code, _, err = amrbench("data", "synthesize", "--count", 1, "--audio", "wav", "-o", folder)
    assert code == 0
    assert "1 recordings" in err
    assert len(list(folder.glob("*.wav"))) == 1
    assert (folder / "annotations.jsonl").stat().st_size > 0


def test_an_unknown_role_ends_with_two(amrbench, tmp_path):
    code, _, err = amrbench("data", "synthesize", "--role", "pertrain", "-o", tmp_path / "x")
    assert code == 2
    assert "Did you mean 'pretrain'?" in err


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--all", "--count", 3), "--all and --count cannot be given together. Leave one of them out."),
        (
            ("intermediate300", "--role", "target"),
            "--role is for a data set of the protocol, not for 'intermediate300'. Leave one of them out.",
        ),
        (
            ("intermediate300", "--protocol", "castella"),
            "--protocol is for a data set of the protocol, not for 'intermediate300'. Leave one of them out.",
        ),
    ],
)
def test_options_of_synthesize_that_exclude_each_other(amrbench, tmp_path, arguments, text):
    code, _, error = amrbench("data", "synthesize", *arguments, "-o", tmp_path / "x")
    assert (code, error) == (2, f"error: {text}\n")
    assert not (tmp_path / "x").exists()
