"""A few of the cases of `python -m tests.mutation`, whose thousands take minutes: `tox -e mutate`."""

import os
import pickle
from pathlib import Path

import pytest

from tests.mutation.inputs import make_inputs
from tests.mutation.isolation import call, call_all
from tests.mutation.preload import preload
from tests.mutation.readers import READERS, numbers_of, refused_without_a_change, run_cases

CASES = 50


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    preload()
    folder = tmp_path_factory.mktemp("mutation")
    make_inputs(folder)
    return folder


@pytest.mark.parametrize("reader", READERS, ids=[reader.name for reader in READERS])
def test_changed_files_are_read_or_refused(reader, inputs, tmp_path):
    seeds = [f"tests {reader.name} {number}" for number in numbers_of(reader, CASES)]
    for about, _, outcome in run_cases(reader, seeds, inputs, tmp_path / "cases"):
        assert outcome.fault == "", f"{about}\n{outcome.text}"


@pytest.mark.parametrize("reader", READERS, ids=[reader.name for reader in READERS])
def test_the_files_are_read_while_nothing_is_changed(reader, inputs, tmp_path):
    """Else the cases would show nothing."""
    (_, commands), *_ = reader.cases
    assert refused_without_a_change(reader, commands[:1], inputs, tmp_path / "copy") == []


def test_a_traceback_is_a_fault(inputs, monkeypatch):
    monkeypatch.setattr("amrbench.evaluation.score_files.read_predictions", lambda path: 1 / 0)
    predictions, truth = "scores/0.jsonl", "own/test.jsonl"
    outcome = call(inputs, ("score", predictions, "--truth", truth))
    assert outcome.fault.startswith("ZeroDivisionError at score_files.py:")
    assert "Traceback" in outcome.text


@pytest.mark.parametrize(
    ("does", "fault"),
    [
        (lambda path: Path("../outside").touch(), "did open "),
        (lambda path: os.system("true"), "did os.system"),
        (lambda path: pickle.loads(b"cposix\nsystem\n."), "did pickle.find_class"),
        (lambda path: os._exit(3), "ended by 3"),
        (lambda path: bytearray(3 << 29), "took 15"),
        (lambda path: bytearray(1 << 40), "MemoryError"),
    ],
    ids=["writes", "runs", "unpickles", "ends", "large", "huge"],
)
def test_other_faults_are_seen(inputs, monkeypatch, does, fault):
    def read(path):
        does(path)
        raise SystemExit(0)

    monkeypatch.setattr("amrbench.evaluation.score_files.read_predictions", read)
    assert call(inputs, ("score", "scores/0.jsonl", "--truth", "own/test.jsonl")).fault.startswith(fault)


def test_the_cases_after_one_that_ends_its_process_are_run(inputs, monkeypatch):
    monkeypatch.setattr(
        "amrbench.evaluation.score_files.read_predictions", lambda path: __import__("os").abort()
    )
    score, parts = ("score", "scores/0.jsonl", "--truth", "own/test.jsonl"), ("parts", "loss")
    outcomes = call_all([(inputs, command) for command in (parts, score, parts, score)])
    assert [outcome.code for outcome in outcomes] == [0, -1, 0, -1]
    assert [outcome.fault for outcome in outcomes] == ["", "ended by SIGABRT"] * 2
