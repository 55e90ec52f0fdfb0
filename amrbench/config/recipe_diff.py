"""Where two recipes differ, and every mixture of the two.

Works on plain documents (`Recipe.model_dump(mode="json")`). Each difference has a dotted path:

* an option, or a part in a slot: `model.fusion.norm`;
* a part in a list, by its name: `training.losses.varifocal`; a stage likewise: `stages.finetune`;
* a part around others: `training.optimizer.ema`;
* a part in place of another: `model.query`. Slots that both parts have keep paths of their own, so
  `model.query` can change without `model.query.anchors`.

A list changes as a whole if its items have no names, share a name, or change their order.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

AROUND = "around"
_ABSENT = object()
"""Stands for an item that only the other list has."""
_TakeSecond = Callable[[str], bool]
"""Whether to take the second document at the path of a difference; called once for each difference."""


def differences(first: Any, second: Any) -> list[str]:
    """Return the paths where two documents differ, in the order of the documents.

    >>> differences({"a": 1, "b": [{"use": "x"}]}, {"a": 2, "b": [{"use": "x"}, {"use": "y"}]})
    ['a', 'b.y']
    """
    paths: list[str] = []

    def note(path: str) -> bool:
        paths.append(path)
        return False

    _mix(first, second, note, "")
    return paths


def mix(first: Any, second: Any, paths: Collection[str]) -> Any:
    """Return the first document, with the differences at these paths taken from the second.

    >>> mix({"a": 1, "b": [{"use": "x"}]}, {"a": 2, "b": [{"use": "x"}, {"use": "y"}]}, ["b.y"])
    {'a': 1, 'b': [{'use': 'x'}, {'use': 'y'}]}
    """
    return _mix(first, second, lambda path: path in paths, "")


def _mix(first: Any, second: Any, take_second: _TakeSecond, path: str) -> Any:
    if first == second:
        return first
    mixed: Any = None
    if isinstance(first, dict) and isinstance(second, dict):
        mixed = _mix_mappings(first, second, take_second, path)
    elif isinstance(first, list) and isinstance(second, list):
        mixed = _mix_lists(first, second, take_second, path)
    if mixed is not None:
        return mixed
    return second if take_second(path) else first


def _mix_mappings(
    first: dict[str, Any], second: dict[str, Any], take_second: _TakeSecond, path: str
) -> dict[str, Any] | None:
    """Return the mixture of two mappings, or None if they can only change as a whole."""
    if AROUND in first or AROUND in second:
        return _mix_wrapped(first, second, take_second, path)
    if first.get("use") != second.get("use"):
        slots = [name for name in first if _is_part(first[name]) and _is_part(second.get(name))]
        chosen = second if take_second(path) else first
        mixed = {name: value for name, value in chosen.items() if name not in slots}
    elif first.keys() == second.keys():
        slots, mixed = list(first), {}
    else:
        return None
    return mixed | {name: _mix(first[name], second[name], take_second, _inside(path, name)) for name in slots}


def _mix_wrapped(
    first: dict[str, Any], second: dict[str, Any], take_second: _TakeSecond, path: str
) -> dict[str, Any] | None:
    """Return the mixture of parts around parts, or None if the innermost parts or the order differ."""
    layers = _layers(first), _layers(second)
    if layers[0][-1]["use"] != layers[1][-1]["use"]:
        return None
    mixed = _mix_lists(*layers, take_second, path)
    if mixed is None:
        return None
    *outer, part = mixed
    for layer in reversed(outer):
        part = {**layer, AROUND: part}
    return dict(part)


def _mix_lists(first: list[Any], second: list[Any], take_second: _TakeSecond, path: str) -> list[Any] | None:
    """Return the mixture of two lists of named items, or None if they can only change as a whole."""
    one, two = _by_name(first), _by_name(second)
    order = _merged(list(one), list(two)) if one is not None and two is not None else None
    if one is None or two is None or order is None:
        return None
    items = [
        _mix(one.get(name, _ABSENT), two.get(name, _ABSENT), take_second, _inside(path, name))
        for name in order
    ]
    return [item for item in items if item is not _ABSENT]


def _by_name(items: list[Any]) -> dict[str, Any] | None:
    """Return parts or stages by name; None if a name is missing or not unique."""
    names = [item.get("use", item.get("name")) if isinstance(item, dict) else None for item in items]
    if None in names or len(set(names)) < len(names):
        return None
    return {str(name): item for name, item in zip(names, items, strict=True)}


def _merged(one: Sequence[str], two: Sequence[str]) -> list[str] | None:
    """Return an order that both lists follow, or None if there is none.

    >>> _merged(["a", "b", "d"], ["a", "c", "d", "e"])
    ['a', 'b', 'c', 'd', 'e']
    """
    if [name for name in one if name in two] != [name for name in two if name in one]:
        return None
    rest, order = list(two), []
    for name in one:
        count = rest.index(name) if name in rest else 0
        order += [*rest[:count], name]
        rest = rest[count + 1 :] if name in two else rest
    return order + rest


def _layers(part: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a part and the parts inside it, outermost first, each without its `around`."""
    layers = []
    while AROUND in part:
        layers.append({name: value for name, value in part.items() if name != AROUND})
        part = part[AROUND]
    return [*layers, part]


def _is_part(value: Any) -> bool:
    return isinstance(value, dict) and "use" in value


def _inside(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
