"""Checkpoints as other programs write them, and small files that ask for much."""

import json
import zipfile
from argparse import Namespace
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.lib import format as npy

from amrbench.files.torch_checkpoint import read_checkpoint
from tests.folders import DATA

FOLDER = DATA / "lighthouse_checkpoint"
READ = read_checkpoint(FOLDER / "best.ckpt")
OPTIONS = dict(READ.options)
TRAINER = {
    "optimizer": {"state": {}, "param_groups": [{"lr": 1e-4}]},
    "lr_scheduler": {"_last_lr": [1e-4]},
    "epoch": 9,
}
MORE = {"device": torch.device("cuda", 0), "results_dir": Path("results") / "x", "best": np.float64(31.5)}
NUMPY = {"nheads": np.int64(OPTIONS["nheads"]), "dropout": np.float32(0.5), "dset_name": np.str_("castella")}


def without(*names):
    return {name: value for name, value in OPTIONS.items() if name not in names}


@pytest.fixture
def queries(tmp_path):
    """Return a file with one query, so that a prediction takes no time."""
    line = (FOLDER / "data" / "castella_test_release.jsonl").read_text().splitlines()[0]
    (tmp_path / "queries.jsonl").write_text(f"{line}\n")
    return json.loads(line)


@pytest.fixture
def predict(amrbench, queries, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def call(checkpoint="best.ckpt", features=FOLDER / "features" / "castella"):
        files = ("--checkpoint", checkpoint, "--features", features, "--annotations", "queries.jsonl")
        return amrbench("predict-checkpoint", *files, "-o", "out.jsonl")

    return call


def saved(opt, *, model=READ.weights, zipped=True, **more):
    content = {"model": model, "opt": opt} | more
    torch.save(content, "best.ckpt", _use_new_zipfile_serialization=zipped)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "older"])
@pytest.mark.parametrize(
    "opt",
    [
        pytest.param(OPTIONS | {"device": torch.device("cuda")}, id="406-ckpt-device-in-opt"),
        pytest.param(Namespace(**(OPTIONS | MORE)), id="namespace-of-the-trainer"),
        pytest.param(OPTIONS | NUMPY, id="numpy-scalars"),
        pytest.param(OPTIONS | {"dtype": torch.float32, "shape": torch.Size([1, 2])}, id="types-of-torch"),
    ],
)
def test_options_that_a_trainer_saves_are_read(predict, tmp_path, opt, zipped):
    saved(opt, zipped=zipped, **TRAINER)
    code, _, err = predict()
    assert code == 0, err
    assert "1 queries" in err


@pytest.mark.parametrize(
    ("opt", "texts"),
    [
        pytest.param(
            OPTIONS | {"when": [datetime(2020, 1, 2)]},
            (
                "best.ckpt: the file names global 'datetime.datetime' at opt.when[0]",
                "plain options only: numbers",
            ),
            id="a-date",
        ),
        pytest.param(
            OPTIONS | {"mean": np.array([None, 1])},
            ("option 'opt.mean' is a numpy value of the type 'O8'", "Make it one in the program"),
            id="numpy-objects",
        ),
        pytest.param(
            without("model_name"),
            ("no option 'model_name' in 'opt'", "(cg_detr, qd_detr)"),
            id="no-name-of-the-model",
        ),
    ],
)
def test_other_options_are_refused_with_their_path(predict, opt, texts):
    saved(opt)
    code, _, err = predict()
    assert code == 2
    assert [text for text in texts if text not in err] == []


@pytest.mark.parametrize(
    ("content", "text"),
    [
        pytest.param(
            torch.nn.Linear(2, 2), "names global 'torch.nn.modules.linear.Linear'", id="whole-model"
        ),
        pytest.param(READ.weights, "no entry 'model'; the file holds 'global_rep_token'", id="bare-weights"),
        pytest.param(
            {"state_dict": {}}, "Save the weights under 'model' and the options", id="other-entries"
        ),
    ],
)
def test_other_contents_say_how_to_save(predict, content, text):
    torch.save(content, "best.ckpt")
    code, _, err = predict()
    assert code == 2
    assert text in err


def promising(path, shape, *, stored=0):
    """Write features that promise a shape and store some zeros."""
    path.parent.mkdir(parents=True, exist_ok=True)
    key = "last_hidden_state" if "_text" in str(path.parent) else "features"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open(f"{key}.npy", "w") as file:
        npy.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
        file.write(bytes(stored))


@pytest.mark.parametrize(
    ("rows", "stored", "text"),
    [
        pytest.param(900_000, 1 << 24, "900000 rows of 1 s cannot be those of", id="unpacks-to-gigabytes"),
        pytest.param(10**12, 0, "1000000000000 rows of 1 s cannot be those of", id="promises-terabytes"),
    ],
)
def test_audio_features_of_too_many_rows_are_refused_before_they_are_read(
    predict, queries, tmp_path, rows, stored, text
):
    saved(OPTIONS)
    promising(tmp_path / "features" / "clap" / f"{queries['vid']}.npz", (rows, 768), stored=stored)
    promising(tmp_path / "features" / "clap_text" / f"qid{queries['qid']}.npz", (3, 768), stored=3 * 768 * 4)
    code, _, err = predict(features="features")
    assert code == 2
    assert f"{queries['vid']}.npz: {text}" in err


def test_text_features_of_too_many_rows_are_refused_before_they_are_read(predict, queries, tmp_path):
    saved(OPTIONS)
    audio = f"clap/{queries['vid']}.npz"
    (tmp_path / "features" / "clap").mkdir(parents=True)
    (tmp_path / "features" / audio).write_bytes((FOLDER / "features" / "castella" / audio).read_bytes())
    promising(tmp_path / "features" / "clap_text" / f"qid{queries['qid']}.npz", (10**7, 768))
    code, _, err = predict(features="features")
    assert code == 2
    assert f"qid{queries['qid']}.npz: 10000000 rows cannot be those of the text of query" in err


@pytest.mark.parametrize(
    ("content", "text"),
    [
        pytest.param("a: " + "[" * 2500, "nested more than 30 deep", id="nested"),
        pytest.param("- " * 2500, "nested more than 30 deep", id="nested-lines"),
        pytest.param("a: &a [x, x]\nb: &b [*a, *a]\n", "the alias *a points elsewhere", id="aliases"),
        pytest.param("a: " + "x" * 200_000, "has 200,003 characters", id="long"),
        pytest.param("".join(f"k{n}: 1\n" for n in range(9000)), "has more than 5,000 values", id="many"),
    ],
)
def test_small_files_with_large_demands_are_refused(amrbench, tmp_path, content, text):
    (tmp_path / "my.yaml").write_text(content)
    for arguments in (
        ("check", tmp_path / "my.yaml"),
        ("check", "cgdetr", "--protocol", tmp_path / "my.yaml"),
    ):
        code, _, err = amrbench(*arguments)
        assert code == 2
        assert text in err
        assert "my.yaml" in err
