"""A run from takes and weights of encoders to a table, with made takes and random weights."""

from __future__ import annotations

import pytest
import yaml

import amrbench
from amrbench.experiment.run import Settings
from amrbench_plugins.backends.parts import AisfxMiniLm
from tests.folders import ROOT
from tests.plugins.backends.published import AISFX_WIDTHS, aisfx_files
from tests.plugins.datasets.recorded.made_takes import collection


@pytest.fixture
def protocol(tmp_path, monkeypatch):
    """The shipped protocol with few recordings and epochs, and encoders of small random weights."""
    for variable, folder in (("AMRBENCH_DATA", "data"), ("AMRBENCH_MODELS", "models")):
        monkeypatch.setenv(variable, str(tmp_path / folder))
    collection(tmp_path / "data" / "recorded")
    _, sentences = aisfx_files(tmp_path / "models" / "aisfx-minilm")
    sentences.rename(sentences.with_name("all-MiniLM-L6-v2"))
    monkeypatch.setattr(AisfxMiniLm, "audio_width", AISFX_WIDTHS[-1])
    monkeypatch.setattr(AisfxMiniLm, "text_width", 64)
    content = yaml.safe_load((ROOT / "protocols" / "recorded.yaml").read_text("utf-8"))
    for role in content["data"]:
        content["data"][role] |= {"preset": "scenes-small", "recordings": [4, 2, 3]}
    content["budget"] |= {"epochs": dict.fromkeys(("pretrain", "midtrain", "target"), 1), "width": 16}
    content |= {"seeds": 1, "against": []}
    path = tmp_path / "few.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def test_a_run_from_takes_and_weights_to_a_table(protocol, tmp_path):
    settings = Settings(jobs=1, out=tmp_path / "runs", cache=tmp_path / "cache")
    run = amrbench.run("sliding-window", protocol, settings=settings)
    mean = run.result.row("mean")
    assert mean.queries > 5
    assert 0 <= mean.metrics["R1@0.7"] <= 100
    assert {slice_.value for slice_ in mean.slices["kind"]} == {"single", "while"}
