"""Find recipes, protocols and studies by path or by name, and read them."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from amrbench.config.protocol import Protocol
from amrbench.config.recipe import Recipe
from amrbench.errors import RecipeError, did_you_mean
from amrbench.files.yaml_file import Document, parse_yaml, read_yaml
from amrbench.part import Strict
from amrbench.registry import Registry

M = TypeVar("M", bound=Strict)
_FOLDERS = {"recipe": "recipes", "protocol": "protocols", "study": "recipes/studies"}


def load_recipe(recipe: str | Path, registry: Registry) -> Recipe:
    """Read and check a recipe.

    Args:
        recipe: a path, or the name of a shipped recipe such as "cgdetr".
        registry: the parts it may name.

    Raises:
        RecipeError: there is no such file, or it is wrong; all mistakes with their lines.
    """
    return validated(read_yaml(find("recipe", recipe)), Recipe, registry)


def load_protocol(protocol: str | Path, registry: Registry) -> Protocol:
    """Read and check a protocol; see `load_recipe`."""
    return validated(read_yaml(find("protocol", protocol)), Protocol, registry)


def shipped(kind: str) -> list[Path]:
    """Return the recipes, protocols or studies that come with amrbench, by name."""
    return sorted(_folder(kind).glob("*.yaml"))


def find(kind: str, wanted: str | Path) -> Path:
    """Return the file of a recipe, protocol or study given by path or shipped name."""
    path = Path(wanted)
    if path.suffix in {".yaml", ".yml"} and path.exists():
        return path
    names = {each.stem: each for each in shipped(kind)}
    if str(wanted) in names:
        return names[str(wanted)]
    if path.is_file():
        raise RecipeError(
            f"{path} does not end in .yaml; rename it, so that editors and people know what it is."
        )
    studies = [each.stem for each in shipped("study")] if kind == "recipe" else []
    near = did_you_mean(path.stem, [*names, *studies])
    raise RecipeError(
        f"there is no {kind} {str(wanted)!r}: no such file, and no shipped {kind} of this name.{near} "
        f"Shipped: {', '.join(sorted(names)) or 'none'}."
    )


def find_near(kind: str, name: str, file: Path) -> Path:
    """Return what a file names: something that lies beside it, or what `find` finds."""
    beside = (file.parent / name, file.parent / f"{name}.yaml")
    return find(kind, next((each for each in beside if each.is_file()), name))


def validated(document: Document, model: type[M], registry: Registry) -> M:
    """Return what a file says as options.

    Raises:
        RecipeError: It is wrong; all mistakes with their lines.
    """
    try:
        return model.model_validate(document.data, context=registry)
    except ValidationError as error:
        raise document.refuse(error.errors()) from None


def parse_part(text: str, slot: type[M], registry: Registry, *, called: str) -> M:
    """Return a part that a command names: "clap", or "{use: m2d-clap, text: tokens}".

    Args:
        text: As it was typed.
        slot: What it must be a part of.
        registry: The parts it may name.
        called: What messages call it, e.g. "--encoder".

    Raises:
        RecipeError: There is no such part, or its options are wrong.
    """
    return validated(parse_yaml(text, called), slot, registry)


def _folder(kind: str) -> Path:
    """Return the folder of shipped files: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).parents[1]
    folder = _FOLDERS[kind]
    inside = package / folder
    return inside if inside.is_dir() else package.parent / folder
