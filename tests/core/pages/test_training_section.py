import pytest

from amrbench.evaluation.result import RecipeRecord, Row, Selected, StageRecord
from amrbench.pages.making_section import ReportedRun
from amrbench.pages.training_section import training_section
from amrbench.training.log import FILE, Epoch, write_epoch
from tests.core.pages.read_page import HOSTILE, Elements, values_of
from tests.small_world.written_runs import made_up_result

pytest.importorskip("matplotlib")

RECIPE = RecipeRecord(name="toy", options={"training": {"select": ["R1@0.7", "mAP"]}})


def epoch(number: int, seed: int) -> Epoch:
    losses = {"span": 1 / 3 / number + seed, HOSTILE: -0.25}
    return Epoch(number, losses, {"decoder": {"R1@0.7": 10.5 * number + seed, "mAP": 1.0}}, 1.0, 1.0)


def stage(name: str, key: str, log: str) -> StageRecord:
    chosen = {"decoder": Selected(epoch=2, val={"R1@0.7": 21.0})}
    return StageRecord(
        key=key,
        selected=chosen,
        epochs=2,
        steps=4,
        content={},
        stage=name,
        seconds=1.0,
        memory_mib=1.0,
        log=log,
    )


def run_of(folder, name="toy", logs=True, recipe=None, prefix="key") -> ReportedRun:
    names = ("toy pretrain", "toy finetune, seed 0", "toy finetune, seed 1")
    stages = []
    for number, own in enumerate(names):
        log = f"logs/{number}.jsonl"
        (folder / "logs").mkdir(parents=True, exist_ok=True)
        for each in (1, 2):
            write_epoch(folder / "logs", own, epoch(each, number))
        (folder / "logs" / FILE).rename(folder / log)
        stages.append(stage(own, f"{prefix} {number}", log if logs else ""))
    row = Row(member="seed 0", kind="seed", split="test", queries=1, metrics={"mAP": 1.0})
    result = made_up_result(name, (row,), features="mini", stages=tuple(stages))
    record = RECIPE.model_copy(update={"name": recipe or name})
    return ReportedRun(name, folder, result.model_copy(update={"recipe": record}))


def test_every_stage_and_seed_has_its_losses_and_its_validation(tmp_path):
    values = values_of(training_section([run_of(tmp_path)]).body)
    assert values["toy pretrain: loss"] == [[epoch(1, 0).total], [epoch(2, 0).total]]
    both = [[epoch(number, seed).total for seed in (1, 2)] for number in (1, 2)]
    assert values["toy finetune: loss"] == both
    assert values["toy finetune: validation, decoder"] == [[11.5, 12.5], [22.0, 23.0]]
    assert values["toy finetune: terms of the loss, seed 0"] == [[1 / 3 + 1, -0.25], [1 / 6 + 1, -0.25]]


def test_the_chosen_epoch_of_each_seed_is_named(tmp_path):
    assert (
        "<p>Epoch with the best R1@0.7 of the read-out decoder: 2 (seed 0), 2 (seed 1).</p>"
        in training_section([run_of(tmp_path)]).body
    )


def test_stages_that_two_runs_share_are_drawn_once(tmp_path):
    body = training_section([run_of(tmp_path), run_of(tmp_path, "toy-search")]).body
    assert body.count("<figcaption>toy pretrain: loss</figcaption>") == 1
    assert "<p>toy finetune: the same as toy finetune.</p>" in body


def test_a_run_of_an_older_version_has_no_logs_and_the_page_says_so(tmp_path):
    section = training_section([run_of(tmp_path, logs=False)])
    assert section.body == (
        "<p>No curves of toy: made by a version of amrbench that did not copy the logs of stages into runs. "
        "Run the recipe again with another --out: finished stages are used, and their logs copied.</p>"
    )


def test_runs_of_one_recipe_are_told_apart(tmp_path):
    runs = [
        run_of(tmp_path / "a", "toy (a)", recipe="toy"),
        run_of(tmp_path / "b", "toy (b)", recipe="toy", prefix="other"),
    ]
    titles = [text for _, text in Elements(training_section(runs).body).named("h3")]
    stages = ("toy pretrain", "toy finetune")
    assert titles == [f"{stage} of toy ({run})" for run in "ab" for stage in stages]
    shared = [runs[0], run_of(tmp_path / "c", "toy (c)", recipe="toy")]
    body = training_section(shared).body
    assert "<p>toy finetune of toy (c): the same as toy finetune of toy (a).</p>" in body


def test_a_run_without_logs_does_not_hide_the_curves_of_another(tmp_path):
    without = run_of(tmp_path / "a", "toy (a)", logs=False, recipe="toy")
    body = training_section([without, run_of(tmp_path / "b", "toy (b)", recipe="toy")]).body
    assert body.startswith("<p>No curves of toy (a): made by a version of amrbench ")
    assert "<figcaption>toy finetune of toy (b): loss</figcaption>" in body


def test_a_term_of_a_third_party_is_only_text(tmp_path):
    assert Elements(training_section([run_of(tmp_path)]).body).named("script") == []
