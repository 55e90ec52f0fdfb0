"""Peak memory of a step, in a process of its own."""

from __future__ import annotations

import pytest

from benchmarks.memory import main, peak_of_step


def test_a_row_for_each_size(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.memory.QUICK", [(1, 30)])
    main(["--small"])
    heading, _, *rows = capsys.readouterr().out.splitlines()
    assert "ours MiB" in heading
    assert [row.split("|")[1:3] for row in rows] == [[" (1, 30)           ", " plain   "]]
    assert float(rows[0].split("|")[5].replace(",", "")) > 0


def test_a_process_that_fails_tells_why() -> None:
    with pytest.raises(RuntimeError, match=r"a step of nobody at 1 x 30 failed:\n(.|\n)*KeyError: 'nobody'"):
        peak_of_step("nobody", 1, 30)
