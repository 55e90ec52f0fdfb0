from pathlib import Path

import pytest

from amrbench.config.load import Method
from amrbench.config.recipe import Recipe
from amrbench.config.study import Study, Variant
from amrbench.evaluation.compare import METRICS
from amrbench.evaluation.study_table import study_table, study_tables
from amrbench.files.yaml_file import parse_yaml
from tests.core.evaluation.test_table import results, row
from tests.small_world.unbuilt_parts import RECIPE, REGISTRY


def method(name):
    data = parse_yaml(RECIPE, "toy").data | {"name": name}
    return Method(Path("x.yaml"), b"", Recipe.model_validate(data, context=REGISTRY))


def study():
    variants = tuple(
        Variant(**vars(method(f"s-{family}-a")), family=family, change="a") for family in ("only", "without")
    )
    return Study("s", method("base"), method("full"), variants)


def finished(recipe, *seeds, **options):
    rows = [
        member.model_copy(update={"metrics": dict.fromkeys(METRICS, value)})
        for member, value in [
            *((row(f"seed {n}", "seed", 0), value) for n, value in enumerate(seeds)),
            (row("mean", "mean", 0), sum(seeds) / len(seeds)),
            (row("whole recording", "prior", 0), 1.0),
        ]
    ]
    return results(recipe, rows=tuple(rows), **options)


RESULTS = [
    finished("base", 10, 20),
    finished("full", 40, 60),
    finished("s-only-a", 11, 22),
    finished("s-without-a", 40, 60, hash="full"),
]


def test_the_table_has_means_and_differences_from_the_changed_recipe():
    lines = study_table(study(), RESULTS).text().splitlines()
    assert lines[0] == (
        "Study s: 'only' is base with one change, compared with base; "
        "'without' is full less one change, compared with full."
    )
    assert lines[1] == "'=': the protocol leaves nothing of this change."
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines[3:]]
    assert cells[0] == [
        *("family", "change", "R1@0.5", "diff R1@0.5", "R1@0.7", "diff R1@0.7"),
        *("R5@0.5", "diff R5@0.5", "R5@0.7", "diff R5@0.7", "mAP", "diff mAP"),
        "diff R1@0.7 of each seed",
    ]
    assert cells[2:] == [
        ["", "base", *["15.00", ""] * 5, ""],
        ["", "full", *["50.00", ""] * 5, ""],
        ["only", "a", *["16.50", "+1.50"] * 5, "+1.00, +2.00"],
        ["without", "a", *["50.00", "="] * 5, ""],
    ]


def test_json_has_the_differences_of_the_seeds():
    rows = study_table(study(), RESULTS).as_json()["rows"]
    assert rows[0] == {
        "family": "",
        "change": "base",
        "recipe": "base",
        "mean": dict.fromkeys(METRICS, 15.0),
    }
    assert rows[2]["seeds"] == {"seed 0": dict.fromkeys(METRICS, 1), "seed 1": dict.fromkeys(METRICS, 2)}
    assert rows[2]["same"] is False
    assert rows[3]["same"] is True
    assert rows[3]["against"] == "full"


def test_where_the_soup_alone_differs_single_models_are_not_compared():
    made = {name: finished(name, 10, 20) for name in ("base", "fisher")}
    for name, soup in (("base", "uniform"), ("fisher", "fisher")):
        options = {**made[name].recipe.options, "soup": {"use": soup}}
        recipe = made[name].recipe.model_copy(update={"options": options})
        made[name] = made[name].model_copy(update={"recipe": recipe})
    other = Variant(**vars(method("fisher")), family="variant", change="fisher")
    listed = study_table(Study("s", method("base"), None, (other,)), [made["base"], made["fisher"]])
    lines = listed.text().splitlines()
    assert lines[1] == ("'soup': the single models are the same; the soups are in the table of the runs.")
    assert lines[-1].count("soup |") == len(METRICS)
    assert "+0.00" not in listed.text()
    assert listed.as_json()["rows"][1]["soup_only"] is True


def test_listed_recipes_are_compared_with_the_base():
    other = Variant(**vars(method("other")), family="variant", change="other")
    listed = study_table(Study("s", method("base"), None, (other,)), [RESULTS[0], finished("other", 11, 22)])
    lines = listed.text().splitlines()
    assert lines[0] == "Study s: 'variant' is compared with base."
    assert "| variant  | other    |    16.50 |         +1.50 |" in lines[-1]
    assert listed.as_json()["full"] is None
    assert [row["recipe"] for row in listed.as_json()["rows"]] == ["base", "other"]


def test_a_seed_that_only_one_has_is_no_pair():
    few = [RESULTS[0], RESULTS[1], finished("s-only-a", 11), RESULTS[3]]
    assert list(study_table(study(), few).as_json()["rows"][2]["seeds"]) == ["seed 0"]


def test_the_table_of_a_study_has_the_results_of_its_recipes():
    runnables = [method("other"), study(), method("last")]
    tables = study_tables(runnables, [finished("other", 5), *RESULTS, finished("last", 6)])
    assert [other.rows for other in tables] == [study_table(study(), RESULTS).rows]


def test_without_a_study_there_is_no_table():
    assert study_tables([method("other")], [finished("other", 5)]) == []


@pytest.mark.parametrize(("form", "mark"), [("tsv", "# "), ("latex", "% ")])
def test_headings_of_a_study_are_comments_where_the_format_has_them(form, mark):
    lines = study_table(study(), RESULTS).text(form).splitlines()
    assert lines[0].startswith(f"{mark}Study s")
    assert lines[1].startswith(f"{mark}'='")
    assert "only" in "".join(lines[2:])
