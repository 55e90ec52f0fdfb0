"""Periodic ASAM equals the recorded steps, and restores the weights bit by bit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from amrbench.registry import Registry
from amrbench.slots.optimizers import Updater
from amrbench.testing import check_part
from amrbench.types import Losses, TrainingLength
from amrbench_plugins import optimizers
from amrbench_plugins.optimizers.parts import AdamW, Ema
from amrbench_plugins.ours.asam import RULES, Ascent
from amrbench_plugins.ours.training_parts import PeriodicAsam, PeriodicAsamFreshDropout
from tests.folders import DATA

GOLDEN = {
    name: torch.from_numpy(np.asarray(value))
    for name, value in np.load(DATA / "components" / "asam.npz").items()
}
NAMES = tuple(name.removeprefix("init/") for name in GOLDEN if name.startswith("init/"))
ADAMW = AdamW(lr=1e-2, weight_decay=1e-2)


class Recorded(nn.Module):
    """The small network of the recorded steps."""

    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.zeros(4))
        self.lin1, self.norm, self.lin2 = nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 2)
        self.double().load_state_dict({name: GOLDEN[f"init/{name}"] for name in NAMES})
        self.seen: list[dict[str, Tensor]] = []
        self.drop = nn.Dropout(0.0)

    def losses(self, step: int = 0, factor: float = 1.0) -> Losses:
        self.seen.append({name: weight.detach().clone() for name, weight in self.named_parameters()})
        x = self.norm(self.lin1(GOLDEN["X"][step])) + self.token
        total = factor * (self.lin2(self.drop(torch.tanh(x))) - GOLDEN["Y"][step]).square().mean()
        return Losses(total, {"square": total.detach()})


def updater_of(module: nn.Module, *, clip: float = 0.0, around: Any = ADAMW, **options: Any) -> Updater:
    return PeriodicAsam(around=around, **options).build(module, TrainingLength(1, 100, clip))


def same(tensors: dict[str, Tensor], case: str) -> None:
    for name in NAMES:
        assert_close(tensors[name].detach(), GOLDEN[f"{case}/{name}"], rtol=1e-10, atol=1e-12, msg=name)


@pytest.mark.parametrize(
    ("case", "options"),
    [
        ("asam_rho0.5_eta0.01", {}),
        ("asam_rho0.5_eta0", {"eta": 0.0}),
        ("asam_rho0.5_eta0.01_clip0.1", {"clip": 0.1}),
        ("sam_rho0.05", {"scaled": "none", "rho": 0.05}),
    ],
)
def test_a_step_equals_the_recorded_one(case, options):
    module = Recorded()
    updater = updater_of(module, period=1, **options)
    losses = updater.step(module.losses)
    assert losses.total.item() == pytest.approx(GOLDEN[f"{case}/loss1"].item(), rel=1e-12)
    same(module.seen[0], "init")
    same(module.seen[1], f"{case}/perturbed")
    assert len(module.seen) == 2
    if "clip" not in options:
        same({name: weight.grad for name, weight in module.named_parameters()}, f"{case}/grad2")
    same(dict(module.named_parameters()), f"{case}/final")


def test_scaling_all_tensors_equals_the_recorded_step_of_another_code():
    case, module = "davda_adaptive_rho0.5", Recorded()
    updater_of(module, period=1, scaled="all", eta=0.0).step(module.losses)
    same(module.seen[1], f"{case}/perturbed")
    same(dict(module.named_parameters()), f"{case}/final")


def test_steps_equal_the_recorded_ones_of_a_period_of_three():
    module = Recorded()
    updater = updater_of(module, period=3)
    for step in range(8):
        before = len(module.seen)
        updater.step(lambda step=step: module.losses(step))
        assert len(module.seen) - before == (2 if step in {2, 5} else 1)
        same(dict(module.named_parameters()), f"periodic3/step{step}")


MATRICES = {"lin1.weight", "lin2.weight"}
SIZED = {"weights": MATRICES | {"norm.weight"}, "matrices": MATRICES, "all": set(NAMES), "none": set()}


@pytest.mark.parametrize("rule", RULES)
def test_the_worst_point_is_on_the_surface_of_the_ball(rule):
    module = Recorded()
    weights = dict(module.named_parameters())
    ascent = Ascent(weights, rho=0.5, eta=0.01, rule=RULES[rule])
    gradients = ascent.gradients(module.losses().total)
    before = {name: weight.detach().clone() for name, weight in weights.items()}
    with ascent.worst_point(gradients):
        square = torch.zeros((), dtype=torch.float64)
        for name, weight in weights.items():
            size = before[name].abs() + 0.01 if name in SIZED[rule] else 1.0
            square += ((weight.detach() - before[name]) / size).square().sum()
        assert square.sqrt().item() == pytest.approx(0.5, rel=1e-10)
        assert module.losses().total > 0
    assert all(torch.equal(weight, before[name]) for name, weight in weights.items())


@pytest.mark.parametrize("array", [False, True])
def test_a_gradient_of_zero_moves_no_weight(array):
    weight = torch.tensor([[1.0, -2.0], [3.0, 0.0]])
    ascent = Ascent({"weight": weight}, rho=0.5, eta=0.01, rule=RULES["weights"], array=array)
    with ascent.worst_point([torch.zeros(2, 2)]):
        assert weight.tolist() == [[1, -2], [3, 0]]


def test_the_matrices_of_an_array_are_those_of_each_model():
    weights = {"map.weight": torch.ones(2, 3, 3), "map.bias": torch.ones(2, 3)}
    ascent = Ascent(weights, rho=0.5, eta=0.01, rule=RULES["matrices"], array=True)
    assert ascent.scaled == [True, False]


def test_multiplying_the_loss_does_not_move_the_worst_point():
    seen = []
    for factor in (1.0, 1e-3, 250.0):
        module = Recorded()
        updater_of(module, period=1).step(lambda m=module, f=factor: m.losses(0, f))
        seen.append(module.seen[1])
    for name in NAMES:
        for other in seen[1:]:
            assert_close(other[name], seen[0][name], rtol=1e-10, atol=1e-12)


def test_the_loss_there_is_higher():
    for step in range(8):
        module = Recorded()
        totals: list[float] = []

        def noted(step: int = step, m: Recorded = module, totals: list[float] = totals) -> Losses:
            losses = m.losses(step)
            totals.append(losses.total.item())
            return losses

        updater_of(module, period=1, rho=0.05).step(noted)
        assert totals[1] > totals[0]


def trajectory(build: Callable[[nn.Module], Updater], *, drop: float, steps: int = 7) -> list[Tensor]:
    """The weights after some steps with dropout drawn from one seed."""
    module = Recorded()
    module.drop.p = drop
    torch.manual_seed(3)
    updater = build(module)
    for step in range(steps):
        updater.step(lambda step=step: module.losses(step))
    return [weight.detach() for weight in module.parameters()]


@pytest.mark.parametrize("options", [{"period": 1000}, {"period": 1, "rho": 0.0}])
def test_without_ascent_it_is_the_wrapped_optimizer_bit_by_bit(options):
    plain = trajectory(lambda module: ADAMW.build(module, TrainingLength(1, 100, 0.1)), drop=0.5)
    ours = trajectory(lambda module: updater_of(module, clip=0.1, **options), drop=0.5)
    assert all(torch.equal(a, b) for a, b in zip(plain, ours, strict=True))


def drawn_in_steps(part: type[PeriodicAsam | PeriodicAsamFreshDropout]) -> list[Tensor]:
    """The random numbers of the passes of four steps, with an ascent in each second step."""
    module, drawn = Recorded(), []

    def noted() -> Losses:
        drawn.append(torch.rand(3))
        return module.losses()

    torch.manual_seed(0)
    updater = part(around=ADAMW, period=2).build(module, TrainingLength(1, 100, 0.0))
    for _ in range(4):
        updater.step(noted)
    return drawn


@pytest.mark.parametrize(
    ("start", "period", "double"),
    [(0.0, 2, [2, 4, 6, 8, 10]), (0.5, 2, [6, 8, 10]), (0.55, 3, [9]), (1, 1, [])],
)
def test_it_may_begin_after_a_part_of_the_stage(start, period, double):
    module = Recorded()
    updater = PeriodicAsam(around=ADAMW, period=period, start=start).build(module, TrainingLength(2, 5, 0.0))
    passes = []
    for _ in range(10):
        before = len(module.seen)
        updater.step(module.losses)
        passes.append(len(module.seen) - before)
    assert [step for step, count in enumerate(passes, 1) if count == 2] == double
    assert set(passes) <= {1, 2}


def test_the_passes_of_a_step_may_draw_separately():
    torch.manual_seed(0)
    expected = [torch.rand(3) for _ in range(6)]
    drawn = drawn_in_steps(PeriodicAsamFreshDropout)
    assert all(torch.equal(a, b) for a, b in zip(drawn, expected, strict=True))


def test_both_passes_of_a_step_draw_the_same_numbers():
    drawn = drawn_in_steps(PeriodicAsam)
    assert len(drawn) == 6
    pairs = [(1, 2), (4, 5)]
    assert all(torch.equal(drawn[a], drawn[b]) for a, b in pairs)
    others = [drawn[index] for index in (0, 1, 3, 4)]
    assert len({tuple(numbers.tolist()) for numbers in others}) == 4


class Partial(nn.Module):
    """A loss that depends on one weight at first and on another one afterwards."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([1.0, 2.0]))
        self.other = nn.Parameter(torch.tensor([3.0]))
        self.idle = nn.Parameter(torch.tensor([4.0]))
        self.calls = 0

    def losses(self) -> Losses:
        self.calls += 1
        used = self.weight if self.calls == 1 else self.other
        total = used.square().sum()
        return Losses(total, {"square": total.detach()})


def test_weights_that_the_second_loss_does_not_depend_on_are_restored_too():
    module = Partial()
    updater_of(module, period=1, around=AdamW(lr=1e-2, weight_decay=0.5)).step(module.losses)
    assert module.weight.tolist() == [1.0, 2.0], "neither left at the worst point nor decayed"
    assert module.other.item() != 3.0
    assert module.idle.item() == 4.0


def test_weights_are_restored_after_an_error():
    module = Recorded()

    def fails() -> Losses:
        if len(module.seen) == 1:
            raise KeyError
        return module.losses()

    with pytest.raises(KeyError):
        updater_of(module, period=1).step(fails)
    same(dict(module.named_parameters()), "init")


class Scaled(nn.Module):
    """Two linear maps in a row, one c times as large and the other c times as small."""

    def __init__(self, c: float) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(5)
        self.weight1 = nn.Parameter(c * torch.randn(4, 3, generator=generator, dtype=torch.float64))
        self.weight2 = nn.Parameter(torch.randn(2, 4, generator=generator, dtype=torch.float64) / c)
        self.totals: list[float] = []

    def losses(self) -> Losses:
        total = (GOLDEN["X"][0] @ self.weight1.T @ self.weight2.T - GOLDEN["Y"][0]).square().mean()
        self.totals.append(total.item())
        return Losses(total, {"square": total.detach()})


def test_scaling_weights_against_each_other_leaves_the_loss_at_the_worst_point():
    totals = []
    for c in (1.0, 7.0, 0.01):
        module = Scaled(c)
        updater_of(module, period=1, eta=0.0).step(module.losses)
        totals.append(module.totals)
    assert totals[1] == pytest.approx(totals[0], rel=1e-9)
    assert totals[2] == pytest.approx(totals[0], rel=1e-9)


def test_it_wraps_any_optimizer_and_is_wrapped():
    module = Recorded()
    inside = updater_of(module, period=2, around=Ema(around=ADAMW, start=0.0))
    outside = Ema(around=PeriodicAsam(around=ADAMW, period=2), start=0.0)
    other = Recorded()
    second = outside.build(other, TrainingLength(1, 100, 0.0))
    for step in range(4):
        inside.step(lambda step=step: module.losses(step))
        second.step(lambda step=step: other.losses(step))
    inside.end_epoch()
    second.end_epoch()
    with inside.eval_weights(), second.eval_weights():
        for one, two in zip(module.parameters(), other.parameters(), strict=True):
            assert torch.equal(one, two)
            assert one.detach().isfinite().all()


def test_the_part_keeps_the_contract():
    registry = Registry.of(*optimizers.amrbench_parts(), PeriodicAsam, PeriodicAsamFreshDropout)
    check_part(PeriodicAsam(around=ADAMW), registry)
    check_part(PeriodicAsam(around=ADAMW, period=1, rho=0.05), registry)
    check_part(PeriodicAsam(around=ADAMW, scaled="none"), registry)
    check_part(PeriodicAsamFreshDropout(around=ADAMW), registry)
