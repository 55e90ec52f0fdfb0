"""Options with the values of some fields replaced, at any depth, and validated again."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from pydantic.fields import FieldInfo

from amrbench.part import Strict

S = TypeVar("S", bound=Strict)
Replace = Callable[[object, str], object]
"""Returns the new value of a field, or the value itself; gets it, and the field's name in budgets or ""."""


def with_replaced(options: S, replace: Replace) -> S:
    """Return options with some values replaced; what is inside of a value that stays is looked at too."""
    fields = type(options).model_fields
    return type(options).model_validate(
        {name: _replaced(value, _name_in_budgets(fields[name]), replace) for name, value in options}
    )


def budgeted_names(options: Strict) -> frozenset[str]:
    """Return the names in budgets of all fields, at any depth."""
    names: set[str] = set()

    def note_name(value: object, name: str) -> object:
        names.add(name)
        return value

    with_replaced(options, note_name)
    return frozenset(names - {""})


def _replaced(value: object, name: str, replace: Replace) -> object:
    new = replace(value, name)
    if new is not value:
        return new
    if isinstance(value, Strict):
        return with_replaced(value, replace)
    if isinstance(value, tuple):
        return tuple(_replaced(item, "", replace) for item in value)
    return value


def _name_in_budgets(field: FieldInfo) -> str:
    extra = field.json_schema_extra
    name = extra.get("budget") if isinstance(extra, dict) else None
    return name if isinstance(name, str) else ""
