"""Periodic adaptive sharpness-aware minimisation (ASAM): report, section 3.3.

The report applies ASAM around AdamW "only once every several steps" and cites Kwon et al. 2021. From the
public code of that paper: rho 0.5, eta 0.01 and the rule which tensors are scaled. Our choices: a period of
5, since the report states none; all weights are restored bit by bit, from a copy; and both passes see the
same dropout masks, so that the two gradients differ by the move of the weights alone. The public code draws
new masks in the second pass. The recipes of the submissions begin after half of a stage: a few epochs of
sharpness-aware minimisation at the end give nearly the flatness of a whole training with it (Zhou et al.,
arXiv 2410.10373).

Tensors that are not scaled (biases, tokens, slopes) take most of the ball: with the first weights of `ours1`
they hold 0.7 per cent of all numbers and 87 to 89 per cent of the squared radius (three seeds, noise as
features); under the rule "matrices" they take 94 per cent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from amrbench.functional.arrays import norms, scale_
from amrbench.slots.optimizers import Updater
from amrbench.types import Losses

TINY = 1e-16
"""Added to the norm of the gradient, which may be zero."""

Closure = Callable[[], Losses]
Rule = Callable[[str, Tensor], bool]
"""Whether a tensor of this name is scaled."""

RULES: Mapping[str, Rule] = {
    "weights": lambda name, _: "weight" in name,
    "matrices": lambda _, tensor: tensor.ndim > 1,
    "all": lambda *_: True,
    "none": lambda *_: False,
}


class Ascent:
    """Moves weights to the worst point nearby, and back.

    With T = |theta| + eta for scaled tensors and T = 1 for the others, this point is
    theta + rho T^2 g / |T g|, where the norm is over all tensors: to first order the largest loss in a ball
    of radius rho around theta, in units of T. Multiplying the loss by a number does not move it.
    """

    def __init__(
        self, weights: Mapping[str, Tensor], *, rho: float, eta: float, rule: Rule, array: bool = False
    ) -> None:
        """With an `array` of models each has a ball, and a norm, of its own."""
        self.weights = list(weights.values())
        self.scaled = [rule(name, weight[0] if array else weight) for name, weight in weights.items()]
        self.rho, self.eta, self.array = rho, eta, array

    def gradients(self, total: Tensor) -> list[Tensor | None]:
        """Return the gradient of a loss for each weight, None where the loss does not depend on it."""
        return list(torch.autograd.grad(total.sum(), self.weights, allow_unused=True))

    @contextmanager
    def worst_point(self, gradients: Sequence[Tensor | None]) -> Iterator[None]:
        """Within this context the weights are at the worst point; afterwards bit by bit as before."""
        triples = zip(self.weights, self.scaled, gradients, strict=True)
        reached = [(weight, scaled, g) for weight, scaled, g in triples if g is not None]
        weights = [weight for weight, *_ in reached]
        originals = [weight.detach().clone() for weight in weights]
        with torch.no_grad():
            sizes = [w.abs() + self.eta if scaled else torch.ones_like(w) for w, scaled, _ in reached]
            scaled_gradients = torch._foreach_mul(sizes, [gradient for *_, gradient in reached])
            steps = torch._foreach_mul(sizes, scaled_gradients)
            if self.array:
                scale_(steps, self.rho / (norms(scaled_gradients) + TINY))
            else:
                norm = torch.stack(torch._foreach_norm(scaled_gradients)).norm() + TINY
                torch._foreach_mul_(steps, self.rho / norm)
            torch._foreach_add_(weights, steps)
        try:
            yield
        finally:
            with torch.no_grad():
                torch._foreach_copy_(weights, originals)


class _KnownGradient(torch.autograd.Function):
    """A loss whose gradient is known already."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, gradients: Sequence[Tensor], *weights: Tensor) -> Tensor:
        ctx.gradients = gradients
        return value.clone()

    @staticmethod
    def backward(ctx: Any, factor: Tensor) -> tuple[Tensor | None, ...]:
        return None, None, *(factor * gradient for gradient in ctx.gradients)


def forked_random_state(device: torch.device) -> AbstractContextManager[None]:
    """Return a context that leaves the random state of the CPU and of the device as it was."""
    return torch.random.fork_rng([device] if device.type == "cuda" else [])


class AsamUpdater(Updater):
    """Gives the updater around which it is the gradient at the worst point, once a period."""

    def __init__(
        self,
        ascent: Ascent,
        around: Updater,
        *,
        period: int,
        skipped: int,
        first_pass: Callable[[torch.device], AbstractContextManager[None]],
    ) -> None:
        """Take no such step among the first `skipped`; `first_pass` is the context of a first pass."""
        self.ascent = ascent
        self.around = around
        self.period, self.skipped = period, skipped
        self.first_pass = first_pass
        self.steps = 0

    @override
    def step(self, closure: Closure) -> Losses:
        self.steps += 1
        if self.steps % self.period or self.steps <= self.skipped:
            return self.around.step(closure)
        with self.first_pass(self.ascent.weights[0].device):
            losses = closure()
            gradients = self.ascent.gradients(losses.total)

        def at_worst_point() -> Losses:
            with self.ascent.worst_point(gradients):
                there = closure()
                # Now, because a backward pass after the restoration would read other weights.
                slopes = self.ascent.gradients(there.total)
            pairs = zip(self.ascent.weights, slopes, strict=True)
            reached = [(weight, slope) for weight, slope in pairs if slope is not None]
            weights, known = [weight for weight, _ in reached], [slope for _, slope in reached]
            total = _KnownGradient.apply(there.total.detach().sum(), known, *weights)  # type: ignore[no-untyped-call]
            return Losses(total, there.terms)

        self.around.step(at_worst_point)
        return losses

    @override
    def end_epoch(self) -> None:
        self.around.end_epoch()

    @override
    def state_dict(self) -> dict[str, Any]:
        return {"around": self.around.state_dict(), "steps": self.steps}

    @override
    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.around.load_state_dict(state["around"])
        self.steps = state["steps"]

    @override
    def eval_weights(self) -> AbstractContextManager[None]:
        return self.around.eval_weights()
