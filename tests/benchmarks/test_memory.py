"""Peak memory of a step, in a process of its own."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from benchmarks.memory import Peak, main, peak_of_step


def test_a_process_of_its_own_takes_the_steps() -> None:
    peak = peak_of_step("ours", 1, 30)
    assert 0 < peak.before < peak.most
    assert peak.of_steps == peak.most - peak.before


def test_a_row_for_each_size(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AMRBENCH_OUTSIDE", raising=False)
    peaks = {"ours": Peak(400, 1_400), "plain": Peak(400, 2_400)}
    monkeypatch.setattr("benchmarks.memory.peak_of_step", lambda name, *_: peaks[name])
    main(["--small"])
    _, _, row = capsys.readouterr().out.splitlines()
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells == ["(4, 60)", "plain", "1,400", "2,400", "1,000", "2,000", "0.58", "0.50"]


def test_a_process_that_fails_tells_why(monkeypatch: pytest.MonkeyPatch) -> None:
    failed = SimpleNamespace(returncode=1, stderr="MemoryError", stdout="")
    monkeypatch.setattr("benchmarks.memory.subprocess.run", lambda *_, **__: failed)
    with pytest.raises(RuntimeError, match="a step of ours at 1 x 30 failed:\nMemoryError"):
        peak_of_step("ours", 1, 30)
