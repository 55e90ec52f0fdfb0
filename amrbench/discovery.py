"""Find the installed plugins and ask them for their parts.

Shipped and third-party plugins are found in the same way, by the entry-point group `amrbench`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import Any

import pluggy

from amrbench import hookspecs
from amrbench.errors import PluginError, did_you_mean
from amrbench.part import Part
from amrbench.registry import Entry, Origin, Registry

GROUP = "amrbench"


def load_registry(*, without: Collection[str] = (), plugins: Iterable[EntryPoint] | None = None) -> Registry:
    """Return the parts of all installed plugins except those in `without`.

    Args:
        without: Names of plugins to leave out.
        plugins: The entry points to use; by default all that are installed.

    Raises:
        PluginError: A plugin to leave out is not installed; a plugin cannot be imported, offers no parts or
            something else, or offers the name of a part of another plugin.
    """
    points = sorted(entry_points(group=GROUP) if plugins is None else plugins, key=lambda point: point.name)
    names = [point.name for point in points]
    for name in without:
        if name not in names:
            raise PluginError(
                f"--without {name}: no plugin is called {name!r}.{did_you_mean(name, names)} "
                f"Installed: {', '.join(names) or 'none'}."
            )
    return Registry(entry for point in points if point.name not in without for entry in _entries(point))


def _entries(point: EntryPoint) -> list[Entry]:
    """Import a plugin and ask it for its parts."""
    dist = point.dist
    origin = Origin(point.name) if dist is None else Origin(point.name, dist.name, dist.version)
    leave_out = f"Leave it out with --without {point.name}."
    hook = _hook(point, origin, leave_out)
    try:
        parts = list(hook())
    except Exception as error:
        raise PluginError(
            f"plugin {origin}: amrbench_parts() failed: {type(error).__name__}: {error}. {leave_out}"
        ) from error
    for part in parts:
        if not (isinstance(part, type) and issubclass(part, Part) and part.use):
            raise PluginError(
                f"plugin {origin}: amrbench_parts() offers {part!r}, which is no part "
                f"(a class with a `use` name). {leave_out}"
            )
    return [Entry(part, origin) for part in parts]


def _hook(point: EntryPoint, origin: Origin, leave_out: str) -> Callable[[], Any]:
    """Import a plugin and return its function `amrbench_parts`."""
    try:
        module = point.load()
    except Exception as error:
        raise PluginError(
            f"plugin {origin} cannot be imported: {type(error).__name__}: {error}.\n"
            f"Install what it needs, or leave it out with --without {point.name}."
        ) from error
    if not isinstance(module, ModuleType):
        raise PluginError(f"plugin {origin}: {point.value} is not a module. {leave_out}")
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(hookspecs)
    try:
        manager.register(module, name=point.name)
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        raise PluginError(f"plugin {origin} is wrong: {error}. {leave_out}") from error
    hooks = manager.hook.amrbench_parts.get_hookimpls()
    if not hooks:
        known = ", ".join(name for name in vars(hookspecs) if name.startswith("amrbench_"))
        raise PluginError(
            f"plugin {origin} offers nothing: {point.value} has no function marked with @amrbench.hookimpl. "
            f"Known hooks: {known}. {leave_out}"
        )
    return hooks[0].function
