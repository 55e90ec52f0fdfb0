import json

import pytest
import yaml

from tests.small_world.parts import PROTOCOL, RECIPE, REGISTRY
from tests.small_world.runs import write_yaml

FULL = RECIPE | {
    "name": "fuller",
    "stages": [RECIPE["stages"][0], RECIPE["stages"][1] | {"epochs": 2, "input_dropout": 0.3}],
}


@pytest.fixture
def small(tmp_path, monkeypatch, amrbench):
    """Return a function that calls the command line in a folder with a small study."""
    write_yaml(tmp_path / "toy.yaml", RECIPE)
    write_yaml(tmp_path / "fuller.yaml", FULL)
    write_yaml(tmp_path / "tiny.yaml", PROTOCOL)
    write_yaml(tmp_path / "small.yaml", {"study": "small", "base": "toy", "full": "fuller"})
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AMRBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("amrbench.discovery.load_registry", lambda **_: REGISTRY)

    return lambda *arguments: amrbench(*arguments, "--protocol", "tiny.yaml")


def stages(folder):
    return {path.parent.name: path.stat().st_mtime_ns for path in folder.glob("cache/stages/*/done.json")}


def test_a_study_is_run_as_a_recipe_is_and_ends_with_its_table(small, tmp_path, monkeypatch):
    _, text, _ = small("run", "small.yaml", "--dry-run", "--jobs", "1")
    assert "small-without-epochs" in text
    assert not stages(tmp_path)
    small("run", "toy.yaml", "--jobs", "1")
    before = stages(tmp_path)
    assert len(before) == 3
    code, text, err = small("run", "small.yaml", "--jobs", "1")
    after = stages(tmp_path)
    assert code == 0, err
    assert len(after) == 1 + 4 * 2, "six recipes, but only four are different, and all share a stage"
    assert before.items() <= after.items(), "existing stages are left alone"
    assert "Study small: 'only' is toy with one change" in text

    monkeypatch.setattr("amrbench.training.stages.fit", None)
    code, text, _ = small("run", "small.yaml", "--jobs", "1", "--json")
    (table,) = json.loads(text)["studies"]
    means = {row["recipe"]: row["mean"]["R1@0.5"] for row in table["rows"]}
    assert [row["change"] for row in table["rows"]] == ["base", "full", *["epochs", "input-dropout"] * 2]
    only = table["rows"][2]
    assert only["against"] == "toy"
    assert only["difference"]["R1@0.5"] == pytest.approx(means["small-only-epochs"] - means["toy"])
    assert only["difference"]["R1@0.5"] == pytest.approx(
        sum(seed["R1@0.5"] for seed in only["seeds"].values()) / 2
    )
    assert means["small-only-epochs"] == means["small-without-input-dropout"]
    folder = next((tmp_path / "runs").glob("small-only-epochs@*"))
    kept = yaml.safe_load((folder / "recipe.yaml").read_text())
    assert kept["stages"][1]["epochs"] == 2
    assert kept["stages"][1]["input_dropout"] == 0.1


def test_some_changes_of_a_study_are_run(small):
    code, text, err = small("run", "toy.yaml", "small.yaml", "--change", "epochs", "--jobs", "1", "--json")
    assert code == 0, err
    (table,) = json.loads(text)["studies"]
    assert [row["change"] for row in table["rows"]] == ["base", "full", "epochs", "epochs"]


def test_a_change_that_no_study_has_is_an_error(small):
    code, _, err = small("run", "small.yaml", "--change", "epoch")
    assert code == 2
    assert err.strip() == (
        "error: small: there is no change 'epoch'. Did you mean 'epochs'? "
        "The changes are: epochs, input-dropout."
    )
    code, _, err = small("run", "toy.yaml", "--change", "epochs")
    assert code == 2
    assert err.strip() == "error: 'epochs': only a study has changes. Name a study, e.g. 'components'."


@pytest.mark.parametrize("option", [(), ("--dry-run",)])
def test_unknown_slices_are_refused_before_anything_is_trained(small, tmp_path, option):
    code, _, err = small("run", "toy.yaml", "--jobs", "1", "--by", "kin", *option)
    assert code == 2
    assert err.strip() == (
        "error: the protocol 'tiny.yaml' has no slices by 'kin'. Did you mean 'kind'? It has: kind. "
        "The protocol names them ('slices')."
    )
    assert not stages(tmp_path)


def test_check_takes_every_recipe_of_a_study(small):
    code, text, _ = small("check", "small.yaml")
    assert code == 0
    assert [line.partition(":")[0] for line in text.splitlines()] == [
        *("toy", "fuller", "small-only-epochs", "small-only-input-dropout"),
        *("small-without-epochs", "small-without-input-dropout"),
    ]


def test_check_goes_on_after_a_wrong_study(small, tmp_path):
    write_yaml(tmp_path / "wrong.yaml", {"study": "wrong", "base": "toy", "full": "toy"})
    code, text, err = small("check", "wrong.yaml", "toy.yaml")
    assert code == 2
    assert "toy.yaml: fine" in text
    assert "differ in nothing" in err
