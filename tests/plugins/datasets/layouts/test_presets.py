"""The laws of the four kinds of scenes."""

import dataclasses

from amrbench_plugins.datasets.layouts.laws import Bounds
from amrbench_plugins.datasets.layouts.presets import LAWS, LONG, SCENES, SCENES_SMALL, SHORT


def bounds_in(value):
    if isinstance(value, Bounds):
        yield value
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            yield from bounds_in(getattr(value, field.name))


def test_every_kind_has_laws_of_all_splits():
    for laws in LAWS.values():
        assert set(laws.splits) == {"train", "val", "test"}
        assert all(bounds.low <= bounds.high for bounds in bounds_in(laws))


def test_targets_are_written_down_by_people_and_the_others_by_a_program():
    assert all(laws.annotators.step == 1 and laws.annotators.jitter > 0 for laws in (SCENES, SCENES_SMALL))
    assert all(laws.annotators.step == 0.1 and laws.annotators.jitter == 0 for laws in (SHORT, LONG))


def test_half_of_the_queries_of_targets_are_about_two_sounds():
    assert SCENES.pair_probability == SCENES_SMALL.pair_probability == 0.5
    assert SHORT.pair_probability == 0


def test_sounds_of_targets_change_more_than_those_before():
    for target in (SCENES, SCENES_SMALL):
        for before in (SHORT, LONG):
            assert target.levels.changes.wander > before.levels.changes.wander
            assert target.levels.changes.pauses > before.levels.changes.pauses == 0
