import json
import re
import shutil
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import yaml

from amrbench.errors import DataError, RunError
from amrbench.evaluation.ensemble import fuse_files
from amrbench.experiment.finished_run import open_run
from amrbench.files.annotations import read_annotations
from amrbench.files.jsonl import write_rows
from amrbench.files.predictions import read_predictions, write_predictions
from amrbench.functional.metrics import score
from amrbench.tools.pack_submission import NOTE, filled, pack, refuse_faults, submission_faults
from amrbench.types import Moments, Query
from tests.small_world.parts import REGISTRY
from tests.small_world.runs import seal

LABEL = "Lee_KAIST_task6_1"
FAULTS = (
    "one-hot stands in for absent; its budget replaces 'model.width: 32 -> 16'; "
    "the ground truth of its split 'test' is public"
)


@pytest.fixture
def small(soup_run):
    """A run under a protocol with a stand-in and a budget."""
    return open_run(soup_run.folder, REGISTRY)


@pytest.fixture
def finished(small):
    """The same run, as it would be under a protocol without them that reports the evaluation set."""
    recipe = small.result.recipe.model_copy(update={"replaced": ()})
    rows = tuple(row.model_copy(update={"metrics": {}}) for row in small.result.rows)
    result = small.result.model_copy(update={"stand_ins": "", "recipe": recipe, "rows": rows})
    return replace(small, result=result, member=small.member.model_copy(update={"metrics": {}}))


def packed_files(path):
    """Return prediction rows and meta file of a zip file."""
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == [f"{LABEL}/{LABEL}.output.jsonl", f"{LABEL}/{LABEL}.meta.yaml"]
        rows, meta = (archive.read(name).decode() for name in archive.namelist())
    return [json.loads(line) for line in rows.splitlines()], yaml.safe_load(meta)


def test_what_is_packed_cannot_be_the_output(finished, soup_run, tmp_path):
    predictions, template = tmp_path / "mine.jsonl", tmp_path / "mine.yaml"
    for file in (predictions, template):
        file.write_text("kept")
    for file in (predictions, template, soup_run.folder / "recipe.yaml"):
        before = file.read_bytes()
        with pytest.raises(DataError) as error:
            pack(finished, LABEL, file, template=template, predictions=predictions)
        assert str(error.value) == f"{file}: is an input, so it cannot be the output. Name another output."
        assert file.read_bytes() == before


def test_a_package_has_predictions_and_a_meta_file(finished, soup_run, tmp_path):
    packed = pack(finished, LABEL, tmp_path / "a.zip")
    assert packed.text().splitlines()[1] == "Protocol tiny: For tests."
    rows, meta = packed_files(tmp_path / "a.zip")
    truth = read_annotations(soup_run.folder / soup_run.result.truth)
    assert [row["qid"] for row in rows] == [query.qid for query in truth]
    assert list(rows[0]) == ["qid", "query", "duration", "vid", "pred_relevant_windows"]
    assert packed.queries == len(rows)
    assert meta["submission"]["label"] == LABEL
    assert meta["system"]["description"]["method"] == "toy, soup"
    assert meta["system"]["description"]["ensemble_count"] == 2
    trained = sum(weight.numel() for weight in finished.criterion.model.parameters())
    assert meta["system"]["complexity"] == {"total_parameters": "FILL_IN", "trainable_parameters": trained}
    assert meta["results"]["development_testing"]["R1@0.7"] == "FILL_IN"


def test_the_packed_windows_have_the_metrics_of_the_run(finished, soup_run, tmp_path):
    pack(finished, LABEL, tmp_path / "a.zip")
    rows, _ = packed_files(tmp_path / "a.zip")
    write_rows(tmp_path / "p.jsonl", rows)
    truth = read_annotations(soup_run.folder / soup_run.result.truth)
    scores = score(read_predictions(tmp_path / "p.jsonl"), truth)
    assert scores.metrics["R1@0.5"] == soup_run.result.row("soup").metrics["R1@0.5"]


def test_the_same_run_gives_the_same_bytes(finished, tmp_path):
    for name in ("a.zip", "b.zip"):
        pack(finished, LABEL, tmp_path / name)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_values_that_are_still_open_are_named(finished, tmp_path):
    lines = pack(finished, LABEL, tmp_path / "a.zip").text().splitlines()
    assert "still to be filled in: submission.authors.0.lastname" in lines
    assert "still to be filled in: system.complexity.total_parameters" in lines
    assert lines[-1] == NOTE
    assert "before the official key list" in NOTE


def test_another_template(finished, tmp_path):
    template = tmp_path / "mine.yaml"
    template.write_text("a: ${label}\nb: [${R1@0.5}, ${unknown}]\n")
    packed = pack(finished, LABEL, tmp_path / "a.zip", template=template)
    _, meta = packed_files(tmp_path / "a.zip")
    assert meta["a"] == LABEL
    assert packed.unresolved == ("b.0", "b.1")


@pytest.mark.parametrize(
    "about",
    [
        "A dog \N{DOG FACE} barks.",
        'Quoted "twice": \\ # ${label} FILL',
        "two\nlines, " + 99 * "word ",
        "ends of lines \x85 \u2028 \x7f",
        "Hündchen 犬",
        "",
    ],
)
def test_the_meta_file_says_about_a_recipe_what_the_recipe_says(finished, tmp_path, about):
    recipe = finished.recipe.model_copy(update={"about": about})
    pack(replace(finished, recipe=recipe), LABEL, tmp_path / "a.zip")
    _, meta = packed_files(tmp_path / "a.zip")
    assert meta["system"]["description"]["about"] == about


def test_encoders_of_known_size_are_counted(finished, tmp_path, monkeypatch):
    part = type(finished.recipe.features)
    monkeypatch.setattr(part, "parameters", lambda self: 1000)
    packed = pack(finished, LABEL, tmp_path / "a.zip")
    assert packed.total == packed.trainable + 1000
    assert packed.text().startswith(
        f"{tmp_path}/a.zip: {packed.queries} queries, {packed.total:,} parameters in all, "
        f"{packed.trainable:,} trained"
    )


def test_the_command(soup_run, tmp_path, monkeypatch, amrbench):
    monkeypatch.setattr("amrbench.discovery.load_registry", lambda **_: REGISTRY)
    options = ("--label", LABEL, "-o", tmp_path / "a.zip", "--member", "soup")
    code, out, error = amrbench("pack", soup_run.folder, *options)
    assert (code, out) == (2, "")
    assert error == (
        f"error: {soup_run.folder}: was run under the protocol 'tiny', so its predictions are not a "
        f"submission to the challenge: {FAULTS}. Run the recipe under a protocol without stand-ins and "
        "budget that reports the evaluation set, such as dcase2026; to try the packing, use "
        "--not-a-submission, and the files will say so.\n"
    )
    assert not (tmp_path / "a.zip").exists()
    code, out, _ = amrbench("pack", soup_run.folder, *options, "--not-a-submission")
    assert code == 0
    assert out.splitlines()[2] == f"NOT A SUBMISSION: {FAULTS}."
    assert out.splitlines()[-1] == NOTE


def test_the_files_of_what_is_not_a_submission_say_so(small, soup_run, tmp_path):
    pack(small, LABEL, tmp_path / "a.zip", not_a_submission=True)
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        files = {name: archive.read(name).decode() for name in archive.namelist()}
    warning = f"NOT A SUBMISSION: {FAULTS}."
    assert files.pop(f"{LABEL}/NOT_A_SUBMISSION.txt") == f"{warning}\n"
    meta = files.pop(f"{LABEL}/{LABEL}.meta.yaml")
    assert meta.startswith(f"# {warning}\n")
    filled_in = yaml.safe_load(meta)
    assert filled_in["submission"]["label"] == LABEL
    metrics = filled_in["results"]["development_testing"]
    assert metrics["R1@0.7"] == pytest.approx(soup_run.result.row("soup").metrics["R1@0.7"], abs=0.01)
    assert list(files) == [f"{LABEL}/{LABEL}.output.jsonl"]


@pytest.mark.parametrize(
    ("stand_ins", "replaced", "faults"),
    [
        ("", (), ()),
        ("a stands in for b", ("features: b -> a",), ("a stands in for b",)),
        ("", ("stages.0.epochs: 200 -> 1",), ("its budget replaces 'stages.0.epochs: 200 -> 1'",)),
    ],
)
def test_stand_ins_and_budgets_make_no_submission(finished, stand_ins, replaced, faults):
    recipe = finished.result.recipe.model_copy(update={"replaced": replaced})
    result = finished.result.model_copy(update={"stand_ins": stand_ins, "recipe": recipe})
    assert submission_faults(result) == faults


def test_predictions_for_a_split_with_public_ground_truth_make_no_submission(finished, soup_run):
    result = finished.result.model_copy(update={"rows": soup_run.result.rows})
    assert submission_faults(result) == ("the ground truth of its split 'test' is public",)


def test_an_ensemble_for_a_run_that_makes_no_submission_is_refused_too(small, soup_run, tmp_path):
    fused = tmp_path / "fused.jsonl"
    fuse_files([soup_run.folder], fused)
    with pytest.raises(RunError, match="not a submission to the challenge: one-hot stands in for absent"):
        pack(small, LABEL, tmp_path / "a.zip", predictions=fused)


def test_what_may_be_submitted_has_no_warning(finished, tmp_path):
    text = pack(finished, LABEL, tmp_path / "a.zip", not_a_submission=True).text()
    assert "NOT A SUBMISSION" not in text
    packed_files(tmp_path / "a.zip")


QUERIES = [Query("a", "x", "v", 10.0, ()), Query("b", "y", "v", 10.0, ())]


def moments(qid, *windows, scores=None, vid="v"):
    return Moments(qid, vid, np.array(windows, float).reshape(-1, 2), scores)


GOOD = [moments("a", (0, 1)), moments("b", (0, 10))]


def test_sound_predictions_pass(tmp_path):
    refuse_faults(tmp_path, GOOD, QUERIES)


AGAIN = "Run the recipe again."
CLIP = "Put {use: clip, to: recording} last in the recipe's 'ranking'."


@pytest.mark.parametrize(
    ("predictions", "text"),
    [
        (GOOD[:1], f"not the queries of the run: without 'b'. {AGAIN}"),
        ([*GOOD, moments("c", (0, 1))], f"not the queries of the run: with 'c'. {AGAIN}"),
        (GOOD[::-1], f"the queries are not in the order of the annotations. {AGAIN}"),
        (
            [GOOD[0], moments("b", (0, 10.1))],
            f"query 'b' has a window outside of its recording of 10 s. {CLIP}",
        ),
        (
            [GOOD[0], moments("b", (-1, 2))],
            f"query 'b' has a window outside of its recording of 10 s. {CLIP}",
        ),
        ([GOOD[0], moments("b")], f"query 'b' has no window. {AGAIN}"),
        ([GOOD[0], moments("b", (0, 1), vid="w")], f"query 'b' is about 'w', not 'v'. {AGAIN}"),
        (
            [GOOD[0], moments("b", (0, 1), (1, 2), scores=np.array([0.1, 0.2]))],
            f"query 'b' is not sorted by score. {AGAIN}",
        ),
    ],
)
def test_predictions_that_do_not_fit_the_queries_are_refused(tmp_path, predictions, text):
    with pytest.raises(RunError) as error:
        refuse_faults(tmp_path / "p.jsonl", predictions, QUERIES)
    assert str(error.value) == f"{tmp_path}/p.jsonl: {text}"


def test_windows_of_length_0_are_kept_and_counted(soup_run, finished, tmp_path):
    shutil.copytree(soup_run.folder, tmp_path / "run")
    path = tmp_path / "run" / finished.member.predictions
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    start, _, points = lines[0]["pred_relevant_windows"][0]
    lines[0]["pred_relevant_windows"][0] = [start, start, points]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    seal(tmp_path / "run")
    text = pack(replace(finished, folder=tmp_path / "run"), LABEL, tmp_path / "a.zip").text()
    assert text.splitlines()[2] == "1 windows have length 0 after rounding and cannot match anything"
    rows, _ = packed_files(tmp_path / "a.zip")
    assert rows[0]["pred_relevant_windows"][0] == [start, start]


def test_the_meta_file_of_an_ensemble_leaves_open_what_is_unknown(soup_run, finished, tmp_path):
    fused = tmp_path / "fused.jsonl"
    fuse_files([soup_run.folder], fused)
    packed = pack(finished, LABEL, tmp_path / "a.zip", predictions=fused)
    assert packed.text().splitlines()[0] == (
        f"{tmp_path}/a.zip: {packed.queries} queries, unknown parameters in all, unknown trained"
    )
    rows, meta = packed_files(tmp_path / "a.zip")
    windows = [moments.windows.tolist() for moments in read_predictions(fused)]
    assert [row["pred_relevant_windows"] for row in rows] == windows
    assert meta["submission"]["label"] == LABEL
    assert meta["results"]["development_testing"] | {"protocol": ""} == {
        name: "" if name == "protocol" else "FILL_IN" for name in meta["results"]["development_testing"]
    }
    for name in ("method", "ensemble_count", "audio_text_encoder"):
        assert "FILL_IN" in meta["system"]["description"][name]
    assert set(meta["system"]["complexity"].values()) == {"FILL_IN"}


def test_predictions_for_other_queries_are_not_packed(finished, tmp_path):
    other = tmp_path / "other.jsonl"
    write_predictions(other, GOOD)
    with pytest.raises(RunError) as error:
        pack(finished, LABEL, tmp_path / "a.zip", predictions=other)
    assert str(error.value).startswith(f"{other}: not the queries of the run: without ")
    assert str(error.value).endswith(" with 'a', 'b'. Give predictions for the queries of this run.")


def test_a_label_of_another_form_is_refused(finished, tmp_path):
    with pytest.raises(RunError) as error:
        pack(finished, "mine", tmp_path / "a.zip")
    assert str(error.value) == (
        "the label 'mine' is not <Surname>_<Institute>_task6_<1 to 4>, as the challenge requires."
    )
    assert not (tmp_path / "a.zip").exists()


def test_templates_and_outputs_that_cannot_be_used(finished, tmp_path):
    with pytest.raises(RunError, match="the template cannot be read"):
        filled(tmp_path / "no.yaml", {})
    (tmp_path / "bad.yaml").write_text("a: [")
    with pytest.raises(RunError, match=r"bad\.yaml: is not YAML"):
        filled(tmp_path / "bad.yaml", {})
    for text in (
        "date: 2026-13-45", "a: !!int abc", "a: !!int ''", "a: !!bool x", "a: !!timestamp abc",
        "a: 2001-01-01 00:00:00 +99:99", "a: 1" + ":10" * 400 + ".5",
    ):  # fmt: skip
        (tmp_path / "bad.yaml").write_text(text)
        with pytest.raises(RunError) as error:
            filled(tmp_path / "bad.yaml", {})
        assert str(error.value).startswith(f"{tmp_path}/bad.yaml: is not YAML after filling in (")
        assert str(error.value).endswith("). Correct it.")
    for text, reason in (
        ("a: &x [*x]", "line 1: the alias *x points elsewhere in the file; write the value out."),
        ("a: " + "[" * 1000, "mappings and lists are nested more than 30 deep"),
        ("a: " + "x" * 100_000, "has 100,003 characters"),
    ):
        (tmp_path / "bad.yaml").write_text(text)
        with pytest.raises(RunError, match=rf"(?s)bad\.yaml.*{re.escape(reason)}"):
            filled(tmp_path / "bad.yaml", {})
    (tmp_path / "bad.yaml").write_text("a: ${label}\nx: ${label\ny: keep}\n")
    with pytest.raises(RunError) as error:
        filled(tmp_path / "bad.yaml", {})
    assert str(error.value) == (
        f"{tmp_path}/bad.yaml: line 2: '${{label' does not end. Write '}}' after the name."
    )
    with pytest.raises(RunError, match=r"x\.zip: cannot be written \(File name too long\)"):
        pack(finished, LABEL, tmp_path / f"{'x' * 250}.zip")
    with pytest.raises(DataError) as error:
        pack(finished, LABEL, tmp_path)
    assert str(error.value) == f"{tmp_path}: is a folder. Name a file for the output."


def test_a_run_without_public_ground_truth_is_packed(finished, tmp_path):
    rows = tuple(row.model_copy(update={"metrics": {}}) for row in finished.result.rows)
    hidden = replace(
        finished,
        result=finished.result.model_copy(update={"rows": rows}),
        member=finished.member.model_copy(update={"metrics": {}}),
    )
    packed = pack(hidden, LABEL, tmp_path / "a.zip")
    assert "results.development_testing.R1@0.5" in packed.unresolved


def test_predictions_of_others_have_no_member(amrbench, soup_run, tmp_path):
    options = ("--label", LABEL, "-o", tmp_path / "lee.zip", "--predictions", "a.jsonl", "--member", "seed 0")
    code, _, error = amrbench("pack", soup_run.folder, *options)
    assert (code, error) == (
        2,
        "error: --predictions and --member cannot be given together. Leave one of them out.\n",
    )
