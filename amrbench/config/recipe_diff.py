"""Where two recipes differ, place by place, and everything that lies between the two.

Works on plain documents (`Recipe.model_dump(mode="json")`). A place is a dotted name:

* an option or a part inside a part: `model.fusion.norm`;
* a part of a list, by its name: `training.losses.varifocal`, and a stage by its own: `stages.finetune`;
* a part that is wrapped around others: `training.optimizer.ema`;
* a part in place of another; what stands in slots that both have under one name is a place of its own, so
  `model.query` may change without `model.query.anchors`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

AROUND = "around"
_ABSENT = object()
"""Stands where one of the two lists has nothing."""


class Node(Protocol):
    """Two documents laid over each other."""

    @property
    def places(self) -> list[str]:
        """Return the places where the two differ, in the order of the documents."""

    def mixed(self, chosen: Collection[str]) -> Any:
        """Return the first document with the chosen places as in the second."""


@dataclass(frozen=True)
class Either:
    """One or the other, as a whole."""

    place: str
    first: Any
    second: Any

    @property
    def places(self) -> list[str]:
        """Return the one place, or none where both are equal."""
        return [] if self.first == self.second else [self.place]

    def mixed(self, chosen: Collection[str]) -> Any:
        """Return one or the other."""
        return self.second if self.place in chosen else self.first


@dataclass(frozen=True)
class Fields:
    """A mapping with the same keys in both."""

    children: Mapping[str, Node]

    @property
    def places(self) -> list[str]:
        """Return the places inside."""
        return [place for child in self.children.values() for place in child.places]

    def mixed(self, chosen: Collection[str]) -> dict[str, Any]:
        """Return the mapping."""
        return {name: child.mixed(chosen) for name, child in self.children.items()}


@dataclass(frozen=True)
class Items:
    """A list whose items have names; an item may be missing in one of the two."""

    children: Sequence[Node]

    @property
    def places(self) -> list[str]:
        """Return the places inside."""
        return [place for child in self.children for place in child.places]

    def mixed(self, chosen: Collection[str]) -> list[Any]:
        """Return the list."""
        values = [child.mixed(chosen) for child in self.children]
        return [value for value in values if value is not _ABSENT]


@dataclass(frozen=True)
class Wrapped:
    """Parts around parts, outermost first; the innermost is called the same in both."""

    layers: Items

    @property
    def places(self) -> list[str]:
        """Return the places inside."""
        return self.layers.places

    def mixed(self, chosen: Collection[str]) -> dict[str, Any]:
        """Return the outermost part."""
        *outer, value = self.layers.mixed(chosen)
        for layer in reversed(outer):
            value = {**layer, AROUND: value}
        whole: dict[str, Any] = value
        return whole


@dataclass(frozen=True)
class Exchanged:
    """A part in place of another, and the slots that both have."""

    own: Either
    shared: Fields

    @property
    def places(self) -> list[str]:
        """Return the place of the part, and those inside the shared slots."""
        return [*self.own.places, *self.shared.places]

    def mixed(self, chosen: Collection[str]) -> dict[str, Any]:
        """Return one of the parts with the shared slots filled."""
        return {**self.own.mixed(chosen), **self.shared.mixed(chosen)}


def compare(first: Any, second: Any, place: str = "") -> Node:
    """Lay two documents over each other.

    >>> node = compare({"a": 1, "b": [{"use": "x"}]}, {"a": 2, "b": [{"use": "x"}, {"use": "y"}]})
    >>> node.places
    ['a', 'b.y']
    >>> node.mixed(["b.y"])
    {'a': 1, 'b': [{'use': 'x'}, {'use': 'y'}]}
    """
    found: Node | None = None
    if first != second and isinstance(first, dict) and isinstance(second, dict):
        found = _mappings(first, second, place)
    if first != second and isinstance(first, list) and isinstance(second, list):
        found = _lists(first, second, place)
    return found or Either(place, first, second)


def _mappings(first: dict[str, Any], second: dict[str, Any], place: str) -> Node | None:
    if AROUND in first or AROUND in second:
        one, two = _layers(first), _layers(second)
        layers = _lists(one, two, place) if one[-1]["use"] == two[-1]["use"] else None
        return Wrapped(layers) if layers else None
    if first.get("use") != second.get("use"):
        return _exchanged(first, second, place)
    return _fields(first, second, place, list(first)) if first.keys() == second.keys() else None


def _exchanged(first: dict[str, Any], second: dict[str, Any], place: str) -> Exchanged:
    shared = [name for name in first if _is_part(first[name]) and _is_part(second.get(name))]
    one, two = (
        {name: value for name, value in each.items() if name not in shared} for each in (first, second)
    )
    return Exchanged(Either(place, one, two), _fields(first, second, place, shared))


def _fields(first: dict[str, Any], second: dict[str, Any], place: str, names: Sequence[str]) -> Fields:
    return Fields({name: compare(first[name], second[name], _inside(place, name)) for name in names})


def _lists(first: list[Any], second: list[Any], place: str) -> Items | None:
    """Return the aligned items, or nothing where they have no names, a name twice, or another order."""
    one, two = _named(first), _named(second)
    order = _merged(list(one), list(two)) if one is not None and two is not None else None
    if one is None or two is None or order is None:
        return None
    return Items(
        [_item(one.get(name, _ABSENT), two.get(name, _ABSENT), _inside(place, name)) for name in order]
    )


def _item(first: Any, second: Any, place: str) -> Node:
    if first is _ABSENT or second is _ABSENT:
        return Either(place, first, second)
    return compare(first, second, place)


def _named(items: list[Any]) -> dict[str, Any] | None:
    names = [each.get("use", each.get("name")) if isinstance(each, dict) else None for each in items]
    if None in names or len(set(names)) < len(names):
        return None
    return {str(name): each for name, each in zip(names, items, strict=True)}


def _merged(one: Sequence[str], two: Sequence[str]) -> list[str] | None:
    """Return an order that both lists follow, or nothing if there is none.

    >>> _merged(["a", "b", "d"], ["a", "c", "d", "e"])
    ['a', 'b', 'c', 'd', 'e']
    """
    if [name for name in one if name in two] != [name for name in two if name in one]:
        return None
    rest, order = list(two), []
    for name in one:
        upto = rest.index(name) if name in rest else 0
        order += [*rest[:upto], name]
        rest = rest[upto + 1 :] if name in two else rest
    return order + rest


def _layers(part: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a part and those inside it, outermost first, none of them around anything."""
    layers = []
    while AROUND in part:
        layers.append({name: value for name, value in part.items() if name != AROUND})
        part = part[AROUND]
    return [*layers, part]


def _is_part(value: Any) -> bool:
    return isinstance(value, dict) and "use" in value


def _inside(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name
