"""The values that options of a checkpoint may have; what is refused is tested with the reader."""

from argparse import Namespace
from collections import Counter, OrderedDict, defaultdict
from pathlib import Path, PurePosixPath, PureWindowsPath
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from amrbench.errors import CheckpointError
from amrbench.files.checkpoint_options import NumpyArray, NumpyScalar, NumpyType, PlainOptions
from amrbench.files.torch_checkpoint import read_checkpoint

FORMATS = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "older"])


def options_of(folder, options, *, zipped=True):
    path = folder / "best.ckpt"
    content = {"model": {"w": torch.ones(1)}, "opt": options}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    return read_checkpoint(path).options


VALUES = [
    (torch.device("cuda"), "cuda"),
    (torch.device("cuda", 1), "cuda:1"),
    (torch.device("cpu"), "cpu"),
    (torch.float32, "torch.float32"),
    (torch.Size((2, 3)), [2, 3]),
    (Path("results") / "a b", "results/a b"),
    (PurePosixPath("/data/x"), "/data/x"),
    (PureWindowsPath("C:\\data", "x"), "C:\\data\\x"),
    (np.float64(0.25), 0.25),
    (np.float32(0.25), 0.25),
    (np.float16(0.25), 0.25),
    (np.longdouble(0.25), 0.25),
    (np.int64(-3), -3),
    (np.uint8(200), 200),
    (np.bool_(True), True),
    (np.str_("clap"), "clap"),
    (np.str_(""), ""),
    (np.array(["", "a"])[0], ""),
    (np.bytes_(b""), ""),
    (np.bytes_(b"clap"), "clap"),
    (np.array(["\U0001f415", "\u00e9"], dtype=">U1"), ["\U0001f415", "\u00e9"]),
    (np.array([1.5, -2.0]), [1.5, -2.0]),
    (np.arange(6).reshape(2, 3), [[0, 1, 2], [3, 4, 5]]),
    (np.asfortranarray(np.arange(6).reshape(2, 3)), [[0, 1, 2], [3, 4, 5]]),
    (np.array(3, dtype=">i4"), 3),
    (np.array(["a", "bc"]), ["a", "bc"]),
    (np.zeros((0, 4)), []),
    (OrderedDict(a=1), {"a": 1}),
    (defaultdict(list, {"a": [1]}), {"a": [1]}),
    (defaultdict(int), {}),
    (Counter("aab"), {"a": 2, "b": 1}),
    (SimpleNamespace(a=SimpleNamespace(b=2)), {"a": {"b": 2}}),
    ({3, 1, 2}, [1, 2, 3]),
    ((True, None, "x", 1e300), [True, None, "x", 1e300]),
    ({1: "a", None: "b", np.int64(2): "c"}, {"1": "a", "None": "b", "2": "c"}),
]


@FORMATS
@pytest.mark.parametrize(("value", "plain"), VALUES, ids=[str(type(value).__name__) for value, _ in VALUES])
def test_values_become_plain(tmp_path, value, plain, zipped):
    options = options_of(tmp_path, {"a": value, "deep": [{"b": value}]}, zipped=zipped)
    assert options == {"a": plain, "deep": [{"b": plain}]}
    assert type(options["a"]) is type(plain)


@FORMATS
def test_the_options_of_an_argument_parser_are_read(tmp_path, zipped):
    """As the trainers of Moment-DETR and its successors save them."""
    options = Namespace(device=torch.device("cuda", 0), results_dir=Path("results"), lr=np.float64(1e-4))
    plain = {"device": "cuda:0", "results_dir": "results", "lr": 1e-4}
    assert options_of(tmp_path, options, zipped=zipped) == plain


def test_such_values_may_stand_in_entries_that_are_ignored(tmp_path):
    path = tmp_path / "best.ckpt"
    scheduler = {"milestones": Counter([400]), "_last_lr": [np.float64(1e-4)]}
    further = {"epoch": np.int64(3), "lr_scheduler": scheduler, "device": torch.device("cuda")}
    torch.save({"model": {"w": torch.ones(1)}, "opt": {}, **further}, path)
    assert list(read_checkpoint(path).weights) == ["w"]


@pytest.mark.parametrize(
    ("value", "what"),
    [
        (np.complex64(1j), "a numpy value of the type 'c8'"),
        (np.datetime64("2020-01-01"), "a numpy value of the type 'M8'"),
        (np.array([{}, None], dtype=object), "a numpy value of the type 'O8'"),
        (np.zeros(2, dtype=[("a", "f4")]), "a numpy value of the type 'V4'"),
        (torch.ones(2), "a Tensor"),
        (b"bytes", "a bytes"),
    ],
    ids=["complex", "date", "objects", "record", "tensor", "bytes"],
)
def test_other_values_are_refused_with_their_path(tmp_path, value, what):
    text = f"option 'opt.a.b[1]' is {what}, not a number, text, list or mapping. Make it one in the program"
    with pytest.raises(CheckpointError) as caught:
        options_of(tmp_path, {"a": {"b": [0, value]}})
    assert text in str(caught.value)


def test_a_list_that_holds_itself_many_times_is_refused(tmp_path):
    options = ["x"] * 10
    for _ in range(10):
        options = [options] * 10
    with pytest.raises(CheckpointError, match="its options have more than 100,000 values"):
        options_of(tmp_path, {"a": options})


def test_no_stand_in_can_be_made_to_run_anything(tmp_path):
    """What the built-in classes of `defaultdict` stand for takes no arguments."""
    from amrbench.files.checkpoint_options import STAND_INS

    for name in ("list", "dict", "int", "str"):
        with pytest.raises(TypeError):
            STAND_INS[f"builtins.{name}"]("9" * 10)


def array(shape, code, data):
    made = NumpyArray()
    made.__setstate__((1, shape, NumpyType(code), False, data))
    return made


def unfinished(state):
    made = NumpyArray()
    made.__setstate__(state)
    return made


@pytest.mark.parametrize(
    ("value", "what"),
    [
        (NumpyScalar(NumpyType("U1"), b"\0\0\x11\0"), "a damaged numpy value"),
        (NumpyScalar(NumpyType("U1"), b"\0\xd8\0\0"), "a damaged numpy value"),
        (NumpyScalar(NumpyType("U0"), b"abcd"), "a damaged numpy value"),
        (array((1,) * 70, "f8", bytes(8)), "a damaged numpy value"),
        (array((10**9,), "U0", b""), "a damaged numpy value"),
        (unfinished(5), "an unfinished numpy array"),
    ],
    ids=["no-character", "surrogate", "no-size", "dimensions", "empty-texts", "state"],
)
def test_damaged_values_are_refused(value, what):
    with pytest.raises(CheckpointError) as caught:
        PlainOptions(Path("a.ckpt")).plain(value, "opt.a")
    assert str(caught.value) == (
        f"a.ckpt: option 'opt.a' is {what}, not a number, text, list or mapping. Make it one in the program "
        "that wrote the file, and save again."
    )


def test_an_array_of_empty_texts():
    assert PlainOptions(Path("a.ckpt")).plain(array((2, 1), "U0", b""), "opt.a") == [[""], [""]]
