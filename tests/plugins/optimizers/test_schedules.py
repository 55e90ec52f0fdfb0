"""Schedules equal the recorded learning rates and their formulas."""

import json
import math

import pytest

from amrbench.types import TrainingLength
from amrbench_plugins.optimizers.parts import Constant, Cosine, Step
from tests.folders import DATA

GOLDEN = json.loads((DATA / "components/lr_schedule.json").read_text())
EPOCHS = TrainingLength(epochs=200, steps_per_epoch=1, clip=0.1)


def test_cosine_gives_the_recorded_learning_rates():
    factor = Cosine(warmup=0.05, floor=0.01).build(EPOCHS)
    rates = [GOLDEN["base_lr"] * factor(epoch) for epoch in range(200)]
    assert rates == pytest.approx(GOLDEN["lr_used_in_epoch"], abs=1e-18, rel=1e-12)


def test_the_unit_is_the_step_and_lengths_are_fractions_of_the_stage():
    long = Cosine().build(TrainingLength(epochs=20, steps_per_epoch=10, clip=0))
    assert [long(step) for step in range(200)] == [Cosine().build(EPOCHS)(step) for step in range(200)]


def test_warmup_ends_where_the_schedule_begins():
    factor = Cosine(warmup=0.1).build(EPOCHS)
    assert factor(0) == pytest.approx(0.01)
    assert factor(10) == pytest.approx(0.505)
    assert factor(20) == 1


def test_cosine_without_warmup_starts_at_the_full_rate():
    factor = Cosine(warmup=0, floor=0.0).build(EPOCHS)
    assert factor(0) == 1
    assert factor(100) == pytest.approx(0.5)
    assert factor(199) == pytest.approx((1 + math.cos(math.pi * 199 / 200)) / 2)


def test_a_warmup_as_long_as_the_stage_still_gives_a_rate():
    assert Cosine(warmup=1.0).build(EPOCHS)(200) == 1


def test_constant_is_1_after_an_optional_warm_up():
    assert {Constant().build(EPOCHS)(step) for step in range(200)} == {1}
    assert Constant(warmup=0.5).build(EPOCHS)(50) == pytest.approx(0.505)


def test_step_drops_at_each_fraction():
    factor = Step(at=(0.5, 0.75), factor=0.1).build(EPOCHS)
    rates = [factor(step) for step in (0, 99, 100, 149, 150, 199)]
    assert rates == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])


def test_steps_may_follow_a_warm_up():
    factor = Step(at=(0.8,), warmup=0.5).build(EPOCHS)
    assert [factor(step) for step in (0, 50, 100, 160)] == pytest.approx([0.01, 0.505, 1, 0.1])
