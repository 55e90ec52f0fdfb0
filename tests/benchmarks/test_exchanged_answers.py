"""Answers exchanged at random are compared as files would be that hold them."""

import numpy as np
import pytest

from amrbench.evaluation.compare import METRICS, compare, paired_differences
from amrbench.evaluation.systems import read_systems
from amrbench.files.predictions import read_predictions, write_predictions
from amrbench.functional.metrics import Metric
from benchmarks.exchanged_answers import exchanged, main
from tests.small_world.written_runs import make_run


@pytest.fixture
def files(tmp_path):
    runs = [make_run(tmp_path / name, seeds=1, shift=shift) for name, shift in (("a", 0), ("b", 50))]
    return [run / "predictions/seed-0.test.jsonl" for run in runs], runs[0] / "annotations.test.jsonl"


def test_values_are_those_of_exchanged_lines(files, tmp_path):
    (one, two), truth = files
    metrics = [Metric.parse(name) for name in METRICS]
    systems = read_systems([one, two], metrics, truth=truth)
    first, second = exchanged(*systems, np.random.default_rng(7))
    names = sorted({query.vid for query in systems[0].queries})
    swapped = dict(zip(names, np.random.default_rng(7).integers(2, size=len(names)), strict=True))
    lines = [read_predictions(file) for file in (one, two)]
    for number in (0, 1):
        mixed = [own[number ^ swapped[own[0].vid]] for own in zip(*lines, strict=True)]
        write_predictions(tmp_path / f"{number}.jsonl", mixed)
    rows = compare([tmp_path / "0.jsonl", tmp_path / "1.jsonl"], truth=truth).lines
    found = [row.difference for row in rows if row.difference]
    assert found == paired_differences(second, second.singles, first)
    assert 0 < sum(swapped.values()) < len(names)


def test_the_share_of_small_p_values_is_printed(files, capsys):
    (one, two), truth = files
    shares = main([str(one), str(two), "--truth", str(truth), "--draws", "20"])
    assert shares.keys() == set(METRICS)
    assert all(share <= 0.25 for share in shares.values())
    line = capsys.readouterr().out.splitlines()[0]
    assert line == f"R1@0.5: p < 0.05 in {100 * shares['R1@0.5']:.1f} % of 20 draws"
