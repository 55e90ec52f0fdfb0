"""The tree of the source files in CONTRIBUTING.md, one line a file: `python -m tests.house` writes it."""

import ast

from tests.folders import ROOT
from tests.source import CORE, PLUGINS, tree_of

PAGE = ROOT / "CONTRIBUTING.md"
BEGIN, END = "<!-- tree: python -m tests.house -->\n```\n", "```\n<!-- /tree -->\n"
WIDTH = 34


def tree_text():
    """Return the folders and files of both packages, each with the first line of its docstring."""
    lines = []
    for title, files in (("amrbench", CORE), ("plugins/amrbench_plugins", PLUGINS)):
        root = ROOT / title
        lines += _lines(root, files, title)
    return "".join(f"{line}\n" for line in lines)


def _lines(folder, files, title, depth=0):
    about = folder / "__init__.py"
    yield _line(f"{title}/", about, depth)
    own = sorted(path for path in files if path.parent == folder and path != about)
    yield from (_line(path.name, path, depth + 1) for path in own)
    below = sorted({path.parent for path in files if path.parent.parent == folder})
    for inner in below:
        yield from _lines(inner, files, inner.name, depth + 1)


def _line(name, path, depth):
    text = (ast.get_docstring(tree_of(path)) or "") if path.exists() else ""
    return f"{'  ' * depth}{name}".ljust(WIDTH) + " " + text.partition("\n")[0]


def page_with_tree():
    """Return CONTRIBUTING.md with today's tree."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    return before + BEGIN + tree_text() + END + rest.partition(END)[2]


if __name__ == "__main__":
    PAGE.write_text(page_with_tree(), encoding="utf-8")
