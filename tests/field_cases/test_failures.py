"""Failures of training, as a person meets them: one message, exit code 2, and what is finished is kept."""

import copy
import json
import shutil

import pytest

from tests.small_world.parts import PROTOCOL, RECIPE, REGISTRY
from tests.small_world.runs import changed, prepare_splits, write_yaml

PRETRAIN = 9
"""Steps of the first stage."""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")
    prepare_splits(cache)
    return cache / "data"


@pytest.fixture
def here(tmp_path, data, monkeypatch):
    """A folder with a recipe, a protocol, data and no stages; `run` knows the parts of the small world."""
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "data").symlink_to(data)
    monkeypatch.setenv("AMRBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("amrbench.cli.run.registry_of", lambda _: REGISTRY)
    monkeypatch.chdir(tmp_path)
    write_yaml(tmp_path / "tiny.yaml", changed(PROTOCOL, seeds=1))
    return tmp_path


def write_recipe(folder, *losses, **options):
    write_yaml(folder / "toy.yaml", changed(RECIPE, training__losses=["frames", "spans", *losses], **options))


def failing(kind, *, after, at=""):
    return {"use": "failing", "kind": kind, "after": after, "at": str(at)}


@pytest.fixture
def ran(amrbench, here):
    """Return a function that gives the command and returns exit code, output and messages."""
    return lambda *options: amrbench("run", "toy.yaml", "--protocol", "tiny.yaml", "--jobs", 1, *options)


STEP_2 = "error: toy pretrain, epoch 1, step 2 of 3: "
KEPT = "weights from before the step and its batch are in {}"


@pytest.mark.parametrize(
    ("kind", "after", "words"),
    [
        pytest.param("nan", 1, [STEP_2 + "the loss term 'failing'", KEPT, "lower learning"], id="loss-nan"),
        pytest.param("inf", 1, [STEP_2 + "the loss term 'failing' is not finite (inf)", KEPT], id="loss-inf"),
        pytest.param(
            "nan",
            PRETRAIN,
            ["error: toy finetune, seed 0, epoch 4, step 1 of 3: the loss term 'failing'", KEPT],
            id="loss-nan-in-the-second-stage",
        ),
        pytest.param(
            "gradient",
            1,
            [STEP_2 + "the gradient of the loss term 'failing' is not finite", KEPT, "division at 0"],
            id="gradient-nan",
        ),
        pytest.param(
            "gradient",
            2,
            ["error: toy pretrain, epoch 1, step 3 of 3: the gradient of the loss term 'failing'", KEPT],
            id="gradient-nan-in-the-last-step-of-an-epoch",
        ),
        pytest.param(
            "weights",
            1,
            [STEP_2 + "the weights 'losses.failing.weight' are not", KEPT],
            id="weights-inf",
        ),
        pytest.param(
            "predictions",
            1,
            [STEP_2 + "the model predicts spans or scores", KEPT],
            id="predictions-not-finite",
        ),
        pytest.param(
            "memory",
            1,
            [
                STEP_2 + "out of memory: 4.00 PiB could not be had",
                "The batch has 8 queries of up to 12 rows and 1 words",
                "a smaller --jobs helps",
                "lower 'training.batch' or 'limits.frames'",
            ],
            id="out-of-memory-cpu",
        ),
        pytest.param(
            "gpu memory",
            1,
            [STEP_2 + "out of memory: 2.00 GiB could not be had (GPU 0 has a total capacity of 79.10 GiB of"],
            id="out-of-memory-gpu",
        ),
    ],
)
def test_a_failing_step(ran, here, kind, after, words):
    write_recipe(here, failing(kind, after=after))
    code, out, err = ran()
    assert code == 2
    assert out == ""
    assert "Traceback" not in err
    (message,) = [line for line in err.splitlines() if line.startswith("error: ")]
    failed = list((here / "cache" / "stages").glob("*.failed"))
    assert len(failed) == any("{}" in word for word in words)
    for word in words:
        assert word.format(*failed) in message
    assert not list(here.glob("cache/stages/*/*.pt")), "nothing is pickled"


def test_the_same_command_again_trains_the_failed_stage_again_and_keeps_the_finished_one(ran, here):
    once = here / "once"
    once.touch()
    write_recipe(here, failing("nan", after=PRETRAIN, at=once))
    assert ran()[0] == 2
    (pretrained,) = here.glob("cache/stages/*/done.json")
    time = pretrained.stat().st_mtime_ns
    code, out, err = ran("--json")
    assert code == 0, err
    assert pretrained.stat().st_mtime_ns == time
    assert json.loads(out)["rows"][0]["member"] == "seed 0"
    assert "toy pretrain" not in err
    assert not list(here.glob("cache/stages/*.failed"))


@pytest.mark.parametrize(
    ("losses", "options", "words"),
    [
        pytest.param(
            [failing("grow", after=6)],
            {},
            "toy pretrain: the mean loss of epoch 3 is 1e+06, more than 1,000 times that of the first epoch",
            id="divergence-that-stays-finite",
        ),
        pytest.param(
            [failing("grow", after=1)],
            {},
            "toy pretrain: the mean loss of epoch 1 is 6.67e+05, more than 1,000 times that of its first",
            id="divergence-in-the-first-epoch",
        ),
        pytest.param(
            [],
            {"training__optimizer": {"use": "descent", "lr": 1e-9}},
            "toy under tiny: models that score no higher at R1@0.7 than the row 'always 0-10 s' (0.00)",
            id="no-better-than-the-prior-row",
        ),
    ],
)
def test_finite_failures_are_notes(ran, here, losses, options, words):
    write_recipe(here, *losses, **options)
    code, out, err = ran("--json")
    assert code == 0, err
    assert f"note: {words}" in err
    assert any(note.startswith(words) for note in json.loads(out)["notes"])


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        pytest.param(
            "kill",
            [
                *("toy finetune, seed", ": its process was killed with SIGKILL at epoch 3, "),
                *("3 times. The system does so if memory is short", "with a smaller --jobs"),
            ],
            id="killed-worker",
        ),
        pytest.param("crash", ["crashed (", "parts.py:", "with SIGSEGV at epoch 3, "], id="crashed-worker"),
        pytest.param(
            "end", ["ended itself with exit code 3 at epoch 3, ", "os._exit"], id="worker-that-ends-itself"
        ),
        pytest.param("exit", ["'failing'", "SystemExit: 0"], id="worker-that-calls-sys-exit"),
    ],
)
@pytest.mark.slow
def test_a_worker_that_ends(ran, here, kind, words):
    write_yaml(here / "tiny.yaml", changed(PROTOCOL, seeds=2))
    write_recipe(here, failing(kind, after=PRETRAIN))
    code, _, err = ran("--jobs", 2)
    assert code == 2
    assert "Traceback" not in err
    message = err[err.rindex("error: ") :]
    assert all(word in message for word in words), message
    assert len(list(here.glob("cache/stages/*/done.json"))) == 1, "the first stage is kept"


def test_a_full_disk_is_named(ran, here, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    write_recipe(here)
    monkeypatch.setattr("amrbench.files.weights.save_file", full)
    code, _, err = ran()
    assert code == 2
    assert "weights.span.safetensors: cannot be written ([Errno 28] No space left on device). Check" in err
    assert not list(here.glob("cache/stages/*/done.json"))


def test_a_part_that_ends_the_process_is_named(ran, here):
    write_recipe(here, failing("exit", after=1))
    code, _, err = ran()
    assert code == 2
    assert "'failing'" in err
    assert "SystemExit: 0" in err


@pytest.mark.parametrize(("kind", "code"), [("interrupt", 130), ("terminate", 143)])
def test_a_stopped_command_says_how_to_go_on_and_goes_on(ran, here, kind, code):
    once = here / "once"
    write_recipe(here, failing(kind, after=4, at=once))
    expected = ran("--json", "--out", "other")[1]
    for folder in (here / "cache" / "stages").iterdir():
        shutil.rmtree(folder, ignore_errors=True)
    once.touch()
    stopped, out, err = ran("--json")
    assert (stopped, out) == (code, "")
    assert "stopping after this step; Ctrl-C again stops at once" in err
    assert err.splitlines()[-1] == (
        "stopped at toy pretrain, epoch 2, step 2 of 3; its state is saved. What is finished is kept. To go "
        "on: amrbench run toy.yaml --protocol tiny.yaml --jobs 1 --json"
    )
    done, out, err = ran("--json")
    assert done == 0, err
    assert "toy pretrain: going on after epoch 2, step 2 of 3" in err
    assert without_costs(out) == without_costs(expected)


def without_costs(out: str) -> dict:
    result = json.loads(out)
    return {key: result[key] for key in ("rows", "notes")}


@pytest.mark.slow
def test_workers_save_and_stop_when_the_command_is_stopped(ran, here):
    write_yaml(here / "tiny.yaml", changed(PROTOCOL, seeds=2))
    once = here / "once"
    once.touch()
    stages = copy.deepcopy(RECIPE["stages"])
    stages[1]["epochs"] = 100  # Longer than it takes to ask the workers.
    write_recipe(here, failing("interrupt parent", after=PRETRAIN, at=once), stages=stages)
    code, _, err = ran("--jobs", 2)
    assert code == 130
    assert "Traceback" not in err
    assert "stopped at toy finetune, seed " in err
    assert len(list(here.glob("cache/stages/*/done.json"))) == 1
    assert list(here.glob("cache/stages/*.making-*/state-*")), "the state is saved"
    code, _, err = ran("--jobs", 2)
    assert code == 0, err
