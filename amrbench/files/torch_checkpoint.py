"""Read weights files of other programs, without running any code in them.

A `torch.save` file is a pickle, and a pickle may call any function. Therefore the classes and functions that
it names are listed first. A file that names more than tensors and plain options need is refused; others are
loaded with torch's restricted unpickler. There is no option to trust a file.
"""

from __future__ import annotations

import pickle
import pickletools
import struct
import tarfile
import warnings
import zipfile
import zlib
from argparse import Namespace
from collections import OrderedDict
from collections.abc import Collection, Iterator, Mapping
from itertools import repeat
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from amrbench.errors import CheckpointError, some
from amrbench.types import Checkpoint, Plain

_ELEMENTS = ("Float", "Double", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool")
_TENSOR_GLOBALS = frozenset(
    {"collections.OrderedDict", "torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_parameter"}
    | {f"torch.{element}Storage" for element in _ELEMENTS}
)
# Names in a file are replaced by these classes: easydict itself need not be installed.
_OPTION_GLOBALS: Mapping[str, type] = {"easydict.EasyDict": OrderedDict, "argparse.Namespace": Namespace}
_ALWAYS = ("easydict.EasyDict",)
_DEEPEST = 16
_ZIP = b"PK\x03\x04"
# Raised by the zip module, torch's reader and its unpickler on damaged bytes.
_DAMAGE = (
    OSError, EOFError, ValueError, KeyError, IndexError, TypeError, AttributeError, AssertionError,
    RuntimeError, OverflowError, MemoryError, RecursionError, NotImplementedError,
    zipfile.BadZipFile, pickle.UnpicklingError, struct.error, tarfile.TarError, zlib.error,
)  # fmt: skip


def read_checkpoint(path: Path, *, allow: Collection[str] = (), bare: bool = False) -> Checkpoint:
    """Read the entries `model` and `opt` of a `torch.save` file; other entries are ignored.

    Args:
        path: The file, in torch's zip format or the older one.
        allow: Additional classes to accept; only `argparse.Namespace` is possible.
        bare: Whether the file may also be a mapping of names to tensors, without `model`.

    Raises:
        CheckpointError: The file is not a checkpoint, is truncated, names a class or function that tensors
            and options do not need, has no `model`, or has entries that are not finite tensors.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: there is no such checkpoint file")
    accepted = {name: _OPTION_GLOBALS[name] for name in sorted({*_ALWAYS, *allow})}
    refused = [name for name in named_globals(path) if name not in _TENSOR_GLOBALS | accepted.keys()]
    if refused:
        raise CheckpointError(
            f"{path}: the file names global {some(refused)}, which tensors and options do not need. "
            "It was not loaded and nothing in it was run. Save the weights and plain options only."
        )
    tree = _load(path, accepted)
    if bare and "model" not in tree:
        tree = {"model": tree}
    options = _plain(path, tree.get("opt", {}), "opt", 0)
    if not isinstance(options, dict):
        raise CheckpointError(
            f"{path}: entry 'opt' is a {type(tree['opt']).__name__}, not a mapping of options"
        )
    return Checkpoint(path, _weights(path, tree), options)


def named_globals(path: Path) -> list[str]:
    """List the classes and functions that a `torch.save` file names, sorted, without loading it.

    Raises:
        CheckpointError: The file is not a `torch.save` file, or is damaged.
    """
    try:
        with _no_warnings(), path.open("rb") as file:
            return sorted({name for stream in _pickles(file) for name in _globals_of_pickle(stream)})
    except _DAMAGE as error:
        raise _damaged(path, error) from error


def _no_warnings() -> warnings.catch_warnings[None]:
    # Damaged bytes make the readers warn before they fail; our error message is enough.
    return warnings.catch_warnings(action="ignore")


def _pickles(file: IO[bytes]) -> Iterator[IO[bytes]]:
    """Yield a stream at the beginning of each pickle in a `torch.save` file."""
    zipped = file.read(len(_ZIP)) == _ZIP
    file.seek(0)
    if not zipped:
        # The older format: magic number, version, system, content and storage keys, then raw numbers.
        yield from repeat(file, 5)
        return
    with zipfile.ZipFile(file) as archive:
        pickles = [entry for entry in archive.namelist() if entry.endswith(".pkl")]
        if not any(entry.endswith("/data.pkl") for entry in pickles):
            raise ValueError("the archive has no data.pkl")
        if any(entry.endswith("/constants.pkl") for entry in pickles):
            raise ValueError("the archive is a TorchScript program")
        for entry in pickles:
            with archive.open(entry) as stream:
                yield stream


def _globals_of_pickle(stream: IO[bytes]) -> Iterator[str]:
    for opcode, argument, _ in pickletools.genops(stream):
        if opcode.name in {"GLOBAL", "INST"}:
            yield str(argument).replace(" ", ".")
        elif opcode.name in {"STACK_GLOBAL", "EXT1", "EXT2", "EXT4"}:
            # torch never writes these opcodes, and the names they use need not be literals in the file.
            raise ValueError(f"the pickle uses {opcode.name}, which torch.save does not write")


def _load(path: Path, accepted: Mapping[str, type]) -> Mapping[object, object]:
    # Pairs of a class and the name it replaces: supported since torch 2.6, but missing in its annotations.
    aliases: Any = [(kind, name) for name, kind in accepted.items()]
    try:
        with _no_warnings(), torch.serialization.safe_globals(aliases):
            tree = torch.load(path, map_location="cpu", weights_only=True)
    except _DAMAGE as error:
        raise _damaged(path, error) from error
    if not isinstance(tree, Mapping):
        raise CheckpointError(
            f"{path}: the file holds a {type(tree).__name__}, not a mapping with an entry 'model'"
        )
    return tree


def _damaged(path: Path, error: Exception) -> CheckpointError:
    reason = str(error).strip().splitlines()
    return CheckpointError(
        f"{path}: not a checkpoint that torch.save wrote, or truncated "
        f"({type(error).__name__}: {reason[0] if reason else 'no details'}). Copy or download it again."
    )


def _weights(path: Path, tree: Mapping[object, object]) -> dict[str, Tensor]:
    if "model" not in tree:
        raise CheckpointError(f"{path}: no entry 'model'; the file holds {some(tree)}")
    model = tree["model"]
    if not isinstance(model, Mapping) or not model:
        raise CheckpointError(
            f"{path}: entry 'model' is a {type(model).__name__}, not a mapping of names to tensors"
        )
    for name, value in model.items():
        if not isinstance(name, str):
            raise CheckpointError(f"{path}: entry 'model' has the key {name!r}; keys are parameter names")
        if not isinstance(value, Tensor):
            raise CheckpointError(f"{path}: model entry {name!r} is a {type(value).__name__}, not a tensor")
        if value.numel() * value.element_size() > value.untyped_storage().nbytes():
            raise CheckpointError(f"{path}: model entry {name!r} claims more numbers than the file stores")
        if not bool(torch.isfinite(value).all()):
            raise CheckpointError(f"{path}: model entry {name!r} holds values that are not finite")
    return {name: value.detach() for name, value in model.items()}


def _plain(path: Path, value: object, name: str, depth: int) -> Plain:
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if depth == _DEEPEST:
        raise CheckpointError(f"{path}: option {name!r} is nested more than {_DEEPEST} levels deep")
    if isinstance(value, Namespace):
        value = vars(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(path, item, f"{name}.{key}", depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(path, item, f"{name}[{index}]", depth + 1) for index, item in enumerate(value)]
    raise CheckpointError(
        f"{path}: option {name!r} is a {type(value).__name__}, not a number, text, list or mapping"
    )
