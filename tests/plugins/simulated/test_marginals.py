"""The tables are those of the published annotations, as far as these are at hand."""

import gzip
import json
from collections import Counter

import numpy as np
import pytest

from amrbench_plugins.simulated.marginals import CASTELLA, INTERMEDIATE300, LEVELS, SHAPES
from tests.folders import DATA

PUBLISHED = json.loads(gzip.decompress((DATA / "castella_windows.json.gz").read_bytes()))
"""By split: (qid, vid, duration, windows, number of the text) of each query."""


def frequencies(counts):
    found = Counter(counts)
    return tuple(found[count] for count in range(1, max(found) + 1))


@pytest.mark.parametrize("split", PUBLISHED)
def test_recordings_are_those_of_castella(split):
    durations = {vid: seconds for _, vid, seconds, *_ in PUBLISHED[split]}
    shape = CASTELLA.splits[split]
    np.testing.assert_allclose(shape.durations, np.quantile(list(durations.values()), LEVELS), atol=0.5)
    assert shape.queries == frequencies(Counter(row[1] for row in PUBLISHED[split]).values())


def test_windows_are_those_of_castella():
    rows = [row for split in PUBLISHED.values() for row in split]
    assert CASTELLA.windows == frequencies(len(row[3]) for row in rows)
    for least, most in ((1, 1), (2, 4), (5, 99)):
        widths = [
            min(end, seconds) - start
            for *_, seconds, windows, _ in rows
            for start, end in windows
            if least <= len(windows) <= most and start < seconds
        ]
        np.testing.assert_allclose(CASTELLA.widths[least], np.quantile(widths, LEVELS), atol=0.006)


def test_queries_and_recordings_are_as_many_as_published():
    totals = {
        (name, split): (
            sum(shape.queries),
            sum(count * recordings for count, recordings in enumerate(shape.queries, 1)),
        )
        for name, data in SHAPES.items()
        for split, shape in data.splits.items()
    }
    assert totals == {
        ("castella", "train"): (876, 2182),
        ("castella", "val"): (178, 352),
        ("castella", "test"): (566, 1347),
        ("clotho-moment", "train"): (27_074, 32_694),
        ("clotho-moment", "val"): (4107, 4918),
        ("clotho-moment", "test"): (5472, 6649),
        ("intermediate300", "train"): (5000, 14_385),
        ("intermediate300", "val"): (500, 1414),
    }


def test_quantiles_rise_and_have_one_value_for_each_level():
    for data in SHAPES.values():
        tables = [split.durations for split in data.splits.values()] + [*data.widths.values(), data.words]
        for table in tables:
            assert len(table) == len(LEVELS)
            assert sorted(table) == list(table)
        assert min(data.widths) == 1
    assert INTERMEDIATE300.file == ""
