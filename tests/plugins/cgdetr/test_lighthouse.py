"""Our parts with the weights of a reference checkpoint give the predictions of the reference."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter
from torch.testing import assert_close

from amrbench.config.load import load_recipe
from amrbench.config.recipe import Recipe
from amrbench.discovery import load_registry
from amrbench.errors import CheckpointError
from amrbench.files.annotations import read_annotations
from amrbench.files.torch_checkpoint import read_checkpoint
from amrbench.slots.ranking import RankingPart
from amrbench.slots.readout import ReadoutPart
from amrbench.tools.predict_checkpoint import predict_from_checkpoint, predict_published
from amrbench.training.reading import Reading
from amrbench.types import Checkpoint, Moments, Outputs, Proposals
from amrbench_plugins.cgdetr.lighthouse import foreign_model
from amrbench_plugins.cgdetr.reference_options import last_second
from tests.folders import DATA
from tests.oracle.cgdetr_predict import inside_ties
from tests.plugins.cgdetr import golden

FOLDER = DATA / "lighthouse_checkpoint"
FEATURES = FOLDER / "features" / "castella"
ANNOTATIONS = FOLDER / "data" / "castella_test_release.jsonl"


@pytest.fixture
def checkpoint() -> Checkpoint:
    return read_checkpoint(FOLDER / "best.ckpt")


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def table(moments: Moments) -> list[list[float]]:
    both = zip(moments.windows.tolist(), moments.scores.tolist(), strict=True)
    return [[round(number, 4) for number in (*window, score)] for window, score in both]


def test_raw_windows_equal_the_reference(checkpoint: Checkpoint) -> None:
    model = foreign_model(checkpoint)
    predicted = predict_published(model, FEATURES, read_annotations(ANNOTATIONS), Reading(model.readout))
    known = rows(FOLDER / "expected_raw.jsonl")
    assert len(known) == len(predicted) == 14
    for row, moments in zip(known, predicted, strict=True):
        assert str(row["qid"]) == str(moments.qid)
        pairs = zip(inside_ties(table(moments)), inside_ties(row["pred_relevant_windows"]), strict=True)
        for ours, theirs in pairs:
            assert_close(torch.tensor(ours), torch.tensor(theirs), rtol=0, atol=2e-4)


def test_submission_rows_equal_the_reference(tmp_path: Path) -> None:
    output = tmp_path / "predicted.jsonl"
    count = predict_from_checkpoint(
        FOLDER / "best.ckpt", features=FEATURES, annotations=ANNOTATIONS, output=output,
        registry=golden.REGISTRY,
    )  # fmt: skip
    assert count == 14
    for row, known in zip(rows(output), rows(FOLDER / "expected_submission.jsonl"), strict=True):
        pairs = zip(
            inside_ties(row["pred_relevant_windows"]),
            inside_ties(known["pred_relevant_windows"]),
            strict=True,
        )
        for ours, theirs in pairs:
            assert [window[:2] for window in ours] == [window[:2] for window in theirs]


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return load_recipe("cgdetr", load_registry())


def predicted(tmp_path: Path, recipe: Recipe | None) -> list[dict[str, Any]]:
    output = tmp_path / "predicted.jsonl"
    predict_from_checkpoint(
        FOLDER / "best.ckpt", features=FEATURES, annotations=ANNOTATIONS, output=output,
        registry=golden.REGISTRY, recipe=recipe,
    )  # fmt: skip
    return rows(output)


def test_the_reading_of_the_baseline_gives_the_predictions_of_the_reference(
    tmp_path: Path, recipe: Recipe
) -> None:
    clip = {"use": "clip", "to": last_second(read_checkpoint(FOLDER / "best.ckpt"))}
    steps = TypeAdapter(tuple[RankingPart, ...]).validate_python([clip, "round"], context=golden.REGISTRY)
    same = recipe.model_copy(update={"ranking": steps})
    assert predicted(tmp_path, same) == predicted(tmp_path, None)


def test_the_saliency_of_a_checkpoint_may_be_read_instead_of_its_decoder(
    tmp_path: Path, recipe: Recipe
) -> None:
    readout = TypeAdapter(ReadoutPart).validate_python("window-search", context=golden.REGISTRY)
    found = predicted(tmp_path, recipe.model_copy(update={"readout": readout}))
    assert len(found) == 14
    for row in found:
        assert len(row["pred_relevant_windows"]) == 10
        assert all(0 <= start <= end for start, end, _ in row["pred_relevant_windows"])
    assert found != predicted(tmp_path, None)


def test_what_a_model_provides_is_there_to_be_read(checkpoint: Checkpoint) -> None:
    seen: dict[str, torch.Tensor] = {}
    foreign = foreign_model(checkpoint)

    def readout(outputs: Outputs) -> Proposals:
        seen.update({name: outputs.tensors[name] for name in foreign.provides})
        return foreign.readout(outputs)

    predict_published(foreign, FEATURES, read_annotations(ANNOTATIONS), Reading(readout))
    assert set(seen) == foreign.provides


def test_options_say_what_the_model_expects(checkpoint: Checkpoint) -> None:
    foreign = foreign_model(checkpoint)
    assert (foreign.audio, foreign.text, foreign.hop) == ("clap", "clap", 1.0)
    assert (foreign.limits.frames, foreign.limits.words) == (300, 32)
    assert (foreign.widths.audio, foreign.widths.text) == (768, 768)


def test_a_checkpoint_without_an_encoder_is_refused(checkpoint: Checkpoint) -> None:
    options = {**checkpoint.options, "a_feat_types": None}
    with pytest.raises(
        CheckpointError, match=r"best\.ckpt: option 'a_feat_types' is None, not the name of an encoder"
    ):
        foreign_model(replace(checkpoint, options=options))
