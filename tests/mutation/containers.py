"""Changes inside containers, which a change of their bytes seldom survives: sizes, types, names, metadata."""

import io
import json
import random
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch

from amrbench.files.feature_file import KINDS, SCHEMA, byte_range
from amrbench.files.file_digest import write_digest
from tests.mutation.mutants import mutate
from tests.mutation.odd_values import NUMBERS, TEXTS
from tests.mutation.value_changes import change_value

COUNTS = (0, 1, 2, 3, 5, 767, 769, 2**16, 2**31, 10**9, 10**12, 2**62, 2**63, -1)


def _zip(file: Path, entries: dict[str, bytes], rng: random.Random) -> None:
    kind = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA))
    with zipfile.ZipFile(file, "w", kind) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)


def _unzipped(file: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(file) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


# ---------------------------------------------------------------- npz


def _npy(shape: object, kind: object, content: bytes, order: object = False) -> bytes:
    header = repr({"descr": kind, "fortran_order": order, "shape": shape}).encode().ljust(117) + b"\n"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header + content


def change_npz(file: Path, rng: random.Random) -> str:
    """Write another array, or a header that promises other rows than there are."""
    entries = _unzipped(file)
    (name, content), *_ = entries.items()
    kind = rng.choice(("shape", "type", "zeros", "name", "inner", "object"))
    shape = tuple(rng.choice(COUNTS) for _ in range(rng.choice((0, 1, 2, 2, 3))))
    if kind == "shape":
        entries[name] = _npy(
            rng.choice((shape, (rng.choice(COUNTS), 768), "x", [4, 64])), "<f4", content[128:]
        )
    elif kind == "type":
        types = (
            "<f8",
            "<f2",
            ">f4",
            "<i4",
            "<c8",
            "|O",
            "|S9",
            "<U3",
            "<M8[s]",
            "|V4",
            "<f16",
            "",
            "x",
            [("a", "<f4")],
        )
        entries[name] = _npy(
            (4, 64), rng.choice(types), content[128:] * 2, order=rng.choice((False, True, 3))
        )
    elif kind == "zeros":
        rows = rng.choice((10, 1000, 30000))
        entries[name] = _npy((rows, 64), "<f4", bytes(rows * 64 * 4))
    elif kind == "name":
        entries = {rng.choice(("x.npy", name[:-4], "../x.npy", f"{name}/", "features.npy")): content}
    elif kind == "object":
        array = np.array([{"a": 1}, None], dtype=object)
        buffer = io.BytesIO()
        np.save(buffer, array, allow_pickle=True)
        entries[name] = buffer.getvalue()
    else:
        entries[name] = mutate(content, name, rng)[1]
    _zip(file, entries, rng)
    return f"npz {kind}"


# ---------------------------------------------------------------- HDF5


def change_hdf5(file: Path, rng: random.Random) -> str:
    """Change an attribute or a data set, and make the digest right again."""
    kind = rng.choice(("attribute", "values", "shape", "type", "missing", "chunked", "link", "digest"))
    with h5py.File(file, "r") as source:
        ranges = [byte_range(source[f"{group}/rows"]) for group in KINDS]
    if kind == "digest":
        text, _, rest = file.read_bytes().partition(b"\0")
        text = mutate(text, "digest.json", rng)[1][:511]
        file.write_bytes(text + b"\0" + rest)
        return "HDF5 digest"
    with h5py.File(file, "r+") as target:
        _change_open_hdf5(target, kind, rng)
        present = all(_has_dataset(target, f"{group}/rows") for group in KINDS)
        if present:
            ranges = [
                _range_of(target[f"{group}/rows"], old) for group, old in zip(KINDS, ranges, strict=True)
            ]
    size = file.stat().st_size
    ranges = [old for old in ranges if old.stop <= size]
    write_digest(file, SCHEMA, ranges)
    return f"HDF5 {kind}"


def _has_dataset(target: Any, name: str) -> bool:
    try:
        return isinstance(target.get(name), h5py.Dataset)
    except RuntimeError:  # The name is a link in a circle.
        return False


def _range_of(data: Any, old: Any) -> Any:
    try:
        return byte_range(data) if data.id.get_offset() is not None else old
    except (TypeError, ValueError):
        return old


def _change_open_hdf5(target: Any, kind: str, rng: random.Random) -> None:
    if kind == "attribute":
        name = rng.choice(list(target.attrs))
        new = rng.choice((*(number for number in NUMBERS if abs(number) < 2**63), *TEXTS[:20]))
        target.attrs[name] = new.replace("\0", "") if isinstance(new, str) else new
        if rng.random() < 0.2:
            del target.attrs[name]
        return
    group, name = rng.choice(KINDS), rng.choice(("rows", "id", "offset", "crc32"))
    path = f"{group}/{name}"
    old = target[path][()]
    if kind == "values":
        flat = old.ravel()
        if old.dtype.kind != "S" and len(flat):
            with np.errstate(all="ignore"):
                flat[rng.randrange(len(flat))] = rng.choice((0, 1, 2, 10**6))
        target[path][...] = old
        return
    del target[path]
    if kind == "shape":
        target[path] = rng.choice(
            (old[:-1], old[..., None], old.ravel(), np.concatenate([old, old]), old[:0])
        )
    elif kind == "type":
        target[path] = old.astype("S4") if old.dtype.kind != "S" else np.arange(len(old))
    elif kind == "chunked":
        target.create_dataset(
            path, shape=rng.choice(((10**12,), (10**9, 64), (2**40, 2**20))), dtype="<f4", chunks=True
        )
    elif kind == "link":
        target[path] = rng.choice(
            (h5py.SoftLink("/audio/rows"), h5py.ExternalLink("/etc/passwd", "/"), h5py.Empty("f"))
        )


# ---------------------------------------------------------------- safetensors


def change_safetensors(file: Path, rng: random.Random) -> str:
    """Change a value of the header."""
    content = file.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    text = json.dumps(change_value(header, rng)).encode()
    size = rng.choice((len(text),) * 4 + (0, 10**6, 2**40, 2**63))
    file.write_bytes(struct.pack("<Q", size) + text + content[8 + length :])
    return "safetensors header"


# ---------------------------------------------------------------- checkpoints


def change_checkpoint(file: Path, rng: random.Random) -> str:
    """Change an option or a tensor, or the pickle in the archive."""
    if rng.random() < 0.5 and file.name == "zip.ckpt":
        entries = _unzipped(file)
        (name,) = (name for name in entries if name.endswith("data.pkl"))
        entries[name] = mutate(entries[name], name, rng)[1]
        with zipfile.ZipFile(file, "w") as archive:
            for entry, content in entries.items():
                archive.writestr(entry, content)
        return "checkpoint pickle"
    content = torch.load(file, weights_only=True)
    kind = rng.choice(("option", "option", "tensor", "name", "tree"))
    if kind == "option":
        content["opt"] = change_value(content["opt"], rng)
    elif kind == "tree":
        content = change_value({key: content[key] for key in ("opt", "epoch")} | {"model": {}}, rng)
    else:
        name = rng.choice(list(content["model"]))
        tensor = content["model"].pop(name)
        changes: dict[str, Callable[[], object]] = {
            "shorter": lambda: tensor[:-1] if tensor.ndim else tensor,
            "flat": lambda: tensor.ravel(),
            "half": tensor.half,
            "whole": tensor.long,
            "empty": lambda: tensor.ravel()[:0],
            "not finite": lambda: tensor * float("nan"),
            "view": lambda: tensor.ravel()[:1].expand(1000),
            "complex": lambda: tensor.to(torch.complex64),
            "number": lambda: 3.5,
            "sparse": tensor.to_sparse,
        }
        changed = changes[rng.choice(list(changes))]()
        content["model"][rng.choice((name, name, f"module.{name}", ""))] = changed
    torch.save(content, file, _use_new_zipfile_serialization=file.name == "zip.ckpt")
    return f"checkpoint {kind}"


# ---------------------------------------------------------------- archives


def change_archive(file: Path, rng: random.Random) -> str:
    """Change the name, the kind or the content of an entry."""
    entries = _archived(file)
    old = rng.choice(list(entries))
    kind = rng.choice(("name", "content", "zeros", "twice", "link", "missing"))
    names = (
        "../x.npz",
        "/x.npz",
        "a\\b.npz",
        f"./{old}",
        f"more/{old}",
        old.upper(),
        "x" * 300,
        "",
        "a\nb",
        f"._{old}",
    )
    content = entries[old]
    if kind == "name":
        entries = {rng.choice(names) if name == old else name: data for name, data in entries.items()}
    elif kind == "content":
        entries[old] = mutate(content, "x.npz", rng)[1]
    elif kind == "zeros":
        entries[old] = bytes(rng.choice((0, 1000, 5 * 10**7)))
    elif kind == "missing":
        del entries[old]
    extra = [(old, content)] if kind == "twice" else []
    if file.suffix == ".zip":
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in [*entries.items(), *extra]:
                archive.writestr(name or "empty", data)
        return f"zip {kind}"
    mode = {".tar": "w", ".gz": "w:gz", ".xz": "w:xz"}[file.suffix]
    with tarfile.open(file, mode, compresslevel=1) if mode == "w:gz" else tarfile.open(file, mode) as archive:
        for name, data in [*entries.items(), *extra]:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        if kind == "link":
            link = tarfile.TarInfo("clap/link.npz")
            link.type = rng.choice((tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE))
            link.linkname = rng.choice(("/etc/passwd", old, "clap/link.npz"))
            archive.addfile(link)
    return f"tar {kind}"


def _archived(file: Path) -> dict[str, bytes]:
    if file.suffix == ".zip":
        return _unzipped(file)
    with tarfile.open(file) as archive:
        return {entry.name: archive.extractfile(entry).read() for entry in archive if entry.isreg()}  # type: ignore[union-attr]
