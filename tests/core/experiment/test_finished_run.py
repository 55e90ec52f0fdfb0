import json
import os

import pytest

from amrbench.errors import RecipeError, RunError
from amrbench.experiment.finished_run import find_run, open_run, open_runs, slug
from amrbench.registry import Registry
from tests.small_world.parts import PARTS, REGISTRY
from tests.small_world.runs import seal


def test_the_newest_finished_run_is_taken(tmp_path):
    ages = {"old": 100, "new": 50, "killed before its checksums": 40, "x.damaged": 30, "x.damaged-2": 20}
    for name, age in ages.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "result.json").write_text("{}")
        os.utime(tmp_path / name / "result.json", (1e9 - age, 1e9 - age))
        if not name.startswith("killed"):
            seal(tmp_path / name)
    (tmp_path / "unfinished").mkdir()
    assert find_run(None, below=tmp_path) == tmp_path / "new"
    assert find_run(tmp_path / "old", below=tmp_path) == tmp_path / "old"


def test_there_is_no_finished_run(tmp_path):
    with pytest.raises(RunError) as error:
        find_run(None, below=tmp_path)
    assert str(error.value) == (
        f"there is no finished run in {str(tmp_path)!r}. Run a recipe first "
        "('amrbench run recipes/ours3.yaml'), or name one with --run."
    )


def test_a_run_may_be_named_by_its_result(soup_run):
    assert open_run(soup_run.folder / "result.json", REGISTRY).folder == soup_run.folder


def test_a_soup_predicts_or_else_the_first_seed(soup_run, finished):
    assert open_run(soup_run.folder, REGISTRY).weights == soup_run.folder / "soup.safetensors"
    assert open_run(soup_run.folder, REGISTRY, member="seed 1").member.member == "seed 1"
    assert open_run(finished.folder, REGISTRY).member.member == "seed 0"


def test_missing_weights_are_named(soup_run, tmp_path):
    run = open_run(soup_run.folder, REGISTRY, member="seed 0", cache=tmp_path)
    with pytest.raises(RunError) as error:
        _ = run.criterion
    assert str(error.value) == (
        f"{run.weights}: the weights of 'seed 0' are not there. Run the recipe again, which trains "
        "what is missing, or name another cache folder in AMRBENCH_CACHE: that of the run."
    )
    assert open_run(soup_run.folder, REGISTRY, cache=tmp_path).criterion, "a soup is in the run's folder"


def test_parts_that_are_not_installed_are_named_once_with_their_plugin(soup_run):
    with pytest.raises(RecipeError) as error:
        open_run(soup_run.folder, Registry.of(*(part for part in PARTS if part.use != "cut")))
    message = str(error.value)
    assert message.startswith(
        f"{soup_run.folder}/result.json: the recipe of this run cannot be built here: no ranking part is "
        "called 'cut'."
    )
    (used,) = [part for part in open_run(soup_run.folder, REGISTRY).result.parts if part.use == "cut"]
    plugin = f"{used.plugin} ({used.distribution} {used.distribution_version})"
    assert message.endswith(f". It used 'cut' of the plugin {plugin}: install it.")
    assert message.count("no ranking part is called 'cut'") == 1
    assert ".;" not in message
    assert ".." not in message


def test_a_mistake_in_the_recipe_of_a_run_that_no_plugin_mends_names_none(soup_run, tmp_path):
    def twice(content):
        content["recipe"]["options"]["ranking"] = [{"use": "cut", "x": 1}, {"use": "cut", "x": 1}]

    folder = damaged(soup_run, tmp_path, twice)
    with pytest.raises(RecipeError) as error:
        open_run(folder, REGISTRY)
    assert str(error.value) == (
        f"{folder}/result.json: the recipe of this run cannot be built here: unknown field 'x'. Known: none."
    )


def refusal(folder, member=""):
    with pytest.raises(RunError) as error:
        open_run(folder, REGISTRY, member=member)
    return str(error.value)


def test_a_member_that_a_run_does_not_have_is_named(soup_run):
    assert refusal(soup_run.folder, "seed 7") == (
        f"{soup_run.folder}: the run has no member 'seed 7'. It has: seed 0, seed 1, soup."
    )


def damaged(run, folder, change):
    """Write the result of a run with changes to a folder, and return it."""
    content = json.loads((run.folder / "result.json").read_text())
    change(content)
    (folder / "result.json").write_text(json.dumps(content))
    seal(folder)
    return folder


def test_a_result_without_the_weights_of_a_seed_is_refused(soup_run, tmp_path):
    folder = damaged(soup_run, tmp_path, lambda content: content["models"].pop("seed 1"))
    assert refusal(folder, "seed 1") == (
        f"{folder}/result.json: not as a run wrote it (no weights of 'seed 1'). Move the folder away and run "
        "the recipe again."
    )
    assert open_run(folder, REGISTRY, member="seed 0").member.member == "seed 0"


def test_a_result_without_any_model_is_refused(soup_run, tmp_path):
    def keep_means(content):
        content["rows"] = [row for row in content["rows"] if row["kind"] == "mean"]

    assert refusal(damaged(soup_run, tmp_path, keep_means)) == (
        f"{tmp_path}/result.json: not as a run wrote it (no soup, single or seed). Move the folder away and "
        "run the recipe again."
    )


def test_names_of_models_become_names_of_files():
    assert slug("seed 0, queries shuffled") == "seed-0-queries-shuffled"
    assert slug("always 0-10 s") == "always-0-10-s"


def test_several_runs_are_opened_each_once(soup_run, finished, monkeypatch):
    opened = open_runs([soup_run.folder, finished.folder], REGISTRY)
    assert [own.folder for own in opened] == [soup_run.folder, finished.folder]
    monkeypatch.chdir(finished.folder.parents[1])
    assert [own.result for own in open_runs([], REGISTRY)] == [finished.result]
    with pytest.raises(RunError) as error:
        open_runs([finished.folder, finished.folder / ".." / finished.folder.name], REGISTRY)
    assert str(error.value) == (
        f"{finished.folder}/../{finished.folder.name}: this run is named twice. Name each once."
    )


def test_the_heading_of_a_run_is_for_people(soup_run):
    opened = open_run(soup_run.folder, REGISTRY)
    assert opened.heading() == [
        f"toy, soup, of {soup_run.folder}",
        "Protocol tiny: For tests.",
        "Stand-ins: one-hot stands in for absent. A stand-in recognises only the sounds it was trained on.",
    ]


def test_only_encoders_with_a_list_of_sounds_are_listed(soup_run, monkeypatch):
    opened = open_run(soup_run.folder, REGISTRY)
    assert opened.known_sounds() == {}
    monkeypatch.setattr(type(opened.recipe.features), "known_sounds", lambda _: ["bell", "dog"])
    assert opened.known_sounds() == {"one-hot": ("bell", "dog")}
