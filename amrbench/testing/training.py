"""The contracts of matchers, optimizers and schedules."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

import torch
from torch import Tensor, nn

from amrbench.files.tree_file import read_tree, write_tree
from amrbench.part import Part
from amrbench.slots.matcher import MatcherPart
from amrbench.slots.model import ModelPart
from amrbench.slots.optimizers import OptimizerPart, SchedulePart, Updater
from amrbench.testing.model import build_model
from amrbench.testing.outcomes import declared, outcome_of, provider_of
from amrbench.testing.small_data import (
    ContractFixture,
    expect,
    make_batch,
    make_target,
    pad_batch,
    pad_target,
    pick_rows,
)
from amrbench.testing.unchanged import unchanged
from amrbench.types import Losses, Tensors, TrainingLength


def check_matcher(part: Part, fixture: ContractFixture) -> None:
    """Check the matched queries: range, none twice, and that padding, batch and calls change nothing."""
    who, part = f"matcher {part.use!r}", cast("MatcherPart", part)
    provider = provider_of(part.requires, fixture, who)
    model, matcher = build_model(provider), part.build()
    batch = make_batch()
    target = make_target(batch)
    outcome = outcome_of(model, matcher, batch, target)
    matcher(declared(outcome.tensors, part.requires, who), target)
    with unchanged(who, tensors=outcome.tensors, target=target):
        matched, mask = matcher(outcome.tensors, target), target.spans_mask
    again = isinstance(matched, Tensor) and torch.equal(outcome.matched, matched)
    expect(again, f"{who}: calling it again changes its matches. Keep no state.")
    size = _queries(provider, outcome.tensors)
    expect(
        matched.shape[1:] == mask.shape and not matched.is_floating_point(),
        f"{who}: it returns {matched.dtype} of {tuple(matched.shape)}, not integers (N, B, W).",
    )
    expect(bool((matched[:, ~mask] == -1).all()), f"{who}: it matches padded spans; give -1 there.")
    real = [layer[row][mask[row]] for layer in matched for row in range(len(mask))]  # of each layer and row
    in_range = all(bool(((queries >= 0) & (queries < size)).all()) for queries in real)
    known = f"one of 0 to {size - 1}" if size else "there: the model has no queries, so return (0, B, W)"
    expect(in_range, f"{who}: a matched query is not {known}.")
    unique = all(len(queries.unique()) == len(queries) for queries in real)
    expect(unique, f"{who}: it matches one query to two spans.")
    padded = matcher(outcome.tensors, pad_target(target, windows=2))
    expect(torch.equal(padded[..., : mask.shape[1]], matched), f"{who}: padded spans change its matches.")
    wide = outcome_of(model, matcher, pad_batch(batch, frames=5, words=2), pad_target(target, frames=5))
    expect(torch.equal(wide.matched, matched), f"{who}: extra padding changes its matches.")
    for cause, rows in (("the order of the queries", [2, 0, 3, 1]), ("the rest of the batch", [1])):
        other = outcome_of(model, matcher, pick_rows(batch, rows), pick_rows(target, rows)).matched
        expect(torch.equal(other, matched[:, rows]), f"{who}: {cause} changes its matches.")


def _queries(model: ModelPart, tensors: Tensors) -> int:
    """Return the number of decoder queries of a model; 0 if it has none."""
    axes = {name: model.provides[name].split() for name in tensors}
    return next((tensors[name].shape[own.index("Q")] for name, own in axes.items() if "Q" in own), 0)


class _Quadratic(nn.Module):
    """A quadratic of one weight; another is not read by the loss, and a third is frozen."""

    def __init__(self, factors: float | Sequence[float] = 1.0) -> None:
        """Multiply the first weight by a number; a sequence of them makes an array of models."""
        super().__init__()
        factor = torch.tensor(factors)
        self.moved = nn.Parameter(factor[..., None, None] * torch.linspace(-0.05, 0.05, 6).view(2, 3))
        self.idle = nn.Parameter(torch.ones(*factor.shape, 2))
        self.frozen = nn.Parameter(torch.ones(*factor.shape, 2), requires_grad=False)

    def losses(self) -> Losses:
        total = (self.moved - torch.tensor([0.2, -0.1, 0.3])).square().sum((-2, -1))
        return Losses(total, {"quadratic": total.detach()})


def check_optimizer(part: Part, fixture: ContractFixture) -> None:
    """Check that it lowers a loss, restores weights after `eval_weights`, and repeats itself bit by bit."""
    who, part = f"optimizer {part.use!r}", cast("OptimizerPart", part)
    start = _Quadratic()
    (first, scored), (second, _) = _minimized(part, who), _minimized(part, who)
    expect(bool(first.losses().total < start.losses().total), f"{who}: 60 steps do not lower a quadratic.")
    same = all(
        torch.equal(a, b)
        for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    )
    expect(same, f"{who}: the same steps give other bits the second time.")
    expect(torch.equal(first.frozen, start.frozen), f"{who}: it moves a frozen weight.")
    cause = f"{who}: with the state_dict of half of the steps, the other half gives other"
    resumed = zip(
        _resumed(part), (_weights(first), scored), ("weights", "weights in eval_weights"), strict=True
    )
    for again, weights, what in resumed:
        same = all(torch.equal(a, b) for a, b in zip(again, weights, strict=True))
        expect(same, f"{cause} {what}. Save all that the next steps read.")
    if part.updates_arrays:
        _check_array(part, who)


def _check_array(part: OptimizerPart, who: str) -> None:
    """Check that models that are updated at once are after some steps where each is alone."""
    factors = (1.0, -3.0, 20.0)
    together = _after_steps(part, _Quadratic(factors), array=True)
    for number, factor in enumerate(factors):
        alone = _after_steps(part, _Quadratic(factor), array=False)
        for name, weight in alone.items():
            close = torch.allclose(together[name][number], weight, rtol=1e-4, atol=1e-6)
            expect(close, f"{who}: in an array of models, {name!r} is not what it is for a model alone.")


def _after_steps(part: OptimizerPart, module: _Quadratic, *, array: bool) -> dict[str, Tensor]:
    """Return the weights that would be scored after two epochs."""
    updater = part.build(module, TrainingLength(epochs=2, steps_per_epoch=8, clip=1.0, array=array))
    for _ in range(2):
        for _ in range(8):
            updater.step(module.losses)
        updater.end_epoch()
    with updater.eval_weights():
        return {name: weight.detach().clone() for name, weight in module.named_parameters()}


def _resumed(part: OptimizerPart) -> tuple[list[Tensor], list[Tensor]]:
    """Return the weights of `_minimized`, trained and scored, where another updater goes on in an epoch."""
    torch.manual_seed(0)
    length = TrainingLength(epochs=6, steps_per_epoch=10, clip=1.0)
    module, other = _Quadratic(), _Quadratic()
    updater = part.build(module, length)
    _take_steps(updater, module, range(33))
    with TemporaryDirectory() as folder:
        file = Path(folder) / "state.safetensors"
        write_tree(file, [module.state_dict(), updater.state_dict()])
        weights, state = read_tree(file)
    other.load_state_dict(weights)
    updater = part.build(other, length)
    updater.load_state_dict(state)
    _take_steps(updater, other, range(33, 60))
    trained = _weights(other)
    with updater.eval_weights():  # An average is seen nowhere else.
        return trained, _weights(other)


def _weights(module: nn.Module) -> list[Tensor]:
    return [weight.clone() for weight in module.state_dict().values()]


def _take_steps(updater: Updater, module: _Quadratic, steps: range) -> None:
    for step in steps:
        updater.step(module.losses)
        if step % 10 == 9:
            updater.end_epoch()


def _minimized(part: OptimizerPart, who: str) -> tuple[_Quadratic, list[Tensor]]:
    """Return the module after 60 steps, and the weights that would be scored then."""
    torch.manual_seed(0)
    module = _Quadratic()
    updater = part.build(module, TrainingLength(epochs=6, steps_per_epoch=10, clip=1.0))
    for step in range(60):
        before = module.losses().total.detach()
        after = updater.step(module.losses).total.detach()
        expect(
            torch.equal(after, before), f"{who}: step {step} does not return the losses of its first call."
        )
        if step % 10 == 9:
            updater.end_epoch()
    trained = {name: weight.clone() for name, weight in module.state_dict().items()}
    with updater.eval_weights():
        total, scored = module.losses().total, _weights(module)
    restored = all(torch.equal(weight, trained[name]) for name, weight in module.state_dict().items())
    expect(restored, f"{who}: after eval_weights the weights are not what they were before.")
    expect(bool(total < _Quadratic().losses().total), f"{who}: its eval_weights do not lower a quadratic.")
    return module, scored


def check_schedule(part: Part, fixture: ContractFixture) -> None:
    """Check that factors are in [0, 1], not all 0, and depend on the step alone, in short and long stages."""
    who, part = f"schedule {part.use!r}", cast("SchedulePart", part)
    for epochs, steps in ((1, 1), (3, 2), (10, 20)):
        factor = part.build(TrainingLength(epochs=epochs, steps_per_epoch=steps, clip=0.1))
        values = [factor(step) for step in range(epochs * steps + 1)]
        wrong = [value for value in values if not 0 <= value <= 1 + 1e-9]
        length = f"in {epochs} epochs of {steps} steps"
        expect(not wrong, f"{who}: {length} a factor is {wrong[:1]}, not in [0, 1].")
        expect(any(value > 0 for value in values), f"{who}: {length} all factors are 0.")
        again = [factor(step) for step in reversed(range(epochs * steps + 1))]
        expect(again[::-1] == values, f"{who}: its factors depend on earlier calls.")
