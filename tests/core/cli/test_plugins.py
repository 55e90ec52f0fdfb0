"""`check`, `parts` and `schema` from outside: what they print, and how they end."""

import json

import pytest
import yaml

from amrbench.config.load import find, shipped


def baseline(**changes):
    recipe = yaml.safe_load(find("recipe", "cgdetr").read_text())
    for path, value in changes.items():
        options = recipe
        *steps, last = path.split("__")
        for step in steps:
            options = options[int(step) if step.isdigit() else step]
        options[int(last) if last.isdigit() else last] = value
    return yaml.safe_dump(recipe, sort_keys=False)


def test_parts_lists_every_slot(amrbench):
    code, out, _ = amrbench("parts", "--format", "json")
    rows = json.loads(out)
    assert code == 0
    assert {"model", "loss", "optimizer", "features", "dataset", "head"} <= {row["slot"] for row in rows}


def test_parts_of_a_name_shows_options_with_bounds(amrbench):
    code, out, _ = amrbench("parts", "optimizer", "adamw")
    assert code == 0
    assert "adamw" in out
    assert "budget: lr" in out


def test_a_misspelt_slot_ends_with_two(amrbench):
    code, _, err = amrbench("parts", "optimiser")
    assert code == 2
    assert "Did you mean 'optimizer'?" in err


def test_a_plugin_can_be_left_out(amrbench):
    code, out, _ = amrbench("parts", "--without", "frame-models", "--format", "json")
    assert code == 0
    assert "dual-encoder" not in {row["part"] for row in json.loads(out)}


def test_a_plugin_that_is_not_installed_cannot_be_left_out(amrbench):
    code, _, err = amrbench("parts", "--without", "frame-modles")
    assert code == 2
    assert "Did you mean 'frame-models'?" in err


def test_schema_is_json(amrbench):
    code, out, _ = amrbench("schema")
    assert code == 0
    assert "slot:loss" in json.loads(out)["$defs"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (baseline(training__optimizer="adamm"), "no optimizer part is called 'adamm'. Did you mean 'adamw'?"),
        (baseline(training__losses__0__wieght=3), "unknown field 'wieght'. Did you mean 'weight'?"),
        (baseline(training__optimizer="hungarian"), "'hungarian' is a matcher part, not"),
        (baseline(training__batch="many"), "training.batch"),
        ("name: a\nname: b\n", "this key is repeated (first on line 1)"),
        ("name: &x [*x]\n", "the alias *x points elsewhere"),
        ("name: !!python/object/apply:os.system [echo]\n", "the YAML tag"),
        ("name: [\n", "this is not YAML"),
        ("", "the file is empty"),
    ],
)
def test_a_wrong_recipe_ends_with_two_and_one_message(amrbench, tmp_path, text, message):
    path = tmp_path / "wrong.yaml"
    path.write_text(text)
    code, out, err = amrbench("check", path)
    assert code == 2
    assert out == ""
    assert err.startswith(f"error: {path} has ")
    assert message in err
    assert "Traceback" not in err


def test_two_mistakes_are_listed_with_their_lines(amrbench, tmp_path):
    path = tmp_path / "wrong.yaml"
    text = baseline(training__optimizer="adamm", model__heads=["spans", "foregrund", "saliency"])
    path.write_text(text)
    lines = text.splitlines()
    code, _, err = amrbench("check", path)
    assert code == 2
    assert f"{path} has 2 mistakes" in err
    assert f"line {lines.index('  optimizer: adamm') + 1}" in err
    assert f"line {lines.index('  - foregrund') + 1}" in err


def test_a_missing_recipe_ends_with_two(amrbench):
    code, _, err = amrbench("check", "cgdter")
    assert code == 2
    assert "there is no recipe 'cgdter'" in err
    assert "Did you mean 'cgdetr'?" in err


def test_a_protocol_in_place_of_a_recipe_ends_with_two_and_one_line(amrbench):
    remedy = "Give recipes and studies as arguments, and a protocol with --protocol."
    code, out, err = amrbench("check", "synthetic")
    assert (code, out) == (2, "")
    assert err == f"error: 'synthetic' is a protocol, not a recipe. {remedy}\n"
    file = find("recipe", "cgdetr")
    code, _, err = amrbench("check", "cgdetr", "--protocol", file)
    assert (code, err) == (2, f"error: {file} is a recipe, not a protocol. {remedy}\n")


def test_check_reports_all_recipes_even_if_one_is_wrong(amrbench, tmp_path):
    path = tmp_path / "wrong.yaml"
    path.write_text(baseline(soup="soap"))
    code, out, err = amrbench("check", "cgdetr", path, "sliding-window")
    assert code == 2
    assert "cgdetr: fine under synthetic" in out
    assert "sliding-window: fine under synthetic" in out
    assert "mini-clap stands in for clap" in out
    assert "no soup part is called 'soap'" in err


def test_check_without_names_checks_all_shipped_recipes(amrbench):
    code, out, _ = amrbench("check", "--protocol", "castella")
    assert code == 0
    checked = [line.split(":")[0] for line in out.splitlines() if "fine under castella" in line]
    assert checked == [file.stem for file in shipped("recipe")]
    assert len(checked) > 6
    assert "Missing files that a run needs:" in out


def test_a_width_that_the_heads_do_not_divide_is_a_mistake(amrbench, tmp_path):
    path = tmp_path / "wrong.yaml"
    path.write_text(baseline(model__attention_heads=7))
    code, _, err = amrbench("check", path)
    assert code == 2
    assert "attention_heads is 7" in err
