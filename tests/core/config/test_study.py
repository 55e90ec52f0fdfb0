from itertools import pairwise
from pathlib import Path

import pytest

from amrbench.config.load import Method, load_recipe, shipped
from amrbench.config.recipe import Recipe
from amrbench.config.study import Study, differences, expand, mix
from amrbench.discovery import load_registry
from amrbench.errors import RecipeError
from amrbench.files.yaml_file import parse_yaml
from amrbench.part import location
from amrbench.registry import Registry
from amrbench.slots.features import FeaturesPart
from amrbench.slots.model import ModelPart
from tests.small_world import unbuilt_parts

STUDY = """\
study: parts
base: toy
full: fuller
groups:
  quality: [model, training.matcher]
"""


class Judged(ModelPart):
    """A model with a quality for each prediction."""

    use = "judged"

    @property
    def provides(self):
        return {"spans": "N B Q 2", "scores": "N B Q", "quality": "N B Q"}

    @property
    def views(self):
        return frozenset({"other"})

    def build(self, context): ...


PARTS = [
    unbuilt_parts.REGISTRY.entry(slot, name).part
    for slot in unbuilt_parts.REGISTRY.slots()
    for name in unbuilt_parts.REGISTRY.names(slot)
]
REGISTRY = Registry.of(*PARTS, Judged)
FULLER = (
    unbuilt_parts.RECIPE.replace("name: toy", "name: fuller")
    .replace("{use: net, width: 8}", "judged")
    .replace("matcher: pairs", "matcher: picky\n  augment: [shift]")
    .replace("    - contrast\n", "")
    .replace("optimizer: {use: mean, around: {use: descent, lr: 0.5}}", "optimizer: {use: descent, lr: 0.2}")
)


@pytest.fixture
def load(tmp_path):
    """Return a function that writes a study and its two recipes, and reads it."""
    (tmp_path / "toy.yaml").write_text(unbuilt_parts.RECIPE)
    (tmp_path / "fuller.yaml").write_text(FULLER)

    def make(text=STUDY):
        (tmp_path / "study.yaml").write_text(text)
        return expand(tmp_path / "study.yaml", REGISTRY)

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
    assert [method.recipe.name for method in study.methods] == [
        "toy",
        "fuller",
        *(f"parts-only-{change}" for change in changes),
        *(f"parts-without-{change}" for change in changes),
    ]


def test_only_changes_one_path_of_the_base_and_without_one_of_the_full_recipe(load):
    recipes = {method.recipe.name: method.recipe for method in load().methods}
    toy, fuller = recipes["toy"], recipes["fuller"]
    only, without = recipes["parts-only-shift"], recipes["parts-without-shift"]
    assert [part.use for part in only.training.augment] == ["shift"]
    assert only.about == "toy with training.augment.shift of fuller."
    assert without.training.augment == ()
    assert without.about == "fuller with training.augment.shift of toy."
    for changed, source in ((only, toy), (without, fuller)):
        same = {"augment": source.training.augment}
        assert changed.training.model_copy(update=same) == source.training
        assert changed.model == source.model
        assert changed.stages == source.stages


def test_a_group_changes_together(load):
    recipes = {method.recipe.name: method.recipe for method in load().methods}
    assert recipes["parts-only-quality"].model.use == "judged"
    assert recipes["parts-only-quality"].training.matcher.use == "picky"
    assert recipes["parts-without-quality"].model == recipes["toy"].model


def test_all_differences_at_once_give_the_other_recipe(load):
    groups = "groups: {all: [model, training]}\n"
    study = load(STUDY.partition("groups:")[0] + groups)
    only, without = (variant.recipe for variant in study.variants)
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
        "Sweet", (unbuilt_parts.SoupPart,), {"use": "sweet", "__doc__": "A soup.", "build": lambda self: None}
    )
    registry = Registry.of(*PARTS, Judged, Sweet)
    (load.folder / "study.yaml").write_text(STUDY)
    study = expand(load.folder / "study.yaml", registry)
    names = [variant.change for variant in study.variants]
    assert "cut" in names
    assert "soup" not in names
    (load.folder / "study.yaml").write_text(STUDY + "  mixed: [soup]\n")
    study = expand(load.folder / "study.yaml", registry)
    assert "mixed" in [variant.change for variant in study.variants]


def test_paths_with_the_same_end_get_different_names(load):
    full = FULLER.replace("epochs: 20", "epochs: 10").replace("epochs: 5", "epochs: 4")
    (load.folder / "fuller.yaml").write_text(full)
    names = [variant.change for variant in load(STUDY + "  lr: [training.augment]\n").variants]
    assert {"first-epochs", "last-epochs", "descent-lr", "lr"} < set(names)


def test_listed_recipes_are_compared_with_the_base_as_they_are(load):
    study = load("study: parts\nbase: toy\nvariants: [fuller]\n")
    (fuller,) = study.variants
    assert (fuller.family, fuller.change, fuller.text) == ("variant", "fuller", FULLER.encode())
    assert [method.recipe.name for method in study.methods] == ["toy", "fuller"]
    study = load(STUDY + "variants: [toy]\n")
    assert [(row.family, row.change) for row in study.variants][-2:] == [
        ("without", "lr"),
        ("variant", "toy"),
    ]


# ---------------------------------------------------------------- mistakes


def test_a_recipe_that_does_not_hold_together_names_the_group_that_is_missing(load):
    assert mistakes(load, STUDY.partition("groups:")[0]) == [
        "line 1 only/matcher this recipe does not hold together: matcher 'picky' requires quality, which no "
        "chosen part of 'net' provides. It provides: scores, spans. "
        "Put into one group: [model, training.matcher].",
        "line 1 without/model this recipe does not hold together: matcher 'picky' requires quality, which no "
        "chosen part of 'net' provides. It provides: scores, spans. "
        "Put into one group: [model, training.matcher].",
    ]


def test_a_group_that_is_too_small_is_reported_with_its_line(load):
    rows = mistakes(load, STUDY.replace("[model, ", "[training.augment, "))
    broken = next(row for row in rows if "only/quality" in row)
    assert broken.startswith("line 5 only/quality this recipe does not hold together: matcher 'picky'")
    assert broken.endswith("Put into one group: [model, training.augment.shift, training.matcher].")


def test_all_mistakes_in_groups_are_reported_at_once(load):
    rows = mistakes(load, STUDY + "  more: [training.macher, features]\n  again: [model]\n  none: []\n")
    listed = (
        "They differ at: model, training.augment.shift, training.matcher, training.losses.contrast, "
        "training.optimizer.mean, training.optimizer.descent.lr."
    )
    assert rows == [
        "line 6 groups.more.0 toy and fuller do not differ at 'training.macher'. "
        f"Did you mean 'training.matcher'? {listed}",
        f"line 6 groups.more.1 toy and fuller do not differ at 'features'. {listed}",
        "line 7 groups.again.0 'model' is in the group 'quality' already.",
        "line 8 groups.none this group is empty; name what changes together.",
    ]


def test_a_missing_recipe_is_reported_with_its_line(load):
    row, *others = mistakes(load, STUDY.replace("base: toy", "base: cgdert"))
    assert row.startswith("line 2 base there is no recipe 'cgdert'")
    assert "Did you mean 'cgdetr'?" in row
    assert not others


def test_missing_recipes_are_reported_together(load):
    rows = mistakes(load, "study: x\nbase: none1\nfull: none2\nvariants: [toy, none3]\n")
    assert [row.split()[:3] for row in rows] == [
        ["line", "2", "base"],
        ["line", "3", "full"],
        ["line", "4", "variants.1"],
    ]


def test_a_mistake_in_one_of_the_recipes_names_the_file_of_the_recipe(load):
    (load.folder / "toy.yaml").write_text(unbuilt_parts.RECIPE.replace("use: net", "use: nett"))
    with pytest.raises(RecipeError, match=r"toy\.yaml has 1 mistake\n\n *line 3 +model"):
        load()


def test_two_equal_recipes_are_nothing_to_study(load):
    assert mistakes(load, "study: x\nbase: toy\nfull: toy\n") == [
        "line 3 full toy and toy differ in nothing, so there is nothing to study."
    ]


@pytest.mark.parametrize("more", ["", "groups: {all: [model]}\nvariants: [fuller]\n"])
def test_a_study_has_a_full_recipe_or_variants(load, more):
    assert mistakes(load, "study: x\nbase: toy\n" + more) == [
        "line 1 name the full recipe ('full'), changes of the base ('changes'), or recipes to compare with "
        "the base ('variants')."
    ]


def test_fields_of_a_study_are_checked_like_those_of_a_recipe(load):
    rows = mistakes(load, "study: x y\nbas: toy\nfull: fuller\nfamilies: [onyl]\n")
    assert [row.split()[:3] for row in rows] == [
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


CLAIMS = """
nine-queries random-anchors baseline-eps anchors-kept zero-content without-film encoder-registers
text-registers without-registers audio-difference memory-difference without-differences asam-each-step
asam-each-tenth constant-rate without-asam
"""
HEADS = """
separate separate-without-iou without-iou iou-apart baseline-heads class-apart deep-class-apart shallow-trunk
plain-trunk plain-trunk-without-iou residual-trunk own-layer likely-first two-logits drawn-spans
class-weight-1 gentle-class
"""
CHOICES = """
drawn-corrections sigma-of-recording fixed-sigma sigma-per-head one-peak fresh-dropout asam-from-start
weak-sigreg attention-over-time
"""
SECTIONS = """
anchors activation-and-norm differences temporal-embedding registers query prior heads additions random-shift
varifocal sigreg optimizer
"""
ROWS = {
    "claims": CLAIMS,
    "heads": HEADS,
    "choices": CHOICES,
    "sections": SECTIONS,
    "submissions": "m2d-features mid-training fisher-soup",
    "baseline-to-beyond": "context posterior features midtrain max-windows",
}


@pytest.mark.parametrize("name", ROWS)
def test_a_shipped_study_has_a_row_for_each_of_its_claims(name):
    study = expand(name, load_registry())
    assert isinstance(study, Study)
    assert [variant.change for variant in study.variants] == ROWS[name].split()


def test_rows_that_are_named_after_a_number_have_it():
    claims, heads, saliency = (
        {variant.change: variant.recipe for variant in expand(name, load_registry()).variants}
        for name in ("claims", "heads", "saliency")
    )
    assert claims["nine-queries"].model.query.anchors.count == 9
    assert claims["baseline-eps"].model.eps == load_recipe("cgdetr", load_registry()).model.eps
    periods = {
        name: claims[f"asam-each-{name}"].training.optimizer.around.period for name in ("step", "tenth")
    }
    assert periods == {"step": 1, "tenth": 10}

    def weight(recipe, use):
        return next(loss.weight for loss in recipe.training.losses if loss.use == use)

    assert weight(heads["class-weight-1"], "varifocal") == 1
    assert [weight(saliency[f"weight-{number}"], "saliency") for number in (4, 8)] == [4, 8]


def test_the_steps_between_the_submissions_are_the_submissions():
    study = expand("submissions", load_registry())
    assert isinstance(study, Study)
    steps = [load_recipe(name, load_registry()) for name in ("ours2", "ours3", "ours4")]
    for variant, recipe in zip(study.variants, steps, strict=True):
        names = {"name", "about", "against"}
        assert variant.recipe.model_dump(exclude=names) == recipe.model_dump(exclude=names)


def test_ours1_with_every_slot_of_the_baseline_is_the_baseline():
    registry = load_registry()
    base = load_recipe("cgdetr", registry)
    ours, baseline = (load_recipe("ours1", registry).model_dump(mode="json"), base.model_dump(mode="json"))
    paths = differences(ours, baseline)
    assert Recipe.model_validate(mix(ours, baseline, paths.__contains__), context=registry) == base
    abouts = [row.recipe.about for row in expand("components", registry).variants]
    changed = {
        path for about in abouts for path in about.partition(" with ")[2].rpartition(" of ")[0].split(", ")
    }
    assert set(paths) - changed == {"name", "about", "soup"}


def test_a_recipe_or_a_study_may_be_given_by_file_or_loaded(load):
    study = load()
    assert isinstance(study, Study)
    assert expand(study, REGISTRY) is study
    toy = expand(load.folder / "toy.yaml", REGISTRY)
    assert toy == Method(load.folder / "toy.yaml", unbuilt_parts.RECIPE.encode(), study.base.recipe)
    assert expand(toy, REGISTRY).methods == [toy]


def test_a_near_name_may_be_that_of_a_study():
    with pytest.raises(RecipeError, match="there is no recipe 'componets'.* Did you mean 'components'"):
        expand("componets", load_registry())


# ---------------------------------------------------------------- differences of recipes

ADAM = {"use": "adam", "lr": 1, "schedule": {"use": "flat"}}
LOSSES = [{"use": "a", "weight": 1}, {"use": "b"}, {"use": "d"}]
PAIRS = {
    "equal": ({"a": [1, {"b": 2}]}, {"a": [1, {"b": 2}]}, []),
    "a number": ({"m": {"use": "x", "width": 1}}, {"m": {"use": "x", "width": 2}}, ["m.width"]),
    "a part in a list": (
        {"losses": LOSSES},
        {"losses": [{"use": "a", "weight": 2}, {"use": "d"}, {"use": "c"}, {"use": "e"}]},
        ["losses.a.weight", "losses.b", "losses.c", "losses.e"],
    ),
    "a list that was empty": ({"l": []}, {"l": [{"use": "x"}]}, ["l.x"]),
    "another order": ({"l": LOSSES}, {"l": LOSSES[::-1]}, ["l"]),
    "a name twice": ({"l": LOSSES[:1]}, {"l": LOSSES[:1] * 2}, ["l"]),
    "a list of words": ({"l": ["a"]}, {"l": ["a", "b"]}, ["l"]),
    "a stage": (
        {"stages": [{"name": "first", "epochs": 1}, {"name": "last", "epochs": 1}]},
        {"stages": [{"name": "first", "epochs": 1}, {"name": "mid"}, {"name": "last", "epochs": 2}]},
        ["stages.mid", "stages.last.epochs"],
    ),
    "parts around parts": (
        {"o": ADAM},
        {"o": {"use": "mean", "around": {"use": "sharp", "around": ADAM | {"schedule": {"use": "slope"}}}}},
        ["o.mean", "o.sharp", "o.adam.schedule"],
    ),
    "another innermost part": ({"o": ADAM}, {"o": {"use": "mean", "around": {"use": "sgd"}}}, ["o"]),
    "parts around parts in another order": (
        {"o": {"use": "mean", "around": {"use": "sharp", "around": ADAM}}},
        {"o": {"use": "sharp", "around": {"use": "mean", "around": ADAM}}},
        ["o"],
    ),
    "another part with the same slot": (
        {"q": {"use": "zeros", "anchors": {"use": "random", "count": 1}}},
        {"q": {"use": "film", "content": "learned", "anchors": {"use": "random", "count": 3}}},
        ["q", "q.anchors.count"],
    ),
    "a slot that only one has": ({"q": {"use": "x"}}, {"q": {"use": "y", "in": {"use": "z"}}}, ["q"]),
    "plain mappings": ({"epochs": {"a": 1}}, {"epochs": {"b": 1}}, ["epochs"]),
}


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_the_two_differ_at_these_paths(pair):
    first, second, paths = pair
    assert differences(first, second) == paths


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_no_path_gives_the_first_and_all_paths_the_second(pair):
    first, second, paths = pair
    assert mix(first, second, [].__contains__) == first
    assert mix(first, second, paths.__contains__) == second


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_both_directions_meet_in_the_middle(pair):
    first, second, paths = pair
    for path in paths:
        others = [other for other in paths if other != path]
        assert mix(first, second, [path].__contains__) == mix(second, first, others.__contains__)


def test_one_path_changes_nothing_else():
    first, second, _ = PAIRS["parts around parts"]
    assert mix(first, second, ["o.sharp"].__contains__) == {"o": {"use": "sharp", "around": ADAM}}
    first, second, _ = PAIRS["another part with the same slot"]
    anchors = first["q"]["anchors"]
    assert mix(first, second, ["q"].__contains__) == {
        "q": {"use": "film", "content": "learned", "anchors": anchors}
    }


def test_removed_and_added_parts_keep_their_position():
    first, second, _ = PAIRS["a part in a list"]
    mixed = mix(first, second, ["losses.c", "losses.e"].__contains__)["losses"]
    assert [part["use"] for part in mixed] == ["a", "b", "d", "c", "e"]
    mixed = mix(second, first, ["losses.b"].__contains__)["losses"]
    assert [part["use"] for part in mixed] == ["a", "b", "d", "c", "e"]


def test_steps_add_one_change_after_another_in_the_order_of_the_groups(load):
    text = STUDY.replace("groups:\n", "families: [steps]\ngroups:\n  rate: [training.optimizer]\n")
    study = load(text)
    changes = [variant.change for variant in study.variants]
    assert [variant.family for variant in study.variants] == ["steps"] * len(changes)
    assert changes[:2] == ["rate", "quality"]
    paths = [
        set(differences(study.base.recipe.model_dump(mode="json"), one.recipe.model_dump(mode="json")))
        for one in study.variants
    ]
    assert all(one < two for one, two in pairwise(paths))
    assert without_names(study.variants[-1].recipe) == without_names(study.full.recipe) | {
        "soup": study.base.recipe.soup.model_dump()
    }


def test_a_step_needs_the_steps_before_it(load):
    study = load(STUDY.replace("groups:\n", "families: [only, steps]\ngroups:\n"))
    names = list(dict.fromkeys(variant.change for variant in study.variants))
    second = study.with_changes([names[1]])
    assert [(one.family, one.change) for one in second.variants] == [
        ("only", names[1]),
        *(("steps", name) for name in names[:2]),
    ]
    assert study.with_changes(names) == study


CHANGES = """\
study: rates
base: toy
changes:
  wide: {model.width: 16}
  plain: {training.losses.contrast: null}
"""


class OwnEars(FeaturesPart):
    """An encoder with a file."""

    use = "own-ears"
    weights: str = location("its weights")

    def build(self): ...


OWN_EARS = unbuilt_parts.RECIPE.replace("features: ears", "features: {use: own-ears, weights: own.pt}")
PATHS = """\
study: weights
base: ../bases/toy.yaml
changes:
  other: {features.weights: other.pt}
  wide: {model.width: 16}
"""


def test_changes_put_values_into_the_base(load):
    study = load(CHANGES)
    assert [(one.family, one.change, one.recipe.name) for one in study.variants] == [
        ("change", "wide", "rates-wide"),
        ("change", "plain", "rates-plain"),
    ]
    wide, plain = (one.recipe for one in study.variants)
    base = study.base.recipe
    assert wide.about == "toy with another model.width."
    assert (base.model.width, wide.model.width) == (8, 16)
    assert wide.training == base.training
    assert [loss.use for loss in plain.training.losses] == [
        loss.use for loss in base.training.losses if loss.use != "contrast"
    ]


def test_a_path_of_a_change_starts_from_the_folder_of_the_study_and_one_of_the_base_from_its_own(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    for folder, text in {"bases": OWN_EARS, "studies": PATHS}.items():
        Path(folder).mkdir()
        Path(folder, "toy.yaml").write_text(text)
    variants = expand("studies/toy.yaml", Registry.of(*PARTS, OwnEars)).variants
    paths = [Path(one.recipe.features.weights).resolve().relative_to(tmp_path) for one in variants]
    assert list(map(str, paths)) == ["studies/other.pt", "bases/own.pt"]
    monkeypatch.chdir(tmp_path.anchor)
    (tmp_path / "wide.yaml").write_bytes(variants[1].text)
    again = load_recipe(tmp_path / "wide.yaml", Registry.of(*PARTS, OwnEars))
    assert again.features.weights == str(tmp_path / "bases" / "own.pt"), "also from another folder"


def test_mistakes_in_changes_are_reported_together_with_their_lines(load):
    text = CHANGES.replace("model.width", "model.widht").replace("contrast: null", "contrast: {weight: much}")
    first, second = mistakes(load, text)
    assert first.startswith("line 4 changes.wide.model.widht there is no 'widht' in 'model'.")
    assert second.startswith("line 5 changes.plain training.losses.")
