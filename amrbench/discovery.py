"""Find the installed plugins and ask them for their parts.

Shipped and third-party plugins are found in the same way, by the entry-point group `amrbench`.
"""

from __future__ import annotations

import inspect
import os
import re
import sys
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import redirect_stdout
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import Any

import pluggy

from amrbench import hookspecs
from amrbench.errors import PluginError, did_you_mean
from amrbench.part import Part, slot_of
from amrbench.plugin_errors import GROUP, definition_of, described, line_in, origin_of
from amrbench.registry import Entry, Origin, Registry


def load_registry(*, without: Collection[str] = (), plugins: Iterable[EntryPoint] | None = None) -> Registry:
    """Return the parts of all installed plugins except those in `without`.

    Args:
        without: Names of plugins to leave out.
        plugins: The entry points to use; by default all that are installed.

    Raises:
        PluginError: A plugin to leave out is not installed; a plugin cannot be imported, ends the program,
            offers no parts or something else, or has its name or that of a part in common with another.
    """
    points = sorted(entry_points(group=GROUP) if plugins is None else plugins, key=lambda point: point.name)
    names = [point.name for point in points]
    for name in without:
        if name not in names:
            raise PluginError(
                f"--without {name}: no plugin is called {name!r}.{did_you_mean(name, names)} "
                f"Installed: {', '.join(names) or 'none'}."
            )
    kept = [point for point in points if point.name not in without]
    _refuse_repeated(kept)
    return Registry(entry for point in kept for entry in _entries(point))


def _refuse_repeated(points: Sequence[EntryPoint]) -> None:
    """Raise PluginError if two plugins have one name, because `--without` would leave out both."""
    known: dict[str, Origin] = {}
    for origin in sorted(map(origin_of, points), key=lambda origin: not origin.is_shipped):
        if other := known.get(origin.plugin):
            raise PluginError(
                f"two plugins are called {origin.plugin!r}, one of {other.distribution} {other.version} and "
                f"one of {origin.distribution} {origin.version}. Rename the entry point of the latter, or "
                "uninstall it."
            )
        known[origin.plugin] = origin


def _entries(point: EntryPoint) -> list[Entry]:
    """Import a plugin and ask it for its parts."""
    origin = origin_of(point)
    leave_out = f"Leave it out with --without {point.name}."
    before = _process_state()
    # What a plugin prints must not mix with the output of a command.
    with redirect_stdout(sys.stderr):
        hook = _hook(point, origin, leave_out)
        try:
            offered = hook()
            parts = list(offered) if isinstance(offered, Iterable) else None
        except (Exception, SystemExit) as error:
            raise PluginError(
                f"plugin {origin}: amrbench_parts() failed: {described(error)}{_line(error, point)}\n"
                f"{leave_out}"
            ) from error
    if parts is None or isinstance(offered, str | bytes | dict):
        raise PluginError(
            f"plugin {origin}: amrbench_parts() returns {offered!r}, not a list of classes.\n"
            f"  {definition_of(hook)}\n{leave_out}"
        )
    for part in parts:
        if fault := _part_fault(part):
            line = definition_of(part if getattr(part, "use", "") and isinstance(part, type) else hook)
            raise PluginError(f"plugin {origin}: amrbench_parts() offers {fault}\n  {line}\n{leave_out}")
    if changed := [name for name, value in _process_state().items() if before[name] != value]:
        raise PluginError(
            f"plugin {origin} changes {' and '.join(changed)} when it is imported, and so what other parts "
            f"do. Let `build` of its parts do what they need.\n{leave_out}"
        )
    return [Entry(part, origin) for part in parts]


def _part_fault(part: Any) -> str:
    """Return what is wrong with something that a plugin offers as a part; empty if nothing is."""
    if isinstance(part, Part):
        return f"{type(part).__name__}(...), an object. Offer the class {type(part).__name__} itself."
    if not (isinstance(part, type) and issubclass(part, Part) and part.use):
        return f"{part!r}, which is no part (a class with a `use` name)."
    name = f"the {part.slot} part {part.use!r} ({part.__module__}.{part.__qualname__})"
    if missing := sorted(part.__abstractmethods__):
        return f"{name}, which does not define {', '.join(missing)}."
    build, asked = getattr(part, "build", None), getattr(slot_of(part), "build", None)
    if build is None or asked is None:
        return ""
    arguments = list(inspect.signature(asked).parameters)
    taken = inspect.signature(build)
    try:
        taken.bind(*arguments)
    except TypeError:
        return f"{name}, whose build takes {taken}, but is called with ({', '.join(arguments)})."
    return ""


def _process_state() -> dict[str, object]:
    """Return settings of the process that a plugin must leave alone."""
    torch = sys.modules.get("torch")
    return {
        "the working directory": os.path.realpath(os.curdir),
        "torch's default dtype": str(torch.get_default_dtype()) if torch else "torch.float32",
        "torch's default device": str(torch.get_default_device()) if torch else "cpu",
        "whether torch computes gradients": torch.is_grad_enabled() if torch else True,
    }


def _hook(point: EntryPoint, origin: Origin, leave_out: str) -> Callable[[], Any]:
    """Import a plugin and return its function `amrbench_parts`."""
    try:
        module = point.load()
    except (Exception, SystemExit) as error:
        raise PluginError(
            f"plugin {origin} cannot be imported: {described(error)}{_line(error, point)}\n"
            f"{_import_remedy(error, point) or leave_out}"
        ) from error
    if not isinstance(module, ModuleType):
        raise PluginError(f"plugin {origin}: {point.value} is not a module. {leave_out}")
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(hookspecs)
    try:
        manager.register(module, name=point.name)
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        raise PluginError(
            f"plugin {origin} is wrong: {error}. The hook is called amrbench_parts and takes no arguments. "
            f"{leave_out}"
        ) from error
    hooks = manager.hook.amrbench_parts.get_hookimpls()
    if not hooks:
        raise PluginError(
            f"plugin {origin} offers nothing: {point.value} has no function marked with @amrbench.hookimpl. "
            f"The hook is called amrbench_parts. {leave_out}"
        )
    return hooks[0].function


def _line(error: BaseException, point: EntryPoint) -> str:
    """Return the line of the plugin that an error came from, for a message."""
    line = line_in(error, point.value.partition(":")[0].partition(".")[0])
    return f"\n  {line}" if line else ""


def _import_remedy(error: BaseException, point: EntryPoint) -> str:
    """Return what to do about a failed import; empty if only its author can do something."""
    or_leave_out = f"or leave it out with --without {point.name}."
    if isinstance(error, SystemExit):
        return f"Put what a script does under `if __name__ == '__main__':`, {or_leave_out}"
    if not isinstance(error, ImportError):
        return ""
    missing, module = error.name or "", point.value.partition(":")[0]
    if isinstance(error, ModuleNotFoundError) and f"{module}.".startswith(f"{missing}."):
        return f"Its entry point names a module that is not there: install it again, {or_leave_out}"
    if missing.partition(".")[0] in ("amrbench", "amrbench_plugins"):
        elsewhere = _where_else(str(error))
        return f"This version of amrbench does not have it{elsewhere}: change the import, {or_leave_out}"
    return f"Install what it needs, {or_leave_out}"


def _where_else(text: str) -> str:
    """Return which module has the name that could not be imported, for a message; empty if none has."""
    for sought in re.findall(r"^cannot import name '(\w+)'", text):
        for name, module in sorted(sys.modules.items()):
            own = getattr(module, sought, None) if name.startswith("amrbench.") else None
            if getattr(own, "__module__", "") == name:
                return f", but {name} has {sought!r}"
    return ""
