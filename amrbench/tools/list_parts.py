"""`amrbench parts`: the installed parts, their plugins and their options, as rows of a table."""

from __future__ import annotations

import inspect
from types import SimpleNamespace
from typing import Any, get_args, get_type_hints

from amrbench.errors import RecipeError, did_you_mean
from amrbench.part import Part, Strict
from amrbench.registry import Registry

_SIGNS = {
    "gt": ">",
    "ge": ">=",
    "lt": "<",
    "le": "<=",
    "min_length": "length >=",
    "max_length": "length <=",
}


def part_rows(registry: Registry, slot: str | None = None) -> list[dict[str, str]]:
    """Return a row for each part of a slot, or of all slots.

    Raises:
        RecipeError: There is no such slot, or no part for it is installed.
    """
    if slot is not None:
        _refuse_unknown_slot(registry, slot)
    entries = [
        registry.entry(own_slot, name)
        for own_slot in (registry.slots() if slot is None else [slot])
        for name in registry.names(own_slot)
    ]
    return [
        {
            "slot": entry.part.slot,
            "part": entry.part.use,
            "shipped_by": str(entry.origin),
            "about": (inspect.getdoc(entry.part) or "").partition("\n")[0],
        }
        for entry in entries
    ]


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


def option_rows(part: type[Part]) -> list[dict[str, str]]:
    """Return a row for each option of a part, in the order in which the part declares them."""
    rows = []
    for name, field in part.model_fields.items():
        default = field.get_default(call_default_factory=True)
        if isinstance(default, Part):
            default = default.use
        elif isinstance(default, Strict):
            default = default.model_dump()
        bounds = [
            f"{sign} {getattr(constraint, bound)}"
            for constraint in field.metadata
            for bound, sign in _SIGNS.items()
            if getattr(constraint, bound, None) is not None
        ]
        extra = field.json_schema_extra
        budget = f" (budget: {extra['budget']})" if isinstance(extra, dict) and "budget" in extra else ""
        row = {
            "option": name,
            "type": _type_name(field.annotation),
            "default": "required" if field.is_required() else str(default),
            "bounds": ", ".join(bounds),
            "about": f"{field.description or ''}{budget}",
        }
        rows.append(row)
    return rows


def _type_name(annotation: Any) -> str:
    items = [item for item in get_args(annotation) or [annotation] if item is not Ellipsis]
    if len(items) == 1 and inspect.isclass(items[0]) and issubclass(items[0], Part):
        return f"{items[0].slot} part{'s' if get_args(annotation) else ''}"
    if items == [annotation]:
        return str(annotation.__name__)
    # Without the constraints of items, which would be written as Annotated[...].
    plain = get_type_hints(SimpleNamespace(__annotations__={"option": annotation}))["option"]
    text = str(plain).replace("typing.", "").replace("collections.abc.", "")
    return text.replace("NoneType", "null").replace("None", "null")
