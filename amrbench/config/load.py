"""Load recipes, protocols and studies: find a file by path or shipped name, read it and check it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from amrbench.config.paths import with_resolved_paths
from amrbench.config.protocol import Protocol
from amrbench.config.recipe import Recipe
from amrbench.errors import DataError, RecipeError, did_you_mean
from amrbench.files.folders import path_of
from amrbench.files.yaml_file import Document, parse_yaml, read_yaml
from amrbench.part import Strict
from amrbench.registry import Registry

M = TypeVar("M", bound=Strict)
_FOLDERS = {"recipe": ("recipes",), "protocol": ("protocols",), "study": ("recipes", "recipes/studies")}
_OWN_KEYS = {
    "recipe": Recipe.model_fields.keys() - Protocol.model_fields.keys(),
    "protocol": Protocol.model_fields.keys() - Recipe.model_fields.keys(),
    "study": frozenset({"study", "base", "full", "families", "groups", "changes", "variants"}),
}
"""Keys that only files of one kind have."""


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


def load_recipe(recipe: str | Path, registry: Registry) -> Recipe:
    """Read and check a recipe.

    Args:
        recipe: A path, or the name of a shipped recipe such as "cgdetr".
        registry: The parts it may name.

    Raises:
        RecipeError: The file is missing or wrong; lists all mistakes with their lines.
    """
    file = find("recipe", recipe)
    return with_resolved_paths(validated(_read("recipe", file), Recipe, registry), file)


def load_method(file: Path, registry: Registry) -> Method:
    """Read and check a recipe, and keep its text; see `load_recipe`."""
    return Method(file, file.read_bytes(), load_recipe(file, registry))


def load_protocol(protocol: str | Path, registry: Registry) -> Protocol:
    """Read and check a protocol; see `load_recipe`. Its paths are as written."""
    return validated(_read("protocol", find("protocol", protocol)), Protocol, registry)


def _read(kind: str, file: Path) -> Document:
    """Read a recipe or protocol; a file of another kind is one mistake, and not one for each of its keys."""
    document = read_yaml(file)
    keys = set(document.data) if isinstance(document.data, dict) else set()
    counts = {other: len(keys & own) for other, own in _OWN_KEYS.items()}
    likely = max(counts, key=lambda other: counts[other])
    if counts[likely] < 2 or counts[likely] == counts[kind]:  # One may be a slip.
        return document
    if likely == "study" and "study" not in keys:
        raise RecipeError(f"{file} is a study without a name. Add the line 'study: NAME' at its beginning.")
    raise _of_other_kind(str(file), likely, kind)


def _of_other_kind(name: str, kind: str, needed: str) -> RecipeError:
    """Return the error for a recipe, protocol or study where another of these is needed."""
    remedy = "Give recipes and studies as arguments, and a protocol with --protocol."
    if "protocol" not in (kind, needed):
        remedy = f"Name a {needed} here."
    return RecipeError(f"{name} is a {kind}, not a {needed}. {remedy}")


def shipped(kind: str) -> list[Path]:
    """Return the files of all shipped recipes, protocols or studies, sorted by name."""
    package = Path(__file__).parents[1]
    files: list[Path] = []
    for name in _FOLDERS[kind]:
        folder = package / name if (package / name).is_dir() else package.parent / name  # else: a checkout
        own = (file for file in folder.glob("[!.]*.yaml") if file.is_file())
        files += [file for file in own if _is_study(file) == (kind == "study")]
    return sorted(files, key=lambda file: file.stem)


def _is_study(file: Path) -> bool:
    """Return whether a file is a study; its first line says so. One that cannot be read is none."""
    with suppress(OSError), file.open("rb") as opened:
        return opened.readline().startswith(b"study:")
    return False


def find(kind: str, name: str | Path) -> Path:
    """Return the file of a recipe, protocol or study, given by path or shipped name.

    ~ at the beginning is the user's folder: shells leave it alone in quotes and after "=".

    Raises:
        RecipeError: There is no such file.
    """
    path = Path(name)
    with suppress(DataError):  # No user of this name: a file may be called so.
        path = path_of(str(name))
    if path.suffix in {".yaml", ".yml"} and path.exists():
        return path
    files = {file.stem: file for file in shipped(kind)}
    if str(name) in files:
        return files[str(name)]
    if path.is_file():
        raise RecipeError(
            f"{path} does not end in .yaml; rename it, so that editors and people recognise it."
        )
    for other in _FOLDERS:
        if str(name) in {file.stem for file in shipped(other)}:
            raise _of_other_kind(repr(str(name)), other, kind)
    studies = [file.stem for file in shipped("study")] if kind == "recipe" else []
    near = did_you_mean(path.stem, [*files, *studies])
    also = f" Studies: {', '.join(studies)}." if studies else ""
    raise RecipeError(
        f"there is no {kind} {str(name)!r}: no such file, and no shipped {kind} of this name.{near} "
        f"Shipped: {', '.join(sorted(files)) or 'none'}.{also}"
    )


def find_near(kind: str, name: str, file: Path) -> Path:
    """Return the file that another file names: first relative to its folder, then as `find` does.

    Raises:
        RecipeError: There is no such file.
    """
    relative = (file.parent / name, file.parent / f"{name}.yaml")
    return find(kind, next((path for path in relative if path.is_file()), name))


def validated(document: Document, model: type[M], registry: Registry) -> M:
    """Return the checked content of a file.

    Raises:
        RecipeError: The content is wrong; lists all mistakes with their lines.
    """
    try:
        return model.model_validate(document.data, context=registry)
    except ValidationError as error:
        raise document.error_of(error.errors()) from None


def parse_part(text: str, slot: type[M], registry: Registry, *, called: str) -> M:
    """Return the part that a command-line option names: "clap", or "{use: m2d-clap, text: tokens}".

    Args:
        text: The value of the option.
        slot: The slot of the part.
        registry: The parts it may name.
        called: The name of the option for messages, e.g. "--encoder".

    Raises:
        RecipeError: There is no such part, or its options are wrong.
    """
    return validated(parse_yaml(text, called), slot, registry)
