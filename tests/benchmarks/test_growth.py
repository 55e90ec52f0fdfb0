"""How time grows with the size of a task."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from benchmarks.growth import AXES, averaging, main, prepared, slope, table


@pytest.mark.parametrize(("power", "expected"), [(1, 1), (2, 2), (0, 0)])
def test_the_slope_is_the_exponent(power: float, expected: float) -> None:
    sizes = (10, 20, 80)
    assert slope(sizes, [0.1 * size**power for size in sizes]) == pytest.approx(expected)


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_table_of_an_axis() -> None:
    heading, _, *rows = table("queries", (1_000, 2_000), (0.5, 1.25)).splitlines()
    assert cells(heading) == ["queries", "ms", "us for one of the queries"]
    assert [cells(row) for row in rows] == [["1,000", "500", "500"], ["2,000", "1,250", "625"]]


@pytest.mark.parametrize("name", ["queries", "frames", "recordings"])
def test_every_axis_is_measured(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    main([name, "--small"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith(f"{AXES[name].does}: slope ")
    assert [cells(line)[0] for line in lines[5:]] == [str(size) for size in AXES[name].small]


def test_seeds_are_averaged_from_files(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    small = replace(AXES["seeds"], prepared=averaging(lambda: {"weights": torch.zeros(100)}))
    monkeypatch.setattr("benchmarks.growth.AXES", {"seeds": small})
    main(["--small"])
    assert f"{small.does}: slope " in capsys.readouterr().out


def test_the_files_of_a_size_are_removed() -> None:
    with prepared(AXES["queries"], 5) as work:
        work()
    with pytest.raises(Exception, match="predictions.jsonl"):
        work()


def test_an_unknown_axis_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["words"])
    assert "no axis 'words'; there are queries, frames, seeds, recordings" in capsys.readouterr().err
