import os
from functools import partial
from importlib.metadata import EntryPoint, entry_points

import pytest
import torch

from amrbench.discovery import load_registry
from amrbench.errors import PluginError
from amrbench.plugin_errors import GROUP
from tests.plugin_site import forget_plugins, write_plugin

PART = """
from amrbench import hookimpl
from amrbench.slots.soups import SoupPart

class Made(SoupPart):
    \"\"\"Made up for a test.\"\"\"
    use = "{use}"
    def build(self): ...

@hookimpl
def amrbench_parts():
    return [Made]
"""
IMPORTS = """from amrbench import hookimpl
from amrbench.slots import HeadPart, LossPart, SoupPart
"""
HOOK = """
@hookimpl
def amrbench_parts():
    {}
"""


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Return a function that puts a plugin on the path as an installed one would be."""
    monkeypatch.syspath_prepend(str(tmp_path))
    yield partial(write_plugin, tmp_path)
    forget_plugins()


def installed(*names):
    return [point for point in entry_points(group=GROUP) if point.name in names]


def refused(*names, **options):
    with pytest.raises(PluginError) as error:
        load_registry(plugins=installed(*names), **options)
    return str(error.value)


def test_an_installed_plugin_is_found_with_its_owner(install):
    install("one", PART.format(use="stew"))
    registry = load_registry()
    assert str(registry.entry("soup", "stew").origin) == "one (dist-one 0.1)"


def test_shipped_plugins_are_found_by_the_same_entry_points():
    assert {"cgdetr", "moment-detr", "frame-models"} <= {point.name for point in entry_points(group=GROUP)}
    assert "frame-models (amrbench" in str(load_registry().entry("model", "dual-encoder").origin)


def test_without_plugins_the_registry_is_empty():
    registry = load_registry(plugins=[])
    assert registry.slots() == []
    assert registry.names("fusion") == []


def test_a_plugin_can_be_left_out(install):
    install("one", PART.format(use="stew"))
    install("two", PART.format(use="broth"))
    assert load_registry(plugins=installed("one", "two"), without=["one"]).names("soup") == ["broth"]


def test_leaving_out_an_unknown_plugin_suggests_the_near_one(install):
    install("one", PART.format(use="stew"))
    assert refused("one", without=["onee"]) == (
        "--without onee: no plugin is called 'onee'. Did you mean 'one'? Installed: one."
    )


def test_leaving_out_a_plugin_where_none_is_installed_says_so():
    assert refused(without=["one"]) == "--without one: no plugin is called 'one'. Installed: none."


def test_a_plugin_that_lacks_a_module_is_named_with_its_distribution(install):
    file = install("broken", "import nope_nope")
    assert refused("broken") == (
        "plugin broken (dist-broken 0.1) cannot be imported: "
        "ModuleNotFoundError: No module named 'nope_nope'\n"
        f"  {file}, line 1: import nope_nope\n"
        "Install what it needs, or leave it out with --without broken."
    )


@pytest.mark.parametrize(
    ("code", "fault", "line", "remedy"),
    [
        ("\n1 / 0", "ZeroDivisionError: division by zero", "line 2: 1 / 0", "Leave it out with"),
        (
            "def f():\n    raise ValueError('bad')\nf()",
            "ValueError: bad",
            "line 2, in f: raise ValueError('bad')",
            "Leave it out with",
        ),
        ("x = 1\ndef f(:\n", "SyntaxError: invalid syntax", "line 2: def f(:", "Leave it out with"),
        (
            "import sys\nsys.exit('no GPU')",
            "it ends the program (SystemExit: 'no GPU')",
            "line 2: sys.exit('no GPU')",
            "Put what a script does under `if __name__ == '__main__':`, or leave it out with",
        ),
        (
            "import argparse\nargparse.ArgumentParser().parse_args(['--x'])",
            "it ends the program (SystemExit: 2)",
            "line 2: argparse.ArgumentParser().parse_args(['--x'])",
            "Put what a script does under `if __name__ == '__main__':`, or leave it out with",
        ),
        (
            "from amrbench.part import LossPart",
            "ImportError: cannot import name 'LossPart' from 'amrbench.part' ",
            "line 1: from amrbench.part import LossPart",
            "This version of amrbench does not have it, but amrbench.slots.losses has 'LossPart': change the "
            "import, or leave it out with",
        ),
        (
            "import amrbench.nothing",
            "ModuleNotFoundError: No module named 'amrbench.nothing'",
            "line 1: import amrbench.nothing",
            "This version of amrbench does not have it: change the import, or leave it out with",
        ),
    ],
)
def test_a_plugin_that_fails_in_its_own_code_is_named_with_its_line(install, code, fault, line, remedy):
    file = install("broken", code)
    first, place, last = refused("broken").splitlines()
    assert first.startswith(f"plugin broken (dist-broken 0.1) cannot be imported: {fault}")
    assert place == f"  {file}, {line}"
    assert last == f"{remedy} --without broken."


def test_a_plugin_whose_module_is_gone_says_so(install):
    install("gone", "").unlink()
    assert refused("gone") == (
        "plugin gone (dist-gone 0.1) cannot be imported: ModuleNotFoundError: No module named 'plugin_gone'\n"
        "Its entry point names a module that is not there: install it again, or leave it out with "
        "--without gone."
    )


def test_what_a_plugin_prints_does_not_mix_with_the_output(install, capsys):
    install(
        "loud", "print('hello')\n" + PART.format(use="stew").replace("    return", "    print(1); return")
    )
    load_registry(plugins=installed("loud"))
    assert capsys.readouterr() == ("", "hello\n1\n")


@pytest.mark.parametrize(
    ("code", "what"),
    [
        ("import os\nos.chdir('/')", "the working directory"),
        ("import torch\ntorch.set_default_dtype(torch.float64)", "torch's default dtype"),
        ("import torch\ntorch.set_grad_enabled(False)", "whether torch computes gradients"),
    ],
)
def test_a_plugin_that_changes_the_whole_program_is_an_error(install, monkeypatch, code, what):
    install("broad", f"{code}\n{PART.format(use='stew')}")
    monkeypatch.chdir(os.getcwd())  # Restores it.
    try:
        text = refused("broad")
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_grad_enabled(True)
    assert text == (
        f"plugin broad (dist-broad 0.1) changes {what} when it is imported, and so what other parts do. Let "
        "`build` of its parts do what they need.\nLeave it out with --without broad."
    )


def test_a_broken_plugin_can_be_left_out(install):
    install("broken", "1 / 0")
    install("one", PART.format(use="stew"))
    assert load_registry(plugins=installed("broken", "one"), without=["broken"]).names("soup") == ["stew"]


def test_a_plugin_without_a_hook_is_an_error(install):
    install("silent", "def amrbench_parts(): return []")
    assert refused("silent") == (
        "plugin silent (dist-silent 0.1) offers nothing: plugin_silent has no function marked with "
        "@amrbench.hookimpl. The hook is called amrbench_parts. Leave it out with --without silent."
    )


def test_a_misspelt_hook_is_an_error(install):
    install("typo", "from amrbench import hookimpl\n@hookimpl\ndef amrbench_part(): return []")
    message = refused("typo")
    assert message.startswith("plugin typo (dist-typo 0.1) is wrong: unknown hook 'amrbench_part' in plugin")
    assert message.endswith(
        ". The hook is called amrbench_parts and takes no arguments. Leave it out with --without typo."
    )


def test_a_hook_with_arguments_that_do_not_exist_is_an_error(install):
    install("typo", "from amrbench import hookimpl\n@hookimpl\ndef amrbench_parts(config): return []")
    assert refused("typo").startswith("plugin typo (dist-typo 0.1) is wrong: ")


@pytest.mark.parametrize(
    ("offer", "shown"),
    [
        ("7", "7"),
        ("int", "<class 'int'>"),
        ("SoupPart", "<class 'amrbench.slots.soups.SoupPart'>"),
        ("[SoupPart]", "[<class 'amrbench.slots.soups.SoupPart'>]"),
    ],
)
def test_only_parts_with_a_name_can_be_offered(install, offer, shown):
    file = install("odd", IMPORTS + HOOK.format(f"return [{offer}]"))
    assert refused("odd") == (
        f"plugin odd (dist-odd 0.1): amrbench_parts() offers {shown}, which is no part "
        f"(a class with a `use` name).\n  {file}, line 5: def amrbench_parts():\n"
        "Leave it out with --without odd."
    )


LOSS = """
class Made(LossPart):
    \"\"\"Made up for a test.\"\"\"
    use = "made"
"""
BUILD = "    def build(self, context): ...\n"


@pytest.mark.parametrize(
    ("code", "shown", "line"),
    [
        (
            LOSS + BUILD + HOOK.format("return [Made()]"),
            "Made(...), an object. Offer the class Made itself.",
            "line 10: def amrbench_parts():",
        ),
        (
            LOSS + HOOK.format("return [Made]"),
            "the loss part 'made' (plugin_odd.Made), which does not define build.",
            "line 4: class Made(LossPart):",
        ),
        (
            LOSS.replace("Loss", "Head") + BUILD + HOOK.format("return [Made]"),
            "the head part 'made' (plugin_odd.Made), which does not define provides.",
            "line 7: def build(self, context): ...",
        ),
        (
            LOSS + "    def build(self): ...\n" + HOOK.format("return [Made]"),
            "the loss part 'made' (plugin_odd.Made), whose build takes (self), but is called with "
            "(self, context).",
            "line 7: def build(self): ...",
        ),
    ],
)
def test_a_part_that_cannot_be_built_cannot_be_offered(install, code, shown, line):
    file = install("odd", IMPORTS + code)
    assert refused("odd") == (
        f"plugin odd (dist-odd 0.1): amrbench_parts() offers {shown}\n  {file}, {line}\n"
        "Leave it out with --without odd."
    )


def test_a_generator_of_parts_is_as_good_as_a_list(install):
    install("one", PART.format(use="stew").replace("return [Made]", "yield Made"))
    assert load_registry(plugins=installed("one")).names("soup") == ["stew"]


@pytest.mark.parametrize(
    ("body", "reason", "line"),
    [
        ("return None", "returns None, not a list of classes.", "line 5: def amrbench_parts():"),
        ("return 'Made'", "returns 'Made', not a list of classes.", "line 5: def amrbench_parts():"),
        (
            "return SoupPart",
            "returns <class 'amrbench.slots.soups.SoupPart'>, not a list of classes.",
            "line 5: def amrbench_parts():",
        ),
        (
            "raise ValueError('no device')",
            "failed: ValueError: no device",
            "line 6, in amrbench_parts: raise ValueError('no device')",
        ),
        (
            "yield SoupPart; raise KeyError('x')",
            "failed: KeyError: 'x'",
            "line 6, in amrbench_parts: yield SoupPart; raise KeyError('x')",
        ),
        (
            "raise SystemExit(3)",
            "failed: it ends the program (SystemExit: 3)",
            "line 6, in amrbench_parts: raise SystemExit(3)",
        ),
    ],
)
def test_a_hook_that_fails_is_an_error(install, body, reason, line):
    file = install("odd", IMPORTS + HOOK.format(body))
    assert refused("odd") == (
        f"plugin odd (dist-odd 0.1): amrbench_parts() {reason}\n  {file}, {line}\n"
        "Leave it out with --without odd."
    )


def test_an_entry_point_must_name_a_module(install):
    install("one", PART.format(use="stew"))
    point = EntryPoint("func", "plugin_one:amrbench_parts", GROUP)
    with pytest.raises(PluginError) as error:
        load_registry(plugins=[point])
    assert str(error.value) == (
        "plugin func (unknown 0): plugin_one:amrbench_parts is not a module. "
        "Leave it out with --without func."
    )


def test_two_plugins_with_one_name_are_both_named(install):
    install("one", PART.format(use="stew"))
    install("two", PART.format(use="stew"), version="2.0")
    assert refused("one", "two") == (
        "two plugins offer the soup part 'stew': one (dist-one 0.1) and two (dist-two 2.0).\n"
        "Rename one, or leave one out with --without two."
    )


def test_a_clash_with_a_shipped_plugin_leaves_out_the_other(install):
    install("aaa", PART.format(use="greedy"))
    with pytest.raises(PluginError) as error:
        load_registry()
    assert str(error.value).endswith(
        "\nRename that of aaa (dist-aaa 0.1), or leave it out with --without aaa."
    )


@pytest.mark.parametrize(
    ("offer", "what"),
    [
        ("return [Made, Made]", "plugin_one.Made is listed twice"),
        (
            "Other = type('Other', (SoupPart,), dict(Made.__dict__)); return [Made, Other]",
            "plugin_one.Made and ",
        ),
    ],
)
def test_a_plugin_that_offers_a_name_twice_is_an_error(install, offer, what):
    install("one", PART.format(use="stew").replace("return [Made]", offer))
    text = refused("one")
    assert text.startswith(f"plugin one (dist-one 0.1) offers the soup part 'stew' twice: {what}")
    assert text.endswith("\nOffer it once, or leave the plugin out with --without one.")


def test_two_plugins_of_one_name_are_an_error_because_both_would_be_left_out(install):
    install("cgdetr", PART.format(use="stew"))
    with pytest.raises(PluginError) as error:
        load_registry()
    assert str(error.value).startswith("two plugins are called 'cgdetr', one of amrbench ")
    assert str(error.value).endswith(
        "and one of dist-cgdetr 0.1. Rename the entry point of the latter, or uninstall it."
    )


def test_a_clash_ends_when_one_is_left_out(install):
    install("one", PART.format(use="stew"))
    install("two", PART.format(use="stew"))
    registry = load_registry(plugins=installed("one", "two"), without=["two"])
    assert registry.entry("soup", "stew").origin.plugin == "one"
