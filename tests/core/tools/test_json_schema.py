"""The schema is checked by an independent validator."""

from __future__ import annotations

import copy
import json

import jsonschema
import pytest
import yaml

from amrbench.config.load import shipped
from amrbench.discovery import load_registry
from amrbench.tools.json_schema import schema


@pytest.fixture(scope="module")
def recipe_schema():
    content = schema("recipe", load_registry())
    jsonschema.Draft202012Validator.check_schema(content)
    return jsonschema.Draft202012Validator(content)


@pytest.fixture(scope="module")
def baseline():
    return yaml.safe_load(next(path for path in shipped("recipe") if path.stem == "cgdetr").read_text())


@pytest.mark.parametrize("path", shipped("recipe"), ids=lambda path: path.stem)
def test_shipped_recipes_fit_the_schema(recipe_schema, path):
    recipe_schema.validate(yaml.safe_load(path.read_text()))


def test_shipped_protocols_fit_the_schema():
    content = schema("protocol", load_registry())
    for path in shipped("protocol"):
        jsonschema.validate(yaml.safe_load(path.read_text()), content)
    assert shipped("protocol")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("training", "optimizer"), "adamm"),
        (("training", "optimizer", "use"), "hungarian"),
        (("model", "wdith"), 3),
        (("stages", 0, "epochs"), "many"),
    ],
)
def test_the_schema_refuses_what_amrbench_refuses(recipe_schema, baseline, path, value):
    wrong = copy.deepcopy(baseline)
    options = wrong
    for step in path[:-1]:
        options = options[step]
    options[path[-1]] = value
    assert not recipe_schema.is_valid(wrong)
    assert recipe_schema.is_valid(baseline)


def test_the_result_of_a_run_fits_its_schema(finished):
    content = schema("result", load_registry())
    jsonschema.Draft202012Validator.check_schema(content)
    result = json.loads((finished.folder / "result.json").read_text())
    jsonschema.validate(result, content)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(result | {"surprise": 1}, content)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(result | {"version": 2}, content)
