"""`score`, `compare`, `analyze` and `runs` from outside: what they print, and how they end."""

import json
import sys

import pytest
from rich.text import Text

from tests.small_world.written_runs import make_run


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


def test_analyze_prints_why_metrics_are_as_they_are(amrbench, files):
    predictions, truth = files
    other = predictions.with_name("other.jsonl")
    other.write_text(predictions.read_text().replace("[[10, 18, 0.9]]", "[[30, 38, 0.9], [10, 20, 0.5]]"))
    arguments = ("analyze", other, "--against", predictions, "--truth", truth, "--iou", "0.9", "--step", "4")
    code, out, _ = amrbench(*arguments, "--by", "kind")
    assert code == 0
    text = " ".join(out.split())
    assert "| other.jsonl | predictions | 2 | 100.00 | 100.00 |" in text
    assert "| 4 | 83.33 | 0.00 | |" in text
    assert "| kind | k | 1 | 1 | predictions.jsonl |" in text
    assert "| other.jsonl, predictions | predictions.jsonl, predictions | R1@0.9 | 0 | 0 | 0 | 1 |" in text
    code, out, _ = amrbench(*arguments, "--json")
    content = json.loads(out)
    assert content["models"][1]["oracle"][1]["recall"] == {"0.9": 100.0}
    assert [own["step"] for own in content["ceilings"]] == [4.0, 10.0]
    assert content["disagreements"][0]["queries"] == []


def test_what_cannot_be_analyzed_ends_with_two(amrbench, files):
    code, out, err = amrbench("analyze", files[0], "--truth", files[1], "--step", "0")
    assert (code, out) == (2, "")
    assert "error: a grid with a step of 0 s makes no sense; give seconds above 0 and up to 3600." in err


def test_tables_are_fitted_to_a_terminal(amrbench, files, monkeypatch):
    predictions, truth = files
    monkeypatch.setenv("COLUMNS", "64")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    for arguments in (("score", predictions), ("compare", predictions, predictions)):
        _, out, _ = amrbench(*arguments, "--truth", truth)
        lines = Text.from_ansi(out).plain.splitlines()
        rule = next(index for index, line in enumerate(lines) if set(line) == {"─"})
        assert max(len(line) for line in lines[rule - 1 :]) <= 64
        _, piped, _ = amrbench(*arguments, "--truth", truth, "--format", "github")
        assert "\n|---" in piped


# ---------------------------------------------------------------- runs


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """Return a folder of runs with an unfinished one, and set the cache folder."""
    monkeypatch.setenv("AMRBENCH_CACHE", str(tmp_path / "cache"))
    make_run(tmp_path / "runs" / "toy@tiny-1")
    unfinished = make_run(tmp_path / "runs" / "toy@tiny-2")
    (unfinished / "SHA256SUMS").unlink()
    return tmp_path / "runs"


def test_runs_lists_what_there_is_and_what_is_stale(amrbench, kept):
    code, out, _ = amrbench("runs", "--out", kept)
    assert code == 0
    text = " ".join(out.split())
    assert text.startswith(f"Cache: {kept.parent / 'cache'}, 0.0 MiB (another one: AMRBENCH_CACHE).")
    assert "| toy@tiny-1 | toy@tiny-1 under tiny, 0 seeds |" in text
    assert "| toy@tiny-2 | leftover | run | 0.0 MiB | not finished; its recipe makes it again" in text
    code, out, _ = amrbench("runs", "--out", kept, "--json")
    assert [item["stale"] != "" for item in json.loads(out)["items"]] == [False, True]


def test_runs_removes_only_with_yes(amrbench, kept):
    code, out, _ = amrbench("runs", "--out", kept, "--remove", "stale")
    assert code == 0
    assert out.startswith("To be removed, 1 item, 0.0 MiB:")
    assert out.endswith("Nothing was removed. Give --yes to remove it.\n")
    assert (kept / "toy@tiny-2").exists()
    code, out, _ = amrbench("runs", "--out", kept, "--remove", "stale", "--yes")
    assert out.endswith("Removed: 1 item, 0.0 MiB.\n")
    assert [path.name for path in kept.iterdir()] == ["toy@tiny-1"]
    code, out, _ = amrbench("runs", "--out", kept, "--remove", "toy@tiny-1", "--yes", "--json")
    assert json.loads(out)["removed"]
    assert list(kept.iterdir()) == []


def test_runs_refuses_unknown_names(amrbench, kept):
    code, out, err = amrbench("runs", "--out", kept, "--remove", "toy@tiny-3", "--yes")
    assert (code, out) == (2, "")
    assert "error: there is no 'toy@tiny-3' in " in err
    assert "Give 'stale', or names or paths from 'amrbench runs --json'." in err
