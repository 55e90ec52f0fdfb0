"""Golden cases of a model: arrays and numbers that its reference gave, as files of one folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from amrbench_plugins.cgdetr.reference_options import UNUSED_PREFIXES
from tests.oracle.cgdetr import Inputs

OUTPUT = {"atol": 2e-5, "rtol": 0.0}
LOSS = {"rel": 1e-5, "abs": 1e-7}


@cache
def read_json(file: Path) -> dict[str, Any]:
    """The content of a file."""
    return json.loads(file.read_text())


@cache
def read_arrays(file: Path) -> dict[str, Tensor]:
    """All arrays of a file by their names."""
    with np.load(file) as stored:
        return {name: torch.from_numpy(stored[name]) for name in stored.files}


def used(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights that the forward pass or a loss of a reference uses."""
    return {name: value for name, value in weights.items() if not name.startswith(UNUSED_PREFIXES)}


class GoldenCases:
    """The golden cases in a folder, at the small size."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def arrays(self) -> dict[str, Tensor]:
        """All arrays by `<case>/in|target|out|mid.../<name>` and `param/<reference name>`."""
        return read_arrays(self.folder / "small.npz")

    def numbers(self) -> dict[str, Any]:
        """Losses, matches, gradients and decoded windows of the cases, and the optimiser steps."""
        return read_json(self.folder / "small.json")

    def parameters(self) -> dict[str, Any]:
        """Names, shapes, counts and initial statistics at the full size."""
        return read_json(self.folder / "parameters.json")

    def weights(self) -> dict[str, Tensor]:
        """Parameters by the reference's names, without the unused ones."""
        stored = {name[6:]: value for name, value in self.arrays().items() if name.startswith("param/")}
        return {name: value.clone() for name, value in used(stored).items()}

    def inputs(self, case: str) -> Inputs:
        """The batch of one case."""
        stored = self._below(f"{case}/in/")
        return Inputs(
            text=stored["src_txt"],
            text_mask=stored["src_txt_mask"] > 0,
            temporal=stored["src_vid"],
            audio=stored["src_aud"],
            audio_mask=stored["src_aud_mask"] > 0,
            recordings=self.expected(case)["vid"] or [],
        )

    def target_arrays(self, case: str) -> dict[str, Tensor]:
        """The targets of one case, by the reference's names."""
        return self._below(f"{case}/target/")

    def golden(self, case: str, name: str) -> Tensor:
        """An output of the reference."""
        return self.arrays()[f"{case}/out/{name}"]

    def expected(self, case: str) -> dict[str, Any]:
        """Losses, matches and gradients of one case."""
        return self.numbers()["cases"][case]

    def assert_gradients(self, case: str, gradients: Mapping[str, Tensor], ramp_of_one: float = -1.0) -> None:
        """Compare the norm of each gradient, and its product with a ramp, with those of the reference.

        Args:
            case: Its name.
            gradients: By the reference's names.
            ramp_of_one: The ramp of the golden run over a parameter of one number.
        """
        known = {
            name: value for name, value in self.expected(case)["grad_norm_and_ramp_dot"].items() if value
        }
        assert gradients.keys() == known.keys()
        for name, (norm, dot) in known.items():
            gradient = gradients[name].double().flatten()
            slope = torch.linspace(-1, 1, gradient.numel(), dtype=torch.float64)
            if gradient.numel() == 1:
                slope.fill_(ramp_of_one)
            assert float(gradient.norm()) == pytest.approx(norm, rel=1e-4, abs=1e-6), name
            slack = 1e-4 * norm * float(slope.norm()) + 1e-6
            assert float(gradient @ slope) == pytest.approx(dot, rel=0, abs=slack), name

    def _below(self, start: str) -> dict[str, Tensor]:
        return {name[len(start) :]: a for name, a in self.arrays().items() if name.startswith(start)}


def assert_sums(values: Mapping[str, Tensor], known: Mapping[str, float]) -> None:
    """Compare the sum of each parameter with that of the reference."""
    for name, value in values.items():
        total = float(value.detach().double().sum())
        assert total == pytest.approx(known[name], rel=1e-5, abs=2e-5), name
