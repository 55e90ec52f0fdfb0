"""The step that is captured as CUDA graphs."""

from __future__ import annotations

import pytest
import torch

from benchmarks import ours
from benchmarks.captured_step import StaticStep, captured_step
from benchmarks.problems import problem


def test_its_parts_take_the_step_that_training_takes() -> None:
    given, recipe = problem(2, 30), ours.shipped_recipe()
    criteria = [ours.criterion_of(recipe) for _ in range(2)]
    static = StaticStep(criteria[0], given.batch, given.target, clip=recipe.training.clip)
    for step in (static.eager, ours.step_of(recipe, criteria[1], given)):
        torch.manual_seed(0)
        step()
        step()
    start = ours.criterion_of(recipe).state_dict()
    for own, others in zip(*(criterion.state_dict().items() for criterion in criteria), strict=True):
        torch.testing.assert_close(own[1], others[1])
    changed = [name for name, value in criteria[0].state_dict().items() if not value.equal(start[name])]
    assert len(changed) > 200


def test_without_a_gpu_there_are_no_graphs() -> None:
    given, criterion = problem(2, 30), ours.criterion_of(ours.shipped_recipe())
    with pytest.raises(RuntimeError, match="graphs need a GPU"):
        captured_step(StaticStep(criterion, given.batch, given.target, clip=0.1))


def test_in_half_precision_the_spans_are_close() -> None:
    given, recipe = problem(2, 30), ours.shipped_recipe()
    criterion = ours.criterion_of(recipe).eval()
    step = StaticStep(criterion, given.batch, given.target, clip=0.0, half=True)
    exact = StaticStep(criterion, given.batch, given.target, clip=0.0)
    difference = (step.tensors["spans"].float() - exact.tensors["spans"]).abs().max()
    assert 0 < float(difference.detach()) < 0.2  # Weights are random.
