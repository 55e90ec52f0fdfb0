"""Change an option of a recipe, given as plain values, at a path, e.g. "training.losses.saliency.weight"."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from amrbench.errors import did_you_mean


class UnknownPathError(ValueError):
    """There is nothing at a path that could be changed."""


def with_option(content: Any, path: str, value: Any) -> Any:
    """Return plain values with another value at a path; what is given is not changed.

    The steps of a path are keys, and in lists the names of parts and stages. The last step may name a part
    that a list does not have: it is added at the end with the options in `value`. `None` takes an item out of
    a list.

    >>> with_option({"losses": [{"use": "a", "weight": 1}]}, "losses.a.weight", 2)
    {'losses': [{'use': 'a', 'weight': 2}]}
    >>> with_option({"losses": [{"use": "a"}]}, "losses.b", {"weight": 3})
    {'losses': [{'use': 'a'}, {'use': 'b', 'weight': 3}]}
    >>> with_option({"losses": [{"use": "a"}]}, "losses.a", None)
    {'losses': []}

    Raises:
        UnknownPathError: A step does not exist.
    """
    return _changed(content, path.split("."), value, "")


def _changed(content: Any, steps: list[str], value: Any, before: str) -> Any:
    step, *rest = steps
    if isinstance(content, Mapping):
        if step not in content:
            raise _unknown(step, before, content)
        return {**content, step: _changed(content[step], rest, value, f"{before}{step}.") if rest else value}
    if not isinstance(content, list):
        raise UnknownPathError(f"{before.removesuffix('.')!r} has no options.")
    names = [_name_of(item) for item in content]
    if step in names:
        index = names.index(step)
        new = [_changed(content[index], rest, value, f"{before}{step}.")] if rest else _item(step, value)
        return [*content[:index], *new, *content[index + 1 :]]
    if rest or value is None:
        raise _unknown(step, before, [name for name in names if name])
    return [*content, *_item(step, value)]


def _item(name: str, value: Any) -> list[Any]:
    """Return the item of a list with this name: none for `None`."""
    if value is None:
        return []
    if not isinstance(value, Mapping):
        raise UnknownPathError(f"give the options of {name!r} as a mapping, {{}} for its defaults, or null.")
    return [{"use": name, **value}]


def _name_of(item: Any) -> str:
    return str(item.get("use", item.get("name", ""))) if isinstance(item, Mapping) else ""


def _unknown(step: str, before: str, known: Any) -> UnknownPathError:
    where = f"in {before.removesuffix('.')!r}" if before else "in the recipe"
    return UnknownPathError(
        f"there is no {step!r} {where}.{did_you_mean(step, known)} Known: {', '.join(known) or 'none'}."
    )
