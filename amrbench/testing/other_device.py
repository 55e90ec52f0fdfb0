"""Whether a module makes its tensors on the device of its input.

The check runs it on the device "meta", which has shapes and no numbers, so that it needs no GPU. What copies
numbers to the host cannot be checked there and passes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, TypeVar

import torch
from torch import Tensor

from amrbench.testing.small_data import expect

D = TypeVar("D")
_MISMATCH = re.compile(r"on device \w+ is not on the expected device|two devices|same device")


def on_meta(value: D) -> D:
    """Return a dataclass, mapping or tensor with its tensors on the device "meta"."""
    moved: Any = value
    if isinstance(value, Tensor):
        moved = value.to("meta")
    elif isinstance(value, Mapping):
        moved = {name: on_meta(inner) for name, inner in value.items()}
    elif hasattr(value, "__dataclass_fields__"):
        moved = type(value)(*(on_meta(getattr(value, field.name)) for field in fields(value)))  # type: ignore[arg-type]
    return moved  # type: ignore[no-any-return]


def check_device(call: Callable[[], Mapping[str, Tensor]], who: str) -> None:
    """Check that a call with everything on another device works, and returns tensors of that device."""
    remedy = "Create tensors on the device of the input (new_zeros, device=...), and constants as buffers."
    results: Mapping[str, Tensor] = {}
    try:
        with torch.no_grad():
            results = call()
    except NotImplementedError:
        return  # Numbers are copied to the host, or decide a shape.
    except RuntimeError as error:
        text = str(error).partition("\n")[0]
        expect(not _MISMATCH.search(text), f"{who}: on another device than the CPU it fails: {text} {remedy}")
        return
    for name, tensor in results.items():
        meta = tensor.device.type == "meta"
        expect(meta, f"{who}: {name!r} is on the CPU where its input is on another device. {remedy}")
