import json
from importlib.metadata import version

import pytest

import amrbench
from amrbench.errors import CheckpointError, RecipeError
from tests.small_world.parts import REGISTRY
from tests.small_world.runs import settings_in


def test_the_names_of_the_interface_are_there():
    assert all(callable(getattr(amrbench, name)) for name in amrbench.__all__)
    assert amrbench.__version__ == version("amrbench")
    with pytest.raises(AttributeError, match="module 'amrbench' has no attribute 'nothing'"):
        _ = amrbench.nothing


def test_recipes_and_protocols_are_read(toy_folder):
    assert amrbench.load_recipe(toy_folder / "toy.yaml", REGISTRY).name == "toy"
    assert amrbench.load_protocol(toy_folder / "tiny.yaml", REGISTRY).name == "tiny"
    assert amrbench.load_recipe("cgdetr").name == "cgdetr", "all installed parts by default"
    with pytest.raises(RecipeError, match="absent"):
        amrbench.load_recipe(toy_folder / "toy.yaml")


def test_a_run_is_made_scored_and_read_again(toy_folder):
    settings = settings_in(toy_folder)
    recipe, protocol = toy_folder / "toy.yaml", toy_folder / "tiny.yaml"
    run = amrbench.run(recipe, protocol, registry=REGISTRY, settings=settings)
    report = amrbench.score(run.folder / run.result.row("seed 0").predictions, run.folder / run.result.truth)
    assert report.scores.metrics["R1@0.7"] == run.result.row("seed 0").metrics["R1@0.7"]
    assert amrbench.run(recipe, protocol, registry=REGISTRY, settings=settings) == run


def test_a_checkpoint_that_is_none_is_refused(tmp_path):
    path = tmp_path / "best.ckpt"
    path.write_text(json.dumps({}))
    with pytest.raises(CheckpointError):
        amrbench.predict_checkpoint(
            path, features=tmp_path, annotations=tmp_path / "a.jsonl", output=tmp_path / "out.jsonl"
        )
