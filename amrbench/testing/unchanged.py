"""Whether a call writes into what it is given."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from typing import Any

from torch import Tensor

from amrbench.testing.small_data import expect
from amrbench.training.block_calls import same_bits


@contextmanager
def unchanged(who: str, **given: Any) -> Iterator[None]:
    """Raise AssertionError if tensors in what is given, such as a batch, have other numbers afterwards."""
    before = {name: tensor.detach().clone() for name, tensor in tensors_in("", given)}
    yield
    for name, tensor in tensors_in("", given):
        same = same_bits(tensor.detach(), before[name])
        expect(same, f"{who}: it writes into {name}, which it is given. Change a copy (clone).")


def tensors_in(name: str, value: Any) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors of mappings and dataclasses, with dotted names."""
    if isinstance(value, Tensor):
        yield name, value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from tensors_in(f"{name}.{key}" if name else str(key), inner)
    elif is_dataclass(value):
        for field in fields(value):
            yield from tensors_in(f"{name}.{field.name}", getattr(value, field.name))
