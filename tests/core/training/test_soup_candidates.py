import copy

import numpy as np
import pytest
import torch

from amrbench.config.protocol import Protocol
from amrbench.config.recipe import Recipe
from amrbench.data.feature_dataset import visit_rngs
from amrbench.data.prepare import FeatureRequest, prepare_all
from amrbench.experiment.plan import RunRequest, plan_run, request_key
from amrbench.files.weights import state_of
from amrbench.training.loop import fixed_numerics
from amrbench.training.progress_bars import NULL_REPORTER
from amrbench.training.soup_candidates import SelectionScorer, StoredCandidate
from amrbench.training.stages import stage, trained, untrained
from tests.core.world import PROTOCOL, RECIPE, REGISTRY, OneHotFeatures, Toy


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A finished fine-tune, as a candidate."""
    cache = tmp_path_factory.mktemp("cache")
    wanted = [FeatureRequest(Toy(), split, OneHotFeatures()) for split in ("train", "val", "test")]
    found = prepare_all(wanted, cache=cache, jobs=1, tell=lambda progress: None)
    prepared = dict(zip(map(request_key, wanted), found, strict=True))
    content = copy.deepcopy(RECIPE) | {"stages": RECIPE["stages"][1:]}
    recipe = Recipe.model_validate(content, context=REGISTRY)
    rules = Protocol.model_validate(PROTOCOL, context=REGISTRY)
    spec = plan_run(RunRequest("toy.yaml", recipe, rules, "tiny.yaml", REGISTRY, "cpu"), prepared).chains[1]
    stage(spec, cache / "stages", NULL_REPORTER)
    return StoredCandidate(spec, cache / "stages")


def judge_of(made: StoredCandidate) -> SelectionScorer:
    return SelectionScorer(made.spec, untrained(made.spec))


def test_a_candidate_has_the_weights_of_its_best_epoch_and_of_its_last(made):
    assert made.name == "seed 1"
    best = state_of(trained(made.spec, made.store))
    assert all(torch.equal(made.best()[name], each) for name, each in best.items())
    assert made.last().keys() == best.keys()


def test_performance_is_the_first_metric_of_the_selection(made):
    judge = judge_of(made)
    with fixed_numerics(1):
        height = judge.performance(made.best())
        worse = judge.performance({name: torch.zeros_like(each) for name, each in made.best().items()})
    assert 0 <= worse < height <= 100


def test_fisher_is_the_mean_square_of_the_gradients_of_single_queries(made):
    criterion = trained(made.spec, made.store).eval()
    split = made.spec.select
    labels = made.spec.recipe.training.targets.build()
    judge = judge_of(made)
    found = judge.fisher(made.best(), ["spans"])
    squares = []
    for place in range(len(split.queries)):
        batch, target = judge._split.training_batch(
            [place], labels=labels, augments=[], rng_of=visit_rngs(0, 0)
        )
        term = criterion.losses["spans"]
        encoded = criterion.model.encode(batch)
        prediction = criterion.model.decode(encoded)
        away = (prediction.tensors["span"][:, 0] - target.spans[:, 0]).abs().sum()
        (gradient,) = torch.autograd.grad(term.weight * away, [criterion.model.audio.weight])
        squares.append(gradient.double().square().numpy())
    assert found["model.audio.weight"].numpy() == pytest.approx(np.mean(squares, 0), rel=1e-6)
    assert not found["losses.frames.offset"].any(), "a loss that does not count has no say"
    assert set(found) == {name for name, _ in criterion.named_parameters()}


def test_a_loss_of_its_own_weights_counts_when_named(made):
    found = judge_of(made).fisher(made.best(), ["frames", "spans"])
    assert found["losses.frames.offset"] > 0


def test_fixed_are_the_tensors_that_training_does_not_move(made):
    judge = judge_of(made)
    judge.criterion.model.register_buffer("grid", torch.ones(2))
    judge.criterion.model.text.bias.requires_grad_(False)
    assert judge.fixed == {"model.grid", "model.text.bias"}
