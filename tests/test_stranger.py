"""The example plugin, found like an installed one; tox -e stranger installs it."""

import re
import sys

import pytest

from amrbench.config.load import load_recipe
from amrbench.discovery import load_registry
from amrbench.testing import check_part, sample
from tests.folders import ROOT

HELLO = ROOT / "examples" / "amrbench-hello"


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    site = tmp_path_factory.mktemp("site")
    info = site / "amrbench_hello-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: amrbench-hello\nVersion: 0.1.0\n")
    (info / "entry_points.txt").write_text("[amrbench]\nhello = amrbench_hello\n")
    sys.path[:0] = [str(site), str(HELLO / "src")]
    yield load_registry()
    sys.path.remove(str(site))
    sys.path.remove(str(HELLO / "src"))


def test_it_is_found_with_the_shipped_plugins(registry):
    assert str(registry.entry("loss", "edges").origin) == "hello (amrbench-hello 0.1.0)"
    assert registry.entry("head", "edges").part.__module__ == "amrbench_hello.edges"


def test_its_recipe_is_valid_and_its_parts_keep_their_contracts(registry):
    model = load_recipe(HELLO / "recipes" / "hello.yaml", registry).model
    check_part(sample(registry.find("head", "edges"), registry), registry)
    check_part(sample(registry.find("encoder", "neighbours"), registry), registry)
    small = model.model_copy(update={"width": 16, "attention_heads": 4, "feedforward": 24})
    check_part(sample(registry.find("loss", "edges"), registry), registry, models=[small])


def test_its_recipe_is_the_baseline_with_three_changes():
    baseline = (ROOT / "recipes" / "cgdetr.yaml").read_text().splitlines()
    example = (HELLO / "recipes" / "hello.yaml").read_text().splitlines()
    assert [line for line in baseline if line not in example] == [
        baseline[0],
        baseline[1],
        "  encoder: {use: transformer, layers: 3}",
        "  heads: [spans, foreground, saliency]",
    ]
    assert [line for line in example if line not in baseline] == [
        example[0],
        example[1],
        "  encoder: {use: neighbours, around: {use: transformer, layers: 3}}",
        "  heads: [spans, foreground, saliency, edges]",
        "    - {use: edges, weight: 1, spread: 1}",
    ]


def test_the_page_about_plugins_quotes_the_example_exactly():
    page = (ROOT / "docs" / "plugins.md").read_text()
    blocks = re.findall(r"```(?:python|toml)\n(.*?)```", page, re.DOTALL)
    files = [path.read_text() for path in HELLO.rglob("*") if path.suffix in {".py", ".toml"}]
    assert len(blocks) >= 6
    for block in blocks:
        code = re.sub(r"\A(?:(?:from|import) .*\n|\n)+", "", block)  # The example's files import more.
        assert any(code in text for text in files), f"not in the example:\n{code}"
