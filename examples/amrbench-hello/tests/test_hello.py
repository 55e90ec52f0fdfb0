import subprocess
from pathlib import Path

import pytest
import torch

from amrbench import load_recipe, load_registry
from amrbench.testing import check_part, sample
from amrbench_hello.edges import EdgeHead, EdgeLoss, bumps
from amrbench_plugins.moment_detr.testing import CONTRACTS

RECIPE = Path(__file__).parents[1] / "recipes" / "hello.yaml"


@pytest.fixture(scope="module")
def registry():
    return load_registry()


def test_amrbench_finds_both_parts(registry):
    assert registry.find("head", "edges") is EdgeHead
    assert registry.find("loss", "edges") is EdgeLoss
    assert registry.origin(EdgeLoss).distribution == "amrbench-hello"


def test_the_command_line_lists_it():
    shown = subprocess.run(["amrbench", "parts", "loss"], capture_output=True, text=True, check=True).stdout
    assert any("edges" in row and "amrbench-hello" in row for row in shown.splitlines())


def test_head_keeps_the_contract(registry):
    check_part(sample(EdgeHead, registry), registry, contracts=CONTRACTS)


def test_loss_keeps_the_contract(registry):
    model = load_recipe(RECIPE, registry).model
    check_part(sample(EdgeLoss, registry), registry, models=[model])


def test_bumps_stand_at_both_edges():
    span, real = torch.tensor([[[0.5, 0.4]]]), torch.tensor([[True]])
    wanted = bumps(span, real, torch.ones(1, 10, dtype=torch.bool), spread=1.0)
    start, end = wanted[0].unbind(-1)
    assert start.argmax() in (2, 3)  # the moment is 3-7 s of 10
    assert end.argmax() in (6, 7)
    assert start[9] < 0.01


def test_padded_spans_leave_no_bump():
    span, none = torch.tensor([[[0.5, 0.4]]]), torch.tensor([[False]])
    assert bumps(span, none, torch.ones(1, 10, dtype=torch.bool), spread=1.0).sum() == 0
