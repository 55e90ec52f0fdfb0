"""The feed-forward part of long sequences on CPUs, a block of rows at a time.

The hidden rows of a block stay in the cache on their way through activation, dropout and the second map.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from amrbench_plugins.moment_detr.activations import of_blocks
from amrbench_plugins.moment_detr.masks import Masks

BLOCK = 768 * 1024
"""Hidden numbers in a block of rows."""


def blocked_feedforward(x: Tensor, up: nn.Linear, activation: nn.Module, down: nn.Linear, p: float) -> Tensor:
    """Return `down` of dropout, with probability p, of the activation of `up` of the rows.

    Args:
        x: (..., D).
        up: Has a bias, as does `down`.
        activation: Of each number on its own, the same whenever it is called.
        down: From the width of `up`.
        p: Probability of dropping a hidden number.
    """
    inputs = (x.reshape(-1, x.shape[-1]), up.weight, up.bias, down.weight, down.bias)
    learned = dict(activation.named_parameters())
    out = _BlockedFeedForward.apply(activation, tuple(learned), p, *inputs, *learned.values())  # type: ignore[no-untyped-call]
    return cast("Tensor", out).view(*x.shape[:-1], down.out_features)


class _BlockedFeedForward(torch.autograd.Function):
    """Keeps its inputs, the hidden rows, and the bits of the masks.

    The hidden rows are those before the activation, or those after activation and dropout if the activation
    works in place.
    """

    @staticmethod
    def forward(ctx: Any, activation: nn.Module, names: tuple[str, ...], p: float, *inputs: Tensor) -> Tensor:
        x, up, up_bias, down, down_bias, *learned = inputs
        masks, drawn, keeps = Masks(p) if p else None, [], any(ctx.needs_input_grad)
        scale = masks.scale if masks else 1.0
        activate = of_blocks(activation, dict(zip(names, learned, strict=True)))
        blocks = _blocks(x, up)
        hidden = x.new_empty(len(x) if keeps else _most(blocks), len(up))
        out = x.new_empty(len(x), len(down))
        room = None if activate.in_place else x.new_empty(_most(blocks), len(up))
        for some in blocks:
            before = hidden[some] if keeps else hidden[: _size(some)]
            torch.addmm(up_bias, x[some], up.t(), out=before)
            after = activate.value(before, before if room is None else room[: _size(some)])
            if masks:
                drawn.append(masks.draw(after.shape))
                drawn[-1].apply(after, after)
            torch.addmm(down_bias, after, down.t(), alpha=scale, out=out[some])
        ctx.save_for_backward(hidden, *inputs)
        ctx.activation, ctx.names, ctx.masks, ctx.scale = activation, names, drawn, scale
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Any) -> Any:
        hidden, x, up, up_bias, down, _, *learned = ctx.saved_tensors
        activate = of_blocks(ctx.activation, dict(zip(ctx.names, learned, strict=True)))
        of_x, of_up, of_bias, of_down = torch.empty_like(x), *map(torch.zeros_like, (up, up_bias, down))
        blocks = _blocks(x, up)
        rooms = x.new_empty(2, _most(blocks), len(up))
        for index, some in enumerate(blocks):
            kept, (of_after, room) = hidden[some], rooms[:, : _size(some)]
            given = gradients[0][some] * ctx.scale
            torch.mm(given, down, out=of_after)
            after = kept if activate.in_place else activate.value(kept, room)
            if ctx.masks:
                ctx.masks[index].apply(of_after, of_after)
                if not activate.in_place:
                    ctx.masks[index].apply(after, after)
            of_down.addmm_(given.t(), after)
            of_before = activate.gradient(kept, of_after, room)
            of_up.addmm_(of_before.t(), x[some])
            of_bias += of_before.sum(0)
            torch.mm(of_before, up, out=of_x[some])
        return None, None, None, of_x, of_up, of_bias, of_down, gradients[0].sum(0), *activate.learned


def _blocks(x: Tensor, up: Tensor) -> list[slice]:
    rows = max(1, BLOCK // len(up))
    return [slice(start, min(start + rows, len(x))) for start in range(0, len(x), rows)]


def _size(block: slice) -> int:
    return block.stop - block.start  # type: ignore[no-any-return]


def _most(blocks: list[slice]) -> int:
    return max(map(_size, blocks), default=0)
