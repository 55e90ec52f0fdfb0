"""Weights as safetensors files, which hold names and numbers but no code."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from typing_extensions import override

from amrbench.errors import CheckpointError, RunError
from amrbench.files.atomic import atomic_path

ABOUT = "amrbench"
"""Key of the plain values in the header of a file."""


def state_of(module: nn.Module) -> dict[str, Tensor]:
    """Return a copy of the state of a module on the CPU; tied tensors are copied separately."""
    return {
        name: value.detach().to("cpu", copy=True).contiguous() for name, value in module.state_dict().items()
    }


def write_weights(path: Path, weights: Mapping[str, Tensor], about: Mapping[str, object]) -> None:
    """Write weights and plain values about them, whole or not at all.

    Raises:
        RunError: The file cannot be written.
    """
    # One entry, because the order of several entries is not fixed.
    metadata = {ABOUT: json.dumps(about, sort_keys=True)}
    try:
        with atomic_path(path) as part:
            save_file(dict(weights), part, metadata)
    except (OSError, SafetensorError) as error:
        raise RunError(f"{path}: cannot be written ({error}). Check the folder and the disk.") from error


class StoredWeights(Mapping[str, Tensor]):
    """The weights in a file, of which one tensor is read at a time, onto the CPU."""

    def __init__(self, path: Path) -> None:
        """Open the file and check its outline: its names, shapes and size.

        Raises:
            CheckpointError: There is no such file, it cannot be read, is truncated, or has another format.
        """
        self._path = path
        try:
            path.open("rb").close()  # safetensors would say that a file that may not be read is not there.
        except OSError as error:
            raise CheckpointError(
                f"{path}: these weights cannot be read ({error.strerror}). Let this user read the file, or "
                "move its folder away; what it held is trained again when it is needed."
            ) from error
        with _refused(path):
            opened: Any = safe_open(path, "pt")
            self._file = opened
            self._names = dict.fromkeys(opened.keys())

    @override
    def __getitem__(self, name: str) -> Tensor:
        if name not in self._names:
            raise KeyError(name)
        with _refused(self._path):
            tensor: Tensor = self._file.get_tensor(name)
        return tensor

    @override
    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    @override
    def __len__(self) -> int:
        return len(self._names)


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read weights onto the CPU, all at once.

    Raises:
        CheckpointError: There is no such file, it cannot be read, is truncated, or has another format.
    """
    return dict(StoredWeights(path))


@contextmanager
def _refused(path: Path) -> Iterator[None]:
    """Turn errors in reading a file into one message."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"{path}: not a weights file, or truncated ({error}). "
            "Move its folder away; what it held is trained again when it is needed."
        ) from error


def load_weights(
    module: nn.Module, weights: Mapping[str, Tensor], *, name: str, fresh: Collection[str] = ()
) -> None:
    """Copy weights into a module, in place.

    Args:
        module: The module.
        weights: One tensor for each entry of its state, with the same name and shape.
        name: Name of the weights in messages.
        fresh: Paths in the module whose tensors are not replaced, e.g. "model.query.anchors".

    Raises:
        CheckpointError: Names are missing or unexpected, or shapes differ.
    """
    own = module.state_dict()
    kept = {tensor for path in fresh for tensor in names_below(path, own)}
    expected, given = own.keys() - kept, weights.keys() - kept
    faults = [
        f"{kind} {', '.join(map(repr, sorted(names)))}"
        for kind, names in (("missing", expected - given), ("unexpected", given - expected))
        if names
    ] or [
        f"{tensor!r} is {tuple(weights[tensor].shape)}, not {tuple(own[tensor].shape)}"
        for tensor in sorted(expected)
        if weights[tensor].shape != own[tensor].shape
    ]
    if faults:
        raise CheckpointError(
            f"{name}: the weights do not fit the model: {'; '.join(faults)}. They belong to another recipe."
        )
    with torch.no_grad():
        for tensor in expected:
            own[tensor].copy_(weights[tensor])


def names_below(path: str, names: Collection[str]) -> list[str]:
    """Return the names of the tensors at a path in a module, e.g. "model.query.anchors", and below it."""
    return [name for name in names if name == path or name.startswith(f"{path}.")]
