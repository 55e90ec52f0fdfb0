"""Exceptions in the code of third parties' plugins, as errors that name plugin, part, file and line.

The rule: an exception that passes through code or objects of a plugin that amrbench does not ship is an error
of that plugin. It becomes a PluginError, which the command line prints as one message. Every other exception
is a bug of amrbench and keeps its traceback. An optimizer calls the whole model for its losses; what fails
in there is not taken for an error of the optimizer.
"""

from __future__ import annotations

import gc
import inspect
import linecache
import re
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import EntryPoint, entry_points
from traceback import format_exception_only, walk_tb
from types import CodeType, FrameType, FunctionType
from typing import Any

from amrbench.errors import AmrbenchError, PluginError, dotted
from amrbench.interfaces import InterfaceError, ResultError, part_that_built
from amrbench.part import Part, parts_in, parts_with_paths
from amrbench.registry import Origin

GROUP = "amrbench"
REENTRY = "amrbench.training.criterion"
"""The module whose calls run the code of other parts again, for an optimizer."""


@dataclass(frozen=True)
class CodeLine:
    """A line of source code.

    Attributes:
        file: Its path.
        number: From 1.
        function: The function that holds it; empty if none does.
    """

    file: str
    number: int
    function: str = ""

    def __str__(self) -> str:
        code = linecache.getline(self.file, self.number).strip()
        inside = f", in {self.function}" if self.function not in ("", "<module>") else ""
        return f"{self.file}, line {self.number}{inside}" + (f": {code}" if code else "")


@contextmanager
def naming_plugins(options: object = ()) -> Iterator[None]:
    """Turn an exception in the code of a third party's plugin into a PluginError.

    Args:
        options: A recipe or other options with parts; the message says where in it the part stands.

    Raises:
        PluginError: An exception, or SystemExit, passed through the code of such a plugin.
    """
    try:
        yield
    except (AmrbenchError, MemoryError):
        raise
    except (Exception, SystemExit) as error:
        if named := plugin_error(error, options):
            raise named from error
        raise


def plugin_error(error: BaseException, options: object = ()) -> PluginError | None:
    """Return the error that names the plugin that an exception passed through; None if there is none."""
    packages = third_party_packages()
    cause = _cause_of_result(error) if isinstance(error, ResultError) else _cause(error, packages)
    if cause is None or cause.package not in packages:
        return None
    origin = packages[cause.package]
    part = cause.part or (_only_part(options, cause.package) if origin else None)
    if part is None and origin is None:
        return None  # E.g. of a script with parts of its own, which also calls amrbench.
    who = f"plugin {origin}: " if origin else ""
    who += f"the {part.slot} part {part.use!r}" if part else "its code"
    if part and (paths := _paths_of(options, part)):
        name = getattr(options, "name", "")
        who += f" ({', '.join(paths)}" + (f" of {name})" if name else ")")
    return PluginError(
        f"{who} fails: {described(error)}\n  {cause.line}\nCorrect it there, or do without the "
        f"{'part' if part else 'plugin'}."
    )


@dataclass(frozen=True)
class _Cause:
    """The code of a plugin that an exception comes from."""

    package: str
    line: CodeLine
    part: Part | type[Part] | None


def _cause(error: BaseException, packages: Collection[str]) -> _Cause | None:
    """Return the last line of third parties' code that an exception passed through."""
    owned = [step for step in _steps(error) if step.package in packages]
    if not owned:
        return None
    in_code = [step for step in owned if step.in_code]
    # `build` that returns something wrong has no frame of its own any more.
    last = in_code[-1] if in_code and not isinstance(error, InterfaceError) else owned[-1]
    before: dict[object, _Step] = {}  # The deepest first, and none twice: a recursion may be long.
    for step in reversed(owned):
        if step.depth <= last.depth:
            before.setdefault((step.frame.f_code, id(step.owner())), step)
    parts = (step.part() for step in before.values())
    return _Cause(last.package, last.line(), next((part for part in parts if part), None))


def _cause_of_result(error: ResultError) -> _Cause:
    """Return the method that returned something else than its slot asks for."""
    built = error.built
    owner = built if inspect.isroutine(built) or isinstance(built, type) else type(built)
    line = definition_of(owner if inspect.isroutine(built) else getattr(owner, error.method, owner))
    part = built if isinstance(built, type) and issubclass(built, Part) else part_that_built(built)
    return _Cause(str(owner.__module__).partition(".")[0], line, part)


def described(error: BaseException) -> str:
    """Return the name and text of an exception."""
    if isinstance(error, SystemExit):
        return f"it ends the program (SystemExit: {error.code!r})"
    if isinstance(error, (InterfaceError, ResultError)):
        return str(error)
    if isinstance(error, SyntaxError):
        return f"{type(error).__name__}: {error.msg}"
    return "".join(format_exception_only(error)).strip()


def line_in(error: BaseException, package: str) -> CodeLine | None:
    """Return the last line of a package that an exception passed through, or that a SyntaxError names."""
    if isinstance(error, SyntaxError) and error.filename and error.lineno:
        return CodeLine(error.filename, error.lineno)
    lines = [step.line() for step in _steps(error) if step.in_code and step.package == package]
    return lines[-1] if lines else None


def third_party_packages() -> dict[str, Origin | None]:
    """Return the top-level packages of plugins that are not shipped, and of all parts outside of amrbench."""
    origins = [(point.value.partition(":")[0], origin_of(point)) for point in entry_points(group=GROUP)]
    shipped = {"amrbench", *(name.partition(".")[0] for name, origin in origins if origin.is_shipped)}
    parts = {part.__module__.partition(".")[0]: None for part in _subclasses(Part)}
    named = {name.partition(".")[0]: origin for name, origin in origins}
    return {name: origin for name, origin in {**parts, **named}.items() if name not in shipped}


def third_party_parts(options: object) -> list[str]:
    """Return the parts of plugins that are not shipped, e.g. "head 'edges' (model.heads.3)"."""
    is_own = third_party_test()
    return [
        f"{part.slot} {part.use!r} ({dotted(path)})"
        for path, part in parts_with_paths(options)
        if is_own(part)
    ]


def third_party_test() -> Callable[[Part], bool]:
    """Return a function that says whether a part belongs to a plugin that is not shipped."""
    packages = third_party_packages()
    return lambda part: type(part).__module__.partition(".")[0] in packages


def origin_of(point: EntryPoint) -> Origin:
    """Return the plugin of an entry point, and the distribution that ships it."""
    dist = point.dist
    if dist is None:
        return Origin(point.name)
    return Origin(point.name, dist.name or "unknown", dist.version or "0")


def _subclasses(kind: type[Part]) -> Iterator[type[Part]]:
    for inner in kind.__subclasses__():
        yield inner
        yield from _subclasses(inner)


@dataclass(frozen=True)
class _Step:
    """A frame of a traceback, as code of its module or as a method of its object."""

    frame: FrameType
    number: int
    depth: int
    package: str
    in_code: bool

    def owner(self) -> Any:
        """Return the object or class whose method runs here."""
        name = next(iter(self.frame.f_code.co_varnames), "")
        return self.frame.f_locals.get(name) if name in ("self", "cls") else None

    def part(self) -> Part | type[Part] | None:
        """Return the part whose method or built object or built function runs here."""
        owner = self.owner()
        if isinstance(owner, Part) or (isinstance(owner, type) and issubclass(owner, Part)):
            return owner
        built = [owner, *(f for f in gc.get_referrers(self.frame.f_code) if isinstance(f, FunctionType))]
        return next((part for one in built if (part := part_that_built(one))), None)

    def line(self) -> CodeLine:
        if self.in_code:
            return CodeLine(self.frame.f_code.co_filename, self.number, self.frame.f_code.co_name)
        owner = self.owner()
        return definition_of(owner if isinstance(owner, type) else type(owner))


def _steps(error: BaseException) -> list[_Step]:
    """Return the frames of an exception, first by the package of their object, then by that of their code."""
    steps: list[_Step] = []
    for depth, (frame, number) in enumerate(walk_tb(error.__traceback__)):
        module = str(frame.f_globals.get("__name__", ""))
        if module == REENTRY:
            steps.clear()
        by_code = _Step(frame, number, depth, module.partition(".")[0], in_code=True)
        owner = by_code.owner()
        kind = owner if isinstance(owner, type) else type(owner)
        steps += [replace(by_code, package=kind.__module__.partition(".")[0], in_code=False), by_code]
    return steps


def definition_of(thing: Any) -> CodeLine:
    """Return where a function or property begins; of a class, where it defines what is called, or begins."""
    thing = thing.fget if isinstance(thing, property) else thing
    own = getattr(thing, "__dict__", {})
    methods = [own[name] for name in ("build", "forward", "__call__") if name in own]
    for function in (*methods, thing):
        code = getattr(inspect.unwrap(function), "__code__", None)
        if isinstance(code, CodeType):
            # The first line is that of a decorator, if there is one.
            lines = enumerate(linecache.getlines(code.co_filename)[code.co_firstlineno - 1 :])
            after = next((after for after, line in lines if re.match(r"\s*(async )?def |.*lambda", line)), 0)
            return CodeLine(code.co_filename, code.co_firstlineno + after)
    try:
        return CodeLine(inspect.getsourcefile(thing) or thing.__module__, inspect.getsourcelines(thing)[1])
    except (OSError, TypeError):
        return CodeLine(thing.__module__, 0)


def _paths_of(options: object, part: Part | type[Part]) -> list[str]:
    """Return where in a recipe the parts of this slot and name stand."""
    name = part.slot, part.use
    return [dotted(path) for path, one in parts_with_paths(options) if path and (one.slot, one.use) == name]


def _only_part(options: object, package: str) -> Part | None:
    """Return the part of a package in a recipe, if there is one only."""
    own = {part.use: part for part in parts_in(options) if type(part).__module__.partition(".")[0] == package}
    return next(iter(own.values())) if len(own) == 1 else None
