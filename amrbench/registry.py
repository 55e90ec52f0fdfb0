"""Which parts exist, and which plugins offer them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Self

from amrbench.errors import PluginError, did_you_mean
from amrbench.interfaces import with_article
from amrbench.part import Part, problem


@dataclass(frozen=True, order=True)
class Origin:
    """The plugin that offers a part, and the distribution that ships the plugin."""

    plugin: str
    distribution: str = "unknown"
    version: str = "0"

    @property
    def is_shipped(self) -> bool:
        """Whether the plugin belongs to amrbench itself."""
        return self.distribution == "amrbench"

    def __str__(self) -> str:
        return f"{self.plugin} ({self.distribution} {self.version})"


@dataclass(frozen=True)
class Entry:
    """A part and the plugin that offers it."""

    part: type[Part]
    origin: Origin


def _clash(first: Entry, second: Entry) -> PluginError:
    """Return the error for two parts of one name; its remedy never leaves out a shipped plugin."""
    name = f"the {first.part.slot} part {first.part.use!r}"
    if first.origin == second.origin:
        one, other = (f"{entry.part.__module__}.{entry.part.__qualname__}" for entry in (first, second))
        what = f"offers {name} twice: " + (f"{one} is listed twice" if one == other else f"{one} and {other}")
        return PluginError(
            f"plugin {first.origin} {what}.\nOffer it once, or leave the plugin out with "
            f"--without {first.origin.plugin}."
        )
    own, other_owner = sorted((first.origin, second.origin), key=lambda origin: origin.is_shipped)
    if other_owner.is_shipped:
        remedy = f"Rename that of {own}, or leave it out with --without {own.plugin}."
    else:
        remedy = f"Rename one, or leave one out with --without {second.origin.plugin}."
    return PluginError(f"two plugins offer {name}: {first.origin} and {second.origin}.\n{remedy}")


class Registry:
    """Every part by slot and name. Immutable; made once and passed as an argument, never a global."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        """Raise PluginError if two plugins offer the same name for a slot."""
        table: dict[str, dict[str, Entry]] = {}
        for entry in sorted(entries, key=lambda entry: (entry.part.slot, entry.part.use, entry.origin)):
            known = table.setdefault(entry.part.slot, {})
            if other := known.get(entry.part.use):
                raise _clash(other, entry)
            known[entry.part.use] = entry
        self._table: Mapping[str, Mapping[str, Entry]] = MappingProxyType(table)

    @classmethod
    def of(cls, *parts: type[Part]) -> Self:
        """Return a registry of exactly these parts, for tests and experiments."""
        return cls(Entry(part, Origin("here")) for part in parts)

    def slots(self) -> list[str]:
        """Return the names of all slots that have a part, sorted."""
        return sorted(self._table)

    def names(self, slot: str) -> list[str]:
        """Return the names of the parts of a slot, sorted; empty for an unknown slot."""
        return sorted(self._table.get(slot, {}))

    def entry(self, slot: str, use: str) -> Entry:
        """Return a part and the plugin that offers it; KeyError if there is none."""
        return self._table[slot][use]

    def origin(self, part: Part | type[Part]) -> Origin:
        """Return the plugin that offers this part."""
        return self._table[part.slot][part.use].origin

    def find(self, slot: str, use: object) -> type[Part]:
        """Return the part of this slot and name, or raise a `problem` that lists the installed parts."""
        known = self._table.get(slot, {})
        installed = f"Installed {slot} parts: {', '.join(sorted(known)) or 'none'}."
        if not isinstance(use, str):
            raise problem(f"the name of {with_article(slot)} part is text, not {use!r}. {installed}")
        if use in known:
            return known[use].part
        other_slots = sorted(other for other in self._table if use in self._table[other])
        if other_slots:
            one, other = with_article(other_slots[0]), with_article(slot)
            raise problem(f"{use!r} is {one} part, not {other} part. {installed}")
        raise problem(f"no {slot} part is called {use!r}.{did_you_mean(use, known)} {installed}")
