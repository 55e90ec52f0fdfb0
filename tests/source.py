"""The source files of both packages as syntax trees."""

import ast
from functools import cache

from tests.folders import ROOT

CORE = sorted((ROOT / "amrbench").rglob("*.py"))
PLUGINS = sorted((ROOT / "plugins" / "amrbench_plugins").rglob("*.py"))


@cache
def tree_of(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def name_of(path):
    return str(path.relative_to(ROOT))


def module_of(path):
    """Return the dotted name of a module of the core."""
    return name_of(path)[:-3].replace("/", ".").removesuffix(".__init__")


def imports_of(path):
    """Return (line, module) of every import in a file, also type-only ones and those inside functions."""
    imports = []
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            imports += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            imports += [(node.lineno, f"{node.module}.{alias.name}") for alias in node.names]
    return imports


def functions_of(path):
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return [node for node in ast.walk(tree_of(path)) if isinstance(node, kinds)]


def identifiers_of(path):
    """Yield (line, name) of what a file names: functions, classes, arguments, variables, attributes."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.lineno, node.name
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.attr
