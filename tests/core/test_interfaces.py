from functools import partial
from typing import Protocol

import pytest
import torch
from torch import nn

from amrbench.interfaces import (
    InterfaceError,
    ResultError,
    brief,
    check_results,
    checked_result,
    interface_fault,
    part_that_built,
    with_article,
)
from amrbench.part import Part


class Oven(Protocol):
    """Bakes."""

    heat: float

    def bake(self, bread, minutes=10):
        """Return it baked."""


class Good:
    heat = 200.0

    def bake(self, bread, minutes=5):
        return bread


class WithoutMinutes:
    heat = 200.0

    def bake(self, bread):
        return bread


class Called(Protocol):
    def __call__(self, bread): ...


class WithForward(nn.Module):
    def forward(self, loaf):
        return loaf


@pytest.mark.parametrize(
    ("built", "interface", "module"),
    [
        (Good(), Oven, False),
        (lambda loaf: loaf, Called, False),
        (partial(lambda a, b: a, b=1), Called, False),
        (len, Called, False),
        (WithForward(), Called, True),
        (7, None, False),
    ],
)
def test_what_has_all_names_and_takes_all_arguments_is_fine(built, interface, module):
    assert interface_fault(built, interface, module=module) == ""


OVEN = "an Oven (tests.core.test_interfaces)"
CALLED = "a Called (tests.core.test_interfaces)"


@pytest.mark.parametrize(
    ("built", "interface", "module", "text"),
    [
        (None, Oven, False, f"build returns None, not {OVEN}. Return what the options describe."),
        (None, None, False, "build returns None, not an object. Return what the options describe."),
        (
            Good,
            Oven,
            False,
            f"build returns the class Good itself, not {OVEN}. Return an instance of it.",
        ),
        (
            nn.Identity(),
            Oven,
            True,
            f"build returns an object of torch.nn.modules.linear.Identity, not {OVEN}. It lacks heat, bake.",
        ),
        (
            Good(),
            Oven,
            True,
            "build returns an object of tests.core.test_interfaces.Good, which is no torch.nn.Module. Let "
            "its class extend nn.Module.",
        ),
        (
            WithoutMinutes(),
            Oven,
            False,
            f"build returns an object of tests.core.test_interfaces.WithoutMinutes, not {OVEN}. Its bake "
            "takes (bread), but is called with (bread, minutes).",
        ),
        (
            lambda: None,
            Called,
            False,
            f"build returns the function '<lambda>', not {CALLED}. It takes (), but is called with (bread).",
        ),
        (
            nn.Module(),
            Called,
            True,
            f"build returns an object of torch.nn.modules.module.Module, not {CALLED}. It lacks forward.",
        ),
        (0.5, Called, False, f"build returns an object of builtins.float, not {CALLED}. It lacks __call__."),
    ],
)
def test_what_is_missing_is_named(built, interface, module, text):
    assert interface_fault(built, interface, module=module) == text


class OvenPart(Part):
    slot = "oven"
    builds = Oven


class Gas(OvenPart):
    """Burns."""

    use = "gas"
    works: bool = True

    def build(self):
        return Good() if self.works else None


def test_build_of_every_part_is_checked_and_what_it_returns_knows_its_part():
    part = Gas()
    assert part_that_built(part.build()) is part
    with pytest.raises(InterfaceError, match="build returns None, not an Oven"):
        Gas(works=False).build()


def test_of_other_objects_no_part_is_known():
    assert part_that_built(7) is None
    assert part_that_built(Good()) is None


def test_a_result_of_the_right_kind_is_returned():
    assert checked_result(Good(), "bake", 3, int) == 3


@pytest.mark.parametrize(
    ("built", "method", "result", "kind", "text"),
    [
        (Good(), "bake", None, int, "bake returns None, not an int."),
        (WithForward(), "__call__", torch.ones(2), dict, "forward returns Tensor of shape (2,), not a dict."),
        (len, "__call__", "x", int, "it returns str 'x', not an int."),
        (Good(), "bake", None, object, "bake returns None, not an object."),
    ],
)
def test_another_result_is_refused(built, method, result, kind, text):
    with pytest.raises(ResultError) as error:
        checked_result(built, method, result, kind)
    assert str(error.value) == text


def test_one_of_several_results_is_refused():
    check_results(len, "__call__", [1, 2], int)
    with pytest.raises(ResultError, match="it returns float 0.5, not an int."):
        check_results(len, "__call__", [1, 0.5], int)


def test_values_and_classes_in_a_few_words():
    assert [brief(None), brief(3), brief(torch.ones(1, 2))] == ["None", "int 3", "Tensor of shape (1, 2)"]
    assert [with_article(Oven), with_article(Called)] == ["an Oven", "a Called"]
    assert [with_article("observer"), with_article("loss")] == ["an observer", "a loss"]
