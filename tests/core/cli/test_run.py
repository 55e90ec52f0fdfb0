"""`predict-checkpoint` from outside; `run` is tested with studies, `predict` with its tool."""

import json

from amrbench.config.load import find
from tests.folders import DATA

CHECKPOINT = DATA / "lighthouse_checkpoint"


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


def test_predict_checkpoint_reads_moments_as_a_recipe_says(amrbench, tmp_path):
    def predict(*options):
        out = tmp_path / "out.jsonl"
        code, _, err = amrbench(
            *("predict-checkpoint", "--checkpoint", CHECKPOINT / "best.ckpt"),
            *("--features", CHECKPOINT / "features" / "castella"),
            *("--annotations", CHECKPOINT / "data" / "castella_test_release.jsonl", "-o", out, *options),
        )
        return code, err, out.read_text() if code == 0 else ""

    text = find("recipe", "cgdetr").read_text()
    assert "\nreadout: decoder\n" in text
    (tmp_path / "search.yaml").write_text(text.replace("\nreadout: decoder\n", "\nreadout: window-search\n"))
    decoded, searched = predict("--recipe", "cgdetr"), predict("--recipe", tmp_path / "search.yaml")
    assert (decoded[0], searched[0]) == (0, 0)
    assert decoded[2] != searched[2]
    code, err, _ = predict("--recipe", "cgdert")
    assert code == 2
    assert "there is no recipe 'cgdert'" in err


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


def test_run_refuses_executors_that_do_not_exist(amrbench):
    code, _, err = amrbench("run", "cgdetr", "--executor", "rai")
    assert code == 2
    assert "no executor part is called 'rai'. Did you mean 'ray'?" in err
    code, _, err = amrbench("run", "cgdetr", "--executor", "{use: submitit, queue: gpu}")
    assert code == 2
    assert "--executor" in err
    assert "unknown field 'queue'" in err


def test_stage_refuses_what_is_no_task(amrbench, tmp_path):
    (file := tmp_path / "task.json").write_text("{}")
    code, _, err = amrbench("task", file)
    assert code == 2
    assert f"error: {file}: is no task of this version of amrbench" in err


def test_the_recipe_that_is_read_cannot_be_the_output(amrbench, tmp_path):
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("kept")
    code, _, err = amrbench(
        *("predict-checkpoint", "--checkpoint", CHECKPOINT / "best.ckpt"),
        *("--features", CHECKPOINT / "features" / "castella"),
        *("--annotations", CHECKPOINT / "data" / "castella_test_release.jsonl"),
        *("--recipe", recipe, "-o", recipe),
    )
    assert code == 2
    assert err == f"error: {recipe}: is an input, so it cannot be the output. Name another output.\n"
    assert recipe.read_text() == "kept"
