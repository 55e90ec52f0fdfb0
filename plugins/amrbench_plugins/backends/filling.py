"""Put the tensors of a published file into a module, all of them and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor, nn

from amrbench.errors import CheckpointError, DataError, some


def fill(
    module: nn.Module, tensors: Mapping[str, Tensor], path: Path, *, idle: Sequence[str] = ()
) -> nn.Module:
    """Return the module with its weights, in float32 and ready to be asked.

    Args:
        module: Its parameters and persistent buffers are what must be in the file.
        tensors: By name.
        path: The file, for messages.
        idle: Ends of names that the file may have and the module does not use.

    Raises:
        CheckpointError: A tensor is missing, unknown or of another shape.
    """
    wanted = module.state_dict()
    missing = sorted(wanted.keys() - tensors.keys())
    unknown = sorted(name for name in tensors.keys() - wanted.keys() if not name.endswith(tuple(idle)))
    if missing or unknown:
        said = [f"without {some(missing, 3)}"] * bool(missing) + [f"with {some(unknown, 3)}"] * bool(unknown)
        raise CheckpointError(
            f"{path}: not the weights that this encoder reads: {' and '.join(said)}. Get the published file."
        )
    for name, value in wanted.items():
        if tensors[name].shape != value.shape:
            raise CheckpointError(
                f"{path}: {name!r} has shape {tuple(tensors[name].shape)}, not {tuple(value.shape)}. "
                "Get the published file."
            )
    module.load_state_dict({name: tensors[name].float() for name in wanted})
    return module.requires_grad_(requires_grad=False).eval()


def refuse_other_words(file: Path, count: int, *, rows: int, weights: Path, published: str) -> None:
    """Check that a vocabulary can be that of some weights: a token for each row.

    Args:
        file: The vocabulary.
        count: Its tokens.
        rows: Those of the weights' table of tokens.
        weights: Their file, for messages.
        published: What to get instead.

    Raises:
        DataError: There are more or fewer.
    """
    if count != rows:
        raise DataError(
            f"{file}: has {count:,} tokens, but {weights} has rows for {rows:,}. The file is cut off or of "
            f"another model. Get {published}."
        )


def below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors whose names begin with a prefix, without it."""
    return {name.removeprefix(prefix): each for name, each in tensors.items() if name.startswith(prefix)}


def count_of(tensors: Mapping[str, Tensor], prefix: str) -> int:
    """Return how many numbered entries lie below a prefix, e.g. blocks below "blocks."."""
    found = {name.removeprefix(prefix).split(".")[0] for name in tensors if name.startswith(prefix)}
    return sum(each.isdigit() for each in found)


def width_of(tensors: Mapping[str, Tensor], name: str, path: Path, *, place: int = 0) -> int:
    """Return a size of a tensor.

    Raises:
        CheckpointError: There is no such tensor.
    """
    if name not in tensors or tensors[name].dim() <= place:
        raise CheckpointError(
            f"{path}: not the weights that this encoder reads: without {name!r}. Get the published file."
        )
    return int(tensors[name].shape[place])
