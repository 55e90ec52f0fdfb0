"""Find the installed plugins and ask them for their parts.

The shipped plugins come in by the same door as anybody's: the entry-point group `amrbench`.
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
    """Return the parts of all installed plugins but those named in `without`.

    Args:
        without: names of plugins to leave out.
        plugins: the entry points to use; by default all that are installed.

    Raises:
        PluginError: a plugin cannot be imported, offers nothing or something wrong, or clashes.
    """
    found = sorted(entry_points(group=GROUP) if plugins is None else plugins, key=lambda point: point.name)
    _refuse_unknown(without, found)
    kept = [point for point in found if point.name not in without]
    return Registry(entry for point in kept for entry in _entries(point))


def _refuse_unknown(without: Collection[str], found: Collection[EntryPoint]) -> None:
    names = [point.name for point in found]
    for name in without:
        if name not in names:
            raise PluginError(
                f"--without {name}: no plugin is called {name!r}.{did_you_mean(name, names)} "
                f"Installed: {', '.join(names) or 'none'}."
            )


def _entries(point: EntryPoint) -> list[Entry]:
    origin = _origin(point)
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
    return [Entry(_checked(part, point, origin), origin) for part in _offered(hooks[0], point, origin)]


def _origin(point: EntryPoint) -> Origin:
    if point.dist is None:
        return Origin(point.name)
    return Origin(point.name, point.dist.name, point.dist.version)


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


def _offered(hook: Any, point: EntryPoint, origin: Origin) -> list[Any]:
    try:
        return list(hook.function())
    except Exception as error:
        raise PluginError(
            f"plugin {origin}: amrbench_parts() failed: {type(error).__name__}: {error}. {_leave_out(point)}"
        ) from error


def _checked(part: Any, point: EntryPoint, origin: Origin) -> type[Part]:
    if not (inspect.isclass(part) and issubclass(part, Part) and part.use):
        raise PluginError(
            f"plugin {origin}: amrbench_parts() offers {part!r}, which is no part "
            f"(a class with a `use` name). {_leave_out(point)}"
        )
    return part


def _leave_out(point: EntryPoint) -> str:
    return f"Leave it out with --without {point.name}."
