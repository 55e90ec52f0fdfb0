"""What `run` refuses before it makes any data, `check` and `run --dry-run` refuse with the same message."""

import copy

import numpy as np
import pytest
import soundfile
import yaml

from amrbench.files.annotations import write_annotations
from amrbench.types import Query
from tests.mutation.inputs import DETECTOR, PROTOCOL

TOO_LARGE = {
    "limits.frames": (10**12, "less than or equal to 100000"),
    "model.encoder.count": (2**31, "Input should be less than or equal to 256, not 2147483648."),
    "model.query.anchors.count": (10**12, "less than or equal to 300"),
    "model.temporal_embedding.frequencies": (10**9, "less than or equal to 4096"),
    "model.temporal_embedding.sigma": (1e300, "less than or equal to 1000"),
    "model.fusion.dummies": (10**9, "less than or equal to 500"),
    "model.width": (10**9, "less than or equal to 4096, not 1000000000."),
    "model.feedforward": (10**12, "less than or equal to 16384"),
    "model.decoder.layers": (10**6, "less than or equal to 32"),
    "training.batch": (10**9, "less than or equal to 10000"),
    "training.clip": (float("inf"), "not '.inf'"),
    "training.augment.0.growth": (1e300, "less than or equal to 10"),
    "training.targets.pairs": (10**9, "less than or equal to 1000"),
    "training.losses.0.weight": (1e300, "less than or equal to 1000000"),
    "training.optimizer.horizon": (1e-300, "greater than or equal to 0.000001"),
    "training.optimizer.around.lr": (1e300, "less than or equal to 10"),
    "stages.0.epochs": (10**12, "less than or equal to 100000"),
}
"""Values of a recipe, and what is said about them; all of them in one file."""
RECIPES = {
    "heads": ("model.attention_heads", 3, "attention_heads is 3, which does not divide width 8"),
    "heads of an inner part": (
        "model.text_summary.attention_heads",
        5,
        "attention_heads is 5, which does not",
    ),
    "heads of a step": (
        "model.audio_refine.0",
        {"use": "temporal-difference", "attention_heads": 3},
        "is 3, which",
    ),
    "prompts in use": ("model.fusion.prompts_used", 3, "prompts_used is 3, but there are only 2 prompts"),
    "fresh": ("stages.1.fresh", ["query.anchor"], "names 'query.anchor', where the model has no weights"),
    "tensor": ("model.heads", ["task-aligned"], "loss 'saliency' requires saliency"),
    "unknown part": ("model.activation", "swisch", "Did you mean 'swish'?"),
    "long name": ("name", "a" * 150, "use at most 100 letters"),
}
"""A path in the recipe, a value, and what is said about it."""
PROTOCOLS = {
    "numbers": ("seeds", 10**9, "less than or equal to 1000"),
    "budget that does not fit": ("budget.width", 6, "the protocol's budget does not fit the recipe detector"),
    "split": ("splits.report", "train", "the split 'train' is trained on"),
    "comparison": ("against", ["cgdeter"], "there is no recipe 'cgdeter'"),
}
TEXTS = {
    "deep": "a: " + "[" * 2500,
    "long": "a: " + "x " * 60_000,
    "alias": "a: &a [x]\nb: *a\n",
    "many": "".join(f"k{number}: 1\n" for number in range(3000)),
    "tag": "a: !!python/object/apply:os.system [id]\n",
    "empty": "",
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Change to a folder with a recipe, a protocol and its data set, whose features are not made yet."""
    (tmp_path / "own" / "audio").mkdir(parents=True)
    for split in ("train", "val", "test"):
        query = Query(f"{split}-1", "a dog", split, 4.0, ((1.0, 2.0),), {"kind": "a"})
        write_annotations(tmp_path / "own" / f"{split}.jsonl", [query])
        soundfile.write(tmp_path / "own" / "audio" / f"{split}.wav", np.zeros(4 * 8000, np.float32), 8000)
    (tmp_path / "detector.yaml").write_text(DETECTOR)
    (tmp_path / "protocol.yaml").write_text(PROTOCOL)
    monkeypatch.setenv("AMRBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def changed(text, path, value):
    """Return a YAML file with one value replaced."""
    tree = yaml.safe_load(text)
    at, *steps = [copy.deepcopy(tree), *path.split(".")]
    top = at
    for step in steps[:-1]:
        at = at[int(step) if isinstance(at, list) else step]
    last = steps[-1]
    at[int(last) if isinstance(at, list) else last] = value
    return yaml.safe_dump(top, sort_keys=False)


def refused_alike(amrbench, folder, *texts):
    recipe = ("detector.yaml", "--protocol", "protocol.yaml")
    messages = {
        command: amrbench(*command.split()[:1], *recipe, *command.split()[1:])
        for command in ("run", "run --dry-run", "check")
    }
    said = {command: err.removeprefix("error: ") for command, (code, _, err) in messages.items()}
    assert {code for code, *_ in messages.values()} == {2}
    assert [text for text in texts if text not in said["run"]] == []
    assert said["run"] == said["run --dry-run"] == said["check"]
    assert not (folder / "cache").exists()


@pytest.mark.parametrize(("path", "value", "text"), RECIPES.values(), ids=RECIPES)
def test_a_recipe_is_refused_by_all_three(amrbench, folder, path, value, text):
    (folder / "detector.yaml").write_text(changed(DETECTOR, path, value))
    refused_alike(amrbench, folder, text)


@pytest.mark.parametrize(("path", "value", "text"), PROTOCOLS.values(), ids=PROTOCOLS)
def test_a_protocol_is_refused_by_all_three(amrbench, folder, path, value, text):
    (folder / "protocol.yaml").write_text(changed(PROTOCOL, path, value))
    refused_alike(amrbench, folder, text)


def test_numbers_of_a_recipe_that_ask_for_the_impossible_are_refused_by_all_three(amrbench, folder):
    text = DETECTOR
    for path, (value, _) in TOO_LARGE.items():
        text = changed(text, path, value)
    (folder / "detector.yaml").write_text(text)
    refused_alike(amrbench, folder, *(said for _, said in TOO_LARGE.values()))


@pytest.mark.parametrize(
    ("file", "text"),
    list(zip(["detector.yaml", "protocol.yaml"] * 3, TEXTS.values(), strict=True)),
    ids=TEXTS,
)
def test_a_file_is_refused_by_all_three(amrbench, folder, file, text):
    (folder / file).write_text(text)
    refused_alike(amrbench, folder, f"{file} has ")


def test_a_model_of_too_many_parameters_is_refused_by_all_three(amrbench, folder):
    recipe = DETECTOR.replace("width: 8", "width: 4096").replace("feedforward: 8", "feedforward: 16384")
    (folder / "detector.yaml").write_text(recipe)
    (folder / "protocol.yaml").write_text(PROTOCOL.replace("width: 8, ", ""))
    refused_alike(amrbench, folder, "detector: model and losses have more than 100,000,000 parameters.")


def test_a_recipe_that_the_protocol_compares_with_is_refused_by_all_three(amrbench, folder):
    (folder / "other.yaml").write_text(
        changed(DETECTOR, "stages.1.fresh", ["no"]).replace("detector", "other")
    )
    (folder / "protocol.yaml").write_text(PROTOCOL + "against: [other]\n")
    refused_alike(amrbench, folder, "other: 'fresh' of the stage 'finetune' names 'no'")


def test_sound_files_are_refused_by_none(amrbench, folder):
    assert amrbench("check", "detector.yaml", "--protocol", "protocol.yaml")[0] == 0


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--seeds", 10**9), "1000000000 seeds cannot be run. Give a number from 1 to 1000."),
        (("--jobs", 10**9), "Invalid value for '--jobs'"),
    ],
)
@pytest.mark.parametrize("dry", [(), ("--dry-run",)], ids=["run", "dry-run"])
def test_options_that_ask_for_too_much_are_refused(amrbench, folder, options, text, dry):
    code, _, err = amrbench("run", "detector.yaml", "--protocol", "protocol.yaml", *options, *dry)
    assert code == 2
    assert text in " ".join(err.split())
