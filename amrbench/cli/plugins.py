"""The commands about recipes and parts: `check`, `parts` and `schema`."""

from __future__ import annotations

import inspect
import json
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from amrbench.cli.options import (
    FormatOption,
    ProtocolName,
    RecipeNames,
    Without,
    print_table,
    registry_of,
    table_form,
)
from amrbench.errors import AmrbenchError

if TYPE_CHECKING:
    from amrbench.required_files import RequiredFile

commands = typer.Typer()
command = partial(commands.command, rich_help_panel="Plugins and checks")


@command(epilog="Example: amrbench check my-recipe.yaml --protocol castella")
def check(recipes: RecipeNames = None, protocol: ProtocolName = "synthetic", without: Without = None) -> None:
    """Check recipes and studies: read and build each recipe, and train one step on noise.

    No data is needed. Files that a run needs and that are missing are listed, with where they are published.
    """
    from amrbench.config.load import find, load_protocol, shipped
    from amrbench.config.study import expand
    from amrbench.tools.check_recipe import check_recipe, compared_recipes

    registry, file = registry_of(without), find("protocol", protocol)
    rules = load_protocol(file, registry)
    failed: list[str] = []
    missing: list[RequiredFile] = []
    checked = []
    for name in recipes or [path.stem for path in shipped("recipe")]:
        try:
            methods = expand(name, registry).methods
        except AmrbenchError as error:
            failed.append(str(error))
            continue
        for method in methods:
            recipe_name = name if len(methods) == 1 else method.recipe.name
            checked.append(method)
            try:
                result = check_recipe(recipe_name, method.recipe, rules, file)
                typer.echo(result.text())
                missing += result.missing
            except AmrbenchError as error:
                failed.append(str(error))
    try:
        for recipe in compared_recipes(checked, rules, file, registry):
            missing += check_recipe(recipe.name, recipe, rules, file).missing
    except AmrbenchError as error:
        failed.append(str(error))
    if missing:
        typer.echo("\nMissing files that a run needs:")
    for required in dict.fromkeys(missing):
        typer.echo(f"  {required.text()}")
    if failed:
        raise AmrbenchError("\n\n".join(dict.fromkeys(failed)))


@command(epilog="Example: amrbench parts optimizer adamw")
def parts(
    slot: Annotated[str | None, typer.Argument(help="only this slot")] = None,
    name: Annotated[str | None, typer.Argument(help="the options of this part")] = None,
    without: Without = None,
    form: FormatOption = None,
) -> None:
    """List the installed parts, or the options of one part."""
    from amrbench.tools import list_parts

    registry, shown_as = registry_of(without), table_form(form)
    if slot is not None and name is not None:
        part = list_parts.find_part(registry, slot, name)
        if shown_as != "json":
            typer.echo(f"{slot} part '{name}', from {registry.origin(part)}\n\n{inspect.getdoc(part)}\n")
        print_table(list_parts.option_rows(part), shown_as)
    else:
        print_table(list_parts.part_rows(registry, slot), shown_as)


class Kind(StrEnum):
    """What a schema describes."""

    recipe = "recipe"
    protocol = "protocol"
    result = "result"


@command(epilog="Example: amrbench schema recipe > recipe.schema.json")
def schema(
    kind: Annotated[Kind, typer.Argument(help="what the schema describes")] = Kind.recipe,
    without: Without = None,
) -> None:
    """Print the JSON Schema of a recipe or protocol, with all installed parts, or of a run's result.json."""
    from amrbench.tools import json_schema

    typer.echo(json.dumps(json_schema.schema(kind.value, registry_of(without)), indent=2))
