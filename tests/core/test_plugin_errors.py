"""Errors in the code of a plugin: written to a file, so that its lines are known."""

import importlib
from functools import partial

import pytest
from torch import nn

from amrbench import plugin_errors
from amrbench.data.worker_pool import with_notes
from amrbench.errors import DataError, PluginError
from amrbench.interfaces import with_article
from amrbench.plugin_errors import naming_plugins, plugin_error, third_party_parts, third_party_test
from amrbench.slots.losses import LossPart
from amrbench.training.criterion import Criterion
from amrbench_plugins.cgdetr.parts import SpanL1
from tests.plugin_site import forget_plugins, write_plugin

CODE = '''import sys
from functools import partial
from amrbench.slots import LossPart, RankingPart
from torch import nn

class Made(LossPart):
    """A loss."""
    use = "made"
    kind: str = "fine"
    def build(self, context):
        if self.kind == "build":
            return 1 / 0
        return None if self.kind == "nothing" else Module(self.kind)

class Module(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.kind = kind
    def forward(self, outcome):
        return helper(self.kind)

def helper(kind):
    if kind == "exit":
        sys.exit(3)
    if kind == "wrong call":
        return Module.forward()
    raise KeyError(kind)

def step_of(criterion, model):
    del criterion.model
    criterion.model = model
    return criterion(None, None)

class Step(RankingPart):
    """A step."""
    use = "step"
    kind: str = "function"
    def build(self):
        def step(moments, query):
            return moments[99]
        return step if self.kind == "function" else partial(step)
'''


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    write_plugin(tmp_path, "made", CODE)
    yield importlib.import_module("plugin_made")
    forget_plugins()


def named(call, options=()):
    with pytest.raises(PluginError) as error, naming_plugins(options):
        call()
    return str(error.value)


def line(plugin, number, rest):
    return f"\n  {plugin.__file__}, line {number}{rest}\n"


WHO = "plugin made (dist-made 0.1): the loss part 'made'"
REMEDY = "Correct it there, or do without the part."


def test_an_error_in_build_names_plugin_part_file_and_line(plugin):
    assert named(partial(plugin.Made(kind="build").build, None)) == (
        f"{WHO} fails: ZeroDivisionError: division by zero"
        + line(plugin, 12, ", in build: return 1 / 0")
        + REMEDY
    )


def test_the_message_says_where_in_the_recipe_the_part_stands(plugin):
    part = plugin.Made(kind="build")
    recipe = {"training": {"losses": (SpanL1(), part)}}
    assert named(partial(part.build, None), recipe).startswith(f"{WHO} (training.losses.1) fails: ")


def test_what_build_returns_wrongly_is_named_with_the_line_of_build(plugin):
    assert named(partial(plugin.Made(kind="nothing").build, None)) == (
        f"{WHO} fails: build returns None, not a Loss (amrbench.slots.losses). Return what the options "
        "describe." + line(plugin, 10, ": def build(self, context):") + REMEDY
    )


def test_an_error_deep_in_a_built_object_names_the_part_that_built_it(plugin):
    loss = plugin.Made(kind="nope").build(None)
    assert named(partial(loss, None)) == (
        f"{WHO} fails: KeyError: 'nope'" + line(plugin, 27, ", in helper: raise KeyError(kind)") + REMEDY
    )


def test_the_end_of_the_program_is_named_too(plugin):
    loss = plugin.Made(kind="exit").build(None)
    assert named(partial(loss, None)) == (
        f"{WHO} fails: it ends the program (SystemExit: 3)"
        + line(plugin, 24, ", in helper: sys.exit(3)")
        + REMEDY
    )


@pytest.mark.parametrize("kind", ["function", "partial"])
def test_an_error_in_a_built_function_names_the_part_that_built_it(plugin, kind):
    step = plugin.Step(kind=kind).build()
    text = named(partial(step, [], None))
    assert text.startswith("plugin made (dist-made 0.1): the ranking part 'step' fails: IndexError: ")
    assert line(plugin, 40, ", in step: return moments[99]") in text


def test_an_error_of_a_call_is_named_with_the_object_that_is_called(plugin, monkeypatch):
    packages = {"plugin_made": plugin_errors.third_party_packages()["plugin_made"]}
    monkeypatch.setattr(plugin_errors, "third_party_packages", lambda: packages)  # This test is no plugin.
    loss = plugin.Made().build(None)
    text = named(loss)
    assert text.startswith(f"{WHO} fails: TypeError: Module.forward() missing 1 required positional argument")
    assert line(plugin, 19, ": def forward(self, outcome):") in text


def test_helpers_that_no_part_built_name_the_only_part_of_the_plugin_in_the_recipe(plugin):
    part = plugin.Made()
    text = named(partial(plugin.helper, "x"), {"losses": [part, SpanL1()]})
    assert text.startswith(f"{WHO} (losses.0) fails: KeyError: 'x'")
    assert named(partial(plugin.helper, "x")).startswith(
        "plugin made (dist-made 0.1): its code fails: KeyError: 'x'"
    )


def below_the_test(error):
    """Return an error without the frame of the test, whose module has parts of its own."""
    return error.value.with_traceback(error.value.__traceback__.tb_next)


def test_errors_of_shipped_code_keep_their_traceback():
    with pytest.raises(AttributeError) as error:
        with_article(None)
    assert plugin_error(below_the_test(error)) is None


def test_a_script_with_parts_of_its_own_is_no_plugin():
    class StopError(Exception): ...

    def report(epoch):
        raise StopError

    with pytest.raises(StopError), naming_plugins():
        report(1)


def test_a_task_of_a_worker_names_the_plugin(plugin):
    with pytest.raises(PluginError) as error:
        with_notes(plugin.Made(kind="build").build, None)
    assert str(error.value).startswith(f"{WHO} fails: ZeroDivisionError: division by zero")


def test_a_part_in_a_part_is_named_if_it_is_the_inner_one_that_builds_nothing(plugin):
    class Outer(LossPart):
        """A loss around another."""

        use = "outer"

        def build(self, context):
            return plugin.Made(kind="nothing").build(context)

    assert named(partial(Outer().build, None)).startswith(f"{WHO} fails: build returns None")


@pytest.mark.parametrize("error", [DataError("a file is wrong"), MemoryError("full")])
def test_errors_that_explain_themselves_stay_as_they_are(error):
    def fail():
        raise error

    with pytest.raises(type(error)) as caught, naming_plugins():
        fail()
    assert caught.value is error


def test_what_fails_in_the_losses_is_no_error_of_the_optimizer_that_asks_for_them(plugin):
    class Model:
        def encode(self, batch, views):
            raise RuntimeError("inner")

    Model.__module__ = Model.encode.__globals__["__name__"] = "amrbench.made_up"
    try:
        with pytest.raises(RuntimeError) as error:
            plugin.step_of(Criterion(nn.Identity(), None, {}), Model())
        assert plugin_error(below_the_test(error)) is None
    finally:
        Model.encode.__globals__["__name__"] = __name__


class Own(LossPart):
    """A loss."""

    use = "own"

    def build(self, context): ...


def test_parts_of_third_parties_are_listed_with_their_places():
    assert third_party_parts({"losses": [SpanL1(), Own()]}) == ["loss 'own' (losses.1)"]
    assert third_party_test()(Own())
    assert not third_party_test()(SpanL1())
