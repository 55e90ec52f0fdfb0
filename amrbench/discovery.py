"""Find the installed plugins and ask them for their parts.

Shipped and third-party plugins are found in the same way, by the entry-point group `amrbench`.
"""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterable
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import Any

import pluggy

from amrbench import hookspecs
from amrbench.errors import PluginError, did_you_mean
from amrbench.part import Part
from amrbench.registry import Entry, Origin, Registry

GROUP = "amrbench"
HOOKS = tuple(name for name in vars(hookspecs) if name.startswith("amrbench_"))


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
    _refuse_unknown(without, [point.name for point in points])
    kept = [point for point in points if point.name not in without]
    return Registry(entry for point in kept for entry in _entries(point))


def _refuse_unknown(without: Collection[str], names: Collection[str]) -> None:
    for name in without:
        if name not in names:
            raise PluginError(
                f"--without {name}: no plugin is called {name!r}.{did_you_mean(name, names)} "
                f"Installed: {', '.join(names) or 'none'}."
            )


def _entries(point: EntryPoint) -> list[Entry]:
    dist = point.dist
    origin = Origin(point.name) if dist is None else Origin(point.name, dist.name, dist.version)
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(hookspecs)
    try:
        manager.register(_module(point, origin), name=point.name)
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        raise PluginError(f"plugin {origin} is wrong: {error}. {_leave_out(point)}") from error
    hooks = manager.hook.amrbench_parts.get_hookimpls()
    if not hooks:
        raise PluginError(
            f"plugin {origin} offers nothing: {point.value} has no function marked with @amrbench.hookimpl. "
            f"Known hooks: {', '.join(HOOKS)}. {_leave_out(point)}"
        )
    return [Entry(part, origin) for part in _offered_parts(hooks[0], point, origin)]


def _module(point: EntryPoint, origin: Origin) -> ModuleType:
    try:
        module = point.load()
    except Exception as error:
        raise PluginError(
            f"plugin {origin} cannot be imported: {type(error).__name__}: {error}.\n"
            f"Install what it needs, or leave it out with --without {point.name}."
        ) from error
    if not isinstance(module, ModuleType):
        raise PluginError(f"plugin {origin}: {point.value} is not a module. {_leave_out(point)}")
    return module


def _offered_parts(hook: Any, point: EntryPoint, origin: Origin) -> list[type[Part]]:
    try:
        parts = list(hook.function())
    except Exception as error:
        raise PluginError(
            f"plugin {origin}: amrbench_parts() failed: {type(error).__name__}: {error}. {_leave_out(point)}"
        ) from error
    for part in parts:
        if not (inspect.isclass(part) and issubclass(part, Part) and part.use):
            raise PluginError(
                f"plugin {origin}: amrbench_parts() offers {part!r}, which is no part "
                f"(a class with a `use` name). {_leave_out(point)}"
            )
    return parts


def _leave_out(point: EntryPoint) -> str:
    return f"Leave it out with --without {point.name}."
