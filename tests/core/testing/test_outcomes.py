import pytest
import torch

from amrbench.registry import Registry
from amrbench.testing.model import build_model
from amrbench.testing.outcomes import leaves, outcome_of, provider_of, rows_of_outcome
from amrbench.testing.small_data import ContractFixture, make_batch, make_target
from tests.small_world.parts import REGISTRY, match_first

FIXTURE = ContractFixture(REGISTRY)


@pytest.fixture(scope="module")
def outcome():
    model, batch = build_model(provider_of(frozenset(), FIXTURE, "x")), make_batch()
    return outcome_of(model, match_first, batch, make_target(batch), frozenset({"rolled"}))


def test_a_model_is_chosen_by_what_it_provides():
    assert provider_of(frozenset({"span"}), FIXTURE, "x", frozenset({"rolled"})).use == "toy"
    with pytest.raises(AssertionError, match="^x: it requires nothing, which no model here provides"):
        provider_of(frozenset(), ContractFixture(Registry.of()), "x")


def test_tensors_collect_gradients_and_integers_do_not(outcome):
    assert all(tensor.requires_grad for tensor in outcome.tensors.values())
    assert not leaves({"n": torch.tensor([1])})["n"].requires_grad


def test_rows_are_chosen_in_all_that_has_a_batch(outcome):
    rows = [2, 0, 2]
    chosen = rows_of_outcome(outcome, {"similarity": "B T", "span": "B Q 2", "score": "B Q"}, rows)
    assert torch.equal(chosen.tensors["similarity"], outcome.tensors["similarity"][rows])
    assert torch.equal(chosen.views["rolled"]["similarity"], outcome.views["rolled"]["similarity"][rows])
    assert torch.equal(chosen.matched, outcome.matched[:, rows])
    assert torch.equal(chosen.batch.audio, outcome.batch.audio[rows])
    assert torch.equal(chosen.target.spans, outcome.target.spans[rows])


def test_what_has_no_batch_stays(outcome):
    chosen = rows_of_outcome(outcome, {"similarity": "P T", "span": "B Q 2", "score": "B Q"}, [1])
    assert torch.equal(chosen.tensors["similarity"], outcome.tensors["similarity"])
