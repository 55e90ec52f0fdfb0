from __future__ import annotations

import io
import os
import pickle
import re
import struct
import zipfile
from argparse import Namespace
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from amrbench.errors import CheckpointError
from amrbench.files.torch_checkpoint import named_globals, read_checkpoint
from tests.folders import DATA

PUBLISHED = DATA / "lighthouse_checkpoint" / "best.ckpt"
RAN: list[str] = []


class Custom:
    """Stands for any class of somebody's training code."""


class Runs:
    """An object whose unpickling calls something."""

    def __init__(self, call: Callable[..., object], *arguments: object) -> None:
        self.call, self.arguments = call, arguments

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.call, self.arguments


def record(what: str) -> None:
    RAN.append(what)


def tree(**further: object) -> dict[str, object]:
    return {"model": {"layer.weight": torch.ones(2, 3)}, "opt": {"width": 3}, **further}


def saved(folder: Path, content: object, **how: Any) -> Path:
    path = folder / "best.ckpt"
    torch.save(content, path, **how)
    return path


@pytest.fixture
def easydict(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[dict[str, object]], object]]:
    """Return a class like that of easydict, which is installed for saving and missing for reading."""
    module = ModuleType("easydict")

    class EasyDict(dict[str, object]):
        def __init__(self, items: dict[str, object]) -> None:
            super().__init__(items)
            self.__dict__.update(items)

    EasyDict.__module__, EasyDict.__qualname__ = "easydict", "EasyDict"
    module.EasyDict = EasyDict  # type: ignore[attr-defined]

    def made(items: dict[str, object]) -> object:
        monkeypatch.setitem(__import__("sys").modules, "easydict", module)
        return EasyDict(items)

    yield made
    monkeypatch.undo()


def test_the_published_format_is_read() -> None:
    checkpoint = read_checkpoint(PUBLISHED)
    assert len(checkpoint.weights) == 237
    assert checkpoint.weights["query_embed.weight"].shape == (5, 2)
    assert checkpoint.options["nheads"] == 4
    assert checkpoint.options["v_feat_types"] is None
    assert checkpoint.options["model_name"] == "cg_detr"
    assert all(not weight.requires_grad for weight in checkpoint.weights.values())
    first = next(iter(checkpoint.weights))
    assert named_globals(PUBLISHED) == {
        "collections.OrderedDict": "model",
        "easydict.EasyDict": "opt",
        "torch.FloatStorage": f"model.{first}",
        "torch._utils._rebuild_tensor_v2": f"model.{first}",
    }


@pytest.mark.parametrize("zipped", [True, False])
def test_both_formats_of_torch_are_read(tmp_path: Path, zipped: bool) -> None:
    options = {"lr": 0.1, "sizes": (1, 2), "deep": {"on": True, "name": None}}
    path = saved(
        tmp_path,
        {"model": OrderedDict(a=torch.arange(3), b=torch.nn.Parameter(torch.eye(2))), "opt": options},
        _use_new_zipfile_serialization=zipped,
    )
    checkpoint = read_checkpoint(path)
    assert checkpoint.weights["a"].tolist() == [0, 1, 2]
    assert checkpoint.weights["b"].tolist() == [[1, 0], [0, 1]]
    assert checkpoint.options == {"lr": 0.1, "sizes": [1, 2], "deep": {"on": True, "name": None}}


def test_weights_without_an_entry_are_read_where_that_is_allowed(tmp_path: Path) -> None:
    path = saved(tmp_path, {"w": torch.ones(1)})
    assert list(read_checkpoint(path, bare=True).weights) == ["w"]
    path = saved(tmp_path, ({"w": torch.ones(1)}, {"classes": (np.int64(3), 4)}))
    assert list(read_checkpoint(path, bare=True).weights) == ["w"]
    with pytest.raises(CheckpointError) as error:
        read_checkpoint(path)
    assert str(error.value) == f"{path}: the file holds a tuple, not a mapping with an entry 'model'"


def test_easydict_is_read_without_easydict(
    tmp_path: Path, easydict: Callable[[dict[str, object]], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(tmp_path, tree(opt=easydict({"width": 3, "inner": easydict({"a": 1})})))
    monkeypatch.undo()
    assert read_checkpoint(path).options == {"width": 3, "inner": {"a": 1}}


def test_options_may_be_absent_and_other_entries_are_ignored(tmp_path: Path) -> None:
    content = {"model": {"w": torch.ones(1)}, "optimizer": {"state": [torch.zeros(2)]}, "epoch": 7}
    checkpoint = read_checkpoint(saved(tmp_path, content))
    assert checkpoint.options == {}
    assert list(checkpoint.weights) == ["w"]


def test_a_namespace_is_read_as_a_mapping(tmp_path: Path) -> None:
    path = saved(tmp_path, tree(opt=Namespace(width=3, inner=Namespace(a=1))))
    assert read_checkpoint(path).options == {"width": 3, "inner": {"a": 1}}


HOSTILE: list[tuple[str, Callable[[Path], object]]] = [
    ("posix.system", lambda mark: Runs(os.system, f"touch {mark}")),
    ("builtins.eval", lambda mark: Runs(eval, f"open({str(mark)!r}, 'w')")),
    ("builtins.exec", lambda mark: Runs(exec, f"open({str(mark)!r}, 'w')")),
    ("builtins.getattr", lambda mark: Runs(getattr, torch.Size, "mro")),
    (f"{__name__}.record", lambda mark: Runs(record, "custom function")),
    (f"{__name__}.Custom", lambda mark: Custom()),
    ("builtins.bytearray", lambda mark: bytearray(b"12")),
    ("datetime.datetime", lambda mark: datetime(2020, 1, 2)),
    ("builtins.range", lambda mark: range(3)),
    ("decimal.Decimal", lambda mark: Decimal("0.1")),
    ("numpy.random", lambda mark: Runs(np.random.default_rng, 3)),
    ("torch.nn.modules.linear.Linear", lambda mark: torch.nn.Linear(1, 1)),
]


@pytest.mark.parametrize(("name", "make"), HOSTILE, ids=[name for name, _ in HOSTILE])
@pytest.mark.parametrize("entry", ["model", "opt", "epoch", "nested"])
@pytest.mark.parametrize("zipped", [True, False])
def test_other_classes_and_functions_are_refused_and_not_run(
    tmp_path: Path, name: str, make: Callable[[Path], object], entry: str, zipped: bool
) -> None:
    mark = tmp_path / "it-ran"
    thing = make(mark)
    content = tree()
    if entry == "nested":
        content["opt"] = {"a": [{"b": (thing,)}]}
    elif entry == "model":
        content["model"] = {"layer.weight": thing}
    else:
        content[entry] = thing
    path = saved(tmp_path, content, _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(path)
    where = {"model": "model.layer.weight", "opt": "opt", "epoch": "epoch", "nested": "opt.a[0].b[0]"}[entry]
    pattern = rf"best\.ckpt: the file names global .*'{re.escape(name)}[._\w]*' at {re.escape(where)}[ ,]"
    assert re.search(pattern, str(caught.value))
    assert "was not loaded and nothing in it was run" in str(caught.value)
    assert "save the weights and plain options only" in str(caught.value)
    assert not mark.exists()
    assert RAN == []


def repacked(path: Path, change: Callable[[bytes], bytes]) -> None:
    """Rewrite the pickle inside a zip checkpoint."""
    with zipfile.ZipFile(path) as archive:
        entries = {entry: archive.read(entry) for entry in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for entry, content in entries.items():
            archive.writestr(entry, change(content) if entry.endswith("data.pkl") else content)


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_a_bare_pickle_runs_nothing_in_any_protocol(tmp_path: Path, protocol: int) -> None:
    mark = tmp_path / "it-ran"
    path = tmp_path / "best.ckpt"
    path.write_bytes(pickle.dumps({"model": Runs(os.system, f"touch {mark}")}, protocol))
    with pytest.raises(CheckpointError, match=r"best\.ckpt: not a checkpoint that torch\.save wrote"):
        read_checkpoint(path)
    assert not mark.exists()


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_a_pickle_hidden_in_a_checkpoint_runs_nothing(tmp_path: Path, protocol: int) -> None:
    mark = tmp_path / "it-ran"
    path = saved(tmp_path, tree())
    repacked(path, lambda _: pickle.dumps({"model": Runs(os.system, f"touch {mark}")}, protocol))
    with pytest.raises(CheckpointError, match=r"names global 'posix\.system'|uses STACK_GLOBAL"):
        read_checkpoint(path)
    assert not mark.exists()


def test_instances_and_registered_extensions_are_not_overlooked(tmp_path: Path) -> None:
    path = saved(tmp_path, tree())
    repacked(path, lambda _: b"(iposix\nsystem\n.")
    with pytest.raises(CheckpointError, match=r"names global 'posix\.system'"):
        read_checkpoint(path)
    repacked(path, lambda _: b"\x80\x02\x82\x01.")
    with pytest.raises(CheckpointError, match=r"uses EXT1, which torch\.save does not write"):
        read_checkpoint(path)


def test_a_hostile_pickle_before_a_zip_archive_is_seen(tmp_path: Path) -> None:
    mark = tmp_path / "it-ran"
    path = saved(tmp_path, tree())
    archive = path.read_bytes()
    path.write_bytes(pickle.dumps(Runs(os.system, f"touch {mark}"), 2) + archive)
    with pytest.raises(CheckpointError, match=r"not a checkpoint|names global"):
        read_checkpoint(path)
    assert not mark.exists()


@pytest.mark.parametrize("zipped", [True, False])
def test_a_truncated_file_is_named_as_such(tmp_path: Path, zipped: bool) -> None:
    path = saved(tmp_path, tree(), _use_new_zipfile_serialization=zipped)
    data = path.read_bytes()
    for length in range(0, len(data), 1 + len(data) // 60):
        path.write_bytes(data[:length])
        with pytest.raises(CheckpointError, match=r"best\.ckpt: not a checkpoint .* or truncated \("):
            read_checkpoint(path)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_flipped_byte_gives_a_checkpoint_or_a_clear_refusal(tmp_path: Path, zipped: bool) -> None:
    path = saved(tmp_path, tree(), _use_new_zipfile_serialization=zipped)
    data = path.read_bytes()
    read = 0
    for position in range(0, len(data), 1 + len(data) // 200):
        path.write_bytes(data[:position] + bytes([data[position] ^ 0x55]) + data[position + 1 :])
        with suppress(CheckpointError):
            read_checkpoint(path)
            read += 1
    assert read < 190


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
        (b"<!DOCTYPE html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer, whose content 'git lfs pull'"),
    ],
)
def test_another_kind_of_file_is_named(tmp_path: Path, content: bytes, kind: str) -> None:
    path = tmp_path / "best.ckpt"
    path.write_bytes(content)
    text = rf"best\.ckpt: not a checkpoint that torch\.save wrote, but {kind}.*\. Copy or download it again"
    with pytest.raises(CheckpointError, match=text):
        read_checkpoint(path)


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04", b"\x80\x02}q\x00."])
def test_another_kind_of_file_is_no_checkpoint(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "best.ckpt"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"best\.ckpt: not a checkpoint that torch\.save wrote"):
        read_checkpoint(path)


def test_another_zip_archive_is_no_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "best.ckpt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("notes.txt", "no weights")
    with pytest.raises(CheckpointError, match=r"not a checkpoint .*the archive has no data\.pkl"):
        read_checkpoint(path)


def test_a_script_module_is_no_checkpoint(tmp_path: Path) -> None:
    # A script module is a zip of pickles too, and torch would run its code on loading.
    path = saved(tmp_path, tree())
    buffer = io.BytesIO(path.read_bytes())
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr("best/constants.pkl", pickle.dumps((), 2))
    path.write_bytes(buffer.getvalue())
    with pytest.raises(CheckpointError, match="not a checkpoint .*the archive is a TorchScript program"):
        read_checkpoint(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"nowhere\.ckpt: there is no such checkpoint file"):
        read_checkpoint(tmp_path / "nowhere.ckpt")


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ([1, 2], "the file holds a list, not a mapping with an entry 'model'"),
        ({"state_dict": {}, "epoch": 1}, "no entry 'model'; the file holds 'state_dict', 'epoch'. Save"),
        ({"model": [torch.ones(1)]}, "entry 'model' is a list, not a mapping of names to tensors"),
        ({"model": {}}, "entry 'model' is a dict, not a mapping of names to tensors"),
        ({"model": {3: torch.ones(1)}}, "entry 'model' has the key 3; keys are parameter names"),
        ({"model": {"a.b": 0.5}}, "model entry 'a.b' is a float, not a tensor"),
        ({"model": {"a": {"b": torch.ones(1)}}}, "model entry 'a' is a dict, not a tensor"),
        ({"model": {"a": np.ones(2)}}, "model entry 'a' is a NumPy array, not a tensor"),
        ({"model": {"a": torch.tensor([1.0, float("nan")])}}, "model entry 'a' holds values that are not"),
        ({"model": {"a": torch.tensor(float("inf"))}}, "model entry 'a' holds values that are not finite"),
        ({"model": {"a": torch.ones(1).expand(9, 9)}}, "model entry 'a' claims more numbers than the file"),
        (tree(opt=[1]), "entry 'opt' is a list, not a mapping"),
        (tree(opt={"a": {"b": torch.ones(1)}}), "option 'opt.a.b' is a Tensor, not a number, text, list"),
        (tree(opt={"a": [1, torch.ones(1)]}), "option 'opt.a[1]' is a Tensor, not a number, text, list or"),
    ],
)
def test_wrong_contents_are_named(tmp_path: Path, content: object, text: str) -> None:
    with pytest.raises(CheckpointError, match=re.escape(text)) as caught:
        read_checkpoint(saved(tmp_path, content))
    assert "best.ckpt" in str(caught.value)


def test_more_than_five_refused_classes_are_counted(tmp_path: Path) -> None:
    things = [datetime(2020, 1, 2), Decimal(1), range(3), Custom(), Runs(eval, "1"), Runs(record, "x")]
    with pytest.raises(CheckpointError, match=r"at opt\.a\[\d\] and \d more, which tensors"):
        read_checkpoint(saved(tmp_path, tree(opt={"a": things})))


def test_compressed_entries_are_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, tree(model={"w": torch.zeros(10_000_000)}))
    with zipfile.ZipFile(path) as archive:
        entries = {entry: archive.read(entry) for entry in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for entry, content in entries.items():
            archive.writestr(entry, content)
    with pytest.raises(CheckpointError, match="its entries are compressed, which torch.save does not do"):
        read_checkpoint(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_entries_of_one_name_are_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, tree())
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("best/data.pkl", b"N.")
    with pytest.raises(CheckpointError, match="its entries overlap"):
        read_checkpoint(path)


def test_a_long_pickle_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("amrbench.files.pickle_outline.MOST_BYTES", 10_000)
    path = saved(tmp_path, tree(opt={"rows": list(range(10_000))}))
    with pytest.raises(CheckpointError, match="its pickle is longer than 10,000 bytes"):
        read_checkpoint(path)


def test_endless_options_are_refused(tmp_path: Path) -> None:
    loop: dict[str, object] = {}
    loop["again"] = loop
    with pytest.raises(CheckpointError, match="is nested more than 16 levels deep"):
        read_checkpoint(saved(tmp_path, tree(opt=loop)))


def test_a_claimed_size_beyond_the_storage_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, tree())
    huge = b"J" + struct.pack("<i", 2_000_000_000)
    repacked(path, lambda content: content.replace(b"K\x02K\x03", huge + b"K\x03"))
    with pytest.raises(CheckpointError, match=r"best\.ckpt"):
        read_checkpoint(path)
