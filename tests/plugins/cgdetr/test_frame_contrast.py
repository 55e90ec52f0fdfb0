"""Terms of the losses of saliency: weights of the samples. The losses' tests compare their values."""

from __future__ import annotations

import pytest
import torch

from amrbench_plugins.cgdetr.frame_contrast import SampleWeights


@pytest.mark.parametrize(
    ("differs", "mismatched", "alone"),
    [
        ([True, True, True], [1 / 3] * 3, [0, 0, 0]),
        ([False, False, False], [0, 0, 0], [1 / 3] * 3),
        ([True, False, True], [0.5, 0, 0.5], [0, 0, 0]),
        ([True, False, False], [1, 0, 0], [0, 0.5, 0.5]),
        ([False], [0], [1]),
    ],
)
def test_samples_have_the_weights_of_the_reference(
    differs: list[bool], mismatched: list[float], alone: list[float]
) -> None:
    weights = SampleWeights.of(torch.tensor(differs), ranks_rest=True)
    assert weights.mismatched.tolist() == pytest.approx(mismatched)
    assert weights.alone.tolist() == pytest.approx(alone)


def test_attention_ranks_no_samples_alone_if_others_are_ranked_with_their_view() -> None:
    assert not SampleWeights.of(torch.tensor([True, False, False]), ranks_rest=False).alone.any()
    assert SampleWeights.of(torch.tensor([False, False]), ranks_rest=False).alone.tolist() == [0.5, 0.5]
