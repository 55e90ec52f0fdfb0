"""Chains that were added from runs give the tables that `amrbench compare` gives."""

from dataclasses import replace

import numpy as np
import pytest

from amrbench.config.load import find, load_protocol, shipped
from amrbench.config.study import expand
from amrbench.discovery import load_registry
from amrbench.errors import RunError
from amrbench.evaluation.compare import compare
from amrbench.evaluation.result import Environment
from amrbench.experiment.plan import RunRequest
from amrbench.experiment.provenance import part_records
from benchmarks.measured_chains import (
    FOLDER,
    add,
    alike,
    hash_of_recipe,
    main,
    packed,
    read,
    table,
    unpacked,
    write,
)
from tests.small_world.written_runs import make_chains


def run_of(folder, *, cpu="one", **options):
    environment = Environment(device="cpu", dtype="float32", threads=1, cpu=cpu, versions={})
    return make_chains(folder, environment=environment, **options)


def cells(text, row):
    return [cell.strip() for cell in text.splitlines()[row].strip("|").split("|")]


def test_packed_values_come_back():
    values = np.random.default_rng(0).random((7, 5)).astype(np.float32)
    assert np.array_equal(unpacked(packed(values), 5), values)


def test_a_table_has_the_numbers_of_compare(tmp_path):
    runs = [run_of(tmp_path / name, accuracy=accuracy) for name, accuracy in (("a", 0.5), ("b", 0.8))]
    add(runs, tmp_path / "chains")
    text = table([], "a", "tiny-1", tmp_path / "chains")
    head = cells(text, 2)
    assert text.startswith("tiny-1: 120 queries, 40 recordings\n")
    assert cells(text, 4)[-2:] == ["", ""]
    row = dict(zip(head, cells(text, 5), strict=True))
    compared = [line for line in compare(runs[1:], against=runs[0]).lines if line.recipe == "b"]
    for line in compared:
        assert row[line.metric] == f"{line.value:.2f}"
    shown = {line.metric: line.cells() for line in compared}
    for metric in ("R1@0.7", "mAP"):
        assert row[f"{metric} against a"] == f"{shown[metric]['difference']} {shown[metric]['95 % interval']}"
    (by_chain,) = (line.seeds for line in compared if line.metric == "R1@0.7")
    assert row["R1@0.7 of each chain"] == ", ".join(f"{value:.1f}" for value in by_chain)


def test_a_run_is_added_once_and_another_processor_gives_further_chains(tmp_path, capsys):
    folder = tmp_path / "chains"
    run = run_of(tmp_path / "a")
    add([run, run], folder)
    add([run_of(tmp_path / "elsewhere" / "a", cpu="two")], folder)
    _, chains = read(folder / "tiny-1.jsonl")
    assert [(chain.seed, chain.cpu) for chain in chains] == [
        (f"seed {seed}", cpu) for seed in range(3) for cpu in ("one", "two")
    ]
    assert capsys.readouterr().out.splitlines() == [
        "tiny-1.jsonl: a: 3 chains added, 0 removed",
        "tiny-1.jsonl: a: 0 chains added, 0 removed",
        "tiny-1.jsonl: a: 3 chains added, 0 removed",
    ]


def test_a_run_of_one_chain_is_added_too(tmp_path):
    folder = tmp_path / "chains"
    add([run_of(tmp_path / "a")], folder)
    add([run_of(tmp_path / "elsewhere" / "a", cpu="two", stages="new", seeds=1)], folder)
    _, chains = read(folder / "tiny-1.jsonl")
    assert [chain.seed for chain in chains] == ["seed 0", "seed 0", "seed 1", "seed 2"]


def test_a_seed_that_is_trained_again_by_the_same_processor_is_no_further_chain(tmp_path):
    folder = tmp_path / "chains"
    add([run_of(tmp_path / "a")], folder)
    add([run_of(tmp_path / "again" / "a", stages="new", seeds=4)], folder)
    _, chains = read(folder / "tiny-1.jsonl")
    assert [chain.seed for chain in chains] == ["seed 0", "seed 1", "seed 2", "seed 3"]


def test_a_run_without_chains_is_refused(tmp_path):
    run = run_of(tmp_path / "a", chains="shared")
    with pytest.raises(RunError) as error:
        add([run], tmp_path / "chains")
    assert str(error.value) == f"{run}: no run of seeds with chains of their own (chains: own)."


def test_chains_of_an_older_form_of_a_recipe_are_removed(tmp_path):
    folder = tmp_path / "chains"
    add([run_of(tmp_path / "a"), run_of(tmp_path / "b")], folder)
    add([run_of(tmp_path / "new" / "a", stages="new", seeds=2, features="others")], folder)
    _, chains = read(folder / "tiny-1.jsonl")
    assert [(chain.recipe, chain.stages[0]) for chain in chains] == [
        *(("a", f"new-finetune-{seed}") for seed in range(2)),
        *(("b", f"b-finetune-{seed}") for seed in range(3)),
    ]


def test_another_description_of_a_recipe_leaves_its_chains(tmp_path):
    folder = tmp_path / "chains"
    add([run_of(tmp_path / "a")], folder)
    add([run_of(tmp_path / "elsewhere" / "a", cpu="two", about="In other words.")], folder)
    _, chains = read(folder / "tiny-1.jsonl")
    assert len(chains) == 6
    assert len({chain.made_by for chain in chains}) == 1


def test_chains_of_a_recipe_that_share_a_stage_are_refused(tmp_path):
    folder = tmp_path / "chains"
    add([run_of(tmp_path / "a")], folder)
    conditions, chains = read(folder / "tiny-1.jsonl")
    shared = [replace(chain, stages=("pretrain", chain.stages[0])) for chain in chains]
    with pytest.raises(RunError) as error:
        write(folder / "tiny-1.jsonl", conditions, shared)
    assert str(error.value) == "a: seed 0 and seed 1 share a stage, so they are no two chains."


def test_chains_of_two_recipes_that_share_stages_are_pairs_as_in_compare(tmp_path):
    runs = [
        run_of(tmp_path / name, accuracy=accuracy, stages="both")
        for name, accuracy in (("a", 0.5), ("b", 0.8))
    ]
    add(runs, tmp_path / "chains")
    text = table([], "a", "tiny-1", tmp_path / "chains")
    assert text.splitlines()[1] == (
        "3 chains of b share stages with those of a: the difference is of these pairs, which are drawn "
        "together"
    )
    row = dict(zip(cells(text, 3), cells(text, 6), strict=True))
    compared = [line for line in compare(runs[1:], against=runs[0]).lines if line.recipe == "b"]
    shown = {line.metric: line.cells() for line in compared}
    for metric in ("R1@0.7", "mAP"):
        assert row[f"{metric} against a"] == f"{shown[metric]['difference']} {shown[metric]['95 % interval']}"


def test_other_conditions_are_refused(tmp_path):
    folder = tmp_path / "chains"
    add([run_of(tmp_path / "a")], folder)
    other = run_of(tmp_path / "b", conditions="other")
    with pytest.raises(RunError) as error:
        add([other], folder)
    assert str(error.value) == (
        f"{other}: its conditions are not those of {folder / 'tiny-1.jsonl'}. Raise the protocol's version."
    )


def test_a_recipe_without_chains_is_an_error(tmp_path):
    folder = tmp_path / "chains"
    add([run_of(tmp_path / "a")], folder)
    with pytest.raises(RunError) as error:
        table(["b"], "a", "tiny-1", folder)
    assert str(error.value) == "tiny-1: no two chains of b. There are: a."


def test_a_file_that_is_missing_is_an_error(tmp_path):
    with pytest.raises(RunError) as error:
        table([], "a", "tiny-1", tmp_path)
    assert str(error.value) == f"{tmp_path / 'tiny-1.jsonl'}: there is no such file. Add runs first."


def test_chains_of_one_seed_and_of_two_are_correlated(tmp_path, capsys, monkeypatch):
    folder = tmp_path / "chains"
    monkeypatch.setattr("benchmarks.measured_chains.FOLDER", folder)
    add([run_of(tmp_path / "a"), run_of(tmp_path / "b"), run_of(tmp_path / "again" / "a", cpu="two")], folder)
    capsys.readouterr()
    main(["alike", "--protocol", "tiny-1"])
    shown = capsys.readouterr().out.splitlines()
    conditions, chains = read(folder / "tiny-1.jsonl")
    own = [unpacked(chain.values, len(conditions.metrics)) for chain in chains if chain.recipe == "a"]
    maps = np.corrcoef([values[:, conditions.metrics.index("mAP")] for values in own])
    same = maps[[0, 2, 4], [1, 3, 5]]
    other = [maps[i, j] for i in range(6) for j in range(i + 1, 6) if i // 2 != j // 2]
    texts = [f"{np.mean(some):.2f} ({min(some):.2f} to {max(some):.2f})" for some in (same, other)]
    assert [[cell.strip() for cell in line.strip("|").split("|")] for line in shown[4:]] == [["a", *texts]]


def test_without_two_processors_nothing_is_alike(tmp_path):
    add([run_of(tmp_path / "a")], tmp_path / "chains")
    with pytest.raises(RunError) as error:
        alike("tiny-1", tmp_path / "chains")
    assert str(error.value) == "tiny-1: no recipe has chains of one seed on several processors."


def test_the_command_line_adds_and_shows(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("benchmarks.measured_chains.FOLDER", tmp_path / "chains")
    main(["add", str(run_of(tmp_path / "a"))])
    main(["table", "--against", "a", "--protocol", "tiny-1"])
    text = capsys.readouterr().out.partition("\n")[2]
    assert text.startswith("tiny-1: 120 queries, 40 recordings\n")
    assert cells(text, 2)[-2:] == ["R1@0.7 against a", "mAP against a"]


def test_differences_are_of_the_metrics_that_are_asked_for(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("benchmarks.measured_chains.FOLDER", tmp_path / "chains")
    add([run_of(tmp_path / name) for name in ("a", "b")], tmp_path / "chains")
    capsys.readouterr()
    main(["table", "b", "--against", "a", "--protocol", "tiny-1", "--metrics", "R5@0.7"])
    head = cells(capsys.readouterr().out, 2)
    assert [title for title in head if "against" in title] == ["R5@0.7 against a"]


def test_only_some_seeds_of_the_compared_recipe_count(tmp_path, capsys, monkeypatch):
    folder = tmp_path / "chains"
    monkeypatch.setattr("benchmarks.measured_chains.FOLDER", folder)
    add([run_of(tmp_path / name, accuracy=accuracy) for name, accuracy in (("a", 0.5), ("b", 0.8))], folder)
    capsys.readouterr()
    main(["table", "b", "--against", "a", "--protocol", "tiny-1", "--seeds", "1", "2"])
    head, _, against, row = (cells(line, 0) for line in capsys.readouterr().out.splitlines()[2:])
    conditions, chains = read(folder / "tiny-1.jsonl")
    kept = [chain for chain in chains if chain.recipe == "b" and chain.seed != "seed 0"]
    by_chain = [unpacked(chain.values, len(conditions.metrics)) for chain in kept]
    expected = np.mean(by_chain, axis=(0, 1))[conditions.metrics.index("mAP")]
    assert (against[1], row[1]) == ("3", "2")
    assert dict(zip(head, row, strict=True))["mAP"] == f"{expected:.2f}"


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.jsonl")), ids=lambda file: file.stem)
def test_the_chains_that_are_kept_are_of_shipped_recipes_as_they_are(file):
    registry = load_registry()
    name, _, version = file.stem.rpartition("-")
    protocol = load_protocol(name, registry)
    assert str(protocol.version) == version
    runnables = [expand(path, registry) for kind in ("recipe", "study") for path in shipped(kind)]
    methods = {method.recipe.name: method for runnable in runnables for method in runnable.methods}
    for recipe, made_by in {chain.recipe: chain.made_by for chain in read(file)[1]}.items():
        request = RunRequest(methods[recipe], protocol, find("protocol", name), registry, "cpu")
        options = request.resolved.model_dump(mode="json")
        assert made_by == hash_of_recipe(options, part_records(request)), recipe
