from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import pytest
import torch

from amrbench.errors import CheckpointError
from amrbench.registry import Registry
from amrbench.slots.checkpoint import CheckpointPart, ForeignModel
from amrbench.slots.model import Limits
from amrbench.tools.predict_checkpoint import load_foreign
from amrbench.types import Checkpoint
from tests.folders import DATA

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
