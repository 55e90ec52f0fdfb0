import pytest

from amrbench.config.load import load_recipe
from amrbench.config.recipe import Budget, Recipe
from amrbench.discovery import load_registry
from amrbench.errors import AmrbenchError, RecipeError
from amrbench.files.yaml_file import parse_yaml
from amrbench.functional.metrics import Metric
from tests.small_world.unbuilt_parts import RECIPE, REGISTRY, Net


@pytest.fixture
def load(tmp_path):
    """Return a function that writes the toy recipe with some text replaced, and loads it."""

    def make(*changes):
        text = RECIPE
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        (tmp_path / "toy.yaml").write_text(text)
        return load_recipe(tmp_path / "toy.yaml", REGISTRY)

    make.path = tmp_path / "toy.yaml"
    return make


def mistakes(load, *changes):
    with pytest.raises(RecipeError) as error:
        load(*changes)
    head, _, rows = str(error.value).partition("\n\n")
    rows = [" ".join(row.split()) for row in rows.splitlines()]
    count = "1 mistake" if len(rows) == 1 else f"{len(rows)} mistakes"
    assert head == f"{load.path} has {count}"
    return rows


def toy():
    return Recipe.model_validate(parse_yaml(RECIPE, "toy").data, context=REGISTRY)


def test_a_recipe_is_read_with_its_defaults(load):
    recipe = load()
    assert recipe.limits.frames == 300
    assert recipe.training.batch == 32
    assert recipe.training.select == ("R1@0.7", "R1@0.5")
    assert [stage.seeds for stage in recipe.stages] == ["one", "many"]


def test_a_recipe_written_down_and_read_again_is_the_same(load):
    recipe = load()
    assert Recipe.model_validate(recipe.model_dump(mode="json"), context=REGISTRY) == recipe


def test_an_unknown_part_is_reported_with_its_line(load):
    assert mistakes(load, ("distance", "distanse")) == [
        "line 8 training.losses.0 no loss part is called 'distanse'. Did you mean 'distance'? "
        "Installed loss parts: blind-contrast, contrast, distance, far-contrast, greedy."
    ]


def test_an_unknown_field_is_reported_with_its_line(load):
    assert mistakes(load, ("weight: 2", "wieght: 2")) == [
        "line 8 training.losses.0.wieght unknown field 'wieght'. Did you mean 'weight'?"
    ]


def test_a_part_in_the_wrong_slot_is_reported_with_its_line(load):
    assert mistakes(load, ("matcher: pairs", "matcher: cut")) == [
        "line 6 training.matcher 'cut' is a ranking part, not a matcher part. "
        "Installed matcher parts: pairs, picky."
    ]


def test_a_wrong_type_is_reported_with_its_line(load):
    assert mistakes(load, ("epochs: 20", "epochs: many")) == [
        "line 13 stages.0.epochs Input should be a valid integer, unable to parse string as an integer, "
        "not 'many'."
    ]


def test_two_mistakes_are_reported_at_once_in_the_order_of_lines(load):
    rows = mistakes(load, ("cut", "cat"), ("lr: 0.5", "lr: -1"))
    assert [row.split()[:3] for row in rows] == [
        ["line", "10", "training.optimizer.around.lr"],
        ["line", "17", "ranking.0"],
    ]


def test_missing_fields_are_named(load):
    assert mistakes(load, ("soup: none\n", ""), ("  matcher: pairs\n", "")) == [
        "line 1 soup this field is missing.",
        "line 4 training.matcher this field is missing.",
    ]


@pytest.mark.parametrize("name", ["Toy", "a b", "../x", "-a", "a_b", "''"])
def test_a_name_must_suit_a_file(load, name):
    shown = name.strip("'")
    assert mistakes(load, ("name: toy", f"name: {name}")) == [
        f"line 1 name {shown!r} becomes a file name: use small letters, digits and '-'."
    ]


def test_the_name_of_a_stage_must_suit_a_file(load):
    assert mistakes(load, ("name: first", "name: First")) == [
        "line 13 stages.0.name 'First' becomes a file name: use small letters, digits and '-'."
    ]


def selecting(metric):
    return "  optimizer", f"  select: [{metric}]\n  optimizer"


@pytest.mark.parametrize("metric", ["R1", "R0@0.5", "R1@1.5", "mAP@", "map", "HIT@1", "R1@0.0", "mAP@0.51"])
def test_a_metric_must_exist(load, metric):
    with pytest.raises(AmrbenchError) as error:
        Metric.parse(metric)
    assert mistakes(load, selecting(metric)) == [f"line 10 training.select.0 {error.value}"]
    assert f"there is no metric {metric!r}." in str(error.value)


@pytest.mark.parametrize(("metric", "name"), [("mAP@0.6", "mAP@0.6"), ("R5@0.70", "R5@0.7"), ("mAP", "mAP")])
def test_any_metric_of_the_evaluator_can_choose_the_epoch(load, metric, name):
    assert load(selecting(metric)).training.select == (name,)


def test_a_loss_needs_what_it_requires(load):
    assert mistakes(load, ("contrast", "greedy")) == [
        "line 9 training.losses.1 loss 'greedy' requires colour, quality, which no chosen part of 'net' "
        "provides. It provides: scores, spans."
    ]


def test_a_near_name_of_what_the_model_provides_is_suggested(load, monkeypatch):
    monkeypatch.setattr(
        Net, "provides", property(lambda self: dict.fromkeys(("spans", "colours", "qualty"), "B T"))
    )
    assert mistakes(load, ("contrast", "greedy"), ("widest", "narrowest")) == [
        "line 9 training.losses.1 loss 'greedy' requires colour, quality, which no chosen part of 'net' "
        "provides. Did you mean 'colours'? It provides: colours, qualty, spans."
    ]


def test_a_near_name_of_evidence_is_suggested(load, monkeypatch):
    monkeypatch.setattr(REGISTRY.find("ranking", "tested"), "requires", frozenset({"sene"}))
    assert mistakes(load, ("ranking: [cut]", "ranking: [tested]")) == [
        "line 17 ranking.0 ranking 'tested' requires sene of each moment, which the readout 'widest' does "
        "not give with this model. Did you mean 'seen'? It gives: seen."
    ]


def test_a_matcher_needs_what_it_requires(load):
    assert mistakes(load, ("pairs", "picky")) == [
        "line 6 training.matcher matcher 'picky' requires quality, which no chosen part of 'net' "
        "provides. It provides: scores, spans."
    ]


def test_a_soup_needs_the_losses_that_it_reads(load):
    assert mistakes(load, ("soup: none", "soup: weighed")) == [
        "line 15 soup soup 'weighed' reads losses that training does not have: quality; "
        "let its option 'losses' name some of distance, contrast."
    ]


def test_a_loss_needs_the_views_that_it_looks_at(load):
    assert mistakes(load, ("contrast", "far-contrast")) == [
        "line 9 training.losses.1 loss 'far-contrast' needs the view 'far', which 'net' does not provide. "
        "It provides: other."
    ]
    assert mistakes(load, ("contrast", "blind-contrast")) == [
        "line 9 training.losses.1 loss 'blind-contrast' requires colour, which no chosen part of 'net' "
        "provides. It provides: scores, spans."
    ]


def test_a_recipe_has_losses_and_stages(load):
    rows = mistakes(load, ("    - {use: distance, weight: 2}\n    - contrast\n", "    []\n"))
    assert rows == [
        "line 7 training.losses Tuple should have at least 1 item after validation, not 0, not []."
    ]


def test_a_readout_needs_what_it_requires(load):
    text = (
        "readout 'surest' requires quality, which no chosen part of 'net' provides. "
        "It provides: scores, spans."
    )
    assert mistakes(load, ("readout: widest", "readout: surest")) == [f"line 16 readout {text}"]
    assert mistakes(load, ("readouts: [widest]", "readouts: [widest, surest]")) == [
        f"line 11 training.readouts.1 {text}"
    ]


def test_training_needs_a_readout_and_each_only_once(load):
    assert mistakes(load, ("readouts: [widest]", "readouts: []")) == [
        "line 11 training.readouts Tuple should have at least 1 item after validation, not 0, not []."
    ]
    assert mistakes(load, ("readouts: [widest]", "readouts: [widest, widest]")) == [
        "line 11 training.readouts 'widest' is listed twice; keep one."
    ]
    assert mistakes(load, ("  readouts: [widest]\n", ""), ("readout: widest\n", "")) == [
        "line 1 readout this field is missing.",
        "line 4 training.readouts this field is missing.",
    ]


def test_a_ranking_step_needs_the_evidence_that_it_reads(load):
    assert [part.use for part in load(("ranking: [cut]", "ranking: [tested]")).ranking] == ["tested"]
    assert mistakes(load, ("ranking: [cut]", "ranking: [tested, painted]")) == [
        "line 17 ranking.1 ranking 'painted' requires colour, saliency.inside of each moment, which the "
        "readout 'widest' does not give with this model. It gives: seen."
    ]
    assert mistakes(
        load, ("ranking: [cut]", "ranking: [tested]"), ("readout: widest", "readout: narrowest")
    ) == [
        "line 17 ranking.0 ranking 'tested' requires seen of each moment, which the readout 'narrowest' does "
        "not give with this model. It gives: nothing."
    ]


def test_every_readout_gives_evidence_of_saliency_that_the_model_provides(load, monkeypatch):
    provides = {"spans": "N B Q 2", "scores": "N B Q", "saliency": "B T", "colour": "N B Q"}
    monkeypatch.setattr(Net, "provides", property(lambda self: provides))
    assert load(("ranking: [cut]", "ranking: [tested, painted]")).ranking[1].use == "painted"
    assert mistakes(
        load, ("ranking: [cut]", "ranking: [painted]"), ("readout: widest", "readout: narrowest")
    ) == [
        "line 17 ranking.0 ranking 'painted' requires colour of each moment, which the readout 'narrowest' "
        "does not give with this model. It gives: saliency.inside, saliency.outside."
    ]


@pytest.mark.parametrize(
    ("trained", "readout", "name"),
    [
        ("widest", "widest", "widest"),
        ("widest, narrowest", "widest", "widest"),
        ("widest, narrowest", "narrowest", "narrowest"),
        ("widest", "narrowest", "widest"),  # not validated in training: the first
        ("widest, narrowest", "{use: joined, of: [narrowest, widest]}", "narrowest"),
        ("widest", "{use: joined, of: [narrowest, widest]}", "widest"),
        ("narrowest", "{use: joined, of: [widest]}", "narrowest"),
        ("narrowest, widest", "{use: joined, of: []}", "narrowest"),
    ],
)
def test_the_weights_are_those_that_are_best_for_the_readout(load, trained, readout, name):
    changes = ("readouts: [widest]", f"readouts: [{trained}]"), ("readout: widest", f"readout: {readout}")
    assert load(*changes).selected_by == name


def test_a_loss_is_listed_once(load):
    assert mistakes(load, ("contrast", "distance")) == [
        "line 7 training.losses 'distance' is listed twice; keep one."
    ]


def test_stages_have_different_names(load):
    assert mistakes(load, ("name: first", "name: last")) == [
        "line 12 stages two stages have one name: last, last."
    ]


def test_only_the_last_stage_runs_many_seeds(load):
    assert mistakes(load, ("epochs: 20", "epochs: 20, seeds: many")) == [
        "line 13 stages.0.seeds only the last stage may run many seeds; the others are shared by all of them."
    ]


def test_the_last_stage_trains_on_the_target(load):
    assert mistakes(load, ("data: target", "data: midtrain")) == [
        "line 14 stages.1.data the last stage must train on 'target', which is what is scored."
    ]


def test_a_role_must_exist(load):
    assert mistakes(load, ("data: pretrain", "data: pretraining")) == [
        "line 13 stages.0.data Input should be 'pretrain', 'midtrain' or 'target', not 'pretraining'."
    ]


def test_a_recipe_that_is_a_list_is_refused(load):
    load.path.write_text("- a\n- b\n")
    with pytest.raises(RecipeError) as error:
        load_recipe(load.path, REGISTRY)
    assert str(error.value).startswith(f"{load.path} has 1 mistake\n\n  line 1")


def test_a_budget_replaces_its_numbers_at_any_depth():
    recipe = Budget(batch=4, lr=0.01, warmup=0.2, input_dropout=0.1).of(toy())
    assert recipe.training.batch == 4
    assert recipe.training.optimizer.around.lr == 0.01
    assert recipe.training.optimizer.around.schedule.warmup == 0.2
    assert [stage.input_dropout for stage in recipe.stages] == [0.1, 0.1]


def test_sizes_and_epochs_of_a_budget_are_upper_limits():
    recipe = Budget(epochs={"pretrain": 3, "target": 9}, width=4, layers=6).of(toy())
    assert [stage.epochs for stage in recipe.stages] == [3, 5]
    assert (recipe.model.width, recipe.model.layers) == (4, 1)
    assert recipe.training.losses[0].width == 4


def test_a_limit_leaves_an_option_without_a_number_alone():
    recipe = load_recipe("ours3", load_registry())
    small = Budget(attention_heads=2).of(recipe)
    assert (small.model.attention_heads, small.model.text_summary.around.attention_heads) == (2, None)
    assert {part.attention_heads for part in small.model.memory_refine if part.use != "add-global"} == {2}
    assert Budget(attention_heads=16).of(recipe) == recipe


def test_a_budget_leaves_all_else_alone():
    recipe = toy()
    assert Budget().of(recipe) == recipe
    changed = Budget(width=4).of(recipe).model_dump()
    kept = recipe.model_dump()
    kept["model"]["width"] = kept["training"]["losses"][0]["width"] = 4
    assert changed == kept


def test_a_budget_that_does_not_fit_the_recipe_is_refused():
    with pytest.raises(RecipeError) as error:
        Budget(width=3).of(toy())
    assert str(error.value) == (
        "the protocol's budget does not fit the recipe toy: heads is 2, which does not divide width 3."
    )


def own_rates(load, options):
    return load(("epochs: 5", f"epochs: 5, {options}"))


def test_a_stage_without_a_rate_is_trained_as_the_recipe_says(load):
    recipe = load()
    for stage in recipe.stages:
        assert (stage.lr, stage.schedule) == (None, None)
        assert recipe.training_of(stage) is recipe.training


def test_rate_and_schedule_of_a_stage_reach_the_innermost_optimizer(load):
    recipe = own_rates(load, "lr: 0.02, schedule: {use: flat, warmup: 0.25}")
    first, last = (recipe.training_of(stage).optimizer for stage in recipe.stages)
    assert first == recipe.training.optimizer
    assert (last.use, last.around.lr, last.around.schedule.warmup) == ("mean", 0.02, 0.25)
    assert recipe.training_of(recipe.stages[1]).losses == recipe.training.losses


def test_one_of_the_two_leaves_the_other_alone(load):
    rate, schedule = (
        own_rates(load, options).stages[1] for options in ("lr: 0.02", "schedule: {use: flat, warmup: 0.25}")
    )
    around = toy().training_of(rate).optimizer.around
    assert (around.lr, around.schedule.warmup) == (0.02, 0.0)
    around = toy().training_of(schedule).optimizer.around
    assert (around.lr, around.schedule.warmup) == (0.5, 0.25)


def test_a_recipe_with_rates_written_down_and_read_again_is_the_same(load):
    recipe = own_rates(load, "lr: 0.02, schedule: {use: flat, warmup: 0.25}")
    assert Recipe.model_validate(recipe.model_dump(mode="json"), context=REGISTRY) == recipe


BARE = ("{use: mean, around: {use: descent, lr: 0.5}}", "bare")


@pytest.mark.parametrize(
    ("changes", "mistake"),
    [
        (
            [BARE, ("epochs: 5", "epochs: 5, lr: 0.1")],
            "line 14 stages.1.lr the stage 'last' has an 'lr', but 'training.optimizer' has no learning "
            "rate; leave it out.",
        ),
        (
            [BARE, ("epochs: 5", "epochs: 5, schedule: flat")],
            "line 14 stages.1.schedule the stage 'last' has a 'schedule', but 'training.optimizer' takes "
            "none; leave it out.",
        ),
        (
            [("epochs: 5", "epochs: 5, lr: 11")],
            "line 14 stages.1.lr the stage 'last' has an 'lr' that 'training.optimizer' refuses: Input "
            "should be less than or equal to 10, not 11.0.",
        ),
        (
            [("epochs: 5", "epochs: 5, lr: 0")],
            "line 14 stages.1.lr Input should be greater than 0, not 0.",
        ),
        (
            [("epochs: 5", "epochs: 5, schedule: cosine")],
            "line 14 stages.1.schedule no schedule part is called 'cosine'. Installed schedule parts: flat.",
        ),
    ],
)
def test_a_rate_that_the_optimizer_cannot_have_is_refused(load, changes, mistake):
    assert mistakes(load, *changes) == [mistake]


def test_a_budget_says_the_rate_of_all_stages_or_that_of_each_role(load):
    recipe = own_rates(load, "lr: 0.02")
    one = Budget(lr=0.01).of(recipe)
    assert [stage.lr for stage in one.stages] == [None, 0.01]
    assert [one.training_of(stage).optimizer.around.lr for stage in one.stages] == [0.01, 0.01]
    roles = Budget(lr={"pretrain": 0.03, "midtrain": 0.04}).of(recipe)
    assert [stage.lr for stage in roles.stages] == [0.03, 0.02]
    assert roles.training == recipe.training
    assert [stage.lr for stage in Budget(lr={"target": 0.05}).of(toy()).stages] == [None, 0.05]


def test_a_budget_reaches_the_schedule_of_a_stage(load):
    recipe = Budget(warmup=0.3).of(own_rates(load, "schedule: {use: flat, warmup: 0.1}"))
    assert recipe.stages[1].schedule.warmup == 0.3


def test_a_rate_by_role_is_nothing_to_an_optimizer_without_one(load):
    recipe = load(BARE)
    assert Budget(lr={"target": 0.05}).of(recipe) == Budget(lr=0.05).of(recipe) == recipe


def test_a_rate_by_role_that_the_optimizer_refuses_is_named():
    with pytest.raises(RecipeError) as error:
        Budget(lr={"target": 11}).of(toy())
    assert str(error.value) == (
        "the protocol's budget does not fit the recipe toy: the stage 'last' has an 'lr' that "
        "'training.optimizer' refuses: Input should be less than or equal to 10, not 11.0."
    )


def test_epochs_are_averaged_over_an_odd_number_of_them(load):
    assert mistakes(load, ("  optimizer", "  select_over: 4\n  optimizer")) == [
        "line 10 training.select_over Input should be 1, 3, 5, 7 or 9, not 4."
    ]
    assert load(("  optimizer", "  select_over: 5\n  optimizer")).training.select_over == 5
