import copy

import pytest

from amrbench.part import budgeted
from amrbench.registry import Entry, Origin, Registry
from amrbench.slots.optimizers import OptimizerPart, SchedulePart
from amrbench.training import stage_spec
from tests.small_world.parts import PARTS, PROTOCOL, RECIPE, Frames, ToyModel
from tests.small_world.runs import changed, plan


class Level(SchedulePart):
    """A schedule."""

    use = "level"

    def build(self, length): ...


class Falling(SchedulePart):
    """Another schedule."""

    use = "falling"

    def build(self, length): ...


class ScheduledDescent(OptimizerPart):
    """An optimizer with a schedule."""

    use = "scheduled-descent"
    lr: float = budgeted(0.05, "lr", gt=0)
    schedule: SchedulePart = Level()

    def build(self, module, length): ...


SCHEDULED = Registry.of(*PARTS, Level, Falling, ScheduledDescent)


def keys(toy_sources, recipe=RECIPE, protocol=PROTOCOL, **options) -> list[str]:
    """Return the keys of pretraining and of the fine-tune with seed 0."""
    return [spec.key for spec in plan(toy_sources, recipe, protocol, **options).chains[0].chain]


def with_training(**options) -> dict:
    return RECIPE | {"training": RECIPE["training"] | options}


def with_stage(index: int, **options) -> dict:
    changed = copy.deepcopy(RECIPE)
    changed["stages"][index] |= options
    return changed


def test_names_and_parts_used_after_training_are_not_in_the_keys(toy_sources):
    other = with_stage(0, name="warm-up") | {"name": "other", "about": "x", "soup": "mean", "ranking": []}
    protocol = PROTOCOL | {"name": "other", "about": "y", "seeds": 3, "slices": []}
    assert keys(toy_sources, other, protocol) == keys(toy_sources)


@pytest.mark.parametrize(
    ("recipe", "protocol", "options"),
    [
        (RECIPE | {"model": {"use": "toy", "dropout": 0.2}}, PROTOCOL, {}),
        (with_training(batch=4), PROTOCOL, {}),
        (with_training(losses=["frames"]), PROTOCOL, {}),
        (with_training(select=["mAP"]), PROTOCOL, {}),
        (with_training(select_over=3), PROTOCOL, {}),
        (RECIPE | {"limits": {"frames": 10}}, PROTOCOL, {}),
        (with_stage(0, epochs=5), PROTOCOL, {}),
        (with_stage(0, data="target"), PROTOCOL, {}),
        (RECIPE, PROTOCOL | {"budget": {"width": 8}}, {}),
        (RECIPE, PROTOCOL | {"threads": 2}, {}),
        (RECIPE, PROTOCOL, {"device": "cuda"}),
    ],
)
def test_an_option_that_changes_numbers_changes_every_key(toy_sources, recipe, protocol, options):
    for before, after in zip(keys(toy_sources), keys(toy_sources, recipe, protocol, **options), strict=True):
        assert before != after


def test_options_of_a_later_stage_do_not_change_the_key_of_the_first(toy_sources):
    before, after = keys(toy_sources), keys(toy_sources, with_stage(1, epochs=9, fresh=["size"]))
    assert before[0] == after[0]
    assert before[1] != after[1]


def test_the_rate_of_a_stage_is_in_its_key_and_not_in_that_of_the_stage_before(toy_sources):
    before, after = keys(toy_sources), keys(toy_sources, with_stage(1, lr=0.01))
    assert before[0] == after[0]
    assert before[1] != after[1]


def test_stages_have_one_key_however_their_rate_is_given(toy_sources):
    everywhere = changed(RECIPE, training__optimizer={"use": "descent", "lr": 0.01})
    own = changed(with_stage(0, lr=0.01), training__optimizer={"use": "descent", "lr": 0.7})
    own["stages"][1]["lr"] = 0.01
    plain = changed(PROTOCOL, budget__lr=0.01)
    by_role = changed(PROTOCOL, budget__lr={"pretrain": 0.01, "target": 0.01})
    expected = keys(toy_sources, everywhere)
    for recipe, protocol in ((own, PROTOCOL), (RECIPE, plain), (RECIPE, by_role), (own, plain)):
        assert keys(toy_sources, recipe, protocol) == expected


def test_the_key_of_a_stage_without_a_rate_has_nothing_of_rates(toy_sources):
    content = plan(toy_sources).chains[0].content()
    assert content["stage"] == {"epochs": 4, "input_dropout": 0.1, "fresh": []}


def test_the_key_of_a_stage_whose_epochs_count_alone_has_nothing_of_means(toy_sources):
    assert keys(toy_sources, with_training(select_over=1)) == keys(toy_sources)
    assert "select_over" not in plan(toy_sources).chains[0].content()["training"]
    three = plan(toy_sources, with_training(select_over=3)).chains[0]
    assert three.content()["training"]["select_over"] == 3


def test_the_schedule_of_a_stage_counts_with_its_version(toy_sources):
    recipe = changed(with_stage(1, schedule={"use": "falling"}), training__optimizer="scheduled-descent")
    first, last = plan(toy_sources, recipe, registry=SCHEDULED).chains[0].chain
    assert "schedule/falling" not in first.versions
    assert last.versions["schedule/falling"].startswith("1")
    assert last.training.optimizer.schedule == Falling()


def test_seeds_share_the_stages_that_are_trained_once(toy_sources):
    first, second = plan(toy_sources).chains
    assert first.key != second.key
    assert first.parent.key == second.parent.key


def test_seeds_with_chains_of_their_own_share_nothing(toy_sources):
    shared, own = plan(toy_sources), plan(toy_sources, protocol=PROTOCOL | {"chains": "own"})
    assert own.chains[0].key == shared.chains[0].key, "the first chain is the same"
    stages = [spec for last in own.chains for spec in last.chain]
    assert len({spec.key for spec in stages}) == len(stages) == 4
    assert [spec.name for spec in own.chains[1].chain] == ["toy pretrain, seed 1", "toy finetune, seed 1"]
    assert [spec.seed for spec in own.chains[1].chain] == [1, 1]
    assert len({spec.name for spec in stages}) == len(stages)
    assert own.comparable != shared.comparable


def test_the_number_of_a_device_is_not_in_the_key(toy_sources):
    assert keys(toy_sources, device="cuda:1") == keys(toy_sources, device="cuda")


@pytest.mark.parametrize("part", [ToyModel, Frames])
def test_a_raised_version_of_a_part_changes_the_keys(toy_sources, monkeypatch, part):
    before = keys(toy_sources)
    monkeypatch.setattr(part, "version", 2)
    assert not set(before) & set(keys(toy_sources))


def test_the_version_of_a_part_that_is_not_used_changes_nothing(toy_sources, monkeypatch):
    recipe = with_training(losses=["spans"])
    before = keys(toy_sources, recipe)
    monkeypatch.setattr(Frames, "version", 2)
    assert keys(toy_sources, recipe) == before


@pytest.mark.parametrize(("distribution", "counts"), [("amrbench", False), ("a-plugin", True)])
def test_only_the_distributions_of_third_parties_count(toy_sources, distribution, counts):
    def registry_of(version: str) -> Registry:
        return Registry(Entry(part, Origin("plugin", distribution, version)) for part in PARTS)

    differ = keys(toy_sources, registry=registry_of("1.0")) != keys(toy_sources, registry=registry_of("1.1"))
    assert differ is counts


def test_the_engine_is_in_the_key(toy_sources, monkeypatch):
    before = keys(toy_sources)
    monkeypatch.setattr(stage_spec, "ENGINE", stage_spec.ENGINE + 1)
    assert not set(before) & set(keys(toy_sources))
