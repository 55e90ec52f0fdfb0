"""The observer of docs/plugins.md and the example plugin."""

import csv
import sys

import pytest

from amrbench.training.log import read_epochs
from tests.folders import ROOT
from tests.small_world.parts import PROTOCOL, RECIPE
from tests.small_world.runs import run_in, write_yaml

SOURCE = ROOT / "examples" / "amrbench-hello" / "src"


@pytest.fixture
def example(monkeypatch):
    monkeypatch.syspath_prepend(str(SOURCE))
    from amrbench_hello.lines import Csv

    yield Csv
    for name in [name for name in sys.modules if name.startswith("amrbench_hello")]:
        del sys.modules[name]


def test_the_example_writes_a_line_for_each_epoch(tmp_path, example):
    write_yaml(tmp_path / "toy.yaml", RECIPE)
    write_yaml(tmp_path / "tiny.yaml", PROTOCOL)
    run = run_in(tmp_path, observers=(example(file=str(tmp_path / "epochs.csv")),))
    with (tmp_path / "epochs.csv").open(newline="") as file:
        header, *lines = csv.reader(file)
    assert header == ["stage", "epoch", "loss"]
    expected = [
        [stage.stage, str(epoch.epoch), str(epoch.total)]
        for stage in run.result.stages
        for epoch in read_epochs(tmp_path / "cache" / "stages" / stage.key)
    ]
    assert sorted(lines) == sorted(expected)


def test_the_example_is_short():
    code = (SOURCE / "amrbench_hello" / "lines.py").read_text()
    assert len(code[code.index("class Csv") :].splitlines()) <= 35
