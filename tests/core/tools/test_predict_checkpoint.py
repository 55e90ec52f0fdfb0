from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import pytest
import torch

from amrbench.config.recipe import Recipe
from amrbench.errors import CheckpointError, DataError, RecipeError
from amrbench.registry import Registry
from amrbench.slots.checkpoint import CheckpointPart, ForeignModel
from amrbench.slots.model import Limits
from amrbench.tools.predict_checkpoint import load_foreign, predict_from_checkpoint, reading_of
from amrbench.types import Checkpoint, FeatureWidths, Outputs
from tests.folders import DATA
from tests.small_world.parts import RECIPE, REGISTRY

FOLDER = DATA / "lighthouse_checkpoint"


class OtherNet(CheckpointPart):
    """A checkpoint of a model that this test knows."""

    use = "cg_detr"

    def build(self, checkpoint: Checkpoint) -> ForeignModel:
        raise CheckpointError(f"built from {checkpoint.path.name} by {self.use}")


def test_the_model_name_chooses_the_part() -> None:
    with pytest.raises(CheckpointError, match="built from best.ckpt by cg_detr"):
        load_foreign(FOLDER / "best.ckpt", Registry.of(OtherNet))


def test_an_unknown_model_is_named() -> None:
    with pytest.raises(
        CheckpointError,
        match=r"best.ckpt: option 'model_name' is 'cg_detr'; no checkpoint part is called 'cg_detr'.*none",
    ):
        load_foreign(FOLDER / "best.ckpt", Registry.of())


def test_without_the_name_of_the_model_it_is_asked_for(tmp_path: Path) -> None:
    content = {"model": {"w": torch.ones(1)}, "opt": Namespace(device=torch.device("cuda"))}
    torch.save(content, tmp_path / "best.ckpt")
    with pytest.raises(
        CheckpointError, match=r"no option 'model_name' in 'opt'.* checkpoint part \(cg_detr\)"
    ):
        load_foreign(tmp_path / "best.ckpt", Registry.of(OtherNet))


def predict_to(output: Path, folder: Path, checkpoint: Path, registry: Registry) -> None:
    """Predict from features and annotations of a folder."""
    annotations = folder / "queries.jsonl"
    predict_from_checkpoint(
        checkpoint, features=folder, annotations=annotations, output=output, registry=registry
    )


INPUTS = ("best.ckpt", "queries.jsonl", "clap/a.npz", "clap_text/qid1.NPZ")


@pytest.mark.parametrize("name", INPUTS)
def test_an_input_cannot_be_the_output(tmp_path: Path, name: str) -> None:
    for file in INPUTS:
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text("kept")
    with pytest.raises(DataError) as error:
        predict_to(tmp_path / name, tmp_path, tmp_path / "best.ckpt", Registry.of())
    assert str(error.value) == (
        f"{tmp_path / name}: is an input, so it cannot be the output. Name another output."
    )
    assert (tmp_path / name).read_text() == "kept"


def test_other_files_beside_the_features_may_be_replaced(tmp_path: Path) -> None:
    (tmp_path / "predictions.jsonl").write_text("of an earlier call")
    with pytest.raises(CheckpointError, match="best.ckpt"):
        predict_to(tmp_path / "predictions.jsonl", tmp_path, FOLDER / "best.ckpt", Registry.of(OtherNet))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("no/out.jsonl", "there is no folder '{folder}/no'. Make it, or choose another path."),
        (".", "is a folder. Name a file for the output."),
    ],
)
def test_nothing_is_read_for_an_output_that_cannot_be_written(tmp_path: Path, name: str, text: str) -> None:
    with pytest.raises(DataError) as error:
        predict_to(tmp_path / name, tmp_path, tmp_path / "none.ckpt", Registry.of())
    assert str(error.value) == f"{tmp_path / name}: {text.format(folder=tmp_path)}"


class Bounded(CheckpointPart):
    """A checkpoint whose options are beyond the bounds of a part."""

    use = "cg_detr"

    def build(self, checkpoint: Checkpoint) -> ForeignModel:
        Limits(frames=10**9)
        raise AssertionError


def test_options_beyond_the_bounds_of_a_part_are_named() -> None:
    with pytest.raises(CheckpointError) as error:
        load_foreign(FOLDER / "best.ckpt", Registry.of(Bounded))
    assert str(error.value) == (
        f"{FOLDER}/best.ckpt: the model of its options cannot be built: frames: Input should be less than or "
        "equal to 100000, not 1000000000. Check its entry 'opt'."
    )


# ---------------------------------------------------------------- the reading of a recipe


def foreign(*provides: str) -> ForeignModel:
    """Return a model that provides these tensors, and that is never run."""
    return ForeignModel(
        model=torch.nn.Identity(),
        audio="clap",
        text="clap",
        widths=FeatureWidths(4, 4),
        hop=1.0,
        limits=Limits(),
        provides=frozenset(provides),
        readout=pytest.fail,
        ranking=(pytest.fail,),
    )


def recipe(**changes: object) -> Recipe:
    return Recipe.model_validate(RECIPE | changes, context=REGISTRY)


def refusal(*provides: str, **changes: object) -> str:
    with pytest.raises(RecipeError) as error:
        reading_of(recipe(**changes), foreign(*provides))
    return str(error.value)


def test_the_readout_and_ranking_of_a_recipe_replace_those_of_the_program() -> None:
    reading = reading_of(recipe(), foreign("span", "score"))
    spans, scores = torch.zeros(1, 1, 2), torch.ones(1, 1)
    proposals = reading.readout(Outputs({"span": spans, "score": scores}, torch.ones(1, 3).bool()))
    assert proposals.spans is spans
    assert proposals.scores is scores
    assert len(reading.ranking) == 1


def test_a_readout_gets_no_widths(monkeypatch: pytest.MonkeyPatch) -> None:
    widths = []
    monkeypatch.setattr(type(recipe().readout), "fit", lambda self, own: widths.append(own) or {})
    reading_of(recipe(), foreign("span", "score"))
    assert widths == [()]


def test_a_readout_needs_what_the_model_provides() -> None:
    assert refusal("span", "saliency") == (
        "toy: readout 'span' requires score, which the model of the checkpoint does not provide. It "
        "provides: saliency, span."
    )


def test_a_ranking_step_that_learns_has_nothing_to_learn_from() -> None:
    assert refusal("span", "score", ranking=["cut", "mean-width"]) == (
        "toy: ranking 'mean-width' learns from the selection split, but a checkpoint comes without one. "
        "Leave the step out, or let a recipe train the model."
    )


def test_a_ranking_step_needs_the_evidence_of_the_readout(monkeypatch: pytest.MonkeyPatch) -> None:
    own = recipe()
    monkeypatch.setattr(type(own.ranking[0]), "requires", frozenset({"saliency.inside", "iou"}))
    with pytest.raises(RecipeError) as error:
        reading_of(own, foreign("span", "score"))
    assert str(error.value) == (
        "toy: ranking 'cut' requires iou, saliency.inside of each moment, which the readout 'span' does not "
        "give with the model of the checkpoint. It gives: nothing."
    )
    with pytest.raises(RecipeError, match=r"requires iou of .* It gives: saliency.inside, saliency.outside."):
        reading_of(own, foreign("span", "score", "saliency"))
