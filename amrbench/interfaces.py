"""Whether what `build` of a part returns, and what that returns in turn, is what the slot asks for."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Generic, Protocol, TypeVar

R = TypeVar("R")
_NO_MEMBERS = (object, Protocol, Generic)
_BUILT_BY = "_amrbench_part"


class InterfaceError(TypeError):
    """What `build` of a part returned is not what its slot asks for."""


def interface_fault(built: object, interface: type | None, *, module: bool) -> str:
    """Return what is wrong with an object that `build` returned; empty if it has the interface.

    Args:
        built: The object.
        interface: A protocol, or a class whose public attributes and methods it must have; None for any.
        module: Whether it must also be an `nn.Module`.
    """
    expected = f"{with_article(interface)} ({interface.__module__})" if interface else "an object"
    if built is None:
        return f"build returns None, not {expected}. Return what the options describe."
    if isinstance(built, type):
        return f"build returns the class {built.__name__} itself, not {expected}. Return an instance of it."
    if module and not _is_module(built):
        return f"build returns {_shown(built)}, which is no torch.nn.Module. Let its class extend nn.Module."
    if interface is None:
        return ""
    members = _members(interface)
    missing = [_written(name, module) for name in members if not _has(built, name, module)]
    if missing:
        return f"build returns {_shown(built)}, not {expected}. It lacks {', '.join(missing)}."
    for name, member in members.items():
        if inspect.isfunction(member) and (fault := _arguments_fault(built, name, member)):
            return f"build returns {_shown(built)}, not {expected}. {fault}"
    return ""


class ResultError(TypeError):
    """A method or function of a part returned what its slot does not ask for.

    Attributes:
        built: The object with the method, or the function.
        method: The name of the method, as its author writes it.
    """

    def __init__(self, text: str, built: object, method: str) -> None:
        super().__init__(text)
        self.built = built
        self.method = method


def checked_result(built: object, method: str, result: object, kind: type[R]) -> R:
    """Return a result as it is, or raise ResultError if it is of another kind.

    Args:
        built: The object with the method, or the function.
        method: The name of the method; "__call__" for a function and for `forward` of a module.
        result: What it returned.
        kind: What it should return.
    """
    if result is None or not isinstance(result, kind):
        name = _written(method, module=_is_module(built))
        who = "it" if inspect.isroutine(built) else name
        raise ResultError(f"{who} returns {brief(result)}, not {with_article(kind)}.", built, name)
    return result


def brief(value: object) -> str:
    """Return what a value is, in a few words."""
    if value is None:
        return "None"
    kind = type(value).__name__
    return f"{kind} of shape {tuple(value.shape)}" if hasattr(value, "shape") else f"{kind} {value!r:.40}"


def with_article(kind: type | str) -> str:
    """Return the name of a class or slot with its article, e.g. "an Encoder"."""
    name = kind if isinstance(kind, str) else kind.__name__
    return f"{'an' if name[:1] in tuple('AEIOUaeiou') else 'a'} {name}"


def check_results(built: object, method: str, results: Iterable[object], kind: type[R]) -> None:
    """Raise ResultError if one of the results of a method is of another kind; see `checked_result`."""
    for result in results:
        checked_result(built, method, result, kind)


def remember_part(built: object, part: object) -> None:
    """Remember which part built an object, so that an error in its code can name the part."""
    for target in (built, getattr(built, "__self__", None), getattr(built, "func", None)):
        with suppress(AttributeError, TypeError):  # Some objects take no attributes.
            object.__setattr__(target, _BUILT_BY, part)


def part_that_built(built: object) -> Any:
    """Return the part that built an object, or None if it is not known."""
    return getattr(built, "__dict__", {}).get(_BUILT_BY)


def _members(interface: type) -> dict[str, Any]:
    """Return the public attributes and methods of a class; a name that is only annotated has None."""
    members: dict[str, Any] = {}
    for base in reversed(interface.__mro__):
        if base not in _NO_MEMBERS:
            members |= dict.fromkeys(inspect.get_annotations(base))
            members |= vars(base)
    return {name: member for name, member in members.items() if name == "__call__" or name[0] != "_"}


def _is_module(built: object) -> bool:
    torch = sys.modules.get("torch")  # What is not imported yet has built nothing.
    return torch is not None and isinstance(built, torch.nn.Module)


def _has(built: object, name: str, module: bool) -> bool:
    if name == "__call__" and module:
        return type(built).forward is not sys.modules["torch"].nn.Module.forward  # type: ignore[attr-defined]
    return callable(built) if name == "__call__" else hasattr(built, name)


def _arguments_fault(built: object, name: str, member: Any) -> str:
    """Return what is wrong with the arguments of a method, compared with that of the interface."""
    target: Any = built if name == "__call__" else getattr(built, name)
    if name == "__call__" and _is_module(built):
        target = target.forward
    asked = list(inspect.signature(member).parameters.values())[1:]
    given = [one.name for one in asked if one.default is one.empty]
    named = [one.name for one in asked if one.default is not one.empty]
    try:
        taken = inspect.signature(target)
    except (TypeError, ValueError):
        return ""  # Of a function that is not written in Python.
    try:
        taken.bind(*given, **dict.fromkeys(named))
    except TypeError:
        written = _written(name, module=_is_module(built))
        who = "It" if inspect.isroutine(built) else f"Its {written}"
        return f"{who} takes {taken}, but is called with ({', '.join([*given, *named])})."
    return ""


def _written(name: str, module: bool) -> str:
    """Return the name of a method as its author writes it."""
    return "forward" if name == "__call__" and module else name


def _shown(built: object) -> str:
    kind = type(built)
    if inspect.isroutine(built):
        return f"the function {getattr(built, '__name__', built)!r}"
    return f"an object of {kind.__module__}.{kind.__qualname__}"
