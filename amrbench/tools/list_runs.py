"""`amrbench runs`: what lies in the cache and in folders of runs, and what of it may be removed."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from amrbench.errors import DataError, RunError, did_you_mean, some
from amrbench.evaluation.result import RESULT
from amrbench.evaluation.text_table import format_table
from amrbench.files.folders import CACHE_VARIABLE
from amrbench.files.run_folders import remembered_runs
from amrbench.notes import note
from amrbench.registry import Registry
from amrbench.tools.stored_data import StoredData
from amrbench.tools.stored_items import SETTLE_SECONDS, StoredItem, size_of, size_text
from amrbench.tools.stored_runs import StoredRuns
from amrbench.tools.stored_stages import StoredStages

STALE = "stale"
"""Stands for all stale items where names are given."""
LISTED = 20
"""Stale items that a table names; --json has all."""
_KINDS = {"stage": "trained stages", "data": "prepared data", "leftover": "left by processes"}


@dataclass(frozen=True)
class Inventory:
    """What lies in a cache folder and in folders of runs.

    Attributes:
        cache: The cache folder.
        size: Of all that is in it, in bytes.
        outs: The folders of runs.
        elsewhere: Other folders of runs that were made with this cache. What their runs use is of use too;
            they are not listed.
        items: All that is known.
    """

    cache: Path
    size: int
    outs: tuple[Path, ...]
    elsewhere: tuple[Path, ...]
    items: tuple[StoredItem, ...]

    @property
    def stale(self) -> list[StoredItem]:
        """Return what may be removed, the largest first."""
        return sorted((item for item in self.items if item.stale), key=lambda item: -item.size)

    def as_json(self) -> dict[str, object]:
        """Return it as plain values; sizes in bytes."""
        return {
            "cache": str(self.cache),
            "size": self.size,
            "runs": [str(out) for out in self.outs],
            "elsewhere": [str(out) for out in self.elsewhere],
            "items": [item.as_json() for item in self.items],
        }

    def text(self, form: str) -> str:
        """Return tables of the runs, of what the cache holds, and of what is stale."""
        where = f"Cache: {self.cache}, {size_text(self.size)} (another one: {CACHE_VARIABLE})."
        runs = [item for item in self.items if item.kind == "run"]
        names = ", ".join(map(str, self.outs))
        tables = [format_table(form, [where, "What it holds:"], list(self._kinds()))]
        if runs:
            heading = f"Runs in {names}:"
            tables.append(format_table(form, [heading], [self._run(item) for item in runs]))
        else:
            tables.append(
                f"There is no finished run in {names}, so it is not known which stages and data are of use. "
                "Name the folders of your runs with --out."
            )
        if self.elsewhere:
            tables.append(f"What runs in {', '.join(map(str, self.elsewhere))} use is kept as well.")
        if stale := self.stale:
            title = f"Stale, {size_text(sum(item.size for item in stale))}; '--remove stale' removes it:"
            tables.append(_listed(form, title, stale[:LISTED]))
            if len(stale) > LISTED:
                tables.append(f"... and {len(stale) - LISTED} more; --json lists all.")
        return "\n\n".join(tables)

    def _kinds(self) -> Iterator[dict[str, str | float]]:
        for kind, name in _KINDS.items():
            own = [item for item in self.items if item.kind == kind]
            parts = {
                "all": own,
                "of these runs": [item for item in own if item.used_by],
                "held": [item for item in own if item.held],
                "stale": [item for item in own if item.stale],
            }
            counts = {column: f"{len(items)}, {_total(items)}" for column, items in parts.items()}
            yield {"kind": name, **counts}

    def _run(self, run: StoredItem) -> dict[str, str | float]:
        stages = [item for item in self.items if item.kind == "stage" and str(run.path) in item.used_by]
        alone = [item for item in stages if len(item.used_by) == 1]
        return {
            "run": run.name,
            "about": run.about,
            "size": size_text(run.size),
            "its stages": f"{len(stages)}, {_total(stages)}",
            "of no other run": f"{len(alone)}, {_total(alone)}",
        }

    def chosen(self, names: Sequence[str]) -> list[StoredItem]:
        """Return the items of some names or paths; "stale" stands for all stale ones.

        Raises:
            RunError: There is no such item, several have the name, or a process holds it.
        """
        chosen: dict[Path, StoredItem] = {}
        for name in names:
            items = self.stale if name == STALE else [self._named(name)]
            chosen |= {item.path: item for item in items}
        if held := [item for item in chosen.values() if item.held]:
            raise RunError(
                f"{some(item.name for item in held)} cannot be removed: process {held[0].held} works with it "
                "or may read it. Wait until it has ended."
            )
        return list(chosen.values())

    def _named(self, name: str) -> StoredItem:
        """Return the item of a name, or of a path."""
        named = [item for item in self.items if item.name == name]
        if len(named) > 1:
            paths = some(os.path.abspath(item.path) for item in named)
            raise RunError(f"{name!r} is the name of {len(named)} items: {paths}. Give the path of one.")
        path = os.path.abspath(name)
        chosen = named or [item for item in self.items if os.path.abspath(item.path) == path]
        if not chosen:
            raise RunError(
                f"there is no {name!r} in {self.cache} and {', '.join(map(str, self.outs))}."
                f"{did_you_mean(name, (item.name for item in self.items))} Give 'stale', or names or paths "
                "from 'amrbench runs --json'."
            )
        return chosen[0]


def inventory(cache: Path, outs: Sequence[Path], registry: Registry, *, settle: bool = False) -> Inventory:
    """Return what lies in a cache folder and in folders of runs.

    Args:
        cache: The cache folder.
        outs: Folders of runs to list. A stage that none of their runs uses is stale, unless a run in another
            folder does, which is known of all folders that this cache was used for.
        registry: The parts; a stage that was trained with other versions of them is old.
        settle: Look twice at claims of other machines, some 26 s apart if there are old ones.

    Raises:
        DataError: The cache folder or one of `outs` cannot be read.
    """
    outs = list({os.path.realpath(out): out for out in outs}.values())
    runs, stages, data = _stored(cache, outs, registry)
    claims = (*(out.claims for out in runs), stages.claims, data.claims)
    if settle and any(own.doubtful for own in claims):
        time.sleep(SETTLE_SECONDS)
        runs, stages, data = _stored(cache, outs, registry)  # Much may have begun meanwhile.
    elsewhere = _elsewhere(cache, outs)
    results = {str(path): result for out in (*runs, *elsewhere) for path, result in out.results.items()}
    users: dict[str, dict[str, None]] = {}
    for run, result in results.items():
        for stage in result.stages:
            users.setdefault(stage.key, {})[run] = None
    used_by = {key: tuple(names) for key, names in users.items()}
    used = [(split.fingerprint, run) for run, result in results.items() for split in result.data]
    busy = stages.claims.busy or data.claims.busy
    unread = [path for out in (*runs, *elsewhere) for path in out.unread]
    if unread:
        note(
            f"the {RESULT} of {some(map(str, unread))} cannot be read, so it is not known which stages and "
            "data are of use, and none are stale. List them with the version of amrbench that wrote it, or "
            "move the folder out of its folder of runs."
        )
    known = any(out.results for out in runs) and not unread
    items = [
        *(item for out in runs for item in out.items()),
        *stages.items(used_by, busy, known=known),
        *data.items(data.users(used), busy, known=known),
    ]
    others = tuple(out.folder for out in elsewhere if out.results or out.unread)
    return Inventory(cache, size_of(cache), tuple(outs), others, tuple(items))


def _elsewhere(cache: Path, outs: Sequence[Path]) -> list[StoredRuns]:
    """Return the other folders of runs that were made with a cache folder, without those nobody can read."""
    runs, listed = [], {os.path.realpath(out) for out in outs}
    for out in remembered_runs(cache):
        if str(out) not in listed:
            with suppress(DataError):
                runs.append(StoredRuns(out))
    return runs


def _stored(
    cache: Path, outs: Sequence[Path], registry: Registry
) -> tuple[list[StoredRuns], StoredStages, StoredData]:
    runs = [StoredRuns(out) for out in outs]
    return runs, StoredStages(cache, registry), StoredData(cache, registry)


@dataclass(frozen=True)
class Removal:
    """What was asked to be removed.

    Attributes:
        items: What it is.
        removed: Whether it was removed.
    """

    items: tuple[StoredItem, ...]
    removed: bool

    def as_json(self) -> dict[str, object]:
        """Return it as plain values."""
        return {"removed": self.removed, "items": [item.as_json() for item in self.items]}

    def text(self, form: str) -> str:
        """Return a table of it, and whether it was removed."""
        if not self.items:
            return "Nothing is stale."
        count = f"{len(self.items)} item{'s' * (len(self.items) != 1)}, {_total(self.items)}"
        end = f"Removed: {count}." if self.removed else "Nothing was removed. Give --yes to remove it."
        return f"{_listed(form, f'To be removed, {count}:', self.items)}\n\n{end}"


def remove(items: Sequence[StoredItem], *, yes: bool) -> Removal:
    """Remove items if that was confirmed; see `StoredItem.remove`."""
    for item in items if yes else ():
        item.remove()
    return Removal(tuple(items), removed=yes)


def _listed(form: str, title: str, items: Sequence[StoredItem]) -> str:
    rows: list[dict[str, str | float]] = [
        {
            "name": item.name,
            "kind": item.kind,
            "about": item.about,
            "size": size_text(item.size),
            "why": item.stale or ("used by " + ", ".join(item.used_by) if item.used_by else "named"),
        }
        for item in items
    ]
    return format_table(form, [title], rows)


def _total(items: Sequence[StoredItem]) -> str:
    return size_text(sum(item.size for item in items))
