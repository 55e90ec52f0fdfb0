import re

import pytest

from amrbench.discovery import load_registry
from benchmarks import scale
from benchmarks.scale import (
    DAY,
    HOUR,
    chains_of,
    extraction_rows,
    in_words,
    longest_chain,
    schedule,
    stage_rows,
    work_of,
)
from tests.folders import ROOT

STEPS = {"clotho-moment": 2.0, "intermediate300": 16.0, "castella": 16.0}


@pytest.fixture(scope="module")
def chains():
    return chains_of(("ours2", "ours3", "ours4"), load_registry(), seeds=2, scale=0.01)


def test_stages_that_recipes_share_are_listed_once(chains):
    rows = stage_rows(chains, work_of(chains, STEPS))
    assert [(row["stages"], row["number"]) for row in rows] == [
        ("ours2 pretrain", "1"),
        ("ours2 finetune", "2"),
        ("ours3 midtrain", "1"),
        ("ours3 finetune", "2"),
    ]


def test_the_schedule_is_within_its_bounds(chains):
    work = work_of(chains, STEPS)
    total, longest = sum(work.values()), longest_chain(chains, work)
    one, two, many = schedule(chains, work, 1, 1), schedule(chains, work, 1, 2), schedule(chains, work, 3, 4)
    assert one.seconds == pytest.approx(total, abs=scale.TICK * len(work))
    assert longest <= many.seconds + 1 <= two.seconds + 2 < one.seconds
    assert many.seconds == pytest.approx(longest, abs=scale.TICK * len(work))
    assert many.busy == pytest.approx(total / (12 * many.seconds))


def test_a_row_of_much_audio():
    row = next(extraction_rows())
    assert row == {
        "hours of audio": "100,000",
        "encoder": "m2d-clap",
        "rows": "3.6e+08",
        "bytes": "0.55 TB",
        "shards": "6,000 of 92 MB",
        "a shard": "59.5 minutes",
        "1 machine": "15.5 days",
        "8 machines": "1.9 days",
        "100 machines": "4.0 hours",
    }


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (30, "30 s"),
        (90, "1.5 minutes"),
        (5 * HOUR, "5.0 hours"),
        (3.25 * DAY, "3.2 days"),
        (730 * DAY, "2.0 years"),
    ],
)
def test_times_are_in_words(seconds, text):
    assert in_words(seconds) == text


def lines_of(text):
    """Return the rows of tables, without spaces that only align them."""
    return {re.sub(r"[ -]+", " ", line) for line in text.splitlines() if line.startswith("|")}


def test_the_page_has_the_rows_of_much_audio():
    page = lines_of((ROOT / "docs" / "scale.md").read_text(encoding="utf-8"))
    for row in extraction_rows():
        assert re.sub(r"[ -]+", " ", f"| {' | '.join(row.values())} |") in page


@pytest.mark.slow
def test_the_page_has_the_tables_of_the_program(capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["scale"])
    scale.main()
    page = lines_of((ROOT / "docs" / "scale.md").read_text(encoding="utf-8"))
    assert lines_of(capsys.readouterr().out) <= page
