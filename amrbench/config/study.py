"""Studies: what single changes are worth, as recipes that are generated from two others.

A study is a file of a few lines. It names a `base` and a `full` recipe; where the two differ is found place
by place (`amrbench.config.recipe_diff`). The family `only` holds, for each difference, the base with this one
place as in the full recipe; `without` holds the full recipe with this one place as in the base. `groups`
names places that make sense only together.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError

from amrbench.config.load import find, find_near, shipped, validated
from amrbench.config.recipe import Name, Recipe
from amrbench.config.recipe_diff import Node, compare
from amrbench.errors import RecipeError, did_you_mean
from amrbench.files.yaml_file import Document, Mistake, mistakes_error, read_yaml
from amrbench.part import Strict
from amrbench.registry import Registry

Family = Literal["only", "without"]
_SAYS_NOTHING = ("name", "about")
_AFTERWARDS = "soup"
"""Made of the single runs, which a study compares; so it is no change of its own unless a group names it."""


class StudyFile(Strict):
    """What the file of a study says."""

    study: Name
    about: str = ""
    base: str = Field(min_length=1, description="recipe that single changes are added to")
    full: str = Field(min_length=1, description="recipe that single changes are taken from")
    families: tuple[Family, ...] = Field(("only", "without"), min_length=1)
    groups: Mapping[Name, tuple[str, ...]] = Field(
        default_factory=dict, description="places that change together; a place holds all that is inside it"
    )


@dataclass(frozen=True)
class Method:
    """A recipe, and the text that says it.

    Attributes:
        source: The file of the recipe, or of the study that it was generated from.
        text: What a run keeps as recipe.yaml.
        recipe: The recipe.
    """

    source: Path
    text: bytes
    recipe: Recipe

    @property
    def methods(self) -> list[Method]:
        """Return itself, as a study returns its recipes."""
        return [self]


@dataclass(frozen=True)
class Switch:
    """Places that change together, and what this change is called."""

    name: str
    places: tuple[str, ...]


@dataclass(frozen=True)
class Variant:
    """One generated recipe."""

    family: Family
    switch: Switch
    method: Method


@dataclass(frozen=True)
class Study:
    """A study that holds together."""

    name: str
    base: Method
    full: Method
    variants: tuple[Variant, ...]

    @property
    def methods(self) -> list[Method]:
        """Return all recipes: the two given ones, and then the generated ones."""
        return [self.base, self.full, *(variant.method for variant in self.variants)]


Runnable = str | Path | Study | Method
"""A recipe or a study: a file, a shipped name, or read already."""


def expand(wanted: str | Path, registry: Registry) -> Study | Method:
    """Read a study or a recipe, given by path or shipped name.

    Raises:
        RecipeError: There is no such file, or it is wrong; all mistakes with their lines.
    """
    if str(wanted) in {each.stem for each in shipped("study")}:
        return read_study(find("study", wanted), registry)
    path = find("recipe", wanted)
    document = read_yaml(path)
    if isinstance(document.data, dict) and "study" in document.data:
        return read_study(path, registry)
    return Method(path, path.read_bytes(), validated(document, Recipe, registry))


def methods_of(wanted: Runnable, registry: Registry) -> list[Method]:
    """Return a recipe, or all recipes of a study; see `expand`."""
    found = expand(wanted, registry) if isinstance(wanted, str | Path) else wanted
    return found.methods


def read_study(path: Path, registry: Registry) -> Study:
    """Read a study and generate its recipes.

    Raises:
        RecipeError: The file is wrong, one of its two recipes is, or a generated one does not hold together.
    """
    document = read_yaml(path)
    says = validated(document, StudyFile, registry)
    base, full = _both(document, says, registry)
    overlay = _Overlay(
        compare(_plain(base.recipe), _plain(full.recipe)), registry, (base.recipe.name, full.recipe.name)
    )
    switches = _switches(document, says, overlay.tree.places)
    made = _Making(path, document, says, overlay)
    variants = tuple(made.variant(family, switch) for family in says.families for switch in switches)
    if made.mistakes:
        raise mistakes_error(document.name, made.mistakes)
    return Study(says.study, base, full, tuple(each for each in variants if each is not None))


def _both(document: Document, says: StudyFile, registry: Registry) -> list[Method]:
    found: list[Method] = []
    mistakes: list[Mistake] = []
    for place, name in (("base", says.base), ("full", says.full)):
        try:
            path = find_near("recipe", name, Path(document.name))
        except RecipeError as error:
            mistakes.append(Mistake(document.line((place,)), place, str(error)))
        else:
            recipe = validated(read_yaml(path), Recipe, registry)
            found.append(Method(path, path.read_bytes(), recipe))
    if mistakes:
        raise mistakes_error(document.name, mistakes)
    return found


def _plain(recipe: Recipe) -> dict[str, Any]:
    return recipe.model_dump(mode="json", exclude=set(_SAYS_NOTHING))


@dataclass(frozen=True)
class _Overlay:
    """Two recipes laid over each other."""

    tree: Node
    registry: Registry
    names: tuple[str, str]

    def recipe(self, chosen: Collection[str], name: str, about: str) -> Recipe:
        """Return the recipe with these places as in the full one, or raise what is wrong with it."""
        content = {"name": name, "about": about, **self.tree.mixed(chosen)}
        return Recipe.model_validate(content, context=self.registry)

    def holds(self, chosen: Collection[str]) -> bool:
        """Say whether the recipe with these places as in the full one holds together."""
        try:
            self.recipe(chosen, "a", "")
        except ValidationError:
            return False
        return True

    def chosen(self, family: Family, places: Collection[str]) -> list[str]:
        """Return the places that are as in the full recipe when these are changed."""
        only = family == "only"
        return [each for each in self.tree.places if (each in places) == only]

    def group(self, family: Family, places: Collection[str]) -> list[str]:
        """Return a smallest group around some places with which the recipe holds together.

        All places together always do; so what can be left out one after the other is left out.
        """
        group = list(self.tree.places)
        for place in self.tree.places:
            fewer = [each for each in group if each != place]
            if place not in places and self.holds(self.chosen(family, fewer)):
                group = fewer
        return group


@dataclass(frozen=True)
class _Making:
    """Makes recipes, and remembers those that do not hold together."""

    path: Path
    document: Document
    says: StudyFile
    overlay: _Overlay
    mistakes: list[Mistake] = field(default_factory=list)

    def variant(self, family: Family, switch: Switch) -> Variant | None:
        """Return one generated recipe, or nothing after noting what is wrong with it."""
        base, full = self.overlay.names
        sides = f"{base} with {{}} of {full}" if family == "only" else f"{full} with {{}} of {base}"
        name = f"{self.says.study}-{family}-{switch.name}"
        chosen = self.overlay.chosen(family, switch.places)
        try:
            recipe = self.overlay.recipe(chosen, name, sides.format(", ".join(switch.places)) + ".")
        except ValidationError as error:
            self.mistakes.append(self._broken(family, switch, error))
            return None
        return Variant(family, switch, Method(self.path, _written(recipe), recipe))

    def _broken(self, family: Family, switch: Switch, error: ValidationError) -> Mistake:
        said = "; ".join(each["msg"].removesuffix(".") for each in error.errors())
        group = ", ".join(self.overlay.group(family, switch.places))
        place = ("groups", switch.name) if switch.name in self.says.groups else ("families",)
        return Mistake(
            self.document.line(place),
            f"{family}/{switch.name}",
            f"this recipe does not hold together: {said}. Put into one group: [{group}].",
        )


def _written(recipe: Recipe) -> bytes:
    content = recipe.model_dump(mode="json")
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100).encode()


def _switches(document: Document, says: StudyFile, places: Sequence[str]) -> list[Switch]:
    """Return all changes in the order of their first places."""
    mistakes = list(_wrong_groups(document, says, places))
    if not places:
        text = f"{says.base} and {says.full} differ in nothing, so there is nothing to study."
        mistakes.append(Mistake(document.line(("full",)), "full", text))
    if mistakes:
        raise mistakes_error(document.name, mistakes)
    groups = [Switch(name, tuple(_held(places, inside))) for name, inside in says.groups.items()]
    grouped = {place for group in groups for place in group.places}
    rest = [place for place in places if place not in grouped and place != _AFTERWARDS]
    singles = [Switch(name, (place,)) for name, place in _names(rest, set(says.groups)).items()]
    return sorted([*groups, *singles], key=lambda each: places.index(each.places[0]))


def _wrong_groups(document: Document, says: StudyFile, places: Sequence[str]) -> Iterator[Mistake]:
    owners: dict[str, str] = {}
    for name, inside in says.groups.items():
        if not inside:
            yield Mistake(document.line(("groups", name)), f"groups.{name}", "this group names no place.")
        for at, place in enumerate(inside):
            where = Mistake(document.line(("groups", name, at)), f"groups.{name}.{at}", "")
            held = _held(places, [place])
            if not held:
                text = f"{says.base} and {says.full} do not differ at {place!r}.{did_you_mean(place, places)}"
                yield Mistake(where.line, where.place, f"{text} They differ at: {', '.join(places)}.")
            for each in held:
                if owners.setdefault(each, name) != name:
                    text = f"{each!r} is in the group {owners[each]!r} already."
                    yield Mistake(where.line, where.place, text)


def _held(places: Sequence[str], groups: Collection[str]) -> list[str]:
    """Return the places that are named, or inside of what is named."""
    return [
        place for place in places if any(place == each or place.startswith(f"{each}.") for each in groups)
    ]


def _names(places: Sequence[str], taken: Collection[str]) -> dict[str, str]:
    """Return places by the shortest ends of theirs that tell them apart.

    >>> _names(["model.fusion.norm", "model.encoder.registers", "model.text_summary.registers"], ["norm"])
    {'fusion-norm': 'model.fusion.norm', 'encoder-registers': 'model.encoder.registers', \
'text-summary-registers': 'model.text_summary.registers'}
    """
    found: dict[str, str] = {}
    for place in places:
        others = {name for other in places if other != place for name in _ends(other)}
        free = (name for name in _ends(place) if name not in others and name not in taken)
        found[next(free, f"at-{_ends(place)[-1]}")] = place
    return found


def _ends(place: str) -> list[str]:
    steps = place.split(".")
    ends = ("-".join(steps[at:]) for at in range(len(steps) - 1, -1, -1))
    return [re.sub(r"[^a-z0-9]+", "-", end.lower()).strip("-") for end in ends]
