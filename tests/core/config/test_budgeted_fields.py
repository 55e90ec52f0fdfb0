import pytest
from pydantic import ValidationError

from amrbench.config.budgeted_fields import budgeted_names, with_replaced
from amrbench.config.load import load_recipe
from amrbench.discovery import load_registry
from tests.core.config.test_recipe import toy
from tests.small_world.unbuilt_parts import Descent, Flat, Mean


def test_a_value_that_stays_gives_equal_options():
    assert with_replaced(toy(), lambda value, name: value) == toy()


def test_a_number_is_replaced_wherever_a_field_has_its_name():
    widths = []

    def wider(value, name):
        widths.append(value) if name == "width" else None
        return value + 2 if name == "width" else value

    new = with_replaced(toy(), wider)
    assert widths == [8, 8]
    assert (new.model.width, new.training.losses[0].width) == (10, 10)


def test_a_part_is_replaced_as_a_whole_and_not_looked_into():
    def later(value, name):
        return Flat(warmup=0.5) if isinstance(value, Flat) else 0.9 if name == "warmup" else value

    assert with_replaced(Mean(around=Descent()), later).around.schedule.warmup == 0.5


def test_new_values_are_validated():
    with pytest.raises(ValidationError, match="greater than 0"):
        with_replaced(Mean(around=Descent()), lambda value, name: -1 if name == "lr" else value)


def test_names_in_budgets_are_those_of_all_depths():
    assert budgeted_names(Mean(around=Descent())) == {"lr", "warmup"}
    assert budgeted_names(toy()) >= {"lr", "warmup", "width", "layers", "batch", "epochs", "input_dropout"}
    assert budgeted_names(load_recipe("ours3", load_registry()).training.optimizer) == {"lr", "warmup"}
