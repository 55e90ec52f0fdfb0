"""Our parts with the weights of a reference checkpoint give the predictions of the reference."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter
from torch.testing import assert_close

from amrbench.config.load import load_recipe
from amrbench.discovery import load_registry
from amrbench.errors import CheckpointError
from amrbench.files.annotations import read_annotations
from amrbench.files.torch_checkpoint import read_checkpoint
from amrbench.slots.ranking import RankingPart
from amrbench.tools.predict_checkpoint import load_foreign, predict_from_checkpoint, predict_published
from amrbench.training.reading import Reading
from amrbench.types import Checkpoint, Moments, Outputs, Proposals
from amrbench_plugins.cgdetr.reference_options import last_second
from amrbench_plugins.moment_detr.cross_attention import CrossAttentionFusion
from amrbench_plugins.moment_detr.fusion import AdaptiveFusion
from amrbench_plugins.qddetr.lighthouse import foreign_model
from tests.folders import DATA
from tests.oracle.cgdetr_predict import inside_ties
from tests.plugins.qddetr import golden

FOLDER = DATA / "qddetr_checkpoint"
FEATURES = FOLDER / "features" / "castella"
ANNOTATIONS = FOLDER / "data" / "castella_test_release.jsonl"

pytestmark = pytest.mark.filterwarnings("ignore:.*first 32 tokens only:amrbench.notes.Note")


@pytest.fixture
def checkpoint() -> Checkpoint:
    return read_checkpoint(FOLDER / "best.ckpt")


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def table(moments: Moments) -> list[list[float]]:
    both = zip(moments.windows.tolist(), moments.scores.tolist(), strict=True)
    return [[round(number, 4) for number in (*window, score)] for window, score in both]


def test_raw_windows_and_saliency_equal_the_reference(checkpoint: Checkpoint) -> None:
    foreign, saliency = foreign_model(checkpoint), {}

    def readout(outputs: Outputs) -> Proposals:
        for values, mask in zip(outputs.tensors["saliency"], outputs.mask, strict=True):
            saliency[len(saliency)] = values[mask]
        return foreign.readout(outputs)

    queries = read_annotations(ANNOTATIONS)
    predicted = [predict_published(foreign, FEATURES, [query], Reading(readout))[0] for query in queries]
    known = rows(FOLDER / "expected_raw.jsonl")
    assert len(known) == len(predicted) == 15
    for row, moments, own in zip(known, predicted, saliency.values(), strict=True):
        assert str(row["qid"]) == str(moments.qid)
        pairs = zip(inside_ties(table(moments)), inside_ties(row["pred_relevant_windows"]), strict=True)
        for ours, theirs in pairs:
            assert_close(torch.tensor(ours), torch.tensor(theirs), rtol=0, atol=2e-4)
        assert_close(own, torch.tensor(row["saliency"]), rtol=0, atol=2e-5)


def predicted(tmp_path: Path, **options: Any) -> list[dict[str, Any]]:
    output = tmp_path / "predicted.jsonl"
    count = predict_from_checkpoint(
        FOLDER / "best.ckpt", features=FEATURES, annotations=ANNOTATIONS, output=output,
        registry=golden.REGISTRY, **options,
    )  # fmt: skip
    assert count == 15
    return rows(output)


def test_submission_rows_equal_the_reference(tmp_path: Path) -> None:
    for row, known in zip(predicted(tmp_path), rows(FOLDER / "expected_submission.jsonl"), strict=True):
        assert {name: row[name] for name in ("qid", "vid", "query")} == {
            name: known[name] for name in ("qid", "vid", "query")
        }
        pairs = zip(
            inside_ties(row["pred_relevant_windows"]),
            inside_ties(known["pred_relevant_windows"]),
            strict=True,
        )
        for ours, theirs in pairs:
            assert [window[:2] for window in ours] == [window[:2] for window in theirs]


def test_the_reading_of_the_recipe_gives_the_predictions_of_the_reference(tmp_path: Path) -> None:
    clip = {"use": "clip", "to": last_second(read_checkpoint(FOLDER / "best.ckpt"))}
    steps = TypeAdapter(tuple[RankingPart, ...]).validate_python([clip, "round"], context=golden.REGISTRY)
    recipe = load_recipe("qd-detr", load_registry())
    same = recipe.model_copy(update={"ranking": steps})
    assert predicted(tmp_path, recipe=same) == predicted(tmp_path)


def test_options_say_what_the_model_expects(checkpoint: Checkpoint) -> None:
    foreign = foreign_model(checkpoint)
    assert (foreign.audio, foreign.text, foreign.hop) == ("clap", "clap", 1.0)
    assert (foreign.limits.frames, foreign.limits.words) == (300, 32)
    assert (foreign.widths.audio, foreign.widths.text) == (768, 768)


@pytest.mark.parametrize(
    ("folder", "fusion"),
    [("qddetr_checkpoint", CrossAttentionFusion), ("lighthouse_checkpoint", AdaptiveFusion)],
)
def test_the_model_that_a_checkpoint_holds_is_recognised(folder: str, fusion: type) -> None:
    model: Any = load_foreign(DATA / folder / "best.ckpt", golden.REGISTRY).model
    assert type(model.fusion) is fusion


def test_another_model_is_refused_with_those_that_can_be_read(tmp_path: Path, checkpoint: Checkpoint) -> None:
    options = {**checkpoint.options, "model_name": "moment_detr"}
    torch.save({"model": dict(checkpoint.weights), "opt": options}, tmp_path / "other.ckpt")
    with pytest.raises(CheckpointError) as error:
        load_foreign(tmp_path / "other.ckpt", golden.REGISTRY)
    assert str(error.value) == (
        f"{tmp_path}/other.ckpt: option 'model_name' is 'moment_detr'; no checkpoint part is called "
        "'moment_detr'. Installed checkpoint parts: cg_detr, qd_detr."
    )


@pytest.mark.parametrize(
    ("folder", "name", "tensor", "title"),
    [
        ("qddetr_checkpoint", "cg_detr", "dummy_rep_token", "CG-DETR"),
        (
            *("lighthouse_checkpoint", "qd_detr"),
            *("transformer.t2v_encoder.layers.0.self_attn.in_proj_weight", "QD-DETR"),
        ),
    ],
)
def test_weights_of_the_other_model_are_refused(
    tmp_path: Path, folder: str, name: str, tensor: str, title: str
) -> None:
    held = read_checkpoint(DATA / folder / "best.ckpt")
    content = {"model": dict(held.weights), "opt": {**held.options, "model_name": name}}
    torch.save(content, tmp_path / "other.ckpt")
    with pytest.raises(CheckpointError) as error:
        load_foreign(tmp_path / "other.ckpt", golden.REGISTRY)
    assert str(error.value).startswith(
        f"{tmp_path}/other.ckpt: no tensor {tensor!r}, so this is no {title} checkpoint of the reference."
    )
