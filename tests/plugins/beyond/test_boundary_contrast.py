"""The contrast at boundaries in cases that can be worked out, and against its plain twin."""

import math

import pytest
import torch
from torch.nn import functional

from amrbench.registry import Registry
from amrbench.testing import CONTEXT, check_part
from amrbench.types import Batch, Outcome, Target
from amrbench_plugins.beyond.boundary_contrast import boundary_contrast
from amrbench_plugins.beyond.parts import BoundaryContrast
from amrbench_plugins.frame_models.parts import FrameNetwork, NoMatcher

EAST, NORTH = (1.0, 0.0), (0.0, 1.0)


def contrast(rows, relevant, real=None, temperature=1.0):
    memory = torch.tensor([rows])
    flags = torch.tensor([[bool(flag) for flag in relevant]])
    mask = torch.ones_like(flags) if real is None else torch.tensor([[bool(flag) for flag in real]])
    return boundary_contrast(memory, flags, mask, temperature).item()


def test_frames_that_are_alike_cost_log_2():
    assert contrast([EAST] * 5, [0, 1, 1, 0, 0]) == pytest.approx(math.log(2))


def test_frames_that_differ_by_a_right_angle():
    expected = math.log(1 + math.exp(-1 / 0.5))
    rows = [NORTH, EAST, EAST, NORTH, EAST]
    assert contrast(rows, [0, 1, 1, 0, 0], temperature=0.5) == pytest.approx(expected)


def test_the_mean_is_over_boundaries():
    good, bad = math.log(1 + math.exp(-1)), math.log(2)
    assert contrast([NORTH, EAST, EAST, EAST], [0, 1, 1, 0]) == pytest.approx((good + bad) / 2)


def test_lengths_of_rows_do_not_count():
    rows = torch.tensor([NORTH, EAST, EAST, NORTH])
    scaled = (rows * torch.tensor([[3.0], [0.1], [20.0], [7.0]])).tolist()
    assert contrast(scaled, [0, 1, 1, 0]) == pytest.approx(contrast(rows.tolist(), [0, 1, 1, 0]))


def test_the_ends_of_a_recording_are_no_boundaries():
    rows = [EAST, EAST, NORTH, NORTH]
    assert contrast(rows, [1, 1, 1, 1]) == 0
    assert contrast(rows, [0, 0, 0, 0]) == 0
    assert contrast(rows, [1, 1, 0, 0], real=[1, 1, 0, 0]) == 0


def by_hand(memory, relevant, real, temperature):
    losses = []
    for rows, inside, count in zip(memory, relevant.tolist(), real.sum(1).tolist(), strict=True):
        frames = [row / row.norm() for row in rows[:count]]
        chosen = [frame for frame, flag in zip(frames, inside, strict=False) if flag]
        terms = []
        for left in range(count - 1):
            if inside[left] != inside[left + 1]:
                mean = sum(chosen) / len(chosen)
                mean = mean / mean.norm()
                near, far = (left, left + 1) if inside[left] else (left + 1, left)
                terms.append(functional.softplus((frames[far] @ mean - frames[near] @ mean) / temperature))
        losses.append(sum(terms) / len(terms) if terms else torch.tensor(0.0))
    return torch.stack(losses)


@pytest.mark.parametrize("seed", range(5))
def test_it_equals_its_plain_twin(seed):
    generator = torch.Generator().manual_seed(seed)
    memory = torch.randn(6, 11, 4, generator=generator)
    real = torch.arange(11) < torch.randint(1, 12, (6, 1), generator=generator)
    relevant = (torch.rand(6, 11, generator=generator) < 0.5) & real
    found = boundary_contrast(memory, relevant, real, 0.3)
    torch.testing.assert_close(found, by_hand(memory, relevant, real, 0.3))


def test_the_term_is_the_weighted_mean_over_queries():
    memory, real = torch.randn(2, 6, 3), torch.ones(2, 6, dtype=torch.bool)
    relevant = torch.tensor([[0, 1, 1, 0, 0, 0], [0, 0, 0, 0, 0, 0]]).bool()
    none = torch.zeros(2, 0, dtype=torch.long)
    outcome = Outcome(
        Batch(torch.zeros(2, 6, 1), real, torch.zeros(2, 1, 1), real[:, :1], torch.arange(2)),
        Target(torch.zeros(2, 1, 2), real[:, :1], relevant, none, none),
        {"memory": memory},
        {},
        torch.zeros(0, 2, 1, dtype=torch.long),
    )
    term = BoundaryContrast(weight=3, temperature=0.3).build(CONTEXT)(outcome)["boundary-contrast"]
    torch.testing.assert_close(term, 3 * by_hand(memory, relevant, real, 0.3).sum() / 2)
    assert BoundaryContrast().weight == 0.005


def test_it_keeps_the_contract():
    check_part(BoundaryContrast(), Registry.of(BoundaryContrast, FrameNetwork, NoMatcher))
