import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amrbench.errors import DataError, RunError
from amrbench.evaluation.ensemble import EnsembleOptions, fuse, fuse_files
from amrbench.files.predictions import read_predictions, write_predictions
from amrbench.notes import collected_notes
from amrbench.types import Moments
from tests.folders import DATA
from tests.small_world.written_runs import make_run

GOLDEN = json.loads((DATA / "components/window_fusion.json").read_text())
TABLES = [
    np.column_stack([np.array(boxes), np.array(scores)])
    for boxes, scores in zip(GOLDEN["boxes"], GOLDEN["scores"], strict=True)
]


def golden(name):
    table = GOLDEN[name]
    return np.array(table) if isinstance(table, list) else np.column_stack([table["boxes"], table["scores"]])


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("official_avg_thr0.55", EnsembleOptions(iou=0.55, bounds="mean")),
        ("official_box_and_model_avg_thr0.55", EnsembleOptions(iou=0.55, bounds="mean")),
        ("official_absent_model_aware_avg_thr0.55", EnsembleOptions(iou=0.55, bounds="mean")),
        ("official_max_thr0.55", EnsembleOptions(iou=0.55, bounds="mean", points="max")),
        ("official_avg_thr0.5_weights211", EnsembleOptions(bounds="mean", weights=(2, 1, 1))),
        ("agreement_leader_thr0.5_all", EnsembleOptions()),
        ("score_weighted_mean_thr0.5_all", EnsembleOptions(bounds="mean", points="mean")),
    ],
)
def test_fusion_equals_the_reference(name, how):
    np.testing.assert_allclose(fuse(TABLES, how), golden(name), rtol=0, atol=1e-6)


def test_fusion_of_the_best_of_each_equals_the_reference():
    np.testing.assert_allclose(
        fuse([table[:1] for table in TABLES]), golden("agreement_leader_thr0.5_top1"), atol=1e-12
    )


# ---------------------------------------------------------------- what must hold for any lists

TIMES = st.integers(0, 20).map(float)
MOMENT = st.tuples(TIMES, TIMES, st.integers(1, 9)).map(lambda m: (min(m[:2]), max(m[:2]) + 1, m[2] / 10))
LIST = st.lists(MOMENT, min_size=1, max_size=6).map(lambda rows: np.array(rows, dtype=float))


def by_hand(lists, iou=0.5):
    """Leader and agreement, moment by moment."""
    pool = [(*row, number) for number, rows in enumerate(lists) for row in rows.tolist()]
    groups = []
    for start, end, score, number in sorted(pool, key=lambda row: (-row[2], row[0], row[1])):
        ious = []
        for first, last, _, _ in (group[0] for group in groups):
            shared = max(0, min(end, last) - max(start, first))
            ious.append(shared / (end - start + last - first - shared))
        best = int(np.argmax(ious)) if ious else -1
        if best >= 0 and ious[best] >= iou:
            groups[best].append((start, end, score, number))
        else:
            groups.append([(start, end, score, number)])
    rows = []
    for group in groups:
        best = [max((row[2] for row in group if row[3] == n), default=0.0) for n in range(len(lists))]
        rows.append((group[0][0], group[0][1], np.mean(best)))
    return np.array(rows)


def listed(table):
    """Rows in the order of their bounds: scores that are equal but for rounding have no order."""
    return np.array(sorted(np.round(table, 9).tolist()))


@given(st.lists(LIST, min_size=1, max_size=4))
def test_fusion_is_that_of_its_slow_twin(lists):
    fused, slow = fuse(lists, EnsembleOptions(top=24)), by_hand(lists)
    assert (np.diff(fused[:, 2]) <= 0).all()
    np.testing.assert_allclose(listed(fused), listed(slow), atol=1e-9)


@given(st.lists(LIST, min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_the_order_of_lists_changes_nothing(lists, random):
    shuffled = random.sample(lists, len(lists))
    for bounds in ("leader", "mean"):
        first, second = (fuse(tables, EnsembleOptions(bounds=bounds, top=24)) for tables in (lists, shuffled))
        np.testing.assert_allclose(listed(first), listed(second), atol=1e-9)


@given(st.lists(LIST, min_size=1, max_size=3))
def test_bounds_stay_inside_and_scores_do_not_grow(lists):
    every = np.concatenate(lists)
    for bounds in ("leader", "mean"):
        fused = fuse(lists, EnsembleOptions(bounds=bounds))
        assert fused[:, 0].min() >= every[:, 0].min() - 1e-9
        assert fused[:, 1].max() <= every[:, 1].max() + 1e-9
        assert fused[:, 2].max() <= every[:, 2].max() + 1e-9
        assert (np.diff(fused[:, 2]) <= 0).all()


@given(LIST)
def test_one_list_keeps_its_order(rows):
    """What overlaps is left out, but nothing comes before what was better."""
    for lists in ([rows], [rows, rows]):
        fused = fuse(lists, EnsembleOptions(top=24))
        assert {tuple(row) for row in np.round(fused, 9)} <= {tuple(row) for row in np.round(rows, 9)}
        assert fused[0, 2] == pytest.approx(rows[:, 2].max())


def test_one_list_of_moments_apart_is_itself():
    table = np.array([[0, 2, 0.9], [5, 6, 0.4], [8, 9, 0.1]], dtype=float)
    for bounds in ("leader", "mean"):
        np.testing.assert_allclose(fuse([table], EnsembleOptions(bounds=bounds)), table)


def test_moments_without_score_or_length_do_no_harm():
    empty = np.array([[3, 3, 0.5], [3, 3, 0.0], [0, 4, 0.0]], dtype=float)
    fused = fuse([empty, np.zeros((0, 3))], EnsembleOptions(bounds="mean"))
    assert np.isfinite(fused).all()
    assert fuse([np.zeros((0, 3))]).shape == (0, 3)


# ---------------------------------------------------------------- files


def written(path, *rows, qid="a", vid="v", query=""):
    table = np.array(rows, dtype=float).reshape(-1, 3)
    write_predictions(path, [Moments(qid, vid, table[:, :2], table[:, 2], query)])
    return path


def test_files_are_fused_into_one(amrbench, tmp_path):
    one = written(tmp_path / "one.jsonl", (0, 2, 0.6), (5, 6, 0.5))
    two = written(tmp_path / "two.jsonl", (5, 6, 0.5), (8, 9, 0.4))
    code, _, err = amrbench("fuse", one, two, "-o", tmp_path / "out.jsonl", "--top", 2)
    assert (code, err) == (0, f"{tmp_path}/out.jsonl: 1 queries, from 2 prediction files\n")
    (moments,) = read_predictions(tmp_path / "out.jsonl")
    assert moments.windows.tolist() == [[5, 6], [0, 2]]
    assert moments.scores.tolist() == [0.5, 0.3]
    amrbench("fuse", one, two, "-o", tmp_path / "out.jsonl", "--weight", 3, "--weight", 1)
    assert read_predictions(tmp_path / "out.jsonl")[0].windows[0].tolist() == [5, 6]
    code, _, err = amrbench("fuse", one, two, "-o", tmp_path / "out.jsonl", "--bounds", "laeder")
    assert (code, err) == (
        2,
        "error: --bounds 'laeder' is not known. Did you mean 'leader'? Use leader, mean.\n",
    )


def test_fused_moments_keep_their_sentence_and_files_with_other_sentences_are_noted(tmp_path):
    sentences = {"none": "", "one": "a dog", "two": "A dog.", "three": "rain"}
    files = [
        written(tmp_path / f"{name}.jsonl", (0, 2, 0.6), query=query) for name, query in sentences.items()
    ]
    with collected_notes() as notes:
        fuse_files(files, tmp_path / "out.jsonl")
    one, three = files[1], files[3]
    assert notes == [
        f"{three}: 1 predictions are for other sentences than those of {one}: 'a' is 'rain' there and "
        f"'a dog' in {one}. They are fused all the same."
    ]
    assert read_predictions(tmp_path / "out.jsonl")[0].query == "a dog"


def test_a_run_is_its_seeds(tmp_path):
    run = make_run(tmp_path / "run", seeds=3, soup=0.9)
    assert fuse_files([run], tmp_path / "out.jsonl") == (3, 120)


def test_a_folder_is_its_files(tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("a", "b"):
        written(tmp_path / "in" / f"{name}.jsonl", (0, 2, 0.6))
    assert fuse_files([tmp_path / "in"], tmp_path / "out.jsonl") == (2, 1)


def test_nothing_is_read_for_a_fusion_that_cannot_be_written(tmp_path):
    for output, text in (
        (tmp_path, "is a folder. Name a file for the output."),
        (
            tmp_path / "no" / "a.jsonl",
            f"there is no folder '{tmp_path}/no'. Make it, or choose another path.",
        ),
    ):
        with pytest.raises(DataError) as error:
            fuse_files([tmp_path / "none.jsonl"], output)
        assert str(error.value) == f"{output}: {text}"


def test_a_fusion_replaces_none_of_its_files(tmp_path):
    one, two = (written(tmp_path / f"{name}.jsonl", (0, 2, 0.6)) for name in ("one", "two"))
    before = two.read_bytes()
    for sources in ([one, two], [tmp_path]):
        with pytest.raises(DataError) as error:
            fuse_files(sources, tmp_path / "." / "two.jsonl")
        assert str(error.value) == f"{two}: is an input, so it cannot be the output. Name another output."
    assert two.read_bytes() == before


@pytest.mark.parametrize(
    "name", ["predictions/uniform.test.jsonl", "annotations.test.jsonl", "result.json", "recipe.yaml"]
)
def test_a_fusion_replaces_no_file_of_a_run(tmp_path, name):
    run = make_run(tmp_path / "run", soup=0.9)
    before = (run / name).read_bytes()
    for source in (run, run / "result.json"):
        with pytest.raises(DataError) as error:
            fuse_files([source], run / name)
        assert str(error.value) == (
            f"{run / name}: is an input, so it cannot be the output. Name another output."
        )
    assert (run / name).read_bytes() == before
    assert fuse_files([run], run / "fused.jsonl") == fuse_files([run], tmp_path / "fused.jsonl") == (2, 120)


DEFAULT = EnsembleOptions()


def refusal(*files, how=DEFAULT):
    with pytest.raises(RunError) as error:
        fuse_files(files, files[0].parent / "out.jsonl", how)
    assert not (files[0].parent / "out.jsonl").exists()
    return str(error.value)


def test_files_and_weights_that_do_not_fit_are_refused(tmp_path):
    one = written(tmp_path / "one.jsonl", (0, 2, 0.6))
    assert refusal(one, written(tmp_path / "two.jsonl", (0, 2, 0.6), vid="w")) == (
        f"{one} and {tmp_path}/two.jsonl do not answer the same queries: 1 queries are about other "
        "recordings, e.g. 'a' about 'v' and 'w'. Take predictions for the same annotations."
    )
    two = written(tmp_path / "two.jsonl", (0, 2, 0.6), qid="b")
    assert f"only {one} has 'a'; only {two} has 'b'. Take predictions" in refusal(one, two)
    assert refusal(one, how=EnsembleOptions(weights=(1, 2))) == (
        f"the weights 1, 2 do not fit 1 prediction files: {one}. Give a number above zero for each, or none."
    )


def test_a_file_counts_once(tmp_path):
    (tmp_path / "in").mkdir()
    one = written(tmp_path / "in/one.jsonl", (0, 2, 0.6))
    (tmp_path / "link.jsonl").symlink_to(one)
    after = "so its moments would count twice. Name each file once; --weight gives one more weight."
    assert refusal(one, one) == f"{one}: is among the files twice, {after}"
    for other in (tmp_path / "link.jsonl", tmp_path / "in/../in/one.jsonl"):
        assert refusal(one, other) == f"{other}: is among the files twice, first as {one}, {after}"
    with pytest.raises(RunError) as error:
        fuse_files([tmp_path / "in", one], tmp_path / "out.jsonl")
    assert str(error.value) == f"{one}: is among the files twice, {after}"


@pytest.mark.parametrize(
    "weights",
    [(0.0, 1.0), (1.0, -1.0), (math.nan, 1.0), (1.0, math.nan), (math.inf, 1.0), (1e308, 1e308)],
)
def test_bad_weights_are_refused(tmp_path, weights):
    files = [written(tmp_path / f"{name}.jsonl", (0, 2, 0.6)) for name in ("one", "two")]
    assert refusal(*files, how=EnsembleOptions(weights=weights)) == (
        f"the weights {weights[0]:g}, {weights[1]:g} do not fit 2 prediction files: {files[0]}, {files[1]}. "
        "Give a number above zero for each, or none."
    )


def test_missing_or_negative_scores_are_refused(tmp_path):
    one = written(tmp_path / "one.jsonl", (0, 2, -0.6))
    assert refusal(one) == (
        f"{one}: query 'a' has the score -0.6. Fusion needs scores of zero or more, such as probabilities."
    )
    write_predictions(one, [Moments("a", "v", np.array([[0.0, 1.0]]))])
    assert refusal(one) == f"{one}: query 'a' has windows without scores, which fusion needs."


@pytest.mark.parametrize(
    ("scores", "weights", "maxima"),
    [
        ((90.0, 0.9), None, "one.jsonl: has scores up to 90, and {0}/two.jsonl up to 0.9;"),
        ((0.9, 1.2), None, "two.jsonl: has scores up to 1.2, and {0}/one.jsonl up to 0.9;"),
        ((0.9, 0.0), None, "one.jsonl: has scores up to 0.9, and {0}/two.jsonl up to 0;"),
        (
            (0.9, 0.9),
            (1, 20),
            "two.jsonl: has scores up to 18, and {0}/one.jsonl up to 0.9, with their weights;",
        ),
    ],
)
def test_scores_on_different_scales_get_a_note(tmp_path, scores, weights, maxima):
    files = [
        written(tmp_path / f"{name}.jsonl", (0, 2, score))
        for name, score in zip(("one", "two"), scores, strict=True)
    ]
    with collected_notes() as notes:
        fuse_files(files, tmp_path / "out.jsonl", EnsembleOptions(weights=weights))
    assert notes == [
        f"{tmp_path}/{maxima.format(tmp_path)} so the first counts far more. Bring scores to one scale, or "
        "weigh the files with --weight."
    ]


@pytest.mark.parametrize(
    ("scores", "weights"), [((0.9, 0.3), None), ((90.0, 0.9), (0.01, 1)), ((12.0, 3.0), None)]
)
def test_scores_on_one_scale_get_no_note(tmp_path, scores, weights):
    files = [
        written(tmp_path / f"{name}.jsonl", (0, 2, score))
        for name, score in zip(("one", "two"), scores, strict=True)
    ]
    with collected_notes() as notes:
        fuse_files(files, tmp_path / "out.jsonl", EnsembleOptions(weights=weights))
    assert notes == []


def test_unknown_options_are_refused():
    with pytest.raises(RunError, match=r"--points 'sum' is not known\. Use agreement, mean, max\."):
        EnsembleOptions(points="sum")
