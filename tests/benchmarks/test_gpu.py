"""The script that measures a GPU, on the CPU."""

from __future__ import annotations

import pytest
import torch

from amrbench.training.criterion import Criterion
from amrbench.training.step_check import NotFiniteError
from amrbench.types import Losses
from benchmarks import ours
from benchmarks.gpu import (
    Row,
    Size,
    Variant,
    as_in_training,
    bytes_of_step,
    main,
    measured,
    step_seconds,
    steps_of_stages,
    table,
    tf32,
    trained,
)
from benchmarks.interleaved import Work

CPU = torch.device("cpu")


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_everything_is_measured_on_the_cpu_too(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--device", "cpu", "--small"])
    heading, *lines = capsys.readouterr().out.splitlines()
    assert heading.startswith("CPU, torch ")
    rows = [cells(line) for line in lines if line.startswith("| (2, 30)")]
    assert [row[1] for row in rows] == [
        *("as trained", "eager, TF32", "eager, bfloat16", "graphs, TF32", "graphs, bfloat16"),
        *("at once, TF32", "at once, TF32"),
    ]
    assert all(float(row[3].replace(",", "")) > 0 for row in (*rows[:3], *rows[5:]))
    assert "Not possible: graphs, TF32: RuntimeError: graphs need a GPU" in lines
    (total,) = [cells(line) for line in lines if line.startswith("| all ")]
    assert float(total[-1].replace(",", "")) > 0


def test_without_a_gpu_the_remedy_is_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(SystemExit):
        main([])
    assert "torch finds no GPU; --device cpu --small tries the command without one" in capsys.readouterr().err


def test_the_steps_of_a_recipe() -> None:
    steps = list(steps_of_stages(ours.shipped_recipe("ours3")))
    assert steps == [
        ("pretrain", 60, 1_022 * 200),
        ("midtrain", 300, 450 * 100),
        ("finetune", 300, 69 * 200 * 10),
    ]


def test_a_variant_that_fails_has_its_reason() -> None:
    def fail(*_: object) -> None:
        raise torch.OutOfMemoryError("no memory\nfor this")

    row = measured(Variant("large", fail), Size(2, 30), CPU, 1)
    assert row.fault == "OutOfMemoryError: no memory"
    assert table([row], {}).splitlines()[-1] == "Not possible: large: OutOfMemoryError: no memory"


def test_a_row_of_several_models() -> None:
    size, variant = Size(32, 60), Variant("at once", lambda *_: None, 5)
    row = cells(table([Row(size, variant, seconds=0.1, memory=3.25)], {size: 0.01}).splitlines()[-1])
    assert row == ["(32, 60)", "at once", "5", "100.0", "50.0", "2.0", "3.2"]


def test_a_step_is_timed_until_there_are_enough_rounds_or_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    step_seconds(lambda: calls.append(1), CPU, 2)
    assert len(calls) == 2 + 2  # Two are not timed.
    monkeypatch.setattr("benchmarks.gpu.LIMIT", 0.0)
    calls.clear()
    with pytest.raises(Exception, match="no median"):
        step_seconds(lambda: calls.append(1), CPU, 2)


def test_the_precision_is_restored() -> None:
    before = torch.get_float32_matmul_precision()
    with tf32(CPU):
        assert torch.get_float32_matmul_precision() == "high"
    assert torch.get_float32_matmul_precision() == before


def test_a_step_as_trained_has_the_settings_of_training() -> None:
    found: list[bool] = []

    def make(*_: object) -> Work:
        return lambda: found.append(torch.are_deterministic_algorithms_enabled())

    measured(Variant("as trained", make, settings=as_in_training), Size(2, 30), CPU, 1)
    assert found == [True, True]
    assert not torch.are_deterministic_algorithms_enabled()


def test_a_step_as_trained_checks_its_losses(monkeypatch: pytest.MonkeyPatch) -> None:
    def infinite(self: Criterion, *_: object) -> Losses:
        total = sum(weight.sum() for weight in self.parameters()) * torch.inf
        return Losses(total=torch.as_tensor(total), terms={})

    monkeypatch.setattr(Criterion, "forward", infinite)
    with pytest.raises(NotFiniteError):
        trained(ours.shipped_recipe(), Size(2, 30), CPU)()


def test_twice_the_queries_are_twice_the_bytes_apart_from_weights() -> None:
    one, two, three = (bytes_of_step(ours.shipped_recipe(), Size(batch, 30)) for batch in (2, 3, 4))
    assert three - two == pytest.approx(two - one, rel=0.02)
