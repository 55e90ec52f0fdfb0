"""`amrbench parts`: the installed parts, their plugins and their options."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, get_args

from pydantic.fields import FieldInfo

from amrbench.errors import RecipeError, did_you_mean
from amrbench.part import Part, Strict
from amrbench.registry import Registry


@dataclass(frozen=True)
class PartRow:
    """A part in the list of parts."""

    slot: str
    part: str
    shipped_by: str
    about: str


@dataclass(frozen=True)
class OptionRow:
    """One option of a part."""

    option: str
    type: str
    default: str
    bounds: str
    about: str


def part_rows(registry: Registry, slot: str | None = None) -> list[PartRow]:
    """Return a row for each part of a slot, or of all slots.

    Raises:
        RecipeError: There is no such slot, or no part for it is installed.
    """
    if slot is not None:
        _refuse_unknown_slot(registry, slot)
    slots = registry.slots() if slot is None else [slot]
    return [_part_row(registry, slot, name) for slot in slots for name in registry.names(slot)]


def option_rows(part: type[Part]) -> list[OptionRow]:
    """Return a row for each option of a part, in the order in which the part declares them."""
    return [_option_row(name, field) for name, field in part.model_fields.items()]


def find_part(registry: Registry, slot: str, name: str) -> type[Part]:
    """Return a part by slot and name.

    Raises:
        RecipeError: There is no such slot or part.
    """
    _refuse_unknown_slot(registry, slot)
    names = registry.names(slot)
    if name not in names:
        near = did_you_mean(name, names)
        raise RecipeError(
            f"no {slot} part is called {name!r}.{near} Installed {slot} parts: {', '.join(names)}."
        )
    return registry.entry(slot, name).part


def _refuse_unknown_slot(registry: Registry, slot: str) -> None:
    if slot not in registry.slots():
        near = did_you_mean(slot, registry.slots())
        raise RecipeError(f"there is no slot {slot!r}.{near} Slots: {', '.join(registry.slots())}.")


def _part_row(registry: Registry, slot: str, name: str) -> PartRow:
    entry = registry.entry(slot, name)
    return PartRow(slot, name, str(entry.origin), (inspect.getdoc(entry.part) or "").splitlines()[0])


def _option_row(name: str, field: FieldInfo) -> OptionRow:
    extra = field.json_schema_extra
    budget = extra.get("budget") if isinstance(extra, dict) else None
    about = field.description or ""
    return OptionRow(
        option=name,
        type=_type_name(field.annotation),
        default="required" if field.is_required() else _shown(field.get_default(call_default_factory=True)),
        bounds=", ".join(_bounds(field.metadata)),
        about=f"{about} (budget: {budget})" if budget else about,
    )


def _type_name(annotation: Any) -> str:
    if inspect.isclass(annotation) and not get_args(annotation):
        return f"{annotation.slot} part" if issubclass(annotation, Part) else annotation.__name__
    items = [item for item in get_args(annotation) if item is not Ellipsis]
    if len(items) == 1 and inspect.isclass(items[0]) and issubclass(items[0], Part):
        return f"{items[0].slot} parts"
    return str(annotation).replace("typing.", "").replace("NoneType", "null").replace("None", "null")


def _shown(default: Any) -> str:
    if isinstance(default, Part):
        return default.use
    return str(default.model_dump() if isinstance(default, Strict) else default)


def _bounds(metadata: Iterable[Any]) -> Iterable[str]:
    signs = {
        "gt": ">",
        "ge": ">=",
        "lt": "<",
        "le": "<=",
        "min_length": "length >=",
        "max_length": "length <=",
    }
    for constraint in metadata:
        for name, sign in signs.items():
            bound = getattr(constraint, name, None)
            if bound is not None:
                yield f"{sign} {bound}"
