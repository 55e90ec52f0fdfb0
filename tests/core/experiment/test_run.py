import copy
import json
import multiprocessing
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from amrbench.config.protocol import Protocol
from amrbench.config.recipe import Recipe
from amrbench.data.prepare import FeatureRequest, prepare_all
from amrbench.errors import DataError, RunError
from amrbench.evaluation.metrics_file import read_results
from amrbench.evaluation.score_files import score_files
from amrbench.evaluation.table import table
from amrbench.experiment.finished_run import find_run
from amrbench.experiment.plan import RunRequest, plan_run, request_key
from amrbench.experiment.predictions import CONTROL
from amrbench.experiment.run import Run, Settings, dry_run, run, run_all
from amrbench.files.weights import read_weights
from amrbench.training.log import read_epochs
from tests.core.world import PROTOCOL, RECIPE, REGISTRY, OneHotFeatures, Toy, write_yaml

METRICS = ["R1@0.5", "R1@0.7", "R5@0.5", "R5@0.7", "mAP", "mAP@0.5", "mAP@0.75"]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """The data of all tests of this module, made once; by name."""
    cache = tmp_path_factory.mktemp("cache")
    wanted = [
        FeatureRequest(Toy(name=name), split, OneHotFeatures())
        for name in ("pre", "target")
        for split in ("train", "val", "test")
    ]
    found = prepare_all(wanted, cache=cache, jobs=1, tell=lambda progress: None)
    return dict(zip(map(request_key, wanted), found, strict=True))


@pytest.fixture(scope="module")
def data(prepared):
    """The folder that they lie in."""
    return next(iter(prepared.values())).features.path.parents[1]


@pytest.fixture
def place(tmp_path, data):
    """A folder with a recipe, a protocol and an own store, but shared data."""
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "data").symlink_to(data)
    write_yaml(tmp_path / "toy.yaml", RECIPE)
    write_yaml(tmp_path / "tiny.yaml", PROTOCOL)
    return tmp_path


def beside(place: Path, tmp_path_factory, data: Path) -> Path:
    """Return another folder with the same files and a store of its own."""
    other = tmp_path_factory.mktemp("other")
    (other / "cache").mkdir()
    (other / "cache" / "data").symlink_to(data)
    for file in place.glob("*.yaml"):
        (other / file.name).write_bytes(file.read_bytes())
    return other


def changed(content: dict, **options: object) -> dict:
    """Return a document with some values replaced, e.g. training__clip=1."""
    new = copy.deepcopy(content)
    for name, value in options.items():
        *inside, last = name.split("__")
        at = new
        for step in inside:
            at = at[step]
        at[last] = value
    return new


def settings(place: Path, **options) -> Settings:
    return Settings(**{"jobs": 1, "out": place / "runs", "cache": place / "cache"} | options)


def go(place: Path, recipe: str = "toy", *, tell=None, **options) -> Run:
    extra = {"tell": tell} if tell else {}
    return run(
        place / f"{recipe}.yaml",
        place / "tiny.yaml",
        registry=REGISTRY,
        settings=settings(place, **options),
        **extra,
    )


def stages(place: Path) -> dict[str, dict]:
    """Return what each finished stage says about itself, by its key."""
    files = sorted((place / "cache" / "stages").glob("*/done.json"))
    return {file.parent.name: json.loads(file.read_text()) for file in files}


def all_weights(place: Path) -> dict[str, dict]:
    files = place.glob("cache/stages/*/*.safetensors")
    return {f"{file.parent.name} {file.name}": read_weights(file) for file in files}


def same_bits(a: Path, b: Path) -> bool:
    first, second = (
        {file.parent.name: read_weights(file) for file in place.glob("cache/stages/*/*.safetensors")}
        for place in (a, b)
    )
    assert first
    return first.keys() == second.keys() and all(
        torch.equal(first[key][name], second[key][name]) for key in first for name in first[key]
    )


class Said:
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.notes, self.epochs = [], []

    def note(self, text):
        self.notes.append(text)

    def data(self, progress):
        pass

    def epoch(self, working, epoch):
        self.epochs.append((working.name, epoch.epoch))


def test_a_run_leaves_all_its_files(place):
    done = go(place)
    names = {str(file.relative_to(done.folder)) for file in done.folder.rglob("*") if file.is_file()}
    members = ["seed-0", "seed-1", "seed-0-queries-shuffled", "always-0-10-s", "whole-recording"]
    assert names == {
        *("recipe.yaml", "protocol.yaml", "lock.json", "stages.json", "metrics.json"),
        "annotations.test.jsonl",
        *(f"predictions/{member}.test.jsonl" for member in members),
    }
    assert done.folder.name == f"toy@tiny-{done.results.hash[:8]}"
    assert (done.folder / "recipe.yaml").read_bytes() == (place / "toy.yaml").read_bytes()
    assert (done.folder / "protocol.yaml").read_bytes() == (place / "tiny.yaml").read_bytes()


def test_a_run_says_what_each_stage_took(place):
    done = go(place)
    costs = json.loads((done.folder / "stages.json").read_text())
    lock = json.loads((done.folder / "lock.json").read_text())
    assert {each["stage"]: each["key"] for each in costs} == lock["stages"]
    for each in costs:
        epochs = read_epochs(place / "cache" / "stages" / each["key"] / "log.jsonl")
        assert len(epochs) == each["epochs"] > 0
        assert each["seconds"] == pytest.approx(sum(epoch.seconds for epoch in epochs), abs=1e-3)
        assert each["memory_mib"] == max(epoch.memory_mib for epoch in epochs) > 50


def test_a_run_learns_and_its_control_does_not(place):
    results = go(place).results
    assert [row.member for row in results.rows] == [
        *("seed 0", "seed 1", "mean", CONTROL, "always 0-10 s", "whole recording")
    ]
    assert list(results.row("mean").metrics) == METRICS
    assert results.row("mean").metrics["R1@0.5"] > 1.5 * results.row(CONTROL).metrics["R1@0.5"]
    assert all(row.queries == 24 for row in results.rows)
    assert results.stand_ins == "one-hot stands in for wished"


def test_the_score_command_gives_the_same_metrics(place):
    done = go(place)
    for row in done.results.rows:
        if row.kind == "mean":
            continue
        report = score_files(done.folder / row.predictions, done.folder / done.results.truth, by="kind")
        assert report.scores.metrics == row.metrics
        assert {part.value: part.metrics for part in row.slices["kind"]} == {
            value: scores.metrics for value, scores in report.slices.items()
        }


def test_the_mean_is_that_of_the_seeds(place):
    results = go(place).results
    first, second, mean = (results.row(name) for name in ("seed 0", "seed 1", "mean"))
    for name in METRICS:
        assert mean.metrics[name] == pytest.approx((first.metrics[name] + second.metrics[name]) / 2)
        parts = [row.slices["kind"][1].metrics[name] for row in (first, second, mean)]
        assert parts[2] == pytest.approx((parts[0] + parts[1]) / 2)


def test_the_lock_says_what_was_replaced_and_who_offers_the_parts(place):
    done = go(place)
    lock = json.loads((done.folder / "lock.json").read_text())
    assert lock["replaced"] == ["features: wished -> one-hot", "model.width: 32 -> 16"]
    assert lock["recipe"]["model"]["width"] == 16
    assert {part["use"] for part in lock["parts"]} >= {"toy", "one-hot", "frames", "descent", "cut"}
    assert set(lock["stages"].values()) == set(stages(place))
    assert lock["versions"].keys() == {"amrbench", "torch", "numpy", "python", "engine"}


def test_what_the_budget_replaces_is_told(place):
    said = Said()
    go(place, tell=said)
    assert "toy: the protocol tiny replaces features: wished -> one-hot; model.width: 32 -> 16" in said.notes
    assert ("toy finetune, seed 1", 4) in said.epochs


@pytest.mark.parametrize("jobs", [1, 2])
def test_queries_that_training_leaves_out_are_told_once_a_stage(place, jobs):
    write_yaml(place / "toy.yaml", RECIPE | {"limits": {"frames": 6}})
    said = Said()
    go(place, tell=said, jobs=jobs)
    assert [each for each in said.notes if "leaves out" in each] == [
        f"toy {stage}: training leaves out 12 of 24 queries, which have no window in what is heard of their "
        "recording"
        for stage in ("pretrain", "finetune")
    ]


def test_of_queries_that_are_all_learnt_from_nothing_is_said(place):
    said = Said()
    go(place, tell=said)
    assert not any("leaves out" in each for each in said.notes)


def test_a_finished_run_trains_nothing_and_touches_nothing(place, monkeypatch):
    before = go(place)
    stamps = {file: file.stat().st_mtime_ns for file in place.rglob("*")}
    monkeypatch.setattr("amrbench.training.stages.fit", None)
    monkeypatch.setattr("amrbench.experiment.predictions.predict", None)
    assert go(place) == before
    assert {file: file.stat().st_mtime_ns for file in place.rglob("*")} == stamps


def test_the_same_bits_twice(place, tmp_path_factory, data):
    other = beside(place, tmp_path_factory, data)
    torch.manual_seed(1)
    one = go(place)
    torch.manual_seed(2)
    two = go(other)
    assert same_bits(place, other)
    assert one.results == two.results


def test_jobs_change_neither_keys_nor_bits(place, tmp_path_factory, data):
    other = beside(place, tmp_path_factory, data)
    said = Said()
    one = go(place)
    two = run(
        place / "toy.yaml",
        place / "tiny.yaml",
        registry=REGISTRY,
        settings=settings(other, jobs=2, out=other / "elsewhere"),
        tell=said,
    )
    assert same_bits(place, other)
    assert one.results == two.results
    assert sorted(said.epochs) == sorted(
        [("toy pretrain", n) for n in (1, 2, 3)]
        + [(f"toy finetune, seed {seed}", n) for seed in (0, 1) for n in (1, 2, 3, 4)]
    ), "what happens in the workers is told here"


def killed_once(place: Path) -> dict:
    marker = place / "kill"
    marker.touch()
    losses = ["frames", "spans", {"use": "mishap", "kind": "kill", "at": str(marker), "after": 5}]
    return changed(RECIPE, training__losses=losses)


def test_a_killed_run_goes_on_to_the_same_bits(place, tmp_path_factory, data):
    write_yaml(place / "toy.yaml", killed_once(place))
    process = multiprocessing.get_context("spawn").Process(target=go, args=(place,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert not stages(place), "the first stage was not finished"
    other = beside(place, tmp_path_factory, data)
    assert go(place).results == go(other).results
    assert same_bits(place, other)
    assert not list((place / "cache" / "stages").glob("*.making"))


def test_finished_stages_outlive_a_killed_worker(place):
    recipe = killed_once(place)
    recipe["training"]["losses"][-1]["after"] = 10
    write_yaml(place / "toy.yaml", recipe)
    with pytest.raises(RunError, match=r"ended unasked; .* Finished stages are kept"):
        go(place, jobs=2)
    (pretrained,) = stages(place)
    stamp = (place / "cache" / "stages" / pretrained / "done.json").stat().st_mtime_ns
    go(place)
    assert (place / "cache" / "stages" / pretrained / "done.json").stat().st_mtime_ns == stamp


def test_recipes_share_stages_with_equal_content(place):
    go(place)
    other = changed(RECIPE, name="other", soup="mean", stages=copy.deepcopy(RECIPE["stages"]))
    other["stages"][0]["name"] = "warm-up"
    write_yaml(place / "other.yaml", other)
    before = stages(place)
    done = go(place, "other")
    assert stages(place) == before
    assert [row.member for row in done.results.rows if row.kind == "soup"] == ["soup"]
    assert (done.folder / "soup.safetensors").is_file()
    assert done.results.row("seed 1").metrics == go(place).results.row("seed 1").metrics


def test_seeds_with_chains_of_their_own_are_not_mixed(place):
    write_yaml(place / "toy.yaml", RECIPE | {"soup": "mean"})
    write_yaml(place / "tiny.yaml", PROTOCOL | {"chains": "own"})
    done = go(place)
    assert [row.kind for row in done.results.rows].count("seed") == 2
    assert not any(row.kind == "soup" for row in done.results.rows)
    assert done.results.chains == "own"
    lock = json.loads((done.folder / "lock.json").read_text())
    assert list(lock["stages"]) == [
        "toy pretrain",
        "toy finetune, seed 0",
        "toy pretrain, seed 1",
        "toy finetune, seed 1",
    ]
    assert len(set(lock["stages"].values())) == 4


def test_more_seeds_train_only_the_new_ones(place):
    go(place)
    before = stages(place)
    done = go(place, seeds=3)
    assert len(stages(place)) == len(before) + 1
    assert [row.member for row in done.results.rows][:3] == ["seed 0", "seed 1", "seed 2"]


def test_the_protocol_names_recipes_to_compare_with(place):
    write_yaml(place / "tiny.yaml", PROTOCOL | {"against": ["toy", "small"]})
    small = changed(RECIPE, name="small", training__losses=["frames"])
    write_yaml(place / "small.yaml", small)
    done = go(place)
    assert [results.recipe for results in done.everything] == ["toy", "small"]
    assert {each.folder.name.split("@")[0] for each in done.against} == {"small"}
    assert find_run(None, below=place / "runs") == done.folder, "what was asked for is the newest"
    text = table(done.everything)
    assert text.count("always 0-10 s") == 1
    assert "Stand-ins: one-hot stands in for wished." in text


def test_several_recipes_are_run_at_once(place):
    write_yaml(place / "small.yaml", changed(RECIPE, name="small", training__losses=["frames"]))
    runs = run_all(
        [place / "small.yaml", place / "toy.yaml"],
        place / "tiny.yaml",
        registry=REGISTRY,
        settings=settings(place),
    )
    assert [each.results.recipe for each in runs] == ["small", "toy"]


def test_a_split_that_was_trained_on_is_not_scored(place):
    data = changed(PROTOCOL["data"], pretrain={"use": "toy"})
    splits = {"train": ["val"], "select": "test", "report": "train"}
    write_yaml(place / "tiny.yaml", PROTOCOL | {"data": data, "splits": splits})
    with pytest.raises(
        RunError, match=r"'train' is to be scored, but the stage 'pretrain' trains on 24 of its 24"
    ):
        go(place)
    assert not stages(place)


def test_a_question_stays_the_same_when_a_file_says_other_things_of_it(place, prepared):
    """Ids, durations and windows of the same question differ between published files."""
    plan = RunRequest(
        *(place / "toy.yaml", Recipe.model_validate(RECIPE, context=REGISTRY)),
        *(Protocol.model_validate(PROTOCOL, context=REGISTRY), place / "tiny.yaml", REGISTRY, "cpu"),
    )
    name = request_key(plan.demand.report)
    report, train = prepared[name], prepared[request_key(plan.demand.training("target")[0])]
    query = replace(train.queries[0], qid="other", duration=61.0, windows=((1.0, 2.0),))
    leaky = prepared | {name: replace(report, queries=(*report.queries[1:], query))}
    with pytest.raises(RunError, match=r"the stage 'finetune' trains on 1 of its 24 queries"):
        plan_run(plan, leaky)


@pytest.mark.parametrize(
    "changes", [{"budget": {}}, {"chains": "own"}, {"data": PROTOCOL["data"] | {"midtrain": {"use": "toy"}}}]
)
def test_under_other_conditions_a_run_is_another(place, prepared, changes):
    recipe = Recipe.model_validate(RECIPE, context=REGISTRY)
    hashes = {
        plan_run(
            RunRequest(
                *(place / "toy.yaml", recipe, Protocol.model_validate(rules, context=REGISTRY)),
                *(place / "tiny.yaml", REGISTRY, "cpu"),
            ),
            prepared,
        ).hash
        for rules in (PROTOCOL | {"seeds": 1}, PROTOCOL | {"seeds": 1} | changes)
    }
    assert len(hashes) == 2


def test_slices_by_an_unknown_key_are_refused_before_training(place):
    write_yaml(place / "tiny.yaml", PROTOCOL | {"slices": ["kin"]})
    with pytest.raises(DataError, match=r"'slices' names 'kin', .* Did you mean 'kind'\?"):
        go(place)
    assert not stages(place)


@pytest.mark.parametrize("device", ["gpu", "meta", "cuda"])
def test_a_device_that_is_not_there_is_refused(place, device):
    if device == "cuda" and torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(RunError, match=rf"device '{device}'.*(Use cpu, cuda or cuda:N|Use --device cpu)"):
        go(place, device=device)


def test_a_loss_that_is_not_a_number_ends_the_run_with_advice(place):
    losses = ["frames", "spans", {"use": "mishap", "kind": "nan", "after": 4}]
    write_yaml(place / "toy.yaml", changed(RECIPE, training__losses=losses))
    with pytest.raises(
        RunError, match=r"toy pretrain, epoch 2: the loss term 'mishap' is not finite; .* lower"
    ) as error:
        go(place)
    assert "Traceback" not in str(error.value)
    assert not stages(place)
    assert not list((place / "cache" / "stages").glob("*/*.safetensors")), "nothing half-written"


def test_a_failure_on_infinite_weights_is_explained(place):
    losses = ["frames", {"use": "mishap", "kind": "weights"}]
    write_yaml(place / "toy.yaml", changed(RECIPE, training__losses=losses))
    with pytest.raises(RunError, match="toy pretrain, epoch 2: the weights are not finite"):
        go(place)


def test_a_damaged_metrics_file_is_named(place):
    done = go(place)
    (done.folder / "metrics.json").write_text('{"rows": []')
    with pytest.raises(RunError, match=r"metrics\.json: not the results of a run"):
        go(place)
    with pytest.raises(RunError, match="there is no finished run"):
        read_results(place)


def test_prediction_files_hold_one_line_for_each_query_in_order(place):
    done = go(place)
    truth = [
        json.loads(line)["qid"] for line in (done.folder / "annotations.test.jsonl").read_text().splitlines()
    ]
    lines = (done.folder / "predictions" / "seed-0.test.jsonl").read_text().splitlines()
    assert [json.loads(line)["qid"] for line in lines] == truth


def plan(place: Path, **options):
    return dry_run(
        [place / "toy.yaml"], place / "tiny.yaml", registry=REGISTRY, settings=settings(place, **options)
    )


def test_a_dry_run_estimates_and_leaves_nothing(place):
    (place / "cache" / "data").unlink()
    forecast = plan(place)
    assert [each.found for each in forecast.splits] == [False] * 5
    assert [(each.name, each.found, each.steps) for each in forecast.stages] == [
        *(
            ("toy pretrain", False, 9),
            ("toy finetune, seed 0", False, 12),
            ("toy finetune, seed 1", False, 12),
        )
    ]
    assert min(forecast.seconds, forecast.memory_mib, forecast.disk_mib) > 0
    assert not list((place / "cache").iterdir())
    assert not (place / "runs").exists()
    assert "about" in forecast.text()


def test_a_dry_run_without_data_knows_the_keys_of_the_stages(place):
    link = place / "cache" / "data"
    with_data = plan(place)
    assert all(each.found for each in with_data.splits)
    link.unlink()
    assert [each.key for each in plan(place).stages] == [each.key for each in with_data.stages]


def test_a_dry_run_finds_what_is_finished(place):
    done = go(place)
    forecast = plan(place)
    assert forecast.finished == (done.folder.name,)
    assert forecast.seconds == 0
    more = plan(place, seeds=3)
    assert [each.found for each in more.stages] == [True, True, True, False]
    json.dumps(more.as_json())


def test_a_run_after_a_dry_run_does_not_train_on_the_sample(place, data, monkeypatch):
    monkeypatch.setattr("amrbench.training.stages._held", {})
    (place / "cache" / "data").unlink()
    plan(place)
    (place / "cache" / "data").symlink_to(data)
    sampled = go(place, out=place / "sampled").results
    monkeypatch.setattr("amrbench.training.stages._held", {})
    (place / "cache" / "stages").rename(place / "elsewhere")
    assert go(place).results == sampled
