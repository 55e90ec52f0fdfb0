"""What holds for the repository as a whole."""

import ast
import re
import runpy
import subprocess
import tomllib
from functools import cache
from pathlib import Path

import pytest

from amrbench.config.load import load_protocol, load_recipe, shipped
from amrbench.discovery import load_registry
from tests.folders import ROOT
from tests.house import PAGE, page_with_tree
from tests.source import CORE, PLUGINS, functions_of, identifiers_of, imports_of, module_of, name_of, tree_of

ORDER = (
    *(
        "errors",
        "interrupts",
        "notes",
        "content_hash",
        "interfaces",
        "part",
        "types",
        "required_files",
        "slots",
        "registry",
    ),
    *(
        "plugin_errors",
        "hookspecs",
        "discovery",
        "functional",
        "files",
        "config",
        "data",
        "evaluation",
        "training",
        "experiment",
    ),
    *("pages", "tools", "api", "cli", "__main__", "testing"),
)
"""Each package and top-level module of the core imports only those before it, type-only imports included."""
RETIRED = frozenset(
    {
        *("each", "found", "place", "placed", "placing", "places", "beside", "side_by_side", "home", "wish"),
        *("wished", "wanted", "listen", "heard", "said", "told", "tell", "chance", "mean_chance", "bench"),
        *("judge", "lesson", "steady", "trial", "try_out", "contender", "contenders", "pot"),
        *("cooked", "nothing_cooked", "heights", "stretch", "seal", "log_chances", "in_place_of"),
        *("write_whole", "told_waiting", "lacking", "Beside", "Together", "Wish", "Wanted", "Home"),
        *("PlacedDataset", "Imported", "Split", "Source", "Member", "Members", "Contender", "Plan", "Trial"),
        *("Demand", "Lesson", "Best", "Stored", "SelectionJudge", "Stretch", "Seal", "Bench", "Order"),
        *("Sizes", "Spread", "SPREAD", "Pot", "Quiet", "Once", "Late", "Opened", "Pairs", "Line", "Mixture"),
        *("Settings_", "Tell", "Need", "Noise", "Judge"),
    }
)
"""Names that said too little or meant several things; prose, recipes and tests are free."""
SHARED_BY_PLUGINS = {"positions", "layers", "frame_contrast", "reference_options"}
ASSEMBLES = {"train_mini_clap.py", "measure_mini_clap.py", "lighthouse.py", "reference_weights.py"}
"""Makes or measures shipped weights, or a model of a foreign checkpoint, from parts of several plugins."""
TESTED_ELSEWHERE = {
    "amrbench/hookspecs.py": "a signature only; test_discovery.py",
    "amrbench/slots/checkpoint.py": "abstract; tests/contracts",
    "amrbench/slots/executors.py": "abstract; tests/contracts, test_stage_queue.py, test_stage_task.py",
    "amrbench/slots/losses.py": "abstract; tests/contracts",
    "amrbench/slots/matcher.py": "abstract; tests/contracts",
    "amrbench/slots/model.py": "abstract; tests/contracts",
    "amrbench/slots/observers.py": "abstract; tests/contracts, test_observation.py",
    "amrbench/slots/optimizers.py": "abstract; tests/contracts",
    "amrbench/slots/ranking.py": "abstract; tests/contracts",
    "amrbench/slots/soups.py": "abstract; tests/contracts",
    "plugins/amrbench_plugins/backends/mel.py": "the front ends: test_spectral.py, test_vit.py, test_cnn.py",
    "plugins/amrbench_plugins/beyond/parts.py": "options only; tests/contracts, files of the modules",
    "plugins/amrbench_plugins/cgdetr/parts.py": "options only; tests/contracts and the files of the modules",
    "plugins/amrbench_plugins/datasets/procedural/lexicon.py": "a table; test_captions.py",
    "plugins/amrbench_plugins/datasets/procedural/presets.py": "a table; test_planning.py",
    "plugins/amrbench_plugins/datasets/published.py": "a table; test_parts.py",
    "plugins/amrbench_plugins/frame_models/parts.py": "options only; tests/contracts, files of the modules",
    "plugins/amrbench_plugins/observers/parts.py": "options only; tests/contracts, files of the modules",
    "plugins/amrbench_plugins/optimizers/parts.py": "options only; tests/contracts, files of the modules",
    "plugins/amrbench_plugins/ours/head_parts.py": "options only; tests/contracts, test_task_aligned.py",
    "plugins/amrbench_plugins/ours/network_parts.py": "options only; tests/contracts, files of the modules",
    "plugins/amrbench_plugins/ours/training_parts.py": "options only; tests/contracts, files of the modules",
    "plugins/amrbench_plugins/qddetr/parts.py": "options only; tests/contracts and the files of the modules",
    "plugins/amrbench_plugins/ranking/parts.py": "options only; tests/contracts, files of the modules",
    "plugins/amrbench_plugins/soups/parts.py": "options only; tests/contracts and the files of the modules",
}
"""Modules without a test file of their name, and what tests them. Packages (`__init__.py`) need none."""
LONGEST_FUNCTION = 60
LONGEST_MODULE = 400
MOST_ARGUMENTS = 6


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


def test_plugins_share_only_a_few_modules():
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


def core_imports(path):
    """Yield (line, module) of the core modules that a file imports, also type-only and inside functions."""
    modules = {module_of(each) for each in CORE}
    for line, name in imports_of(path):
        module = name if name in modules else name.rpartition(".")[0]
        if module in modules:
            yield line, module


def package_of(module):
    return module.split(".")[1] if "." in module else module


def test_every_package_is_in_the_order():
    assert {package_of(module_of(path)) for path in CORE} - {"amrbench"} == set(ORDER)


def test_no_module_of_the_core_imports_a_later_one():
    wrong = [
        f"{name_of(path)}:{line} imports {module}"
        for path in CORE
        if (own := package_of(module_of(path))) in ORDER
        for line, module in core_imports(path)
        if module == "amrbench" or ORDER.index(package_of(module)) > ORDER.index(own)
    ]
    assert wrong == []


def test_modules_of_the_core_do_not_import_in_circles():
    arrows = {module_of(path): {module for _, module in core_imports(path)} for path in CORE}
    arrows = {name: used - {name} for name, used in arrows.items()}
    done = set()
    while ready := {name for name, used in arrows.items() if name not in done and used <= done}:
        done |= ready
    assert sorted(set(arrows) - done) == [], "these modules import each other"


def test_no_identifier_is_a_retired_one():
    wrong = [
        f"{name_of(path)}:{line} {name}"
        for path in (*CORE, *PLUGINS)
        for line, name in identifiers_of(path)
        if name.lstrip("_") in RETIRED
    ]
    assert wrong == []


def test_the_tree_in_contributing_is_that_of_the_code():
    assert PAGE.read_text(encoding="utf-8") == page_with_tree(), "write it with: python -m tests.house"


def test_every_module_has_a_test_file_of_its_name():
    without = set()
    for root, tests in ((ROOT / "amrbench", "core"), (ROOT / "plugins" / "amrbench_plugins", "plugins")):
        for path in root.rglob("[!_]*.py"):
            folder = ROOT / "tests" / tests / path.parent.relative_to(root)
            if not (folder / f"test_{path.name}").is_file():
                without.add(name_of(path))
    assert without == set(TESTED_ELSEWHERE)


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


@pytest.mark.parametrize("page", ["plugins.md", "readouts.md"])
def test_python_on_the_pages_has_its_imports(page, tmp_path):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / page).read_text(encoding="utf-8"), re.DOTALL)
    (file := tmp_path / "page.py").write_text(
        "\n".join(block for block in blocks if "amrbench_hello" not in block), encoding="utf-8"
    )
    runpy.run_path(str(file))


def test_the_protocol_for_annotations_of_ones_own_is_valid(tmp_path):
    (text,) = re.findall(
        r"```yaml\n(name: own\n.*?)```", (ROOT / "docs" / "data.md").read_text(encoding="utf-8"), re.DOTALL
    )
    (file := tmp_path / "own.yaml").write_text(text, encoding="utf-8")
    assert load_protocol(file, load_registry()).data.of("target").folder == "my-set"


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
