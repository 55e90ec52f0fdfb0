import json

import pytest
import yaml

from amrbench import cli
from amrbench.config.load import load_recipe, shipped
from amrbench.config.recipe import Recipe
from amrbench.config.recipe_diff import compare
from amrbench.config.study import Study, expand, read_study
from amrbench.discovery import load_registry
from amrbench.errors import RecipeError
from amrbench.files.yaml_file import parse_yaml
from amrbench.registry import Registry
from amrbench.slots.model import ModelPart
from tests.core import toy_parts, world

STUDY = """\
study: parts
base: toy
full: fuller
groups:
  quality: [model, training.matcher]
"""


class Judged(ModelPart):
    """A model that says how good its answers are."""

    use = "judged"

    @property
    def provides(self):
        return frozenset({"spans", "scores", "quality"})

    @property
    def views(self):
        return frozenset({"other"})

    def build(self, context): ...


PARTS = [
    toy_parts.REGISTRY.entry(slot, name).part
    for slot in toy_parts.REGISTRY.slots()
    for name in toy_parts.REGISTRY.names(slot)
]
REGISTRY = Registry.of(*PARTS, Judged)
FULLER = (
    toy_parts.RECIPE.replace("name: toy", "name: fuller")
    .replace("{use: net, width: 8}", "judged")
    .replace("matcher: pairs", "matcher: picky\n  augment: [shift]")
    .replace("    - contrast\n", "")
    .replace("optimizer: {use: mean, around: {use: descent, lr: 0.5}}", "optimizer: {use: descent, lr: 0.2}")
)


@pytest.fixture
def load(tmp_path):
    """Return a function that writes a study and its two recipes, and reads it."""
    (tmp_path / "toy.yaml").write_text(toy_parts.RECIPE)
    (tmp_path / "fuller.yaml").write_text(FULLER)

    def make(text=STUDY):
        (tmp_path / "study.yaml").write_text(text)
        return read_study(tmp_path / "study.yaml", REGISTRY)

    make.folder = tmp_path
    return make


def mistakes(load, text):
    with pytest.raises(RecipeError) as error:
        load(text)
    head, _, rows = str(error.value).partition("\n\n")
    assert head.startswith(f"{load.folder / 'study.yaml'} has ")
    return [" ".join(row.split()) for row in rows.splitlines()]


def without_names(recipe):
    return recipe.model_dump(exclude={"name", "about"})


# ---------------------------------------------------------------- generated recipes


def test_each_difference_is_a_recipe_of_each_family(load):
    study = load()
    changes = ["quality", "shift", "contrast", "mean", "lr"]
    assert [each.recipe.name for each in study.methods] == [
        "toy",
        "fuller",
        *(f"parts-only-{change}" for change in changes),
        *(f"parts-without-{change}" for change in changes),
    ]


def test_only_changes_one_place_of_the_base_and_without_one_of_the_full_recipe(load):
    made = {each.recipe.name: each.recipe for each in load().methods}
    toy, fuller = made["toy"], made["fuller"]
    only, without = made["parts-only-shift"], made["parts-without-shift"]
    assert [each.use for each in only.training.augment] == ["shift"]
    assert only.about == "toy with training.augment.shift of fuller."
    assert without.training.augment == ()
    assert without.about == "fuller with training.augment.shift of toy."
    for changed, source in ((only, toy), (without, fuller)):
        same = {"augment": source.training.augment}
        assert changed.training.model_copy(update=same) == source.training
        assert changed.model == source.model
        assert changed.stages == source.stages


def test_a_group_changes_together(load):
    made = {each.recipe.name: each.recipe for each in load().methods}
    assert made["parts-only-quality"].model.use == "judged"
    assert made["parts-only-quality"].training.matcher.use == "picky"
    assert made["parts-without-quality"].model == made["toy"].model


def test_all_differences_at_once_give_the_other_recipe(load):
    groups = "groups: {all: [model, training]}\n"
    study = load(STUDY.partition("groups:")[0] + groups)
    only, without = (variant.method.recipe for variant in study.variants)
    assert without_names(only) == without_names(study.full.recipe)
    assert without_names(without) == without_names(study.base.recipe)


def test_one_family_may_be_left_out(load):
    study = load(STUDY + "families: [without]\n")
    assert {variant.family for variant in study.variants} == {"without"}


def test_the_text_of_a_generated_recipe_is_that_recipe(load):
    for method in load().methods:
        document = parse_yaml(method.text.decode(), "made")
        assert Recipe.model_validate(document.data, context=REGISTRY) == method.recipe


def test_a_soup_is_no_change_of_its_own_unless_a_group_names_it(load):
    (load.folder / "fuller.yaml").write_text(
        FULLER.replace("soup: none", "soup: sweet").replace("[cut]", "[]")
    )
    Sweet = type(  # noqa: N806 - a class
        "Sweet", (toy_parts.SoupPart,), {"use": "sweet", "__doc__": "A soup.", "build": lambda self: None}
    )
    registry = Registry.of(*PARTS, Judged, Sweet)
    (load.folder / "study.yaml").write_text(STUDY)
    study = read_study(load.folder / "study.yaml", registry)
    names = [variant.switch.name for variant in study.variants]
    assert "cut" in names
    assert "soup" not in names
    (load.folder / "study.yaml").write_text(STUDY + "  mixed: [soup]\n")
    study = read_study(load.folder / "study.yaml", registry)
    assert "mixed" in [variant.switch.name for variant in study.variants]


def test_places_with_one_ending_are_told_apart(load):
    full = FULLER.replace("epochs: 20", "epochs: 10").replace("epochs: 5", "epochs: 4")
    (load.folder / "fuller.yaml").write_text(full)
    names = [variant.switch.name for variant in load(STUDY + "  lr: [training.augment]\n").variants]
    assert {"first-epochs", "last-epochs", "descent-lr", "lr"} < set(names)


# ---------------------------------------------------------------- mistakes


def test_a_recipe_that_does_not_hold_together_names_the_group_that_is_missing(load):
    said = mistakes(load, STUDY.partition("groups:")[0])
    assert said == [
        "line 1 only/matcher this recipe does not hold together: matcher 'picky' requires quality, which no "
        "chosen part of 'net' provides. Put into one group: [model, training.matcher].",
        "line 1 without/model this recipe does not hold together: matcher 'picky' requires quality, which no "
        "chosen part of 'net' provides. Put into one group: [model, training.matcher].",
    ]


def test_a_group_that_is_too_small_is_told_with_its_line(load):
    said = mistakes(load, STUDY.replace("[model, ", "[training.augment, "))
    broken = next(line for line in said if "only/quality" in line)
    assert broken.startswith("line 5 only/quality this recipe does not hold together: matcher 'picky'")
    assert broken.endswith("Put into one group: [model, training.augment.shift, training.matcher].")


def test_all_wrong_places_of_groups_are_told_at_once(load):
    said = mistakes(load, STUDY + "  more: [training.macher, features]\n  again: [model]\n  none: []\n")
    listed = (
        "They differ at: model, training.augment.shift, training.matcher, training.losses.contrast, "
        "training.optimizer.mean, training.optimizer.descent.lr."
    )
    assert said == [
        "line 6 groups.more.0 toy and fuller do not differ at 'training.macher'. "
        f"Did you mean 'training.matcher'? {listed}",
        f"line 6 groups.more.1 toy and fuller do not differ at 'features'. {listed}",
        "line 7 groups.again.0 'model' is in the group 'quality' already.",
        "line 8 groups.none this group names no place.",
    ]


def test_a_missing_recipe_is_told_with_its_line(load):
    said = mistakes(load, STUDY.replace("base: toy", "base: cgdert"))
    assert said[0].startswith("line 2 base there is no recipe 'cgdert'")
    assert "Did you mean 'cgdetr'?" in said[0]


def test_a_mistake_in_one_of_the_recipes_is_told_as_its_own(load):
    (load.folder / "toy.yaml").write_text(toy_parts.RECIPE.replace("use: net", "use: nett"))
    with pytest.raises(RecipeError, match=r"toy\.yaml has 1 mistake\n\n *line 3 +model"):
        load()


def test_two_equal_recipes_are_nothing_to_study(load):
    assert mistakes(load, "study: x\nbase: toy\nfull: toy\n") == [
        "line 3 full toy and toy differ in nothing, so there is nothing to study."
    ]


def test_fields_of_a_study_are_checked_like_those_of_a_recipe(load):
    said = mistakes(load, "study: x y\nbas: toy\nfull: fuller\nfamilies: [onyl]\n")
    assert [line.split()[:3] for line in said] == [
        ["line", "1", "study"],
        ["line", "1", "base"],
        ["line", "2", "bas"],
        ["line", "4", "families.0"],
    ]


# ---------------------------------------------------------------- the shipped study


@pytest.mark.parametrize("path", shipped("study"), ids=lambda path: path.stem)
def test_a_shipped_study_holds_together(path):
    study = expand(path.stem, load_registry())
    assert isinstance(study, Study)
    assert study.name == path.stem
    assert len(study.variants) >= 2


def test_ours1_with_every_slot_of_the_baseline_is_the_baseline():
    registry = load_registry()
    study = expand("components", registry)
    everything = {place for variant in study.variants for place in variant.switch.places} | {"soup"}
    plain = [load_recipe(name, registry).model_dump(mode="json") for name in ("cgdetr", "ours1")]
    tree = compare(plain[1], plain[0])
    made = Recipe.model_validate(tree.mixed(everything | {"name", "about"}), context=registry)
    assert made == study.base.recipe
    assert everything | {"name", "about"} == set(tree.places)


def test_a_near_name_may_be_that_of_a_study():
    with pytest.raises(RecipeError, match="there is no recipe 'componets'.* Did you mean 'components'"):
        expand("componets", load_registry())


# ---------------------------------------------------------------- the commands

FULL = world.RECIPE | {
    "name": "fuller",
    "stages": [world.RECIPE["stages"][0], world.RECIPE["stages"][1] | {"epochs": 2, "input_dropout": 0.3}],
}


@pytest.fixture
def small(tmp_path, monkeypatch, amrbench):
    """Return a function that calls the command line where a small study lies."""
    world.write_yaml(tmp_path / "toy.yaml", world.RECIPE)
    world.write_yaml(tmp_path / "fuller.yaml", FULL)
    world.write_yaml(tmp_path / "tiny.yaml", world.PROTOCOL)
    world.write_yaml(tmp_path / "small.yaml", {"study": "small", "base": "toy", "full": "fuller"})
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AMRBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cli, "registry_of", lambda without: world.REGISTRY)

    return lambda *arguments: amrbench(*arguments, "--protocol", "tiny.yaml")


def stages(folder):
    return {path.parent.name: path.stat().st_mtime_ns for path in folder.glob("cache/stages/*/done.json")}


def test_a_study_is_run_as_a_recipe_is_and_ends_with_its_grid(small, tmp_path, monkeypatch):
    _, text, _ = small("run", "small.yaml", "--dry-run", "--jobs", "1")
    assert "small-without-epochs" in text
    assert not stages(tmp_path)
    small("run", "toy.yaml", "--jobs", "1")
    before = stages(tmp_path)
    assert len(before) == 3
    code, text, err = small("run", "small.yaml", "--jobs", "1")
    after = stages(tmp_path)
    assert code == 0, err
    assert len(after) == 1 + 4 * 2, "six recipes, but only four are different, and all share a stage"
    assert before.items() <= after.items(), "what was found is left alone"
    assert "Study small: 'only' is toy with one change" in text

    monkeypatch.setattr("amrbench.training.stages.fit", None)
    code, text, _ = small("run", "small.yaml", "--jobs", "1", "--json")
    (grid,) = json.loads(text)["studies"]
    means = {row["recipe"]: row["mean"]["R1@0.5"] for row in grid["rows"]}
    assert [row["change"] for row in grid["rows"]] == ["base", "full", *["epochs", "input-dropout"] * 2]
    only = grid["rows"][2]
    assert only["against"] == "toy"
    assert only["difference"]["R1@0.5"] == pytest.approx(means["small-only-epochs"] - means["toy"])
    assert only["difference"]["R1@0.5"] == pytest.approx(
        sum(each["R1@0.5"] for each in only["seeds"].values()) / 2
    )
    assert means["small-only-epochs"] == means["small-without-input-dropout"]
    folder = next((tmp_path / "runs").glob("small-only-epochs@*"))
    kept = yaml.safe_load((folder / "recipe.yaml").read_text())
    assert kept["stages"][1]["epochs"] == 2
    assert kept["stages"][1]["input_dropout"] == 0.1


def test_check_takes_every_recipe_of_a_study(small):
    code, text, _ = small("check", "small.yaml")
    assert code == 0
    assert [line.partition(":")[0] for line in text.splitlines()] == [
        *("toy", "fuller", "small-only-epochs", "small-only-input-dropout"),
        *("small-without-epochs", "small-without-input-dropout"),
    ]


def test_check_goes_on_after_a_wrong_study(small, tmp_path):
    world.write_yaml(tmp_path / "wrong.yaml", {"study": "wrong", "base": "toy", "full": "toy"})
    code, text, err = small("check", "wrong.yaml", "toy.yaml")
    assert code == 2
    assert "toy.yaml: fine" in text
    assert "differ in nothing" in err
