from pathlib import Path

import pytest

from amrbench.config import load
from amrbench.config.load import find, find_near, load_protocol, load_recipe, parse_part, shipped
from amrbench.config.protocol import Protocol
from amrbench.config.recipe import Recipe
from amrbench.config.study import StudyFile
from amrbench.discovery import load_registry
from amrbench.errors import RecipeError
from amrbench.slots.data import DatasetPart
from tests.small_world.unbuilt_parts import PROTOCOL, RECIPE, REGISTRY, Tones


def refused(kind, name):
    with pytest.raises(RecipeError) as error:
        find(kind, name)
    return str(error.value)


def test_a_shipped_file_is_found_by_its_name():
    assert find("recipe", "cgdetr").name == "cgdetr.yaml"
    assert find("protocol", "synthetic").name == "synthetic.yaml"


def test_shipped_recipes_and_protocols_are_valid():
    registry = load_registry()
    names = [load_recipe(path, registry).name for path in shipped("recipe")]
    assert {"cgdetr", "sliding-window"} <= set(names)
    assert names == [path.stem for path in shipped("recipe")]
    assert [load_protocol(path, registry).name for path in shipped("protocol")] == [
        path.stem for path in shipped("protocol")
    ]


def test_files_of_editors_and_broken_files_beside_shipped_ones_harm_no_other_recipe(tmp_path, monkeypatch):
    recipes = tmp_path / "recipes"
    recipes.mkdir()
    (recipes / "toy.yaml").write_text(RECIPE)
    (recipes / "mine.yaml").write_bytes(b"name: mine\nabout: f\xfcr\n")
    (recipes / ".#toy.yaml").symlink_to("somebody@host.7")
    (recipes / "._toy.yaml").write_bytes(b"\0\5\x16\7")
    (recipes / "folder.yaml").mkdir()
    monkeypatch.setattr(load, "__file__", str(tmp_path / "amrbench" / "config" / "load.py"))
    assert [path.name for path in shipped("recipe")] == ["mine.yaml", "toy.yaml"]
    assert shipped("study") == []
    assert load_recipe("toy", REGISTRY).name == "toy"
    with pytest.raises(RecipeError, match="mine.yaml"):
        load_recipe("mine", REGISTRY)


def test_every_shipped_protocol_resolves_every_shipped_recipe():
    registry = load_registry()
    for protocol in shipped("protocol"):
        for recipe in shipped("recipe"):
            resolved = load_protocol(protocol, registry).resolve(load_recipe(recipe, registry))
            assert resolved.name == recipe.stem


def test_a_path_is_taken_before_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("cgdetr.yaml").write_text(RECIPE)
    assert load_recipe("cgdetr.yaml", REGISTRY).name == "toy"
    assert find("recipe", "cgdetr") != Path("cgdetr.yaml")


def test_a_name_may_begin_with_the_folder_of_the_user(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "mine.yaml").write_text(RECIPE)
    assert find("recipe", "~/mine.yaml") == find("recipe", Path("~/mine.yaml")) == tmp_path / "mine.yaml"
    assert find_near("recipe", "~/mine.yaml", Path("elsewhere/study.yaml")) == tmp_path / "mine.yaml"
    message = "there is no protocol '~/quick.yaml': no such file, and no shipped protocol of this name."
    assert refused("protocol", "~/quick.yaml").startswith(message)


def test_the_folder_of_an_unknown_user_is_a_name_as_any_other(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert refused("recipe", "~nobody-here/a.yaml").startswith("there is no recipe '~nobody-here/a.yaml':")
    Path("~nobody-here.yaml").write_text(RECIPE)
    assert load_recipe("~nobody-here.yaml", REGISTRY).name == "toy"


def test_a_misspelt_name_suggests_the_near_one():
    names, studies = (", ".join(path.stem for path in shipped(kind)) for kind in ("recipe", "study"))
    assert "components" in studies
    assert refused("recipe", "cgdert") == (
        "there is no recipe 'cgdert': no such file, and no shipped recipe of this name. "
        f"Did you mean 'cgdetr'? Shipped: {names}. Studies: {studies}."
    )
    assert "Studies" not in refused("protocol", "syntetic")


def test_a_missing_file_is_reported_like_a_missing_name(tmp_path):
    path = tmp_path / "synthetik.yaml"
    message = f"there is no protocol '{path}': no such file, and no shipped protocol of this name."
    assert refused("protocol", path).startswith(f"{message} Did you mean 'synthetic'?")


def test_a_file_with_another_ending_is_refused(tmp_path):
    (tmp_path / "toy.txt").write_text(RECIPE)
    assert refused("recipe", tmp_path / "toy.txt") == (
        f"{tmp_path}/toy.txt does not end in .yaml; rename it, so that editors and people recognise it."
    )


def test_where_nothing_is_shipped_the_message_says_so(monkeypatch):
    monkeypatch.setattr(load, "shipped", lambda kind: [])
    assert refused("recipe", "x") == (
        "there is no recipe 'x': no such file, and no shipped recipe of this name. Shipped: none."
    )


STUDY = "study: x\nbase: toy\nvariants: [toy]\n"
GIVE = "Give recipes and studies as arguments, and a protocol with --protocol."


@pytest.mark.parametrize(
    ("load_one", "text", "fault"),
    [
        (load_recipe, PROTOCOL, f"is a protocol, not a recipe. {GIVE}"),
        (load_recipe, STUDY, "is a study, not a recipe. Name a recipe here."),
        (
            load_recipe,
            STUDY.replace("study: x\n", ""),
            "is a study without a name. Add the line 'study: NAME' at its beginning.",
        ),
        (load_protocol, RECIPE, f"is a recipe, not a protocol. {GIVE}"),
        (load_protocol, STUDY, f"is a study, not a protocol. {GIVE}"),
        (load_protocol, RECIPE + "seeds: 2\n", f"is a recipe, not a protocol. {GIVE}"),
    ],
)
def test_a_file_of_another_kind_is_one_mistake(tmp_path, load_one, text, fault):
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(RecipeError) as error:
        load_one(tmp_path / "a.yaml", REGISTRY)
    assert str(error.value) == f"{tmp_path}/a.yaml {fault}"


@pytest.mark.parametrize("text", ["- a\n", "word\n", "name: a\n", "name: a\nmodel: net\n"])
def test_a_file_of_no_kind_lists_its_mistakes(tmp_path, text):
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(RecipeError, match=r"a\.yaml has \d+ mistakes?\n"):
        load_protocol(tmp_path / "a.yaml", REGISTRY)


def test_a_few_keys_of_another_kind_are_unknown_fields(tmp_path):
    (tmp_path / "a.yaml").write_text(RECIPE + "splits: {}\nchains: own\n")
    with pytest.raises(RecipeError, match=r"a\.yaml has 2 mistakes\n\n.* unknown field 'splits'"):
        load_recipe(tmp_path / "a.yaml", REGISTRY)


@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [
        ("recipe", "synthetic", f"'synthetic' is a protocol, not a recipe. {GIVE}"),
        ("recipe", "components", "'components' is a study, not a recipe. Name a recipe here."),
        ("protocol", "components", f"'components' is a study, not a protocol. {GIVE}"),
        ("protocol", "cgdetr", f"'cgdetr' is a recipe, not a protocol. {GIVE}"),
    ],
)
def test_a_shipped_name_of_another_kind_says_what_it_is(kind, name, message):
    assert refused(kind, name) == message


def test_kinds_of_files_are_told_apart_by_keys_that_only_one_has():
    assert StudyFile.model_fields.keys() - Recipe.model_fields.keys() == load._OWN_KEYS["study"]
    assert not load._OWN_KEYS["study"] & Protocol.model_fields.keys()


def test_a_file_names_others_relative_to_its_own_folder_first(tmp_path):
    (tmp_path / "cgdetr.yaml").write_text(RECIPE)
    file = tmp_path / "study.yaml"
    assert find_near("recipe", "cgdetr", file) == tmp_path / "cgdetr.yaml"
    assert find_near("recipe", "cgdetr.yaml", file) == tmp_path / "cgdetr.yaml"
    assert find_near("recipe", "ours1", file) == find("recipe", "ours1")


def test_a_command_names_a_part_alone_or_with_options():
    assert parse_part("tones", DatasetPart, REGISTRY, called="--data") == Tones()
    assert parse_part("{use: tones, size: 9}", DatasetPart, REGISTRY, called="--data") == Tones(size=9)
    with pytest.raises(RecipeError, match="--data has 1 mistake\n\n *line 1 .*Did you mean 'tones'"):
        parse_part("tonse", DatasetPart, REGISTRY, called="--data")
