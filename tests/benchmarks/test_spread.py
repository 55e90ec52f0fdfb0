"""The benchmark of the spread of chains reads the logs of finished runs."""

import json

import pytest

from amrbench.errors import RunError
from amrbench.evaluation.result import write_result
from benchmarks.spread import main, pooled
from tests.small_world.written_runs import (
    made_up_result,
    make_run,
    predictions,
    queries,
    stage_record,
    write_row,
)


def run_of(folder, chains, *, kind="own"):
    """Write a run whose chains have these values after each epoch."""
    folder = make_run(folder, seeds=len(chains))
    asked, stages = queries(), []
    (folder / "logs").mkdir()
    for seed, values in enumerate(chains):
        stages.append(stage_record(str(seed), epochs=len(values), log=f"logs/{seed}.jsonl"))
        epochs = [
            {"epoch": epoch, "losses": {}, "val": {"decoder": {"R1@0.7": value}, "search": {"R1@0.7": 0.0}}}
            for epoch, value in enumerate(values, start=1)
        ]
        (folder / f"logs/{seed}.jsonl").write_text("".join(json.dumps(epoch) + "\n" for epoch in epochs))
    rows = [
        write_row(folder, f"seed {seed}", "seed", predictions(asked, 0.5, seed), asked)
        for seed in range(len(chains))
    ]
    models = {f"seed {seed}": str(seed) for seed in range(len(chains))}
    result = made_up_result(
        folder.name, rows, features={"use": "mini"}, chains=kind, stages=tuple(stages), models=models
    )
    write_result(folder, result)
    return folder


def test_each_way_to_choose_has_its_mean_and_its_spread(tmp_path, capsys):
    one = run_of(tmp_path / "one", [[1.0, 9.0, 3.0, 4.0], [3.0, 5.0, 1.0, 8.0]])
    two = run_of(tmp_path / "two", [[0.0, 0.0, 0.0, 2.0], [0.0, 0.0, 0.0, 2.0]])
    rows = {row.pop("chosen"): [float(value) for value in row.values()] for row in main([str(one), str(two)])}
    assert rows == {
        "last epoch": [4.0, 2.0],  # 4 and 8, 2 and 2: variances 8 and 0.
        "mean of the last quarter": [4.0, 2.0],
        "best epoch": [5.2, 0.5],  # 9 and 8.
        "last epoch of the first half": [3.5, 2.0],  # 9 and 5.
        "best epoch of the first half": [3.5, 2.0],
    }
    assert capsys.readouterr().out.startswith("R1@0.7 on the selection split, 2 recipes.")


def test_the_spread_is_that_within_recipes():
    assert pooled([[1.0, 3.0], [101.0, 103.0]]) == pytest.approx(2**0.5)


def test_runs_without_chains_are_refused(tmp_path):
    path = run_of(tmp_path / "a", [[1.0], [2.0]], kind="shared")
    with pytest.raises(RunError) as error:
        main([str(path)])
    assert str(error.value) == f"{path}: no run of several seeds with chains of their own (chains: own)."
