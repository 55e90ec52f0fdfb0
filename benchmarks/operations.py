"""What a piece of work hands to a device: kernels, matrix products, bytes, and waits for results.

Run on the device "meta", whose tensors have shapes and no numbers, the largest batch takes seconds and no
memory, and the counts are exact and the same on every machine. They are those of the generic path, without
what is done only on CPUs or only on one kind of GPU.
"""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

PRODUCTS = ("mm", "addmm", "bmm", "baddbmm")
WITHOUT_KERNEL = frozenset(
    {
        *("_unsafe_view", "empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided"),
        *("_record_function_enter_new", "_record_function_exit"),
    }
)
"""Operations that compute nothing, besides those that only look at a tensor in another way."""
READS = ("_local_scalar_dense", "nonzero", "masked_select", "equal", "is_nonzero")
"""Operations whose result the host needs before it can go on."""


@dataclass(frozen=True)
class Operand:
    """The layout of a matrix or of a batch of them."""

    shape: tuple[int, ...]
    stride: tuple[int, ...]

    @property
    def extent(self) -> int:
        """Numbers from the first to the last in memory."""
        return 1 + sum((size - 1) * step for size, step in zip(self.shape, self.stride, strict=True))


@dataclass(frozen=True)
class Product:
    """A matrix product as it is dispatched; what is added comes first."""

    name: str
    operands: tuple[Operand, ...]
    dtype: torch.dtype

    @property
    def flops(self) -> int:
        """Multiplications and additions."""
        left, right = self.operands[-2:]
        return 2 * prod(left.shape) * right.shape[-1]

    def text(self) -> str:
        """Return e.g. "mm (9600, 256) x (256, 1024)"."""
        left, right = self.operands[-2:]
        return f"{self.name} {left.shape} x {right.shape}"


class Operations(TorchDispatchMode):
    """Counts what is dispatched inside of it.

    Attributes:
        kernels: By name; views and memory that is only allocated are none.
        products: Matrix products, by operation and layout.
        waits: Places where the host waits for a device, with the operation.
        bytes: Read and written, if every kernel reads and writes its tensors once.
    """

    def __init__(self) -> None:
        super().__init__()
        self.kernels: Counter[str] = Counter()
        self.products: Counter[Product] = Counter()
        self.waits: list[str] = []
        self.bytes = 0

    @property
    def flops(self) -> int:
        """Of all matrix products."""
        return sum(product.flops * count for product, count in self.products.items())

    def frequent(self, most: int = 12) -> str:
        """Return the most frequent kernels, e.g. "271 mul, 235 mm"."""
        return ", ".join(f"{count} {name}" for name, count in self.kernels.most_common(most))

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func.overloadpacket.__name__
        if name in READS or is_download(name, args, kwargs) or is_choice(name, args):
            if not kwargs.get("non_blocking"):
                self.waits.append(f"{name} in {caller()}")
            if args[0].device.type == "meta":
                return numbers_for(name, args[0], kwargs)
        result = func(*args, **kwargs)
        if not func.is_view and name not in WITHOUT_KERNEL:
            self.kernels[name] += 1
            self.bytes += sum(size_of(leaf) for leaf in tree_leaves((args, kwargs, result)))
        if name.rstrip("_") in PRODUCTS:
            tensors = [value for value in args if isinstance(value, Tensor)]
            operands = tuple(Operand(tuple(each.shape), each.stride()) for each in tensors)
            self.products[Product(name.rstrip("_"), operands, tensors[0].dtype)] += 1
        return result


def size_of(leaf: object) -> int:
    """Return the bytes of a tensor, which an expanded one has once."""
    if not isinstance(leaf, Tensor):
        return 0
    extent = Operand(tuple(leaf.shape), leaf.stride()).extent if leaf.numel() else 0
    return min(leaf.numel(), extent) * leaf.element_size()


def is_download(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Say whether an operation copies a tensor of another device to the host."""
    to = kwargs.get("device") if name == "_to_copy" else None
    return to is not None and torch.device(to).type == "cpu" and args[0].device.type != "cpu"


def is_choice(name: str, args: tuple[Any, ...]) -> bool:
    """Say whether an operation takes elements by a mask, so that their number must be counted first."""
    return name == "index" and any(isinstance(each, Tensor) and each.dtype == torch.bool for each in args[1])


def numbers_for(name: str, tensor: Tensor, kwargs: dict[str, Any]) -> Any:
    """Return numbers in place of those that a tensor without numbers would have."""
    if name == "_to_copy":
        return torch.zeros(tensor.shape, dtype=kwargs.get("dtype") or tensor.dtype)
    if name == "_local_scalar_dense":
        return 1
    raise NotImplementedError(f"{name} in {caller()}: the shape of the result depends on numbers")


def caller() -> str:
    """Return the place in the packages that called torch, e.g. "matcher.py:41 __call__"."""
    own = [
        frame
        for frame in traceback.extract_stack()
        if "torch" not in Path(frame.filename).parts and frame.filename != __file__
    ]
    return f"{Path(own[-1].filename).name}:{own[-1].lineno} {own[-1].name}" if own else "torch"


@contextmanager
def operations_on_meta() -> Iterator[Operations]:
    """Count what is dispatched for tensors on the device "meta", with dropout in one kernel as on GPUs."""
    with (
        mock.patch("torch.autocast", return_value=nullcontext()),  # It does not know the device.
        mock.patch("torch.nn.functional.dropout", lambda x, p: torch.native_dropout(x, p, True)[0]),
        Operations() as operations,
    ):
        yield operations
