import json

import numpy as np
import pytest
import torch
from torch import nn

from amrbench.data.feature_dataset import DatasetCache, visit_rngs
from amrbench.errors import CheckpointError
from amrbench.files.weights import read_weights, state_of
from amrbench.training.numerics import fixed_numerics
from amrbench.training.soup_candidates import SelectionScorer, StoredCandidate, diagonal_fisher
from amrbench.training.stage_store import read_done, weights_file
from amrbench.training.stages import untrained
from amrbench.types import Losses
from tests.folders import DATA
from tests.small_world.parts import RECIPE
from tests.small_world.runs import load_trained, plan, train

GOLDEN = json.loads((DATA / "components/fisher_logistic.json").read_text())


@pytest.fixture(scope="module")
def candidate(toy_sources, tmp_path_factory) -> StoredCandidate:
    """A finished fine-tune, as a candidate."""
    spec = plan(toy_sources, RECIPE | {"stages": RECIPE["stages"][1:]}).chains[1]
    store = tmp_path_factory.mktemp("stages")
    train(spec, store)
    return StoredCandidate(spec, store)


@pytest.fixture
def scorer(candidate) -> SelectionScorer:
    datasets = DatasetCache()
    return SelectionScorer(candidate.spec, untrained(candidate.spec, datasets), datasets)


def test_a_candidate_has_the_weights_of_its_best_epoch_and_of_its_last(candidate):
    assert candidate.name == "seed 1"
    best = state_of(load_trained(candidate.spec, candidate.store))
    assert all(torch.equal(candidate.best()[name], weight) for name, weight in best.items())
    assert candidate.last().keys() == best.keys()


def test_weights_of_a_candidate_that_are_damaged_are_named(candidate, tmp_path):
    folder = tmp_path / candidate.spec.key
    folder.mkdir()
    (folder / "last.safetensors").write_bytes(b"nonsense")
    with pytest.raises(CheckpointError) as error:
        StoredCandidate(candidate.spec, tmp_path).last()
    assert str(error.value).startswith(f"{folder / 'last.safetensors'}: not a weights file, or truncated (")


def test_performance_is_the_first_metric_of_the_selection(candidate, scorer):
    zeros = {name: torch.zeros_like(weight) for name, weight in candidate.best().items()}
    with fixed_numerics(1):
        better, worse = scorer.performance(candidate.best()), scorer.performance(zeros)
    assert 0 <= worse < better <= 100


@pytest.mark.parametrize("readout", ["span", "second"])
def test_weights_and_performance_are_those_of_the_readout(toy_sources, tmp_path, readout):
    training = RECIPE["training"] | {"readouts": ["span", "second"]}
    recipe = RECIPE | {"stages": RECIPE["stages"][1:], "training": training, "readout": readout}
    spec, datasets = plan(toy_sources, recipe).chains[0], DatasetCache()
    folder = train(spec, tmp_path)
    candidate = StoredCandidate(spec, tmp_path)
    stored = read_weights(folder / weights_file(readout))
    assert all(torch.equal(candidate.best()[name], weight) for name, weight in stored.items())
    with fixed_numerics(1):
        found = SelectionScorer(spec, untrained(spec, datasets), datasets).performance(candidate.best())
    selected = read_done(folder).selected
    assert found == selected[readout].val["R1@0.7"]
    assert selected["span"].val["R1@0.7"] != selected["second"].val["R1@0.7"]


def test_fixed_are_the_tensors_that_training_does_not_change(scorer):
    scorer.criterion.model.register_buffer("grid", torch.ones(2))
    scorer.criterion.model.text.bias.requires_grad_(False)
    assert scorer.fixed == {"model.grid", "model.text.bias"}


def test_a_tensor_with_two_names_is_trained_and_has_the_information_of_one(candidate):
    datasets = DatasetCache()
    scorer = SelectionScorer(candidate.spec, untrained(candidate.spec, datasets), datasets)
    weights = dict(candidate.best())
    alone = scorer.fisher(weights, ["spans"], "select")
    scorer.criterion.model.tied = scorer.criterion.model.text
    tied = {name.replace("text", "tied"): weights[name] for name in weights if ".text." in name}
    assert SelectionScorer(candidate.spec, scorer.criterion, datasets).fixed == frozenset()
    found = scorer.fisher(weights | tied, ["spans"], "select")
    assert found.keys() == alone.keys() | tied.keys()
    assert all(torch.equal(found[name], alone[name.replace("tied", "text")]) for name in found)
    assert found["model.tied.weight"] is not found["model.text.weight"]


def test_a_soup_that_asks_nothing_loads_no_split(candidate):
    datasets = DatasetCache()
    scorer = SelectionScorer(candidate.spec, untrained(candidate.spec, datasets), datasets)
    assert scorer.fixed == frozenset()
    assert "select" not in vars(scorer)


# ---------------------------------------------------------------- Fisher information


@pytest.mark.parametrize("data", ["select", "train"])
def test_fisher_is_the_mean_square_of_the_gradients_of_single_queries(candidate, scorer, data):
    splits = candidate.spec.train if data == "train" else (candidate.spec.select,)
    dataset = scorer.datasets.load(splits, candidate.spec.recipe.limits)
    criterion = load_trained(candidate.spec, candidate.store).eval()
    labels = candidate.spec.recipe.training.targets.build()
    fisher = scorer.fisher(candidate.best(), ["spans"], data)
    squares = []
    for index in range(len(dataset)):
        batch, target = dataset.training_batch([index], labels=labels, augments=[], rng_of=visit_rngs(0, 0))
        decoded = criterion.model.decode(criterion.model.encode(batch))
        distance = (decoded["span"][:, 0] - target.spans[:, 0]).abs().sum()
        loss = criterion.losses["spans"].weight * distance
        (gradient,) = torch.autograd.grad(loss, [criterion.model.audio.weight])
        squares.append(gradient.double().square().numpy())
    assert fisher["model.audio.weight"].numpy() == pytest.approx(np.mean(squares, 0), rel=1e-6)
    assert not fisher["losses.frames.offset"].any(), "the loss 'frames' is not among the named ones"
    assert set(fisher) == {name for name, _ in criterion.named_parameters()}


def test_parameters_of_a_named_loss_count(candidate, scorer):
    fisher = scorer.fisher(candidate.best(), ["frames", "spans"], "select")
    assert fisher["losses.frames.offset"] > 0


class Logistic(nn.Module):
    """A logistic model with dropout, an unused weight and a frozen one."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(GOLDEN["w"], dtype=torch.float64))
        self.unused = nn.Parameter(torch.ones(2))
        self.frozen = nn.Parameter(torch.ones(1, dtype=torch.float64), requires_grad=False)
        self.dropout = nn.Dropout(0.5)

    def forward(self, x, y) -> Losses:
        logits = self.dropout(x) @ (self.weight * self.frozen)
        total = nn.functional.binary_cross_entropy_with_logits(logits, y)
        return Losses(total, {})


def samples(size: int):
    x = torch.tensor(GOLDEN["X"], dtype=torch.float64)
    y = torch.tensor(GOLDEN["y"], dtype=torch.float64)
    return list(zip(x.split(size), y.split(size), strict=True))


def test_the_fisher_matrix_of_a_logistic_model_is_the_recorded_one():
    fisher = diagonal_fisher(Logistic(), samples(1))
    assert fisher["weight"].tolist() == pytest.approx(GOLDEN["fisher_empirical_diag"], rel=1e-10)


def test_a_batch_of_several_samples_gives_the_square_of_the_mean_gradient():
    fisher = diagonal_fisher(Logistic(), samples(6))
    assert fisher["weight"].tolist() == pytest.approx(GOLDEN["square_of_mean_grad_WRONG"], rel=1e-10)


def test_every_trained_tensor_has_an_entry_and_no_other():
    fisher = diagonal_fisher(Logistic(), samples(1))
    assert set(fisher) == {"weight", "unused"}
    assert fisher["unused"].tolist() == [0, 0]
    assert all(values.dtype == torch.float64 for values in fisher.values())


def test_without_samples_all_values_are_zero():
    assert diagonal_fisher(Logistic(), [])["weight"].tolist() == [0, 0, 0]
