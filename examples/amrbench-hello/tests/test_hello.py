import subprocess
from pathlib import Path

import pytest
import torch

from amrbench import load_recipe, load_registry
from amrbench.slots.blocks import Tokens
from amrbench.testing import check_part, sample
from amrbench_hello.edges import EdgeHead, EdgeLoss, bumps
from amrbench_hello.lines import Csv
from amrbench_hello.machines import Ssh
from amrbench_hello.neighbours import NeighbourEncoder, Neighbours

RECIPE = Path(__file__).parents[1] / "recipes" / "hello.yaml"


@pytest.fixture(scope="module")
def registry():
    return load_registry()


def test_head_keeps_the_contract(registry):
    check_part(sample(EdgeHead, registry), registry)


def test_encoder_block_keeps_the_contract(registry):
    check_part(sample(Neighbours, registry), registry)


def test_loss_keeps_the_contract(registry):
    model = load_recipe(RECIPE, registry).model
    check_part(sample(EdgeLoss, registry), registry, models=[model])


def test_amrbench_finds_all_parts(registry):
    assert registry.find("head", "edges") is EdgeHead
    assert registry.find("loss", "edges") is EdgeLoss
    assert registry.find("encoder", "neighbours") is Neighbours
    assert registry.find("executor", "ssh") is Ssh
    assert registry.find("observer", "csv") is Csv
    assert registry.origin(EdgeLoss).distribution == "amrbench-hello"


def test_the_command_line_lists_the_loss():
    shown = subprocess.run(["amrbench", "parts", "loss"], capture_output=True, text=True, check=True).stdout
    assert any("edges" in row and "amrbench-hello" in row for row in shown.splitlines())


def test_executor_keeps_the_contract(registry):
    check_part(sample(Ssh, registry), registry)


def test_observer_keeps_the_contract(registry):
    check_part(sample(Csv, registry), registry)


def test_bumps_are_at_both_edges():
    span, real = torch.tensor([[[0.5, 0.4]]]), torch.tensor([[True]])
    both = bumps(span, real, torch.ones(1, 10, dtype=torch.bool), spread=1.0)
    start, end = both[0].unbind(-1)
    assert start.argmax() in (2, 3)  # the moment is 3-7 s of 10
    assert end.argmax() in (6, 7)
    assert start[9] < 0.01


def test_padded_spans_have_no_bump():
    span, none = torch.tensor([[[0.5, 0.4]]]), torch.tensor([[False]])
    assert bumps(span, none, torch.ones(1, 10, dtype=torch.bool), spread=1.0).sum() == 0


class Identity(torch.nn.Module):
    def forward(self, tokens, first=None):
        return tokens.features


def test_with_an_open_gate_frames_get_the_mean_of_both_neighbours():
    encoder = NeighbourEncoder(Identity(), width=1)
    torch.nn.init.ones_(encoder.gate)
    features = torch.tensor([[[9.0], [1.0], [2.0], [4.0]]])
    tokens = Tokens(features, torch.zeros_like(features), torch.tensor([[True, True, True, False]]))
    assert encoder(tokens).flatten().tolist() == [9.0, 2.0, 2.5, 1.0]
