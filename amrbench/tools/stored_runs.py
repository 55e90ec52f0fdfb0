"""The runs in a folder of runs, and what else processes left there. No torch."""

from __future__ import annotations

import re
from pathlib import Path

from amrbench.errors import RunError
from amrbench.evaluation.result import RESULT, Result, read_record
from amrbench.files.checksums import has_checksums, is_set_aside
from amrbench.tools.stored_items import Claims, StoredItem, entries, size_of

_RECIPE = "recipe.yaml"
_WRITTEN = re.compile(
    r"(recipe|protocol)\.yaml|result\.json|annotations\..+\.jsonl|predictions|saliency|logs"
    r"|.+\.safetensors|\..+\.part"
)
"""Names of what a run writes into its folder before it is finished."""


class StoredRuns:
    """The runs in one folder.

    Attributes:
        folder: The folder.
        results: Of the finished runs, by the path of their folders.
        unread: Finished runs whose result cannot be read. Other versions may read it, so they are never
            stale, and which stages and data they use is not known.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.paths = entries(folder)
        self.claims = Claims(path for path in self.paths if _is_claim(path))
        self.results: dict[Path, Result] = {}
        self.unread: list[Path] = []
        for path in self.paths:
            if has_checksums(path) and _is_run(path) and not is_set_aside(path):
                self._read(path)

    def _read(self, path: Path) -> None:
        try:
            self.results[path] = read_record(
                path / RESULT, Result, what="the result of a run", remedy="run the recipe again"
            )
        except RunError:
            self.unread.append(path)

    def items(self) -> list[StoredItem]:
        """Return the finished runs, and what is left of others."""
        items = [self._run(path) for path in (*self.results, *self.unread)]
        for path in self.paths:
            if path not in (*self.results, *self.unread) and (why := _why_stale(path)):
                claim = path if _is_claim(path) else _claim_of(path)
                held = self.claims.holder(claim)
                stale = "" if held else why
                items.append(StoredItem("leftover", path, claim, "run", size_of(path), (), stale, held))
        return items

    def _run(self, path: Path) -> StoredItem:
        about = f"its {RESULT} cannot be read"
        if result := self.results.get(path):
            seeds = f"{len(result.models)} seed{'s' * (len(result.models) != 1)}"
            about = f"{result.recipe.name} under {result.protocol.name}, {seeds}"
        claim = _claim_of(path)
        return StoredItem("run", path, claim, about, size_of(path), held=self.claims.holder(claim))


def _why_stale(path: Path) -> str:
    """Return why something may be removed; empty for what no run has made."""
    if _is_claim(path):
        return "claim of a process that has ended"
    if "@" not in path.name or not (path / _RECIPE).is_file():
        return ""
    if is_set_aside(path):
        return "set aside because its files had changed"
    if has_checksums(path) or not all(_WRITTEN.fullmatch(inner.name) for inner in entries(path)):
        return ""
    return "not finished; its recipe makes it again from trained stages"


def _claim_of(path: Path) -> Path:
    return path.with_name(f".{path.name}.claim")


def _is_run(path: Path) -> bool:
    return any((path / name).is_file() for name in (RESULT, _RECIPE))


def _is_claim(path: Path) -> bool:
    return path.name.startswith(".") and "@" in path.name and path.suffix == ".claim" and path.is_file()
