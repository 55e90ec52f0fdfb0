from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.testing import assert_close

from amrbench.slots.blocks import BlockContext, Tokens, build_at, learned_tokens
from amrbench.types import BuildContext, FeatureWidths


def tokens(batch: int, count: int) -> Tokens:
    mask = torch.rand(batch, count) > 0.5
    return Tokens(torch.rand(batch, count, 4), torch.rand(batch, count, 4), mask)


def test_tokens_follow_others_in_each_sample() -> None:
    first, second = tokens(2, 3), tokens(2, 5)
    both = first.followed_by(second)
    for name in ("features", "positions", "mask"):
        assert_close(getattr(both, name)[:, :3], getattr(first, name))
        assert_close(getattr(both, name)[:, 3:], getattr(second, name))


def test_samples_are_stacked_into_one_batch() -> None:
    first, second = tokens(2, 3), tokens(4, 3)
    both = first.stacked_on(second)
    for name in ("features", "positions", "mask"):
        assert_close(getattr(both, name)[:2], getattr(first, name))
        assert_close(getattr(both, name)[2:], getattr(second, name))


def test_rolled_tokens_are_those_of_the_next_sample() -> None:
    before = tokens(3, 2)
    after = before.rolled()
    for name in ("features", "positions", "mask"):
        assert_close(getattr(after, name)[0], getattr(before, name)[1])
        assert_close(getattr(after, name)[2], getattr(before, name)[0])


def test_learned_tokens_are_real_and_equal_in_every_sample() -> None:
    rows, positions = torch.rand(3, 4), torch.rand(3, 4)
    learned = learned_tokens(rows, positions, 2)
    assert learned.mask.dtype == torch.bool
    assert learned.mask.all()
    for sample in range(2):
        assert_close(learned.features[sample], rows)
        assert_close(learned.positions[sample], positions)


@dataclass(frozen=True)
class Linear:
    """A part that builds a layer."""

    def build(self, context: BlockContext) -> nn.Linear:
        return nn.Linear(context.width, context.width)


def built(path: str, seed: int = 0) -> torch.Tensor:
    context = BlockContext(
        width=4,
        attention_heads=1,
        feedforward=8,
        dropout=0.0,
        activation=None,  # type: ignore[arg-type]
        initialise=lambda module: None,
        build=BuildContext(FeatureWidths(4, 4), seed=seed),
    )
    return build_at(Linear(), path, context).weight


def test_initial_weights_depend_on_seed_and_path_only() -> None:
    weight = built("fusion")
    torch.rand(5)
    assert_close(built("fusion"), weight)
    assert not torch.equal(built("decoder"), weight)
    assert not torch.equal(built("fusion", seed=1), weight)
