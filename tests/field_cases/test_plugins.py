"""Plugins of third parties that are wrong: each is named, with its part, and its own file and line."""

import json
from functools import partial

import numpy as np
import pytest
import soundfile
import torch
import yaml

from amrbench.config.load import find
from tests.plugin_site import forget_plugins, write_plugin
from tests.small_world.parts import PROTOCOL, RECIPE
from tests.small_world.runs import write_yaml

WORLD = """
from amrbench import hookimpl
from tests.small_world.parts import PARTS

@hookimpl
def amrbench_parts():
    return [part for part in PARTS if part.use != "none"]  # That is shipped.
"""
HEAD = """import os
from amrbench import hookimpl
from amrbench.slots import *
from torch import nn
"""
HOOK = """
@hookimpl
def amrbench_parts():
    return [Made]
"""


def part(slot, body, *, code="", options="", arguments="self, context", use="hello"):
    """Return the source of a plugin with a part; its `build` begins in line 9 if it has no options."""
    return (
        f"{HEAD}class Made({slot}):\n    '''Made up for a test.'''\n    use = {use!r}\n{options}\n"
        f"    def build({arguments}):\n        {body}\n{code}{HOOK}"
    )


@pytest.fixture
def site(tmp_path, monkeypatch):
    """Return a function that installs a plugin, in a working directory with a cache of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AMRBENCH_CACHE", str(tmp_path / "cache"))
    (tmp_path / "site").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    yield partial(write_plugin, tmp_path / "site")
    forget_plugins()
    torch.set_default_dtype(torch.float32)


# ---------------------------------------------------------------- amrbench parts

FINE = part("LossPart", "return nn.Identity()")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        pytest.param(
            'import argparse; argparse.ArgumentParser().parse_args(["--x"])',
            [
                "cannot be imported: it ends the program (SystemExit: 2)",
                "line 1: import argparse",
                "__main__",
            ],
            id="332-plugin-argparse-at-import",
        ),
        pytest.param(
            "import argparse\np = argparse.ArgumentParser()\np.add_argument('x', nargs=3)\np.parse_args()",
            ["it ends the program (SystemExit: 2)", "line 4: p.parse_args()"],
            id="argparse-of-a-script",
        ),
        pytest.param(
            "import sys\nif True:\n    sys.exit()",
            ["it ends the program (SystemExit: None)", "line 3: sys.exit()"],
            id="sys-exit",
        ),
        pytest.param("raise SystemExit(0)", ["it ends the program (SystemExit: 0)"], id="exit-with-success"),
        pytest.param("quit()", ["it ends the program (SystemExit: None)", "line 1: quit()"], id="quit"),
        pytest.param(
            "open('weights.pt')",
            ["cannot be imported: FileNotFoundError", "line 1: open('weights.pt')", "Leave it out with"],
            id="raise-is-no-missing-package",
        ),
        pytest.param("import nope_nope", ["Install what it needs, or leave it out"], id="missing-package"),
        pytest.param("def f(:", ["SyntaxError: invalid syntax", "line 1: def f(:"], id="syntax-error"),
        pytest.param(
            "import torch\ntorch.set_default_dtype(torch.float64)\n" + FINE,
            ["changes torch's default dtype when it is imported"],
            id="default-dtype",
        ),
        pytest.param(
            "import os\nos.chdir('/')\n" + FINE, ["changes the working directory when it is"], id="chdir"
        ),
        pytest.param(
            FINE.replace("[Made]", "None"),
            ["amrbench_parts() returns None, not a list"],
            id="hook-returns-none",
        ),
        pytest.param(
            FINE.replace("[Made]", "Made"),
            ["returns <class 'plugin_hello.Made'>, not a list"],
            id="hook-class",
        ),
        pytest.param(
            FINE.replace("[Made]", "[Made()]"),
            ["offers Made(...), an object. Offer the class"],
            id="instance",
        ),
        pytest.param(
            FINE.replace("[Made]", "[Made, Made]"),
            ["offers the loss part 'hello' twice: plugin_hello.Made is listed twice"],
            id="listed-twice",
        ),
        pytest.param(
            FINE.replace("return [Made]", "import sys; sys.exit(1)"),
            ["amrbench_parts() failed: it ends the program (SystemExit: 1)", "in amrbench_parts"],
            id="hook-exits",
        ),
        pytest.param(
            part("LossPart", "...", use="saliency"),
            ["two plugins offer the loss part 'saliency'", "leave it out with --without hello."],
            id="clash-with-shipped",
        ),
        *(
            pytest.param(
                part("LossPart", "...", use=use), [f"Made has use = {use!r}", "one word of letters"], id=name
            )
            for name, use in [("use-leading-blank", " a"), ("use-inner-blank", "a b"), ("use-empty", "")]
        ),
        pytest.param(
            part("LossPart", "...", arguments="self"),
            ["whose build takes (self), but is called with (self, context)", "line 9: def build(self):"],
            id="build-without-context",
        ),
        pytest.param(
            part("RankingPart", "...", arguments="self"),
            ["whose build takes (self), but is called with (self, fitted)", "line 9: def build(self):"],
            id="ranking-without-fitted",
        ),
        pytest.param(
            "from amrbench.data import LossPart",
            ["amrbench does not have it, but amrbench.slots.losses has 'LossPart'"],
            id="written-for-another-version",
        ),
    ],
)
def test_parts_names_the_plugin(amrbench, site, code, words):
    site("hello", code)
    code, out, err = amrbench("parts")
    assert code == 2
    assert out == ""
    assert "Traceback" not in err
    error = err[err.index("error: ") :]
    for word in ["hello (dist-hello 0.1)", *words]:
        assert word in error


def test_what_a_plugin_prints_at_import_leaves_the_output_valid(amrbench, site):
    site("hello", "print('loading')\n" + FINE)
    code, out, err = amrbench("parts", "loss", "--format", "json")
    assert code == 0
    assert "hello" in {row["part"] for row in json.loads(out)}
    assert "loading" in err


def test_the_plugin_can_be_left_out(amrbench, site):
    site("hello", "import sys; sys.exit()")
    code, _, err = amrbench("parts", "--without", "hello")
    assert (code, err) == (0, "")


# ---------------------------------------------------------------- amrbench check

MODULE = """
class Module(nn.Module):
    def __init__(self, *given):
        super().__init__()
    def forward(self, outcome):
        {}
"""


@pytest.mark.parametrize(
    ("body", "forward", "words"),
    [
        pytest.param("pass", "", ["build returns None, not a Loss"], id="nothing"),
        pytest.param("return Module", "pass", ["the class Module itself, not a Loss"], id="class"),
        pytest.param(
            "return lambda outcome: {}",
            "",
            ["function '<lambda>', which is no torch.nn.Module"],
            id="function",
        ),
        pytest.param(
            "return 1 / 0", "", ["ZeroDivisionError: division by zero", "line 10, in build"], id="raises"
        ),
        pytest.param("raise SystemExit(3)", "", ["it ends the program (SystemExit: 3)"], id="exits"),
        pytest.param("return Module()", "pass", ["forward returns None, not a dict."], id="forward-none"),
        pytest.param(
            "return Module()",
            "return {'hello': outcome.tensors['nope']}",
            ["KeyError: 'nope'", "line 16, in forward: return {'hello'"],
            id="forward-raises",
        ),
        pytest.param(
            "return Module()",
            "return {'hello': 0.5}",
            ["forward returns float 0.5, not a Tensor."],
            id="float",
        ),
        pytest.param(
            "return Module()", "import sys; sys.exit()", ["it ends the program"], id="forward-exits"
        ),
        pytest.param(
            "return Module()",
            "return self(outcome)",
            ["RecursionError: maximum recursion depth"],
            id="recursion",
        ),
    ],
)
def test_check_names_a_loss(amrbench, site, body, forward, words):
    site("world", WORLD)
    file = site("hello", part("LossPart", body, code=MODULE.format(forward) if forward else ""))
    training = RECIPE["training"] | {"losses": ["frames", "hello"]}
    write_yaml(file.parent.parent / "toy.yaml", RECIPE | {"training": training})
    write_yaml(file.parent.parent / "tiny.yaml", PROTOCOL)
    code, _, err = amrbench("check", "toy.yaml", "--protocol", "tiny.yaml")
    assert code == 2
    assert err.startswith(
        "error: plugin hello (dist-hello 0.1): the loss part 'hello' (training.losses.1 of toy)"
    )
    for word in (f"\n  {file}, line ", *words):
        assert word in err


@pytest.mark.parametrize(
    ("validator", "words"),
    [
        pytest.param("return 1 / 0", ["fails: ZeroDivisionError: division by zero", "in check"], id="raises"),
        pytest.param(
            "pass", ["a validator returns None, not the part. End it with `return self`."], id="none"
        ),
        pytest.param(
            "raise ValueError('spread is even')", ["toy.yaml has 1 mistake", "spread is even"], id="says"
        ),
    ],
)
def test_check_names_a_part_whose_options_cannot_be_read(amrbench, site, tmp_path, validator, words):
    site("world", WORLD)
    check = f"    @model_validator(mode='after')\n    def check(self):\n        {validator}\n"
    code = part("LossPart", "return Module()", options=check)
    site("hello", code.replace("import os\n", "from pydantic import model_validator\n"))
    training = RECIPE["training"] | {"losses": ["frames", "hello"]}
    write_yaml(tmp_path / "toy.yaml", RECIPE | {"training": training})
    write_yaml(tmp_path / "tiny.yaml", PROTOCOL)
    code, _, err = amrbench("check", "toy.yaml", "--protocol", "tiny.yaml")
    assert code == 2
    for word in words:
        assert word in err


@pytest.mark.parametrize(
    ("place", "code", "words"),
    [
        pytest.param(
            "matcher",
            part("MatcherPart", "return lambda tensors, target: None", arguments="self"),
            ["the matcher part 'hello' (training.matcher of toy) fails: it returns None, not a Tensor."],
            id="matcher",
        ),
        pytest.param(
            "targets",
            part("TargetsPart", "return lambda query: 1", arguments="self"),
            ["(training.targets of toy)", "It takes (query), but is called with (query, frames, hop, rng)."],
            id="targets",
        ),
        pytest.param(
            "augment",
            part("AugmentPart", "return lambda rows, query, hop, rng: rows", arguments="self, recordings"),
            ["(training.augment.0 of toy) fails: it returns ndarray of shape (", "), not a tuple."],
            id="augment",
        ),
        pytest.param(
            "ranking",
            part("RankingPart", "return lambda own, query: own.moments", arguments="self, fitted"),
            ["(ranking.0 of toy) fails: it returns ndarray of shape (1, 3), not a Candidates."],
            id="ranking",
        ),
        pytest.param(
            "readout",
            part("ReadoutPart", "return lambda outputs: outputs.tensors['span']", arguments="self, fitted"),
            ["(readout of toy) fails: it returns Tensor of shape (3, 1, 2), not a Proposals."],
            id="readout",
        ),
        pytest.param(
            "readouts",
            part("ReadoutPart", "return lambda tensors, mask: None", arguments="self, fitted"),
            ["(training.readouts.0 of toy)", "It takes (tensors, mask), but is called with (outputs)."],
            id="readout-of-other-arguments",
        ),
        pytest.param("soup", part("SoupPart", "pass", arguments="self"), ["not a Soup (amrbench"], id="soup"),
        pytest.param(
            "optimizer",
            part("OptimizerPart", "return object()", arguments="self, module, length"),
            [
                "(training.optimizer of toy)",
                "It lacks step, end_epoch, state_dict, load_state_dict, eval_weights.",
            ],
            id="optimizer",
        ),
        pytest.param(
            "features",
            part("FeaturesPart", "pass", arguments="self"),
            ["not a FeatureBackend"],
            id="features",
        ),
        pytest.param(
            "model",
            part(
                "ModelPart",
                "return nn.Linear(2, 2)",
                options="    provides = property(lambda self: AXES)\n",
                code="AXES = {'similarity': 'B T', 'span': 'B Q 2', 'score': 'B Q'}",
            ),
            ["(model of toy)", "not a MomentModel (amrbench.slots.model). It lacks encode, decode."],
            id="model",
        ),
    ],
)
def test_check_names_other_parts(amrbench, site, tmp_path, place, code, words):
    site("world", WORLD)
    site("hello", code)
    recipe = {**RECIPE, "training": dict(RECIPE["training"])}
    target = recipe if place in recipe else recipe["training"]
    target[place] = ["hello"] if place in ("augment", "ranking", "readouts") else "hello"
    write_yaml(tmp_path / "toy.yaml", recipe)
    write_yaml(tmp_path / "tiny.yaml", PROTOCOL)
    code, _, err = amrbench("check", "toy.yaml", "--protocol", "tiny.yaml")
    assert code == 2
    for word in ["plugin hello (dist-hello 0.1): the ", "plugin_hello.py, line ", *words]:
        assert word in err


WITH_HEAD = """
from amrbench.slots.blocks import Head
class Module(Head, nn.Module):
    def __init__(self, width):
        super().__init__()
        self.linear = nn.Linear(width, 1)
    def of_memory(self, memory):
        bumps = self.linear(memory.frames)
        return {"bumps": BUMPS}
"""
PROVIDES = "    provides = property(lambda self: {'bumps': 'B T'})\n"


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        pytest.param(
            {"loss": part("LossPart", "return None")},
            [
                "the loss part 'hello' (training.losses.6 of cgdetr) fails: build returns None, not a Loss",
                "plugin_loss.py, line 9: def build(self, context):",
            ],
            id="340-plugin-loss-returns-none",
        ),
        pytest.param(
            {
                "head": part(
                    "HeadPart",
                    "return Module(context.width)",
                    code=WITH_HEAD.replace("BUMPS", "bumps"),
                    options=PROVIDES,
                )
            },
            [
                "the head part 'hello' (model.heads.3 of cgdetr) fails: of_memory: 'bumps' has shape "
                "(6, 24, 1), but its axes are 'B T', which are 2 and not 3. Return a tensor (B, T)",
                "def of_memory(self, memory):",
            ],
            id="head-with-one-more-axis",
        ),
    ],
)
def test_check_names_parts_of_the_baseline(amrbench, site, tmp_path, parts, words):
    [(kind, code)] = parts.items()
    site(kind, code)
    recipe = yaml.safe_load(find("recipe", "cgdetr").read_text())
    if kind == "loss":
        recipe["training"]["losses"].append("hello")
    else:
        recipe["model"]["heads"].append("hello")
    write_yaml(tmp_path / "r.yaml", recipe)
    code, _, err = amrbench("check", "r.yaml")
    assert code == 2
    for word in [f"plugin {kind} (dist-{kind} 0.1): ", *words]:
        assert word in err


# ---------------------------------------------------------------- amrbench run and predict

LATE = """
class Module(nn.Module):
    def forward(self, outcome):
        if len(outcome.batch.audio) > 3 and "FAIL" in os.environ:
            raise ValueError("too many queries")
        return {"late": 0 * outcome.tensors["similarity"].mean()}
"""
STEP = """
class Step(RankingPart):
    '''A step.'''
    use = "step"
    def build(self, fitted):
        return step

def step(candidates, query):
    if query.query == "sound 1":
        raise ValueError(query.query)
    return candidates
"""
PLUGIN = part(
    "LossPart", "return Module()", code=LATE + STEP, options="    requires = frozenset({'similarity'})"
)


def line_of(file, text):
    return next(number for number, line in enumerate(file.read_text().splitlines(), 1) if text in line)


def test_run_and_predict_name_what_fails_late(amrbench, site, tmp_path, monkeypatch):
    site("world", WORLD)
    file = site("hello", PLUGIN.replace("return [Made]", "return [Made, Step]"))
    training = RECIPE["training"] | {"losses": ["frames", "spans", "hello"]}
    write_yaml(tmp_path / "toy.yaml", RECIPE | {"training": training, "ranking": ["cut", "step"]})
    write_yaml(tmp_path / "tiny.yaml", PROTOCOL)
    run = ("run", "toy.yaml", "--protocol", "tiny.yaml", "--jobs", "1", "--seeds", "1")

    monkeypatch.setenv("FAIL", "1")
    for more in ([], ["--dry-run"]):
        code, _, err = amrbench(*run, *more)
        assert code == 2
        assert "the loss part 'hello' (training.losses.2 of toy) fails: ValueError: too many queries\n" in err
        assert f"\n  {file}, line {line_of(file, 'many queries')}, in forward: raise ValueError" in err

    monkeypatch.delenv("FAIL")
    assert amrbench(*run)[0] == 0
    soundfile.write("tone.wav", np.zeros(80), 10)
    code, _, err = amrbench("predict", "tone.wav", "sound 1")
    assert code == 2
    assert "the ranking part 'step' (ranking.1 of toy) fails: ValueError: sound 1\n" in err
    assert f"\n  {file}, line {line_of(file, 'ValueError(query')}, in step: raise ValueError(query" in err
