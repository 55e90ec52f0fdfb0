"""The classes that options of a checkpoint may have, and the plain values that they become.

The list is closed. Where a file names one of these classes, the restricted reader makes one of the stand-ins
below, or what torch itself makes; no code of the file's program is looked up or called.
"""

from __future__ import annotations

import math
from argparse import Namespace
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import Any, cast

import numpy as np
import torch

from amrbench.errors import CheckpointError
from amrbench.types import Plain

DEEPEST = 16
MOST_VALUES = 100_000
PLAIN_KINDS = "biufUS"
"""Of numpy's types: truth values, numbers and text."""


class NumpyType:
    """Stands for `numpy.dtype`: keeps the code, e.g. "f8", and the byte order."""

    def __init__(self, code: object, *_: object) -> None:
        self.code = code if isinstance(code, str) else ""
        self.order = "="

    def __setstate__(self, state: tuple[object, ...]) -> None:
        self.order = str(state[1])

    def numpy(self) -> np.dtype[Any] | None:
        """Return the type, or None if it is not one of plain numbers or text."""
        if not self.code or self.code[0] not in PLAIN_KINDS or not self.code[1:].isdecimal():
            return None
        order = "<" if self.order == "<" else ">" if self.order == ">" else "="
        try:
            return np.dtype(order + self.code)
        except TypeError:
            return None


@dataclass(frozen=True, eq=False)
class NumpyScalar:
    """Stands for the function `scalar` of numpy: keeps the type and the bytes."""

    kind: object
    data: object = b""

    def value(self) -> Plain | Refused:
        """Return the number or text."""
        values = _values(self.kind, self.data, 1)
        return values if isinstance(values, Refused) else values[0]


class NumpyArray:
    """Stands for `numpy.ndarray`: keeps the state, which comes last."""

    def __init__(self, *_: object) -> None:
        self.state: tuple[object, ...] = ()

    def __setstate__(self, state: tuple[object, ...]) -> None:
        self.state = state

    def value(self) -> Plain | Refused:
        """Return the numbers or texts, nested as the array is."""
        if not isinstance(self.state, tuple) or len(self.state) != 5:
            return Refused("an unfinished numpy array")
        _, shape, kind, by_column, data = self.state
        if not isinstance(shape, tuple) or not all(type(size) is int and size >= 0 for size in shape):
            return Refused("a numpy array without a shape")
        values = _values(kind, data, math.prod(shape))
        if isinstance(values, Refused):
            return values
        if not values:
            return []
        try:
            array = np.array(values, object).reshape(shape, order="F" if by_column else "C")
        except ValueError:  # It has more dimensions than numpy allows.
            return _DAMAGED
        return cast("Plain", array.tolist())


@dataclass(frozen=True)
class Refused:
    """A value that is not plain."""

    what: str


_DAMAGED = Refused("a damaged numpy value")


def _values(kind: object, data: object, count: int) -> list[Plain] | Refused:
    """Return the values that bytes hold."""
    dtype = kind.numpy() if isinstance(kind, NumpyType) else None
    if dtype is None:
        return Refused(f"a numpy value of the type {getattr(kind, 'code', kind)!r}")
    if not isinstance(data, bytes) or len(data) != dtype.itemsize * count:
        return _DAMAGED
    if not count:
        return []
    if not dtype.itemsize:  # Empty texts have no bytes, so any number of them could be claimed.
        return [""] * count if count <= MOST_VALUES else _DAMAGED
    try:
        if dtype.kind == "U":  # On numbers that are no characters, numpy fails in ways of its own.
            data.decode("utf-32-le" if dtype.str[0] == "<" else "utf-32-be")
        values = np.frombuffer(data, dtype)
        plain: list[Any] = [float(value) for value in values] if dtype.kind == "f" else values.tolist()
    except ValueError:
        return _DAMAGED
    return [value.decode("utf-8", "replace") for value in plain] if dtype.kind == "S" else plain


def _mapping(_: object = None, items: object = ()) -> dict[object, object]:
    """Stand for `collections.defaultdict`: its items follow, what it makes of missing keys is left out."""
    return dict(items) if isinstance(items, Mapping) else {}


def _no_bytes() -> bytes:
    """Stand for the class `bytes`, which is called for empty ones."""
    return b""


class _Kind:
    """Stands for a built-in class that `defaultdict` makes missing values of."""


_NUMPY = ("numpy.core.multiarray", "numpy._core.multiarray")
_PATHS = ("pathlib", "pathlib._local")
STAND_INS: Mapping[str, Callable[..., object]] = {
    "easydict.EasyDict": OrderedDict,
    "argparse.Namespace": Namespace,
    "types.SimpleNamespace": Namespace,
    "collections.defaultdict": _mapping,
    "builtins.bytes": _no_bytes,
    "numpy.dtype": NumpyType,
    "numpy.ndarray": NumpyArray,
    **{f"{module}.scalar": NumpyScalar for module in _NUMPY},
    **{f"{module}._reconstruct": NumpyArray for module in _NUMPY},
    **{f"{module}.{name}": PurePosixPath for module in _PATHS for name in ("PosixPath", "PurePosixPath")},
    **{
        f"{module}.{name}": PureWindowsPath
        for module in _PATHS
        for name in ("WindowsPath", "PureWindowsPath")
    },
    **{f"builtins.{name}": _Kind for name in ("bool", "dict", "float", "int", "list", "str", "tuple")},
}
"""What is made where a file names one of these classes or functions, which need not be installed."""
TORCH_MAKES = frozenset(
    {"torch.device", "torch.Size", "collections.Counter", "builtins.set", "_codecs.encode"}
    | {f"torch.{kind}{bits}" for kind in ("int", "float") for bits in (16, 32, 64)}
    | {"torch.int8", "torch.uint8", "torch.bool", "torch.bfloat16"}
)
"""Further names that torch's restricted reader makes itself; `_codecs.encode` makes bytes of text."""


class PlainOptions:
    """Makes plain values of the options of a checkpoint."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.count = 0

    def plain(self, value: object, path: str, depth: int = 0) -> Plain:
        """Return a value as numbers, text, lists and mappings.

        Args:
            value: What the restricted reader made.
            path: Keys and indices to it, for messages.
            depth: How many mappings and lists are around it.

        Raises:
            CheckpointError: It is something else, too deep, or too much.
        """
        self.count += 1
        if self.count > MOST_VALUES:
            raise CheckpointError(f"{self.file}: its options have more than {MOST_VALUES:,} values.")
        if isinstance(value, NumpyScalar | NumpyArray):
            value = value.value()
        if value is None or isinstance(value, (bool, int, float, str)):
            return value
        if isinstance(value, PurePath | torch.device | torch.dtype):
            return str(value)
        if depth == DEEPEST:
            raise CheckpointError(f"{self.file}: option {path!r} is nested more than {DEEPEST} levels deep")
        if isinstance(value, Namespace):
            value = vars(value)
        if isinstance(value, Mapping):
            items = [(_key(key), item) for key, item in value.items()]
            return {key: self.plain(item, f"{path}.{key}", depth + 1) for key, item in items}
        if isinstance(value, set):
            value = sorted(value, key=repr)
        if isinstance(value, (list, tuple)):
            return [self.plain(item, f"{path}[{index}]", depth + 1) for index, item in enumerate(value)]
        what = value.what if isinstance(value, Refused) else f"a {type(value).__name__}"
        raise CheckpointError(
            f"{self.file}: option {path!r} is {what}, not a number, text, list or mapping. Make it one in "
            "the program that wrote the file, and save again."
        )


def _key(key: object) -> str:
    return str(key.value() if isinstance(key, NumpyScalar) else key)
