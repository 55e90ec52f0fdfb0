"""The benchmark of half-widths reads finished runs of chains."""

import pytest

from amrbench.errors import RunError
from amrbench.evaluation.result import read_result
from benchmarks.power import hours_of_chains, main
from tests.small_world.written_runs import make_chains


def run_of(folder, **options):
    return make_chains(folder, seconds=1800.0, **options)


def test_hours_are_those_of_all_stages_of_a_chain(tmp_path):
    assert hours_of_chains(read_result(run_of(tmp_path / "a", seeds=2))) == [1.0, 1.0]


def test_rows_are_subsets_of_chains_and_what_is_expected_of_more(tmp_path, capsys):
    paths = [run_of(tmp_path / name, accuracy=0.5, shift=shift) for name, shift in (("a", 0), ("b", 50))]
    (pair,) = main([*map(str, paths), "--metric", "R1@0.7", "--points", "40"])
    rows = pair.rows()
    assert [row["chains of both"] for row in rows] == [
        *("2", "3", "6, expected", "12, expected", "24, expected", "any number")
    ]
    assert [row["CPU hours"] for row in rows] == ["4.0", "6.0", "12.0", "24.0", "48.0", ""]
    widths = [float(row["R1@0.7"]) for row in rows[1:]]
    assert widths == sorted(widths, reverse=True)
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "Half-widths of 95 % intervals in points: a and b. Told apart in 80 % of the cases:"
    assert out[1] == "40 points at R1@0.7: 2 chains of both, 4.0 CPU hours"
    assert len(out) == 12


def test_what_chains_alone_do_not_tell_apart_is_said(tmp_path):
    paths = [run_of(tmp_path / name, accuracy=0.5, shift=shift) for name, shift in (("a", 0), ("b", 50))]
    (pair,) = main([*map(str, paths), "--metric", "R1@0.7"])
    (sentence,) = pair.told_apart(0.01)
    assert sentence.startswith("0.01 points at R1@0.7: ")
    assert sentence.endswith(" more chains") or "not chains alone" in sentence


@pytest.mark.parametrize("options", [{"chains": "shared"}, {"seeds": 1}])
def test_other_runs_are_refused(tmp_path, options):
    path = run_of(tmp_path / "a", **options)
    with pytest.raises(RunError) as error:
        main([str(path), str(path)])
    assert str(error.value) == f"{path}: no run of several seeds with chains of their own (chains: own)."


def test_runs_that_share_stages_are_refused(tmp_path):
    first, second = (run_of(tmp_path / name, stages="both") for name in ("a", "b"))
    with pytest.raises(RunError) as error:
        main([str(first), str(second)])
    assert str(error.value) == (
        f"{second}: shares stages with {first}, seed by seed. Give runs that were trained apart."
    )
