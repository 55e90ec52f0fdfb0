import sys
from importlib.metadata import EntryPoint, entry_points

import pytest

from amrbench.discovery import GROUP, load_registry
from amrbench.errors import PluginError

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


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Return a function that puts a plugin on the path as an installed one would be."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def put(name, code, version="0.1"):
        (tmp_path / f"plugin_{name}.py").write_text(code)
        info = tmp_path / f"dist_{name}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: dist-{name}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[{GROUP}]\n{name} = plugin_{name}\n")

    yield put
    for name in [name for name in sys.modules if name.startswith("plugin_")]:
        del sys.modules[name]


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
    assert {"cgdetr", "moment-detr", "dual-encoder"} <= {point.name for point in entry_points(group=GROUP)}
    assert "dual-encoder (amrbench" in str(load_registry().entry("model", "dual-encoder").origin)


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
    install("broken", "import nope_nope")
    assert refused("broken") == (
        "plugin broken (dist-broken 0.1) cannot be imported: "
        "ModuleNotFoundError: No module named 'nope_nope'.\n"
        "Install what it needs, or leave it out with --without broken."
    )


def test_a_plugin_that_fails_in_its_own_code_is_named_too(install):
    install("broken", "1 / 0")
    assert refused("broken").startswith(
        "plugin broken (dist-broken 0.1) cannot be imported: ZeroDivisionError: division by zero.\n"
    )


def test_a_broken_plugin_can_be_left_out(install):
    install("broken", "1 / 0")
    install("one", PART.format(use="stew"))
    assert load_registry(plugins=installed("broken", "one"), without=["broken"]).names("soup") == ["stew"]


def test_a_plugin_without_a_hook_is_an_error(install):
    install("silent", "def amrbench_parts(): return []")
    assert refused("silent") == (
        "plugin silent (dist-silent 0.1) offers nothing: plugin_silent has no function marked with "
        "@amrbench.hookimpl. Known hooks: amrbench_parts. Leave it out with --without silent."
    )


def test_a_misspelt_hook_is_an_error(install):
    install("typo", "from amrbench import hookimpl\n@hookimpl\ndef amrbench_part(): return []")
    message = refused("typo")
    assert message.startswith("plugin typo (dist-typo 0.1) is wrong: unknown hook 'amrbench_part' in plugin")
    assert message.endswith("Leave it out with --without typo.")


def test_a_hook_with_arguments_that_do_not_exist_is_an_error(install):
    install("typo", "from amrbench import hookimpl\n@hookimpl\ndef amrbench_parts(config): return []")
    assert refused("typo").startswith("plugin typo (dist-typo 0.1) is wrong: ")


@pytest.mark.parametrize(
    ("offer", "shown"),
    [
        ("7", "7"),
        ("int", "<class 'int'>"),
        ("SoupPart", "<class 'amrbench.slots.soups.SoupPart'>"),
    ],
)
def test_only_parts_with_a_name_can_be_offered(install, offer, shown):
    install(
        "odd",
        "from amrbench import hookimpl\nfrom amrbench.slots.soups import SoupPart\n"
        f"@hookimpl\ndef amrbench_parts(): return [{offer}]",
    )
    assert refused("odd") == (
        f"plugin odd (dist-odd 0.1): amrbench_parts() offers {shown}, which is no part "
        "(a class with a `use` name). Leave it out with --without odd."
    )


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("return None", "TypeError: 'NoneType' object is not iterable"),
        ("raise ValueError('no device')", "ValueError: no device"),
    ],
)
def test_a_hook_that_fails_is_an_error(install, body, reason):
    install("odd", f"from amrbench import hookimpl\n@hookimpl\ndef amrbench_parts():\n    {body}")
    assert refused("odd") == (
        f"plugin odd (dist-odd 0.1): amrbench_parts() failed: {reason}. Leave it out with --without odd."
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


def test_a_clash_ends_when_one_is_left_out(install):
    install("one", PART.format(use="stew"))
    install("two", PART.format(use="stew"))
    registry = load_registry(plugins=installed("one", "two"), without=["two"])
    assert registry.entry("soup", "stew").origin.plugin == "one"
