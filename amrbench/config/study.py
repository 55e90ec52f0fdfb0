"""Studies: what single changes are worth, as recipes that are generated from two others.

A study is a file of a few lines. It names a `base` and a `full` recipe. Each path where the two differ
(`amrbench.config.recipe_diff`) is a change. The family `only` holds the base with one change, the family
`without` the full recipe without one. `groups` names paths that only make sense together.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError

from amrbench.config.load import find, find_near, load_recipe, shipped, validated
from amrbench.config.recipe import Name, Recipe
from amrbench.config.recipe_diff import differences, mix
from amrbench.errors import RecipeError, did_you_mean
from amrbench.files.yaml_file import Document, Mistake, mistakes_error, read_yaml
from amrbench.part import Strict
from amrbench.registry import Registry

Family = Literal["only", "without"]
_SOUP = "soup"
"""Made of the single runs that a study compares, so it is a change only if a group names it."""


class StudyFile(Strict):
    """The content of a study file."""

    study: Name
    about: str = ""
    base: str = Field(min_length=1, description="recipe that single changes are added to")
    full: str = Field(min_length=1, description="recipe that single changes are taken from")
    families: tuple[Family, ...] = Field(("only", "without"), min_length=1)
    groups: Mapping[Name, tuple[str, ...]] = Field(
        default_factory=dict, description="paths that change together; a path includes all paths below it"
    )


@dataclass(frozen=True)
class Method:
    """A recipe and its text.

    Attributes:
        source: The file of the recipe, or of the study that it was generated from.
        text: The content of recipe.yaml in the folder of a run.
        recipe: The recipe.
    """

    source: Path
    text: bytes
    recipe: Recipe

    @property
    def methods(self) -> list[Method]:
        """Return a list of itself, as a study returns its recipes."""
        return [self]


@dataclass(frozen=True)
class Variant:
    """A generated recipe.

    Attributes:
        family: Whether the change is added to the base or taken from the full recipe.
        change: Name of the change.
        paths: Where the recipe is changed.
        method: The recipe.
    """

    family: Family
    change: str
    paths: tuple[str, ...]
    method: Method


@dataclass(frozen=True)
class Study:
    """A study whose recipes are all valid."""

    name: str
    base: Method
    full: Method
    variants: tuple[Variant, ...]

    @property
    def methods(self) -> list[Method]:
        """Return all recipes: the two given ones, then the generated ones."""
        return [self.base, self.full, *(variant.method for variant in self.variants)]


Runnable = str | Path | Study | Method
"""A recipe or a study: a file, a shipped name, or already loaded."""


def expand(name: str | Path, registry: Registry) -> Study | Method:
    """Load a study or a recipe, given by path or shipped name.

    Raises:
        RecipeError: The file is missing or wrong; lists all mistakes with their lines.
    """
    kind = "study" if str(name) in {file.stem for file in shipped("study")} else "recipe"
    file = find(kind, name)
    content = read_yaml(file).data
    if isinstance(content, dict) and "study" in content:
        return read_study(file, registry)
    return _read_method(file, registry)


def methods_of(runnable: Runnable, registry: Registry) -> list[Method]:
    """Return a recipe, or all recipes of a study; see `expand`."""
    loaded = expand(runnable, registry) if isinstance(runnable, str | Path) else runnable
    return loaded.methods


def read_study(file: Path, registry: Registry) -> Study:
    """Read a study and generate its recipes.

    Raises:
        RecipeError: The file, one of its two recipes or a generated recipe is wrong.
    """
    document = read_yaml(file)
    study = validated(document, StudyFile, registry)
    base, full = _given_recipes(document, study, registry)
    pair = _Pair(base.recipe, full.recipe, registry)
    changes = _changes(document, study, pair.paths)
    variants, mistakes = [], []
    for family, (change, paths) in product(study.families, changes.items()):
        try:
            recipe = pair.changed(family, paths, name=f"{study.study}-{family}-{change}")
        except ValidationError as error:
            line = document.line(("groups", change) if change in study.groups else ("families",))
            text = "; ".join(mistake["msg"].removesuffix(".") for mistake in error.errors())
            group = ", ".join(pair.smallest_group(family, paths))
            text = f"this recipe does not hold together: {text}. Put into one group: [{group}]."
            mistakes.append(Mistake(line, f"{family}/{change}", text))
        else:
            variants.append(Variant(family, change, tuple(paths), Method(file, _text(recipe), recipe)))
    if mistakes:
        raise mistakes_error(document.name, mistakes)
    return Study(study.study, base, full, tuple(variants))


def _read_method(file: Path, registry: Registry) -> Method:
    recipe = load_recipe(file, registry)
    return Method(file, file.read_bytes(), recipe)


def _given_recipes(document: Document, study: StudyFile, registry: Registry) -> list[Method]:
    """Return the base and the full recipe; two missing files are reported together."""
    files, mistakes = [], []
    for key, name in (("base", study.base), ("full", study.full)):
        try:
            files.append(find_near("recipe", name, Path(document.name)))
        except RecipeError as error:
            mistakes.append(Mistake(document.line((key,)), key, str(error)))
    if mistakes:
        raise mistakes_error(document.name, mistakes)
    return [_read_method(file, registry) for file in files]


def _text(recipe: Recipe) -> bytes:
    content = recipe.model_dump(mode="json")
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100).encode()


@dataclass(frozen=True)
class _Pair:
    """The two given recipes, and the recipes between them."""

    base: Recipe
    full: Recipe
    registry: Registry

    @cached_property
    def documents(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the base and the full recipe as plain documents, without name and purpose."""
        base, full = (
            recipe.model_dump(mode="json", exclude={"name", "about"}) for recipe in (self.base, self.full)
        )
        return base, full

    @cached_property
    def paths(self) -> list[str]:
        """Return all paths where the two differ."""
        return differences(*self.documents)

    def changed(self, family: Family, paths: Collection[str], *, name: str = "untitled") -> Recipe:
        """Return the base with these paths of the full recipe, or the other way round.

        Raises:
            ValidationError: This recipe is not valid.
        """
        recipe, other = (self.base, self.full) if family == "only" else (self.full, self.base)
        about = f"{recipe.name} with {', '.join(paths)} of {other.name}."
        from_full = [path for path in self.paths if (path in paths) == (family == "only")]
        content = {"name": name, "about": about, **mix(*self.documents, from_full)}
        return Recipe.model_validate(content, context=self.registry)

    def smallest_group(self, family: Family, paths: Collection[str]) -> list[str]:
        """Return a smallest set of paths around these with which the recipe is valid.

        All paths together give the other recipe, which is valid. From there, paths are left out one by one if
        the recipe stays valid.
        """
        group = list(self.paths)
        for path in self.paths:
            if path not in paths:
                fewer = [other for other in group if other != path]
                try:
                    self.changed(family, fewer)
                except ValidationError:
                    continue
                group = fewer
        return group


def _changes(document: Document, study: StudyFile, paths: Sequence[str]) -> dict[str, list[str]]:
    """Return the paths of each change by its name, in the order of their first paths."""
    mistakes = list(_wrong_groups(document, study, paths))
    if not paths:
        text = f"{study.base} and {study.full} differ in nothing, so there is nothing to study."
        mistakes.append(Mistake(document.line(("full",)), "full", text))
    if mistakes:
        raise mistakes_error(document.name, mistakes)
    groups = {name: _below(paths, given) for name, given in study.groups.items()}
    grouped = {path for group in groups.values() for path in group}
    singles = [path for path in paths if path not in grouped and path != _SOUP]
    changes = groups | {name: [path] for name, path in _names(singles, groups).items()}
    return dict(sorted(changes.items(), key=lambda change: paths.index(change[1][0])))


def _wrong_groups(document: Document, study: StudyFile, paths: Sequence[str]) -> Iterator[Mistake]:
    owners: dict[str, str] = {}
    for name, group in study.groups.items():
        if not group:
            yield Mistake(
                document.line(("groups", name)),
                f"groups.{name}",
                "this group is empty; name what changes together.",
            )
        for index, given in enumerate(group):
            line, key = document.line(("groups", name, index)), f"groups.{name}.{index}"
            below = _below(paths, [given])
            if not below:
                near = did_you_mean(given, paths)
                text = f"{study.base} and {study.full} do not differ at {given!r}.{near}"
                yield Mistake(line, key, f"{text} They differ at: {', '.join(paths)}.")
            for path in below:
                if owners.setdefault(path, name) != name:
                    yield Mistake(line, key, f"{path!r} is in the group {owners[path]!r} already.")


def _below(paths: Sequence[str], given: Collection[str]) -> list[str]:
    """Return the paths that are given or below a given one."""
    return [path for path in paths if any(f"{path}.".startswith(f"{outer}.") for outer in given)]


def _names(paths: Sequence[str], taken: Collection[str]) -> dict[str, str]:
    """Return paths by name: the shortest end of a path that no other path and no group has.

    >>> _names(["model.fusion.norm", "model.encoder.registers", "model.text_summary.registers"], ["norm"])
    {'fusion-norm': 'model.fusion.norm', 'encoder-registers': 'model.encoder.registers', \
'text-summary-registers': 'model.text_summary.registers'}
    """
    names: dict[str, str] = {}
    for path in paths:
        others = {end for other in paths if other != path for end in _ends(other)}
        free = (end for end in _ends(path) if end not in others and end not in taken)
        names[next(free, f"at-{_ends(path)[-1]}")] = path
    return names


def _ends(path: str) -> list[str]:
    """Return the ends of a path as names, shortest first."""
    steps = path.split(".")
    ends = ("-".join(steps[start:]) for start in range(len(steps) - 1, -1, -1))
    return [re.sub(r"[^a-z0-9]+", "-", end.lower()).strip("-") for end in ends]
