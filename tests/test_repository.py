"""What holds for the repository as a whole."""

import ast
import re
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest

from amrbench.config.load import load_protocol, load_recipe, shipped
from amrbench.discovery import load_registry
from tests.folders import ROOT

CORE = sorted((ROOT / "amrbench").rglob("*.py"))
PLUGINS = sorted((ROOT / "plugins" / "amrbench_plugins").rglob("*.py"))
SHARED_BY_PLUGINS = {"slots", "positions", "layers", "testing"}
ASSEMBLES = {"train_mini_clap.py", "measure_mini_clap.py", "lighthouse.py", "reference_weights.py"}
"""Makes or measures shipped weights, or a model of a foreign checkpoint, from parts of several plugins."""
LONGEST_FUNCTION = 60
LONGEST_MODULE = 400
MOST_ARGUMENTS = 6


@cache
def tree_of(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def name_of(path):
    return str(path.relative_to(ROOT))


def imports_of(path):
    """Return (line, module) of every import in a file, also of those inside functions."""
    found = []
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [(node.lineno, f"{node.module}.{alias.name}") for alias in node.names]
    return found


def functions_of(path):
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return [node for node in ast.walk(tree_of(path)) if isinstance(node, kinds)]


def is_made(folder):
    """Say whether a folder holds what tools made."""
    return (folder.startswith(".") and folder != ".ci") or folder in {"__pycache__", "build", "dist", "runs"}


@cache
def tracked_text():
    """Return the tracked text files; without git, all files outside of caches and environments."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode == 0:
        paths = [ROOT / name for name in listed.stdout.decode().split("\0") if name]
    else:
        paths = [path for path in ROOT.rglob("*") if not any(map(is_made, path.relative_to(ROOT).parts[:-1]))]
    texts = {}
    for path in paths:
        if path.is_file() and path != Path(__file__):
            try:
                texts[path] = path.read_text(encoding="utf-8")
            except UnicodeDecodeError:
                continue
    return texts


def test_files_are_found():
    assert len(CORE) >= 30, "where did the core go?"
    assert len(PLUGINS) >= 30, "where did the plugins go?"
    assert len(tracked_text()) >= 100, "where did the files go?"


def test_the_core_knows_no_plugin():
    wrong = [
        f"{name_of(path)}:{line} imports {module}"
        for path in CORE
        for line, module in imports_of(path)
        if module.split(".")[0] == "amrbench_plugins"
    ]
    assert wrong == []


def test_the_core_does_not_use_its_checks_for_authors():
    wrong = [
        f"{name_of(path)}:{line} imports {module}"
        for path in CORE
        if "testing" not in path.parts
        for line, module in imports_of(path)
        if module.startswith("amrbench.testing")
    ]
    assert wrong == []


def test_plugins_import_only_slots_and_shared_layers_from_each_other():
    wrong = []
    for path in PLUGINS:
        if path.name in ASSEMBLES:
            continue
        own = path.relative_to(ROOT / "plugins" / "amrbench_plugins").parts[0]
        for line, module in imports_of(path):
            package, *rest = module.split(".")
            shared = len(rest) > 1 and rest[1] in SHARED_BY_PLUGINS
            if package == "amrbench_plugins" and rest and rest[0] != own and not shared:
                wrong.append(f"{name_of(path)}:{line} imports {module}")
    assert wrong == []


def test_modules_of_the_core_do_not_import_in_circles():
    names = {name_of(path)[:-3].replace("/", ".").removesuffix(".__init__"): path for path in CORE}
    arrows = {name: top_level_imports(path, names) - {name, "amrbench"} for name, path in names.items()}
    done = set()
    while ready := {name for name, used in arrows.items() if name not in done and used <= done}:
        done |= ready
    assert sorted(set(arrows) - done - {"amrbench"}) == [], "these modules import each other"


def test_sub_packages_of_the_core_use_only_those_before_them():
    order = ["files", "config", "data", "results", "training", "running"]
    found = {each.parent.name for each in (ROOT / "amrbench").glob("*/__init__.py")}
    assert found == {*order, "cli", "testing"}
    wrong = [
        f"{name_of(path)}:{line} imports {module}"
        for path in CORE
        if path.parent.name in order
        for line, module in imports_of(path)
        if (used := module.split(".")[1:2]) and used[0] in order[order.index(path.parent.name) + 1 :]
    ]
    assert wrong == []


def top_level_imports(path, names):
    """Return the core modules that a file needs while it is imported."""
    found = set()
    for node in tree_of(path).body:
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                longer = f"{node.module}.{alias.name}"
                found.add(longer if longer in names else node.module)
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found & set(names)


def test_functions_are_short():
    long = [
        f"{name_of(path)}:{each.lineno} {each.name} has {each.end_lineno - each.lineno + 1} lines"
        for path in (*CORE, *PLUGINS)
        for each in functions_of(path)
        if each.end_lineno - each.lineno + 1 > LONGEST_FUNCTION
    ]
    assert long == []


def test_functions_take_few_arguments():
    many = []
    for path in (*CORE, *PLUGINS):
        for each in functions_of(path):
            arguments = [*each.args.posonlyargs, *each.args.args, *each.args.kwonlyargs]
            own = [argument for argument in arguments if argument.arg not in {"self", "cls"}]
            command = any("command" in ast.unparse(mark) for mark in each.decorator_list)
            if len(own) > MOST_ARGUMENTS and not command:
                many.append(f"{name_of(path)}:{each.lineno} {each.name} takes {len(own)}")
    assert many == []


def test_modules_are_small():
    sizes = {name_of(path): len(path.read_text().splitlines()) for path in (*CORE, *PLUGINS)}
    assert {name: size for name, size in sizes.items() if size > LONGEST_MODULE} == {}


def test_every_module_says_what_it_is_for():
    silent = [name_of(path) for path in (*CORE, *PLUGINS) if not ast.get_docstring(tree_of(path))]
    assert silent == []


def test_nothing_is_unpickled_or_evaluated():
    wrong = []
    for path in (*CORE, *PLUGINS):
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                if called in {"eval", "exec", "pickle.load", "pickle.loads", "yaml.load", "yaml.unsafe_load"}:
                    wrong.append(f"{name_of(path)}:{node.lineno} calls {called}")
                if called == "torch.load" and "weights_only=True" not in ast.unparse(node):
                    wrong.append(f"{name_of(path)}:{node.lineno} calls torch.load without weights_only=True")
    assert wrong == []


@pytest.mark.parametrize(
    "pattern",
    [
        r"/(?:home|root|Users|work)/[a-z]",
        r"(?i)index-url|extra-index|find-links",
        r"https?://[^\s)\"']*(?:pypi|simple/|artifactory|nexus|download\.pytorch)[^\s)\"']*",
    ],
)
def test_no_file_names_a_machine_or_a_package_index(pattern):
    found = [
        f"{name_of(path)}:{number}: {line.strip()[:80]}"
        for path, text in tracked_text().items()
        for number, line in enumerate(text.splitlines(), 1)
        if re.search(pattern, line)
    ]
    assert found == []


def test_every_shipped_recipe_and_protocol_is_valid():
    registry = load_registry()
    recipes, protocols = shipped("recipe"), shipped("protocol")
    assert len(recipes) >= 2, "where did the recipes go?"
    assert len(protocols) >= 1, "where did the protocols go?"
    for path in recipes:
        assert load_recipe(path, registry).about
    for path in protocols:
        for name in load_protocol(path, registry).against:
            assert name in [each.stem for each in recipes]


def test_commands_that_the_readme_names_exist():
    used = set(re.findall(r"\bamrbench ([a-z]+)", "\n".join(code_of(ROOT / "README.md"))))
    assert used, "where did the commands go?"
    shown = subprocess.run(
        [sys.executable, "-c", "from amrbench.cli import main; main()", "--help"],
        capture_output=True,
        text=True,
        check=True,
        env={"COLUMNS": "200", "NO_COLOR": "1", "PATH": ""},
    ).stdout
    assert [name for name in sorted(used) if not re.search(rf"^\W*{name}\s", shown, re.MULTILINE)] == []


def test_the_readme_has_the_test_command_that_is_run_everywhere():
    readme = [line for line in (ROOT / "README.md").read_text().splitlines() if "/bin/pytest" in line]
    assert len(readme) == 1, ".ci/run takes its command from this line"
    steps = [step.strip().removeprefix(".venv/bin/") for step in readme[0].split("&&")]
    assert steps[0].endswith("-m venv .venv")
    assert steps[2:] == ["ruff check .", "ruff format --check .", "mypy", "pytest -n 2"]
    assert " && ".join(f".venv/bin/{step}" for step in steps[2:]) in (ROOT / "CONTRIBUTING.md").read_text()


def test_files_that_the_readme_links_exist():
    links = re.findall(r"\]\(([^)#:]+)\)", (ROOT / "README.md").read_text())
    assert links, "where did the links go?"
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_links_between_the_pages_lead_somewhere():
    pages = [*sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "examples").rglob("*.md"))]
    assert pages, "where did the pages go?"
    for page in pages:
        for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / link).exists(), f"{name_of(page)} links {link}"


def test_every_direct_dependency_is_pinned():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = {name_in(each) for each in [*project["dependencies"], *extras["test"], *extras["dev"]]}
    pinned = {name_in(line) for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line}
    assert sorted(wanted - pinned - {"amrbench"}) == []


def name_in(requirement):
    return re.split(r"[\s\[<>=!~;]", requirement)[0].lower().replace("_", "-")


def code_of(page):
    return re.findall(r"```sh\n(.*?)```", page.read_text(), re.DOTALL)
