"""Which parts exist, and who offers them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Self

from amrbench.errors import PluginError, did_you_mean
from amrbench.part import Part, problem


@dataclass(frozen=True, order=True)
class Origin:
    """The plugin that offers a part, and the distribution that ships the plugin."""

    plugin: str
    distribution: str = "unknown"
    version: str = "0"

    def __str__(self) -> str:
        return f"{self.plugin} ({self.distribution} {self.version})"


@dataclass(frozen=True)
class Entry:
    """One part and its owner."""

    part: type[Part]
    origin: Origin


class Registry:
    """Every part by slot and name. Immutable; made once and handed down, never imported."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        """Raise PluginError when two plugins offer the same name for a slot."""
        table: dict[str, dict[str, Entry]] = {}
        for entry in sorted(entries, key=lambda each: (each.part.slot, each.part.use, each.origin)):
            _add(table.setdefault(entry.part.slot, {}), entry)
        self._table: Mapping[str, Mapping[str, Entry]] = MappingProxyType(table)

    @classmethod
    def of(cls, *parts: type[Part]) -> Self:
        """Return a registry of exactly these parts, for tests and for trying things out."""
        return cls(Entry(part, Origin("here")) for part in parts)

    def slots(self) -> list[str]:
        """Return the names of all slots that hold a part, sorted."""
        return sorted(self._table)

    def names(self, slot: str) -> list[str]:
        """Return the names of the parts of a slot, sorted; empty for an unknown slot."""
        return sorted(self._table.get(slot, {}))

    def entry(self, slot: str, use: str) -> Entry:
        """Return a part and its owner; KeyError when there is none."""
        return self._table[slot][use]

    def origin(self, part: Part | type[Part]) -> Origin:
        """Return who offers this part."""
        return self._table[part.slot][part.use].origin

    def find(self, slot: str, use: object) -> type[Part]:
        """Return the part of this slot and name, or raise a `problem` that says what there is."""
        known = self._table.get(slot, {})
        if not isinstance(use, str):
            raise problem(f"a {slot} part is called by a name, not {use!r}. {_there_is(slot, known)}")
        if use in known:
            return known[use].part
        elsewhere = sorted(other for other in self._table if use in self._table[other])
        if elsewhere:
            raise problem(f"{use!r} is a {elsewhere[0]} part, not a {slot} part. {_there_is(slot, known)}")
        near = did_you_mean(use, known)
        raise problem(f"no {slot} part is called {use!r}.{near} {_there_is(slot, known)}")


def _there_is(slot: str, known: Mapping[str, Entry]) -> str:
    return f"Installed {slot} parts: {', '.join(sorted(known)) or 'none'}."


def _add(known: dict[str, Entry], entry: Entry) -> None:
    other = known.get(entry.part.use)
    if other is not None:
        raise PluginError(
            f"two plugins offer the {entry.part.slot} part {entry.part.use!r}: "
            f"{other.origin} and {entry.origin}.\n"
            f"Rename one, or leave one out with --without {entry.origin.plugin}."
        )
    known[entry.part.use] = entry
