"""Tensors and plain values, nested, in one safetensors file. Nothing is pickled."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from amrbench.errors import CheckpointError
from amrbench.files.weights import ABOUT, write_weights

Tree = Any
"""A tensor, a number, text, None, or a mapping, list or tuple of trees."""

_OUTLINE = "outline"


def write_tree(path: Path, tree: Tree) -> None:
    """Write a tree, whole or not at all.

    Raises:
        RunError: The file cannot be written.
        TypeError: It holds something else.
    """
    tensors: dict[str, Tensor] = {}
    outline = _outlined(tree, tensors)
    write_weights(path, tensors, {_OUTLINE: outline})


def read_tree(path: Path) -> Tree:
    """Read a tree onto the CPU.

    Raises:
        CheckpointError: There is no such file, or it has another format.
    """
    try:
        opened: Any = safe_open(path, "pt")
        with opened as file:
            return _tree(json.loads(file.metadata()[ABOUT])[_OUTLINE], file)
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path}: not a saved state, or truncated ({error}).") from error


def size_of(tree: Tree) -> int:
    """Return the bytes of the tensors of a tree."""
    if isinstance(tree, Tensor):
        return tree.numel() * tree.element_size()
    if isinstance(tree, Mapping):
        return sum(map(size_of, tree.values()))
    return sum(map(size_of, tree)) if isinstance(tree, list | tuple) else 0


def _outlined(value: Tree, tensors: dict[str, Tensor]) -> Any:
    """Return a value as JSON holds it, with the names of its tensors; every container is [kind, items]."""
    if isinstance(value, Tensor):
        name = str(len(tensors))
        tensors[name] = value.detach().to("cpu", copy=True).contiguous()
        return ["tensor", name]
    if isinstance(value, Mapping):
        return ["mapping", [[key, _outlined(item, tensors)] for key, item in value.items()]]
    if isinstance(value, list | tuple):
        kind = "list" if isinstance(value, list) else "tuple"
        return [kind, [_outlined(item, tensors) for item in value]]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"a saved state cannot hold {type(value).__name__}")


def _tree(outline: Any, file: Any) -> Tree:
    if not isinstance(outline, list):
        return outline
    kind, content = outline
    if kind == "tensor":
        tensor: torch.Tensor = file.get_tensor(content)
        return tensor
    if kind == "mapping":
        return {key: _tree(item, file) for key, item in content}
    items = [_tree(item, file) for item in content]
    return items if kind == "list" else tuple(items)
