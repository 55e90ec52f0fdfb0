"""The benchmark of many seeds runs on the CPU, with the losses of both ways compared."""

from benchmarks.bench_seeds import main


def test_a_line_for_each_number_of_models(capsys):
    rows = main(["--device", "cpu", "--recipe", "frames", "--models", "1", "3", "--rounds", "1"])
    assert [row.models for row in rows] == [1, 3]
    assert all(row.at_once > 0 and row.one_after_another > 0 for row in rows)
    first, *lines = capsys.readouterr().out.splitlines()
    assert first == "frames, 2 queries of 20 rows, one thread of the CPU"
    assert [line.split(":")[0].strip() for line in lines] == ["1 models", "3 models"]
