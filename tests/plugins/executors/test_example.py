"""The executor of docs/plugins.md and the example plugin, with a stand-in for ssh."""

import sys

import pytest

from tests.folders import ROOT
from tests.small_world.executors import part_of

SOURCE = ROOT / "examples" / "amrbench-hello" / "src"
SSH = """#!/bin/sh
echo "$1" >> "$(dirname "$0")/hosts"
exec sh -c "$2"
"""


@pytest.fixture
def example(monkeypatch):
    monkeypatch.syspath_prepend(str(SOURCE))
    from amrbench_hello.machines import Machines

    yield Machines
    for name in [name for name in sys.modules if name.startswith("amrbench_hello")]:
        del sys.modules[name]


def test_the_example_trains_on_its_machines(run_toy, tmp_path, monkeypatch, example):
    (ssh := tmp_path / "bin" / "ssh").parent.mkdir()
    ssh.write_text(SSH)
    ssh.chmod(0o755)
    monkeypatch.setenv("PATH", str(ssh.parent), prepend=":")
    plain, _ = run_toy("plain", seeds=1)
    done, _ = run_toy("machines", seeds=1, executor=part_of(example(["lab1", "lab2"])))
    assert done.result.rows == plain.result.rows
    first, second = (ssh.parent / "hosts").read_text().split()
    assert (first, second) in {("lab1", "lab1"), ("lab1", "lab2")}, "the second begins when the first is done"


def test_the_example_is_short():
    code = (SOURCE / "amrbench_hello" / "machines.py").read_text()
    assert len(code[code.index("class Ssh") :].splitlines()) <= 30
