"""Weights as safetensors: numbers and names, nothing that could run."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from amrbench.errors import CheckpointError, RunError, some
from amrbench.files.atomic import atomic_path

_ABOUT = "amrbench"


def state_of(module: nn.Module) -> dict[str, Tensor]:
    """Return a copy on the CPU of all that a module remembers, tied tensors each on their own."""
    return {
        name: value.detach().to("cpu", copy=True).contiguous() for name, value in module.state_dict().items()
    }


def write_weights(path: Path, weights: Mapping[str, Tensor], about: Mapping[str, object]) -> None:
    """Write weights with some words about them, whole or not at all.

    Raises:
        RunError: The file cannot be written.
    """
    # One entry, because the order of several would differ from file to file.
    metadata = {_ABOUT: json.dumps(about, sort_keys=True)}
    try:
        with atomic_path(path) as part:
            save_file(dict(weights), part, metadata)
    except (OSError, SafetensorError) as error:
        raise RunError(f"{path}: cannot be written ({error}). Check the folder and the disk.") from error


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read weights onto the CPU.

    Raises:
        CheckpointError: There is no such file, or it is truncated or of another format.
    """
    try:
        with safe_open(path, "pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"{path}: not a weights file, or truncated ({error}). "
            "Move its folder away; what it held is trained again when it is needed."
        ) from error


def load_weights(
    module: nn.Module, weights: Mapping[str, Tensor], *, name: str, fresh: Collection[str] = ()
) -> None:
    """Put weights into a module, in place.

    Args:
        module: What they are for.
        weights: Exactly one tensor for each that the module remembers, of the same shape.
        name: Where they come from, for messages.
        fresh: Places in the module that keep what they have, e.g. "model.query.anchors".

    Raises:
        CheckpointError: Names are missing or unexpected, or shapes differ.
    """
    own = module.state_dict()
    started = {each for place in fresh for each in names_below(place, own)}
    wanted, given = own.keys() - started, {each for each in weights if each not in started}
    faults = _differences(wanted, given) or _other_shapes(own, weights, sorted(wanted))
    if faults:
        raise CheckpointError(
            f"{name}: the weights do not fit the model: {'; '.join(faults)}. They belong to another recipe."
        )
    with torch.no_grad():
        for each in sorted(wanted):
            own[each].copy_(weights[each])


def names_below(place: str, names: Collection[str]) -> list[str]:
    """Return the names of what lies at a place in a module, e.g. "model.query.anchors"."""
    return [each for each in names if each == place or each.startswith(f"{place}.")]


def _differences(wanted: Collection[str], given: Collection[str]) -> list[str]:
    missing, unexpected = sorted(set(wanted) - set(given)), sorted(set(given) - set(wanted))
    faults = [f"missing {some(missing, limit=len(missing))}"] if missing else []
    return faults + ([f"unexpected {some(unexpected, limit=len(unexpected))}"] if unexpected else [])


def _other_shapes(own: Mapping[str, Tensor], given: Mapping[str, Tensor], names: list[str]) -> list[str]:
    return [
        f"{each!r} is {tuple(given[each].shape)}, not {tuple(own[each].shape)}"
        for each in names
        if given[each].shape != own[each].shape
    ]
