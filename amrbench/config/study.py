"""Studies: what single changes are worth, with a generated recipe for each change.

A study is a file of a few lines. It names a `base` and a `full` recipe. Each path where the two differ is a
change: the family `only` holds the base with one change, the family `without` the full recipe without one,
and the family `steps` the base with the first change, the first two and so on, each compared with the one
before. `groups` names paths that only make sense together, and the order of the steps. `changes` names
values to put into the base, and `variants` further recipes to compare with it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from itertools import chain, compress
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import Field, ValidationError, model_validator

from amrbench.config.changed_options import UnknownPathError, with_option
from amrbench.config.load import Method, find, find_near, load_method, shipped, validated
from amrbench.config.paths import with_absolute_paths, with_resolved_paths
from amrbench.config.recipe import Name, Recipe
from amrbench.errors import RecipeError, did_you_mean, dotted
from amrbench.files.yaml_file import Document, KeyPath, Mistake, mistakes_error, read_yaml
from amrbench.part import Strict, problem
from amrbench.registry import Registry

AROUND = "around"


class StudyFile(Strict):
    """The content of a study file."""

    study: Name
    about: str = ""
    base: str = Field(min_length=1, description="recipe that single changes are added to")
    full: str = Field("", description="recipe that single changes are taken from")
    families: tuple[Literal["only", "without", "steps"], ...] = Field(("only", "without"), min_length=1)
    groups: Mapping[Name, tuple[str, ...]] = Field(
        default_factory=dict, description="paths that change together; a path includes all paths below it"
    )
    changes: Mapping[Name, Annotated[Mapping[str, Any], Field(min_length=1)]] = Field(
        default_factory=dict,
        description="rows by name: a value for each of some paths of the base, e.g. "
        "'weight-8: {training.losses.saliency.weight: 8}'; null takes an item out of a list",
    )
    variants: tuple[str, ...] = Field((), description="recipes to compare with the base as they are")

    @model_validator(mode="after")
    def _has_rows(self) -> Self:
        if not self.full and (self.groups or not (self.variants or self.changes)):
            raise problem(
                "name the full recipe ('full'), changes of the base ('changes'), or recipes to compare with "
                "the base ('variants')."
            )
        return self


@dataclass(frozen=True)
class Variant(Method):
    """A recipe that a study compares with its base; in other families, with the full recipe or the last step.

    Attributes:
        family: "only", "without", "steps", "change" or "variant".
        change: Name of the change, or of the variant.
    """

    family: str
    change: str


@dataclass(frozen=True)
class Study:
    """A study whose recipes are all valid."""

    name: str
    base: Method
    full: Method | None
    variants: tuple[Variant, ...]

    @property
    def methods(self) -> list[Method]:
        """Return all recipes: base, full and variants."""
        return [self.base, *([self.full] if self.full else []), *self.variants]

    def with_changes(self, names: Collection[str]) -> Study:
        """Return the study with the rows of some changes; steps with all steps before them."""
        named = [variant.change in names for variant in self.variants]
        steps = [variant.family == "steps" for variant in self.variants]
        last = max((index for index in range(len(named)) if named[index] and steps[index]), default=-1)
        kept = [named[index] or (steps[index] and index < last) for index in range(len(named))]
        return replace(self, variants=tuple(compress(self.variants, kept)))


Runnable = str | Path | Study | Method
"""A recipe or a study: a file, a shipped name, or already loaded."""


def expand(runnable: Runnable, registry: Registry) -> Study | Method:
    """Load a recipe, or a study with all its recipes.

    Raises:
        RecipeError: A file is missing or wrong; lists all mistakes with their lines.
    """
    if isinstance(runnable, Study | Method):
        return runnable
    kind = "study" if str(runnable) in {file.stem for file in shipped("study")} else "recipe"
    document = read_yaml(find(kind, runnable))
    if not (isinstance(document.data, dict) and "study" in document.data):
        return load_method(Path(document.name), registry)
    study = validated(document, StudyFile, registry)
    base, *others = _given(document, study, registry)
    full = others.pop(0) if study.full else None
    variants = _generated(document, study, base, full, registry) if full else []
    variants += _with_changes(document, study, base, registry)
    variants += [Variant(**vars(other), family="variant", change=other.recipe.name) for other in others]
    return Study(study.study, base, full, tuple(variants))


def with_changes(runnables: Sequence[Study | Method], names: Sequence[str]) -> list[Study | Method]:
    """Return recipes as they are, and studies with the rows of some changes; with no names, all rows.

    Raises:
        RecipeError: No study has a change of one of the names.
    """
    if not names:
        return list(runnables)
    studies = [one for one in runnables if isinstance(one, Study)]
    known = list(dict.fromkeys(variant.change for study in studies for variant in study.variants))
    if not known:
        raise RecipeError(f"{names[0]!r}: only a study has changes. Name a study, e.g. 'components'.")
    if unknown := [name for name in names if name not in known]:
        near = did_you_mean(unknown[0], known)
        raise RecipeError(
            f"{' and '.join(study.name for study in studies)}: there is no change {unknown[0]!r}.{near} "
            f"The changes are: {', '.join(known)}."
        )
    return [one.with_changes(names) if isinstance(one, Study) else one for one in runnables]


def differences(first: Any, second: Any) -> list[str]:
    """Return the paths where two recipes differ, given as plain values.

    >>> differences({"a": 1, "b": [{"use": "x"}]}, {"a": 2, "b": [{"use": "x"}, {"use": "y"}]})
    ['a', 'b.y']
    """
    paths: list[str] = []
    mix(first, second, paths.append)  # `append` returns None, so nothing is taken.
    return paths


def mix(first: Any, second: Any, take_second: Callable[[str], object], path: str = "") -> Any:
    """Return the first recipe, as plain values, with some differences taken from the second.

    `take_second` decides about the dotted path of each difference. Options and slots have the names of their
    keys, stages and parts in lists or around others their own. If one part replaces another, the slots that
    both have are paths of their own. A list whose items have no names, or another order, is one path.

    >>> mix({"a": 1, "b": [{"use": "x"}]}, {"a": 2, "b": [{"use": "x"}, {"use": "y"}]}, {"b.y"}.__contains__)
    {'a': 1, 'b': [{'use': 'x'}, {'use': 'y'}]}
    """
    if first == second:
        return first
    inside = f"{path}." if path else ""
    if isinstance(first, dict) and isinstance(second, dict) and AROUND not in {*first, *second}:
        same = first.get("use") == second.get("use")
        if not same or first.keys() == second.keys():
            rest = {} if same else second if take_second(path) else first
            slots = [name for name in first if same or (_is_part(first[name]) and _is_part(second.get(name)))]
            return rest | {name: mix(first[name], second[name], take_second, inside + name) for name in slots}
    elif type(first) is type(second) and (items := _matched(first, second)):
        mixed = [mix(one, two, take_second, inside + name) for name, one, two in items]
        mixed = [item for item in mixed if item is not None]
        if isinstance(first, list):
            return mixed
        return reduce(lambda part, outer: {**outer, AROUND: part}, reversed(mixed))
    return second if take_second(path) else first


def _matched(first: Any, second: Any) -> list[tuple[str, Any, Any]]:
    """Match the items of two lists by name, or two parts and the parts around them, outermost first.

    Returns:
        Name and both items, None for an absent one, in an order that both sides follow. Empty if a name is
        missing or repeated, if the orders contradict each other, or if the innermost parts differ.
    """
    sides: list[dict[Any, Any]] = []
    for value in (first, second):
        items = value if isinstance(value, list) else []
        while isinstance(value, dict):
            items.append({name: option for name, option in value.items() if name != AROUND})
            value = value.get(AROUND)
        names = [item.get("use", item.get("name")) for item in items if isinstance(item, dict)]
        if None in names or len(set(names)) < len(items):
            return []
        sides.append(dict(zip(names, items, strict=True)))
    one, two = sides
    contradict = [name for name in one if name in two] != [name for name in two if name in one]
    if contradict or (isinstance(first, dict) and [*one][-1] != [*two][-1]):
        return []
    order, index = list(one), len(one)
    for name in reversed(two):
        if name in one:
            index = order.index(name)
        else:
            order.insert(index, name)
    return [(name, one.get(name), two.get(name)) for name in order]


def _is_part(value: Any) -> bool:
    return isinstance(value, dict) and "use" in value


def _given(document: Document, study: StudyFile, registry: Registry) -> list[Method]:
    """Return the recipes that a study names; all missing files are reported together."""
    names: list[tuple[KeyPath, str]] = [(("base",), study.base)]
    names += [(("full",), study.full)] if study.full else []
    names += [(("variants", index), name) for index, name in enumerate(study.variants)]
    files, mistakes = [], []
    for key, name in names:
        try:
            files.append(find_near("recipe", name, Path(document.name)))
        except RecipeError as error:
            mistakes.append(Mistake(document.line(key), dotted(key), str(error)))
    if mistakes:
        raise mistakes_error(document.name, mistakes)
    return [load_method(file, registry) for file in files]


def _generated(
    document: Document, study: StudyFile, base: Method, full: Method, registry: Registry
) -> list[Variant]:
    """Return a variant for each change in each family."""
    first, second = (
        with_absolute_paths(method.recipe).model_dump(mode="json", exclude={"name", "about", "against"})
        for method in (base, full)
    )
    paths = differences(first, second)
    changes = _changes(paths, _groups(document, study, paths))

    def changed(family: str, change: str, own: Collection[str]) -> Recipe | ValidationError:
        """Return the base with these paths of the full recipe, or the full recipe with these of the base."""
        added = family != "without"
        recipe, other = (base.recipe, full.recipe) if added else (full.recipe, base.recipe)
        content = mix(first, second, lambda path: (path in own) == added)
        about = f"{recipe.name} with {', '.join(own)} of {other.name}."
        content |= {"name": f"{study.study}-{family}-{change}", "about": about}
        try:
            return Recipe.model_validate(content, context=registry)
        except ValidationError as error:
            return error

    variants, mistakes = [], []
    for family, change, own in _rows(study, changes):
        recipe = changed(family, change, own)
        if isinstance(recipe, Recipe):
            variants.append(_variant(document, recipe, family, change))
            continue
        group = paths  # All paths together give the other recipe, which is valid.
        for path in paths:
            fewer = [other for other in group if other != path]
            if path not in own and isinstance(changed(family, change, fewer), Recipe):
                group = fewer
        reasons = "; ".join(mistake["msg"].removesuffix(".") for mistake in recipe.errors())
        text = f"this recipe does not hold together: {reasons}. Put into one group: [{', '.join(group)}]."
        line = document.line(("groups", change) if change in study.groups else ("families",))
        mistakes.append(Mistake(line, f"{family}/{change}", text))
    if mistakes:
        raise mistakes_error(document.name, mistakes)
    return variants


def _variant(document: Document, recipe: Recipe, family: str, change: str) -> Variant:
    text = yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=100)
    return Variant(Path(document.name), text.encode(), recipe, family, change)


def _with_changes(document: Document, study: StudyFile, base: Method, registry: Registry) -> list[Variant]:
    """Return a variant for each entry of `changes`."""
    unchanged = with_absolute_paths(base.recipe).model_dump(mode="json", exclude={"against"})
    variants, mistakes = [], []
    for name, values in study.changes.items():
        about = f"{base.recipe.name} with another {', '.join(values)}."
        content = {**unchanged, "name": f"{study.study}-{name}", "about": about}
        path = ""
        try:
            for path, value in values.items():
                content = with_option(content, path, value)
            recipe = Recipe.model_validate(content, context=registry)
        except UnknownPathError as error:
            key: KeyPath = ("changes", name, path)
            mistakes.append(Mistake(document.line(key), dotted(key), str(error)))
        except ValidationError as error:
            key = ("changes", name)
            reasons = "; ".join(f"{dotted(one['loc'])}: {one['msg']}" for one in error.errors())
            mistakes.append(Mistake(document.line(key), dotted(key), reasons))
        else:
            recipe = with_resolved_paths(recipe, Path(document.name))
            variants.append(_variant(document, recipe, "change", name))
    if mistakes:
        raise mistakes_error(document.name, mistakes)
    return variants


def _rows(study: StudyFile, changes: Mapping[str, list[str]]) -> Iterator[tuple[str, str, list[str]]]:
    """Yield family, name and paths of each recipe; steps are in the order of the groups, the others last."""
    for family in study.families:
        if family != "steps":
            yield from ((family, change, own) for change, own in changes.items())
            continue
        grouped = [name for name in study.groups if name in changes]
        order = [*grouped, *(name for name in changes if name not in grouped)]
        taken: list[str] = []
        for change in order:
            taken = [*taken, *changes[change]]
            yield family, change, taken


def _groups(document: Document, study: StudyFile, paths: Sequence[str]) -> dict[str, str]:
    """Return the group of each path that has one."""
    mistakes: list[Mistake] = []
    groups: dict[str, str] = {}

    def refuse(key: KeyPath, text: str) -> None:
        mistakes.append(Mistake(document.line(key), dotted(key), text))

    if not paths:
        refuse(("full",), f"{study.base} and {study.full} differ in nothing, so there is nothing to study.")
    for name, given in study.groups.items():
        if not given:
            refuse(("groups", name), "this group is empty; name what changes together.")
        for index, outer in enumerate(given):
            below = [path for path in paths if f"{path}.".startswith(f"{outer}.")]
            if not below:
                near = did_you_mean(outer, paths)
                text = f"{study.base} and {study.full} do not differ at {outer!r}.{near}"
                refuse(("groups", name, index), f"{text} They differ at: {', '.join(paths)}.")
            for path in below:
                if groups.setdefault(path, name) != name:
                    refuse(("groups", name, index), f"{path!r} is in the group {groups[path]!r} already.")
    if mistakes:
        raise mistakes_error(document.name, mistakes)
    return groups


def _changes(paths: Sequence[str], groups: Mapping[str, str]) -> dict[str, list[str]]:
    """Return the paths of each change by its name, in the order of their first paths.

    The name is that of the group, or the shortest end of a path that no other path and no group has.

    >>> _changes(["model.fusion.norm", "model.encoder.registers", "model.text.registers"], {})
    {'norm': ['model.fusion.norm'], 'encoder-registers': ['model.encoder.registers'], \
'text-registers': ['model.text.registers']}
    >>> _changes(["soup.ingredient", "readout"], {})
    {'readout': ['readout']}
    """
    names = dict(groups)
    ends: dict[str, list[str]] = {}
    for path in paths:
        # A soup is made of the single runs that are compared, so it is a change only if a group names it.
        if path not in groups and path.partition(".")[0] != "soup":
            steps = re.sub(r"[^a-z0-9.]+", "-", path.lower()).split(".")
            ends[path] = ["-".join(steps[start:]) for start in reversed(range(len(steps)))]
    count = Counter([*set(groups.values()), *chain.from_iterable(ends.values())])
    for path, own in ends.items():
        names[path] = next((end for end in own if count[end] == 1), f"at-{own[-1]}")
    order = dict.fromkeys(names[path] for path in paths if path in names)
    return {name: [path for path in paths if names.get(path) == name] for name in order}
