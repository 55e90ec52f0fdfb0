"""Read weights files of other programs, without running any code in them.

A `torch.save` file is a pickle, and a pickle may call any function. Therefore the classes and functions that
it names are listed first. A file that names more than tensors and plain options need is refused; others are
loaded with torch's restricted unpickler. There is no option to trust a file.
"""

from __future__ import annotations

import pickle
import struct
import tarfile
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import repeat
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from amrbench.errors import CheckpointError, some
from amrbench.files.checkpoint_options import STAND_INS, TORCH_MAKES, NumpyArray, PlainOptions
from amrbench.files.file_kind import HEAD, file_kind
from amrbench.files.pickle_outline import Outline
from amrbench.types import Checkpoint

_ELEMENTS = ("Float", "Double", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool")
_ACCEPTED = frozenset(
    {"collections.OrderedDict", "torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_parameter"}
    | {f"torch.{element}Storage" for element in _ELEMENTS}
    | STAND_INS.keys()
    | TORCH_MAKES
)
_OLD_NAMES = {
    "__builtin__.long": "builtins.int",
    "__builtin__.unicode": "builtins.str",
    "__builtin__.xrange": "builtins.range",
}
_OWN_KINDS = ("a ZIP", "a pickle")
_REMEDY = "Copy or download it again, or save it with torch.save."
_ZIP = b"PK\x03\x04"
# Raised by the zip module, torch's reader and its unpickler on damaged bytes.
_DAMAGE = (
    OSError, EOFError, ValueError, KeyError, IndexError, TypeError, AttributeError, AssertionError,
    RuntimeError, OverflowError, MemoryError, RecursionError, NotImplementedError,
    zipfile.BadZipFile, pickle.UnpicklingError, struct.error, tarfile.TarError, zlib.error,
)  # fmt: skip


def read_checkpoint(path: Path, *, bare: bool = False) -> Checkpoint:
    """Read the entries `model` and `opt` of a `torch.save` file; other entries are ignored.

    Args:
        path: The file, in torch's zip format or the older one.
        bare: Whether the file may also be a mapping of names to tensors, without `model`, or begin with one.

    Raises:
        CheckpointError: The file is not a checkpoint, is truncated, names a class or function that tensors
            and options do not need, has no `model`, or has entries that are not finite tensors.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: there is no such checkpoint file")
    refused = {name: entry for name, entry in named_globals(path).items() if name not in _ACCEPTED}
    if refused:
        raise CheckpointError(
            f"{path}: the file names global {_with_entries(refused)}, which tensors and options do not need. "
            "It was not loaded and nothing in it was run. In the program that wrote it, save the weights and "
            "plain options only: numbers, texts, lists and mappings."
        )
    tree = _load(path)
    if bare and isinstance(tree, tuple) and tree:
        tree = tree[0]
    if not isinstance(tree, Mapping):
        raise CheckpointError(
            f"{path}: the file holds a {type(tree).__name__}, not a mapping with an entry 'model'"
        )
    entries: Mapping[object, object] = {"model": tree} if bare and "model" not in tree else tree
    options = PlainOptions(path).plain(entries.get("opt", {}), "opt")
    if not isinstance(options, dict):
        raise CheckpointError(
            f"{path}: entry 'opt' is a {type(entries['opt']).__name__}, not a mapping of options"
        )
    return Checkpoint(path, _weights(path, entries), options)


def named_globals(path: Path) -> dict[str, str]:
    """Return the classes and functions that a `torch.save` file names, sorted, without loading it.

    Returns:
        The path of the first entry that needs each, e.g. "opt.device"; empty where it is not known.

    Raises:
        CheckpointError: The file is not a `torch.save` file, or is damaged.
    """
    entries: dict[str, str] = {}
    try:
        with _no_warnings(), path.open("rb") as file:
            for stream in _pickles(file):
                outline = Outline(stream)
                entries = dict.fromkeys(outline.names, "") | outline.paths() | entries
    except _DAMAGE as error:
        raise _damaged(path, error) from error
    return dict(sorted((_modern(name), entry) for name, entry in entries.items()))


def _modern(name: str) -> str:
    """Return the name of a class in Python 3; protocol 2 of pickle has those of Python 2."""
    return _OLD_NAMES.get(name, name.replace("__builtin__.", "builtins.", 1))


def _with_entries(names: Mapping[str, str]) -> str:
    """Return e.g. "'os.system' at opt.a, 'pkg.Config' at opt"."""
    shown = [f"{name!r} at {entry}" if entry else repr(name) for name, entry in names.items()]
    return ", ".join(shown[:5]) + (f" and {len(shown) - 5} more" if len(shown) > 5 else "")


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
        _refuse_more_than_stored(archive, file.seek(0, 2))
        pickles = [entry for entry in archive.namelist() if entry.endswith(".pkl")]
        if not any(entry.endswith("/data.pkl") for entry in pickles):
            raise ValueError("the archive has no data.pkl")
        if any(entry.endswith("/constants.pkl") for entry in pickles):
            raise ValueError("the archive is a TorchScript program")
        for entry in pickles:
            with archive.open(entry) as stream:
                yield stream


def _refuse_more_than_stored(archive: zipfile.ZipFile, size: int) -> None:
    """Raise ValueError for entries that would be unpacked; torch stores them as they are, each once."""
    entries = archive.infolist()
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise ValueError("its entries are compressed, which torch.save does not do")
    if sum(entry.file_size for entry in entries) > size or len(entries) > len(set(archive.namelist())):
        raise ValueError("its entries overlap")


def _load(path: Path) -> object:
    # Pairs of a class and the name it replaces: supported since torch 2.6, but missing in its annotations.
    aliases: Any = [(stand_in, name) for name, stand_in in STAND_INS.items()]
    try:
        with _no_warnings(), torch.serialization.safe_globals(aliases):
            return torch.load(path, map_location="cpu", weights_only=True)
    except _DAMAGE as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> CheckpointError:
    with suppress(OSError), path.open("rb") as file:
        kind = file_kind(file.read(HEAD))
        if kind and not kind.startswith(_OWN_KINDS):
            return CheckpointError(f"{path}: not a checkpoint that torch.save wrote, but {kind}. {_REMEDY}")
    reason = str(error).strip().splitlines()
    return CheckpointError(
        f"{path}: not a checkpoint that torch.save wrote, or truncated "
        f"({type(error).__name__}: {reason[0] if reason else 'no details'}). {_REMEDY}"
    )


def _weights(path: Path, tree: Mapping[object, object]) -> dict[str, Tensor]:
    if "model" not in tree:
        raise CheckpointError(
            f"{path}: no entry 'model'; the file holds {some(tree)}. Save the weights under 'model' and the "
            "options under 'opt': torch.save({'model': model.state_dict(), 'opt': vars(opt)}, path)."
        )
    model = tree["model"]
    if not isinstance(model, Mapping) or not model:
        raise CheckpointError(
            f"{path}: entry 'model' is a {type(model).__name__}, not a mapping of names to tensors"
        )
    for name, value in model.items():
        if not isinstance(name, str):
            raise CheckpointError(f"{path}: entry 'model' has the key {name!r}; keys are parameter names")
        if not isinstance(value, Tensor):
            kind = "NumPy array" if isinstance(value, NumpyArray) else type(value).__name__
            raise CheckpointError(f"{path}: model entry {name!r} is a {kind}, not a tensor")
        if value.numel() * value.element_size() > value.untyped_storage().nbytes():
            raise CheckpointError(f"{path}: model entry {name!r} claims more numbers than the file stores")
        if not bool(torch.isfinite(value).all()):
            raise CheckpointError(f"{path}: model entry {name!r} holds values that are not finite")
    return {name: value.detach() for name, value in model.items()}
