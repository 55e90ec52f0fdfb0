from __future__ import annotations

import torch
from torch import Tensor
from torch.testing import assert_close

from amrbench.functional.matched_pairs import log_odds, log_probs, matched_pairs, matched_queries
from amrbench.types import Batch, Outcome, Target

MATCHED = torch.tensor([[[2, 0], [1, -1]], [[0, 1], [-1, -1]]])  # (N, B, W)
SPANS = torch.rand(2, 2, 3, 2, generator=torch.Generator().manual_seed(0))  # (N, B, Q, 2)
TRUE = torch.tensor([[[0.2, 0.1], [0.6, 0.2]], [[0.5, 0.4], [0.0, 0.0]]])
MASK = torch.tensor([[True, True], [True, False]])


def outcome() -> Outcome:
    none = torch.zeros(0)
    target = Target(spans=TRUE, spans_mask=MASK, relevant=none, positives=none, negatives=none)
    return Outcome(Batch(none, none, none, none, none), target, {"spans": SPANS}, {}, MATCHED)


def test_true_spans_get_the_prediction_that_is_matched_to_them() -> None:
    pairs = matched_pairs(outcome())
    assert_close(pairs.predicted[0, 0, 0], SPANS[0, 0, 2])
    assert_close(pairs.predicted[1, 0, 1], SPANS[1, 0, 1])
    assert_close(pairs.true[MASK], TRUE[MASK])


def test_the_weights_of_the_pairs_of_a_layer_are_equal_and_sum_to_one() -> None:
    third, half = 1 / 3, 1 / 2
    assert_close(
        matched_pairs(outcome()).weight,
        torch.tensor([[[third, third], [third, 0.0]], [[half, half], [0.0, 0.0]]]),
    )


def test_padding_is_a_valid_span() -> None:
    assert matched_pairs(outcome()).true[1, 1].tolist() == [0.5, 0.5]


def test_only_matched_queries_are_marked() -> None:
    assert matched_queries(MATCHED, 3).tolist() == [
        [[True, False, True], [False, True, False]],
        [[True, True, False], [False, False, False]],
    ]


def odds(logits: Tensor) -> Tensor:
    probabilities = log_probs(logits).exp()
    return (probabilities[..., 0] / probabilities[..., 1]).log()


def test_one_logit_is_the_log_odds_and_two_are_compared() -> None:
    logits = torch.randn(4, 5, 2, generator=torch.Generator().manual_seed(1))
    assert_close(log_odds(logits), odds(logits))
    assert_close(log_odds(logits[..., :1]), odds(logits[..., :1]))
    assert_close(log_odds(logits[..., :1]), logits[..., 0])
    assert_close(log_probs(logits).exp().sum(-1), torch.ones(4, 5))
