"""Simulated data and its encoder by name: options, the protocol, and a small run from end to end."""

from __future__ import annotations

import json
from typing import get_args

import pytest
import yaml
from pydantic import ValidationError

from amrbench.config.load import find, load_protocol, load_recipe
from amrbench.data.prepare import prepare
from amrbench.data.required_splits import FeatureRequest, RequiredSplits
from amrbench.discovery import load_registry
from amrbench.errors import DataError
from amrbench.files.annotations import write_annotations
from amrbench.slots.data import DatasetPart
from amrbench.slots.features import FeaturesPart
from amrbench.tools.check_recipe import check_recipe
from amrbench.types import Query
from amrbench_plugins.simulated.marginals import SHAPES
from amrbench_plugins.simulated.parts import SimulatedData, SimulatedFeatures
from tests.folders import ROOT

REGISTRY = load_registry()
SHORT = {"pretrain": 1, "midtrain": 1, "target": 1}
SMALL_TEST = SimulatedData(scale=0.005).build()


def small(path, **changes):
    """Write the protocol with few recordings and a small model; return it."""
    protocol = yaml.safe_load((ROOT / "protocols" / "simulated.yaml").read_text())
    for role, data in protocol["data"].items():
        data["scale"] = 0.001 if role == "pretrain" else 0.005
    protocol["budget"] = {"epochs": SHORT, "width": 16, "feedforward": 16, "layers": 1, "dummies": 2}
    path.write_text(yaml.safe_dump(protocol | changes))
    return path


def test_every_shape_can_be_chosen():
    assert set(get_args(SimulatedData.model_fields["shape"].annotation)) == set(SHAPES)
    for name, shape in SHAPES.items():
        assert list(SimulatedData(shape=name).build().splits()) == list(shape.splits)


def test_nothing_is_needed():
    assert SimulatedData().required_files("test", SimulatedFeatures()) == []
    with pytest.raises(DataError, match="data set 'simulated' has no split 'tset'. Did you mean 'test'?"):
        SimulatedData().required_files("tset", SimulatedFeatures())


def test_options_reach_data_and_encoder():
    data = [{}, {"seed": 1}, {"scale": 0.5}, {"signal": 1.0}, {"shape": "clotho-moment"}]
    encoders = [{}, {"seed": 1}, {"noise": 0.5}, {"text": "sentence"}]
    assert len({SimulatedData(**options).build().fingerprint() for options in data}) == len(data)
    assert len({SimulatedFeatures(**options).build().fingerprint() for options in encoders}) == len(encoders)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"annotations": "here", "scale": 0.5},
            "annotation files have a size of their own; leave out 'scale' or 'annotations'.",
        ),
        (
            {"annotations": "here", "shape": "intermediate300"},
            "no annotation files of intermediate300 are published; leave out 'annotations'.",
        ),
    ],
)
def test_options_that_contradict_each_other_are_refused(options, message):
    with pytest.raises(ValidationError) as error:
        SimulatedData.model_validate(options)
    assert message in str(error.value)


# ---------------------------------------------------------------- annotation files


def local(tmp_path, *splits):
    for split in splits:
        row = Query("dog_1", "a dog barks", "dog", 64.0, ((3.0, 8.0),))
        write_annotations(tmp_path / f"castella_{split}_release.jsonl", [row])
    return SimulatedData(annotations=str(tmp_path))


def test_annotation_files_are_used_exactly_under_other_ids(tmp_path):
    data = local(tmp_path, "train").build()
    recording = data.recording("train", 0)
    assert data.size("train") == 1
    assert (recording.vid, recording.queries[0].windows) == ("simulated-dog", ((3.0, 8.0),))
    assert len(recording.waveform) == 64 * recording.rate


def test_a_missing_annotation_file_is_named_before_anything_is_made(tmp_path):
    request = FeatureRequest(local(tmp_path, "train"), "val", SimulatedFeatures())
    with pytest.raises(DataError) as error:
        prepare([request], cache=tmp_path, jobs=1, report=lambda _: None)
    assert str(error.value).splitlines()[1] == (
        f"  annotations of castella val: {tmp_path}/castella_val_release.jsonl. Published at "
        "github.com/line/lighthouse, folder data. Put the file there, or leave out 'annotations' to draw "
        "queries."
    )


# ---------------------------------------------------------------- the protocol


def test_the_protocol_is_of_full_size_and_says_that_scores_mean_nothing():
    protocol = load_protocol("simulated", REGISTRY)
    assert "scores mean nothing for real audio" in protocol.about
    assert {type(data) for _, data in protocol.data if data} == {SimulatedData}
    assert protocol.seeds == 1
    for name in ("cgdetr", "ours3"):
        recipe = load_recipe(name, REGISTRY)
        resolved = protocol.resolve(recipe)
        assert resolved.model_copy(update={"features": recipe.features}) == recipe, "full size"
        assert protocol.stand_in_note(recipe).startswith("simulated stands in for ")
        checked = check_recipe(name, recipe, protocol, find("protocol", "simulated"))
        assert checked.parameters > 10_000_000
        assert checked.missing == ()


def test_it_has_the_roles_and_splits_of_castella():
    simulated, castella = (load_protocol(name, REGISTRY) for name in ("simulated", "castella"))
    assert simulated.splits == castella.splits
    assert [data.shape for _, data in simulated.data if data] == [
        "clotho-moment",
        "intermediate300",
        "castella",
    ]
    recipe = load_recipe("ours3", REGISTRY)
    required = RequiredSplits(recipe, simulated, find("protocol", "simulated"))
    assert {request.features.text for request in required.all} == {"sentence"}


def test_the_encoders_of_one_name_are_as_wide_as_those_they_stand_in_for():
    stand_ins = load_protocol("simulated", REGISTRY).stand_ins
    for name, stand_in in stand_ins.items():
        real = FeaturesPart.model_validate(name, context=REGISTRY).build()
        simulated = stand_in.build()
        assert (simulated.audio_width, simulated.text_width, simulated.hop) == (
            real.audio_width,
            real.text_width,
            real.hop,
        )


def test_a_small_run_trains_and_scores_under_a_heading_that_says_what_it_is(amrbench, tmp_path, monkeypatch):
    monkeypatch.setenv("AMRBENCH_CACHE", str(tmp_path / "cache"))
    protocol = small(tmp_path / "small.yaml")
    command = ("run", "cgdetr", "--protocol", protocol, "--out", tmp_path / "runs", "--jobs", 1)
    code, planned, _ = amrbench(*command, "--dry-run")
    assert code == 0
    assert "simulated shape=clotho-moment scale=0.001 train for simulated\n" in planned
    assert "cgdetr finetune, seed 0" in planned
    code, table, _ = amrbench(*command)
    assert code == 0
    first, second = table.splitlines()[:2]
    assert first.startswith("Protocol simulated, split test: Recordings without sound and drawn annotations")
    assert "Its scores mean nothing for real audio and cannot be compared with any others." in first
    assert second == "Stand-ins: simulated stands in for clap."
    [finished] = (tmp_path / "runs").iterdir()
    rows = [json.loads(line) for line in (finished / "annotations.test.jsonl").read_text().splitlines()]
    assert len(rows) == sum(len(SMALL_TEST.recording("test", index).queries) for index in range(3))
    assert all(row["simulated"] and row["vid"].startswith("simulated-castella-test-") for row in rows)


def test_a_data_set_is_found_by_its_name():
    assert DatasetPart.model_validate("simulated", context=REGISTRY) == SimulatedData()
    assert FeaturesPart.model_validate("simulated", context=REGISTRY) == SimulatedFeatures()
