"""Load the tensors of a published file into a module, all of them and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from amrbench.errors import CheckpointError, DataError, some

Net = TypeVar("Net", bound=nn.Module)


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a published file.

    Raises:
        CheckpointError: It is truncated, has another format, or has numbers that are not finite.
    """
    try:
        with safe_open(path, "pt") as stored:
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"{path}: not weights as safetensors, or truncated ({error}). Get the published file."
        ) from error
    for name, tensor in tensors.items():
        if not bool(tensor.isfinite().all()):
            raise CheckpointError(
                f"{path}: {name!r} holds values that are not finite. Get the published file."
            )
    return tensors


def load_published_weights(
    module: Net, tensors: Mapping[str, Tensor], path: Path, *, unused: Sequence[str] = ()
) -> Net:
    """Return the module with its weights, in float32, frozen and in evaluation mode.

    Args:
        module: Its parameters and persistent buffers must all be in the file.
        tensors: By name.
        path: The file, for messages.
        unused: Ends of names that the file may have and the module does not use.

    Raises:
        CheckpointError: A tensor is missing, unknown or of another shape.
    """
    expected = module.state_dict()
    missing = sorted(expected.keys() - tensors.keys())
    unknown = sorted(name for name in tensors.keys() - expected.keys() if not name.endswith(tuple(unused)))
    if missing or unknown:
        raise CheckpointError(
            f"{path}: not the weights that this encoder reads: {difference(missing, unknown)}. "
            "Get the published file."
        )
    for name, value in expected.items():
        if tensors[name].shape != value.shape:
            raise CheckpointError(
                f"{path}: {name!r} has shape {tuple(tensors[name].shape)}, not {tuple(value.shape)}. "
                "Get the published file."
            )
    module.load_state_dict({name: tensors[name].float() for name in expected})
    return module.requires_grad_(requires_grad=False).eval()


def difference(missing: Sequence[str], unknown: Sequence[str]) -> str:
    """Return e.g. "without 'a' and with 'b'", for messages."""
    faults = [f"without {some(missing, 3)}"] * bool(missing)
    faults += [f"with {some(unknown, 3)}"] * bool(unknown)
    return " and ".join(faults)


def refuse_other_vocabulary(file: Path, count: int, *, rows: int, weights: Path, published: str) -> None:
    """Check that a vocabulary can be that of some weights: one token for each row.

    Args:
        file: The vocabulary.
        count: Number of its tokens.
        rows: Rows of the token table of the weights.
        weights: Their file, for messages.
        published: What to get instead.

    Raises:
        DataError: There are more or fewer tokens than rows.
    """
    if count != rows:
        raise DataError(
            f"{file}: has {count:,} tokens, but {weights} has rows for {rows:,}. The file is cut off or of "
            f"another model. Get {published}."
        )


def tensors_below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors whose names begin with a prefix, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def count_numbered(tensors: Mapping[str, Tensor], prefix: str) -> int:
    """Return the number of numbered entries below a prefix, e.g. blocks below "blocks."."""
    entries = {name.removeprefix(prefix).split(".")[0] for name in tensors if name.startswith(prefix)}
    return sum(entry.isdigit() for entry in entries)


def axis_size(tensors: Mapping[str, Tensor], name: str, path: Path, *, axis: int = 0) -> int:
    """Return the size of an axis of a tensor.

    Raises:
        CheckpointError: There is no such tensor.
    """
    if name not in tensors or tensors[name].dim() <= axis:
        raise CheckpointError(
            f"{path}: not the weights that this encoder reads: without {name!r}. Get the published file."
        )
    return int(tensors[name].shape[axis])
