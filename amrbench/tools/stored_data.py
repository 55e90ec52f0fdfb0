"""The prepared data in the cache: queries and features of splits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import permutations
from pathlib import Path

from amrbench.config.load import load_protocol, load_recipe, shipped
from amrbench.content_hash import content_hash
from amrbench.data.prepare import DATA, FEATURES, CachedSplit
from amrbench.data.required_splits import FeatureRequest, RequiredSplits
from amrbench.errors import AmrbenchError
from amrbench.files.checksums import has_checksums, is_set_aside
from amrbench.registry import Registry
from amrbench.tools.stored_items import Claims, StoredItem, entries, size_of
from amrbench.tools.stored_stages import KEY

_LOCK, _MAKING = ".lock", ".making"
_MOST_ENCODERS = 3
"""Encoders whose rows are concatenated, at most, for their prepared data to be known as that of a run."""


class StoredData:
    """The prepared data in a cache folder."""

    def __init__(self, cache: Path, registry: Registry) -> None:
        self.cache, self.folder, self.registry = cache, cache / DATA, registry
        self.paths = [path for path in entries(self.folder) if KEY.match(path.name)]
        self.claims = Claims(path for path in self.paths if path.suffix == _LOCK)
        self.made = [path for path in self.paths if KEY.fullmatch(path.name) and _is_made(path)]

    def users(self, used: Iterable[tuple[str, str]]) -> dict[str, tuple[str, ...]]:
        """Return the runs that use prepared data, by its key.

        Args:
            used: Fingerprints of splits, each with the run that uses it. That of several encoders is a hash
                of their keys.
        """
        keys = [path.name for path in self.made]
        parts: dict[str, tuple[str, ...]] = {key: (key,) for key in keys}
        for count in range(2, _MOST_ENCODERS + 1):
            parts |= {content_hash(list(several)): several for several in permutations(keys, count)}
        users: dict[str, dict[str, None]] = {}
        for fingerprint, run in used:
            for key in parts.get(fingerprint, ()):
                users.setdefault(key, {})[run] = None
        return {key: tuple(runs) for key, runs in users.items()}

    def items(self, users: Mapping[str, tuple[str, ...]], busy: str, *, known: bool) -> list[StoredItem]:
        """Return the prepared data and what is left of other; arguments as in `StoredStages.items`."""
        keys = {path.name for path in self.made}
        if known and not busy and not keys <= users.keys():
            needed = {*users, *named_data(self.cache, self.registry)}
        else:
            needed = keys if busy or not known else {*users}
        data = [self._data(path, users.get(path.name, ()), path.name in needed, busy) for path in self.made]
        return [*data, *self._leftovers()]

    def _data(self, path: Path, users: tuple[str, ...], needed: bool, busy: str) -> StoredItem:
        claim = self._claim(path)
        held = self.claims.holder(claim) or busy
        stale = "" if held or needed else "no run uses it, and no shipped recipe and protocol name it"
        return StoredItem("data", path, claim, _about(path), size_of(path), users, stale, held)

    def _leftovers(self) -> Iterator[StoredItem]:
        for path in self.paths:
            if path in self.made:
                continue
            claim = self._claim(path)
            held = self.claims.holder(claim)
            yield StoredItem(
                "leftover", path, claim, "data", size_of(path), (), "" if held else _why_stale(path), held
            )

    def _claim(self, path: Path) -> Path:
        return self.folder / f"{path.name.partition('.')[0]}{_LOCK}"


def named_data(cache: Path, registry: Registry) -> set[str]:
    """Return the keys of all data that shipped recipes need under shipped protocols, where that is known.

    It takes some seconds and loads encoders. What needs missing files has no key.
    """
    requests: dict[str, FeatureRequest] = {}
    recipes = []
    for path in shipped("recipe"):
        with suppress(AmrbenchError):  # Of a plugin that is left out.
            recipes.append(load_recipe(path, registry))
    for path in shipped("protocol"):
        for recipe in recipes:
            with suppress(AmrbenchError):
                splits = RequiredSplits(recipe, load_protocol(path, registry), path).all
                requests |= {one.key: one for split in splits for one in split.by_encoder}
    keys = set()
    for request in requests.values():
        with suppress(AmrbenchError, OSError):
            keys.add(CachedSplit(request, cache).key)
    return keys


def _is_made(path: Path) -> bool:
    return has_checksums(path) and (path / FEATURES).is_file()


def _why_stale(path: Path) -> str:
    if path.suffix == _LOCK:
        return "claim of a process that has ended"
    if path.suffix == _MAKING:
        return "its preparation was stopped; a run would go on after what is finished"
    return "set aside because its files had changed" if is_set_aside(path) else "not finished"


def _about(path: Path) -> str:
    """Return e.g. "castella train for clap"; empty if the file cannot be read."""
    import h5py

    with suppress(OSError, KeyError), h5py.File(path / FEATURES) as file:
        return f"{file.attrs['source']} for {file.attrs['backend']}"
    return ""
