"""The command line from outside: what it prints, and how it ends."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml

from amrbench import cli
from amrbench.config.load import find, shipped
from tests.folders import DATA

CHECKPOINT = DATA / "lighthouse_checkpoint"


@pytest.fixture
def files(tmp_path):
    truth = tmp_path / "truth.jsonl"
    predictions = tmp_path / "predictions.jsonl"
    truth.write_text(
        json.dumps(
            {
                "qid": "a_1",
                "query": "x",
                "duration": 60,
                "vid": "a",
                "relevant_windows": [[10, 20]],
                "kind": "k",
            }
        )
    )
    predictions.write_text(json.dumps({"qid": "a_1", "vid": "a", "pred_relevant_windows": [[10, 18, 0.9]]}))
    return predictions, truth


def baseline(**changes):
    recipe = yaml.safe_load(find("recipe", "cgdetr").read_text())
    for path, value in changes.items():
        options = recipe
        *steps, last = path.split("__")
        for step in steps:
            options = options[int(step) if step.isdigit() else step]
        options[int(last) if last.isdigit() else last] = value
    return yaml.safe_dump(recipe, sort_keys=False)


# ---------------------------------------------------------------- start


def test_help_lists_the_commands_and_needs_no_torch():
    code = (
        "import sys; sys.argv = ['amrbench', '--help']\n"
        "from amrbench.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(sorted({'torch', 'scipy', 'pydantic'} & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    for command in ("run", "check", "parts", "schema", "score", "compare", "predict", "data"):
        assert f"\n  {command} " in out
    assert out.rstrip().endswith("[]")


def test_an_unknown_command_ends_with_two(amrbench):
    code, _, err = amrbench("frobnicate")
    assert code == 2
    assert "frobnicate" in err


# ---------------------------------------------------------------- score


def test_score_prints_the_file_and_baselines_that_read_no_audio(amrbench, files):
    predictions, truth = files
    code, out, _ = amrbench("score", predictions, "--truth", truth)
    assert code == 0
    assert "| predictions.jsonl | 1 | 100.00 | 100.00 |" in " ".join(out.split())
    assert "always 0-10 s" in out


def test_score_as_json_has_queries_and_metrics(amrbench, files):
    predictions, truth = files
    code, out, _ = amrbench("score", predictions, "--truth", truth, "--json", "--by", "kind")
    content = json.loads(out)
    assert code == 0
    assert content["queries"] == 1
    assert content["metrics"]["R1@0.7"] == 100.0
    assert content["slices"]["k"]["queries"] == 1


def test_wrong_predictions_end_with_two_and_name_the_line(amrbench, files):
    predictions, truth = files
    predictions.write_text('{"qid": "a_1", "vid": "a", "pred_relevant_windows": [[20, 10, 0.5]]}')
    code, out, err = amrbench("score", predictions, "--truth", truth)
    assert code == 2
    assert out == ""
    assert f"{predictions}:1" in err
    assert "Traceback" not in err


def test_files_of_different_queries_end_with_two(amrbench, files):
    predictions, truth = files
    truth.write_text(truth.read_text().replace("a_1", "b_1"))
    code, _, err = amrbench("score", predictions, "--truth", truth)
    assert code == 2
    assert "'b_1'" in err
    assert "'a_1'" in err


# ---------------------------------------------------------------- compare


def test_compare_prints_the_difference_with_its_interval(amrbench, files):
    predictions, truth = files
    worse = predictions.with_name("worse.jsonl")
    worse.write_text(predictions.read_text().replace("[[10, 18, 0.9]]", "[[30, 38, 0.9]]"))
    arguments = ("compare", predictions, "--against", worse, "--truth", truth, "--metric", "R1@0.7")
    code, out, _ = amrbench(*arguments)
    assert code == 0
    assert "| predictions.jsonl | predictions | R1@0.7 | 100.00 |" in " ".join(out.split())
    assert "| +100.00 | [+100.00, +100.00] | 1.0000 |" in " ".join(out.split())
    assert "Recordings: only 1, so" in out
    code, out, _ = amrbench(*arguments, "--json")
    assert json.loads(out)["lines"][1]["difference"]["mean"] == 100.0


def test_compare_without_annotations_ends_with_two(amrbench, files):
    code, out, err = amrbench("compare", files[0])
    assert (code, out) == (2, "")
    assert f"{files[0]}: not a run" in err
    assert "--truth FILE" in err


# ---------------------------------------------------------------- parts


def test_parts_lists_every_slot(amrbench):
    code, out, _ = amrbench("parts", "--format", "json")
    rows = json.loads(out)
    assert code == 0
    assert {"model", "loss", "optimizer", "features", "dataset", "head"} <= {row["slot"] for row in rows}


def test_parts_of_a_name_shows_options_with_bounds(amrbench):
    code, out, _ = amrbench("parts", "optimizer", "adamw")
    assert code == 0
    assert "adamw" in out
    assert "budget: lr" in out


def test_a_misspelt_slot_ends_with_two(amrbench):
    code, _, err = amrbench("parts", "optimiser")
    assert code == 2
    assert "Did you mean 'optimizer'?" in err


def test_a_plugin_can_be_left_out(amrbench):
    code, out, _ = amrbench("parts", "--without", "dual-encoder", "--format", "json")
    assert code == 0
    assert "dual-encoder" not in {row["part"] for row in json.loads(out)}


def test_a_plugin_that_is_not_installed_cannot_be_left_out(amrbench):
    code, _, err = amrbench("parts", "--without", "duel-encoder")
    assert code == 2
    assert "Did you mean 'dual-encoder'?" in err


def test_schema_is_json(amrbench):
    code, out, _ = amrbench("schema")
    assert code == 0
    assert "slot:loss" in json.loads(out)["$defs"]


# ---------------------------------------------------------------- recipes


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (baseline(training__optimizer="adamm"), "no optimizer part is called 'adamm'. Did you mean 'adamw'?"),
        (baseline(training__losses__0__wieght=3), "unknown field 'wieght'. Did you mean 'weight'?"),
        (baseline(training__optimizer="hungarian"), "'hungarian' is a matcher part, not"),
        (baseline(training__batch="many"), "training.batch"),
        ("name: a\nname: b\n", "this key is repeated (first on line 1)"),
        ("name: &x [*x]\n", "the alias *x points elsewhere"),
        ("name: !!python/object/apply:os.system [echo]\n", "the YAML tag"),
        ("name: [\n", "this is not YAML"),
        ("", "the file is empty"),
    ],
)
def test_a_wrong_recipe_ends_with_two_and_one_message(amrbench, tmp_path, text, message):
    path = tmp_path / "wrong.yaml"
    path.write_text(text)
    code, out, err = amrbench("check", path)
    assert code == 2
    assert out == ""
    assert err.startswith(f"error: {path} has ")
    assert message in err
    assert "Traceback" not in err


def test_two_mistakes_are_listed_with_their_lines(amrbench, tmp_path):
    path = tmp_path / "wrong.yaml"
    text = baseline(training__optimizer="adamm", model__heads=["spans", "foregrund", "saliency"])
    path.write_text(text)
    lines = text.splitlines()
    code, _, err = amrbench("check", path)
    assert code == 2
    assert f"{path} has 2 mistakes" in err
    assert f"line {lines.index('  optimizer: adamm') + 1}" in err
    assert f"line {lines.index('  - foregrund') + 1}" in err


def test_a_missing_recipe_ends_with_two(amrbench):
    code, _, err = amrbench("check", "cgdter")
    assert code == 2
    assert "there is no recipe 'cgdter'" in err
    assert "Did you mean 'cgdetr'?" in err


def test_check_reports_all_recipes_even_if_one_is_wrong(amrbench, tmp_path):
    path = tmp_path / "wrong.yaml"
    path.write_text(baseline(soup="soap"))
    code, out, err = amrbench("check", "cgdetr", path, "sliding-window")
    assert code == 2
    assert "cgdetr: fine under synthetic" in out
    assert "sliding-window: fine under synthetic" in out
    assert "mini-clap stands in for clap" in out
    assert "no soup part is called 'soap'" in err


def test_check_without_names_checks_all_shipped_recipes(amrbench):
    code, out, _ = amrbench("check", "--protocol", "castella")
    assert code == 0
    checked = [line.split(":")[0] for line in out.splitlines() if "fine under castella" in line]
    assert checked == [file.stem for file in shipped("recipe")]
    assert len(checked) > 6
    assert "Missing files that a run needs:" in out


def test_a_width_that_the_heads_do_not_divide_is_a_mistake(amrbench, tmp_path):
    path = tmp_path / "wrong.yaml"
    path.write_text(baseline(model__attention_heads=7))
    code, _, err = amrbench("check", path)
    assert code == 2
    assert "attention_heads is 7" in err


# ---------------------------------------------------------------- predict, data


def test_predict_checkpoint_writes_the_predictions_of_the_reference(amrbench, tmp_path):
    out = tmp_path / "out.jsonl"
    code, _, err = amrbench(
        *("predict-checkpoint", "--checkpoint", CHECKPOINT / "best.ckpt"),
        *("--features", CHECKPOINT / "features" / "castella"),
        *("--annotations", CHECKPOINT / "data" / "castella_test_release.jsonl", "-o", out),
    )
    assert code == 0
    assert "14 queries" in err
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    expected = [
        json.loads(line) for line in (CHECKPOINT / "expected_submission.jsonl").read_text().splitlines()
    ]
    by_id = {row["qid"]: row for row in expected}
    assert len(rows) == len(by_id) == 14
    for row in rows:
        ours = sorted(map(tuple, row["pred_relevant_windows"]))
        assert ours == sorted(map(tuple, by_id[row["qid"]]["pred_relevant_windows"]))


def test_predict_checkpoint_refuses_a_file_that_is_not_a_checkpoint(amrbench, tmp_path):
    wrong = tmp_path / "best.ckpt"
    wrong.write_bytes(b"hello")
    code, _, err = amrbench(
        *("predict-checkpoint", "--checkpoint", wrong, "--features", tmp_path),
        *("--annotations", CHECKPOINT / "data" / "castella_test_release.jsonl", "-o", tmp_path / "out.jsonl"),
    )
    assert code == 2
    assert str(wrong) in err
    assert not (tmp_path / "out.jsonl").exists()


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


# ---------------------------------------------------------------- errors of the operating system

_REMEDY = (
    "Check that it is the right file or folder, that it may be read and written, and that the disk is not "
    "full."
)


@pytest.mark.parametrize("name", ["out.jsonl", Path("out.jsonl"), b"out.jsonl"])
def test_an_os_error_that_names_a_file_is_one_message(amrbench, monkeypatch, name):
    def refuse():
        raise PermissionError(errno.EACCES, "Permission denied", name)

    monkeypatch.setattr(cli, "app", refuse)
    assert amrbench("parts") == (2, "", f"error: out.jsonl: Permission denied. {_REMEDY}\n")


@pytest.mark.parametrize("error", [OSError("no bytes"), OSError(errno.EBADF, "Bad file descriptor", 7)])
def test_an_os_error_that_names_no_file_is_a_bug(amrbench, monkeypatch, error):
    def fail():
        raise error

    monkeypatch.setattr(cli, "app", fail)
    with pytest.raises(OSError, match="no bytes|Bad file"):
        amrbench("parts")


def test_a_file_name_longer_than_the_system_allows(amrbench, tmp_path):
    (tmp_path / "in").mkdir()
    soundfile.write(tmp_path / "in" / "a.wav", np.zeros(32000), 16000)
    output = tmp_path / f"{'x' * 248}.h5"
    code, _, err = amrbench("data", "extract", tmp_path / "in", "--encoder", "mini-clap", "-o", output)
    assert (code, len(err.splitlines())) == (2, 1)
    assert "File name too long" in err
