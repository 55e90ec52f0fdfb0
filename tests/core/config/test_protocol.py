import pytest

from amrbench.config.load import load_protocol
from amrbench.config.protocol import Protocol
from amrbench.config.recipe import Recipe
from amrbench.errors import RecipeError
from amrbench.files.yaml_file import parse_yaml
from tests.small_world.unbuilt_parts import PROTOCOL, RECIPE, REGISTRY, Ears, Tones, ToyEars


@pytest.fixture
def load(tmp_path):
    """Return a function that writes the toy protocol with some text replaced, and loads it."""

    def make(*changes):
        text = PROTOCOL
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        (tmp_path / "quick.yaml").write_text(text)
        return load_protocol(tmp_path / "quick.yaml", REGISTRY)

    return make


def mistakes(load, *changes):
    with pytest.raises(RecipeError) as error:
        load(*changes)
    return [" ".join(row.split()) for row in str(error.value).splitlines()[2:]]


def recipe(**changes):
    data = parse_yaml(RECIPE, "toy").data
    return Recipe.model_validate(data | changes, context=REGISTRY)


def test_each_role_has_its_dataset(load):
    data = load().data
    assert data.of("pretrain") == Tones()
    assert data.of("target") == Tones(size=9)
    with pytest.raises(RecipeError) as error:
        data.of("targte")
    assert str(error.value) == (
        "there is no role 'targte'. Did you mean 'target'? Roles: pretrain, midtrain, target."
    )


def test_a_protocol_written_down_and_read_again_is_the_same(load):
    protocol = load()
    assert Protocol.model_validate(protocol.model_dump(mode="json"), context=REGISTRY) == protocol


@pytest.mark.parametrize("rate", ["0.5", "{pretrain: 0.5, target: 0.1}"])
def test_a_protocol_with_rates_written_down_and_read_again_is_the_same(load, rate):
    protocol = load(("width: 4", f"lr: {rate}"))
    assert Protocol.model_validate(protocol.model_dump(mode="json"), context=REGISTRY) == protocol
    assert protocol.model_dump(mode="json")["budget"]["lr"] == parse_yaml(rate, "rate").data


def test_a_recipe_is_resolved_with_stand_in_and_budget(load):
    resolved = load().resolve(recipe())
    assert resolved.features == ToyEars()
    assert resolved.model.width == 4
    assert [stage.epochs for stage in resolved.stages] == [3, 5]


def test_an_encoder_without_a_stand_in_stays(load):
    protocol = load(("stand_ins: {ears: toy-ears}\n", ""))
    assert protocol.resolve(recipe()).features == Ears()
    assert protocol.stand_in_note(recipe()) == ""


def test_the_stand_in_is_named(load):
    assert load().stand_in_note(recipe()) == "toy-ears stands in for ears"
    assert load().stand_in_note(recipe(features="toy-ears")) == ""


def test_the_reported_split_is_never_trained_on(load):
    assert mistakes(load, ("train: [train]", "train: [train, test]")) == [
        "line 9 splits the split 'test' is trained on, so it cannot also be the one to report."
    ]


def test_the_selecting_split_is_never_trained_on(load):
    assert mistakes(load, ("train: [train]", "train: [train, val]")) == [
        "line 9 splits the split 'val' is trained on, so it cannot also be the one to select."
    ]


def test_a_split_is_trained_on_once(load):
    assert mistakes(load, ("train: [train]", "train: [train, train]")) == [
        "line 9 splits.train 'train' is listed twice; keep one."
    ]


def test_the_reported_split_does_not_choose_the_epoch(load):
    assert mistakes(load, ("select: val", "select: test")) == [
        "line 9 splits the split 'test' is reported, so it cannot choose the epoch."
    ]


def test_a_budget_has_known_numbers_only(load):
    assert mistakes(load, ("width: 4", "widht: 4")) == [
        "line 7 budget.widht unknown field 'widht'. Did you mean 'width'?"
    ]


@pytest.mark.parametrize(
    ("old", "new", "mistake"),
    [
        ("width: 4", "width: 0", "budget.width Input should be greater than or equal to 1, not 0."),
        (
            "pretrain: 3",
            "pretrain: -1",
            "budget.epochs.pretrain Input should be greater than or equal to 0, not -1.",
        ),
        (
            "pretrain: 3",
            "first: 3",
            "budget.epochs.first Input should be 'pretrain', 'midtrain' or 'target', not 'first'.",
        ),
        (
            "{pretrain: 3, target: 7}",
            "1",
            "budget.epochs this must be a mapping, such as {pretrain: VALUE}, not 1.",
        ),
        ("width: 4", "lr: 0", "budget.lr Input should be greater than 0, not 0."),
        (
            "width: 4",
            "lr: fast",
            "budget.lr Input should be a valid number, unable to parse string as a number, not 'fast'.",
        ),
        (
            "width: 4",
            "lr: {target: -1}",
            "budget.lr.target Input should be greater than 0, not -1.",
        ),
        (
            "width: 4",
            "lr: {first: 1}",
            "budget.lr.first Input should be 'pretrain', 'midtrain' or 'target', not 'first'.",
        ),
    ],
)
def test_a_budget_has_sensible_numbers_only(load, old, new, mistake):
    assert mistakes(load, (old, new)) == [f"line 7 {mistake}"]


def test_a_missing_role_is_named(load):
    assert mistakes(load, ("  midtrain: tones\n", "")) == ["line 2 data.midtrain this field is missing."]


def test_a_stand_in_must_be_an_encoder(load):
    assert mistakes(load, ("toy-ears", "tones")) == [
        "line 6 stand_ins.ears 'tones' is a dataset part, not a features part. "
        "Installed features parts: ears, toy-ears."
    ]


@pytest.mark.parametrize(("name", "near"), [("eras", " Did you mean 'ears'?"), ("clap", "")])
def test_a_stand_in_replaces_an_encoder_that_exists(load, name, near):
    assert mistakes(load, ("{ears: toy-ears}", f"{{{name}: toy-ears}}")) == [
        f"line 6 stand_ins.{name} no features part is called {name!r}.{near} "
        "Installed features parts: ears, toy-ears."
    ]


def test_what_a_stand_in_replaces_is_no_part_of_another_slot(load):
    assert mistakes(load, ("{ears: toy-ears}", "{tones: toy-ears}")) == [
        "line 6 stand_ins.tones 'tones' is a dataset part, not a features part. "
        "Installed features parts: ears, toy-ears."
    ]


def test_there_is_at_least_one_seed(load):
    assert mistakes(load, ("seeds: 2", "seeds: 0")) == [
        "line 8 seeds Input should be greater than or equal to 1, not 0."
    ]
