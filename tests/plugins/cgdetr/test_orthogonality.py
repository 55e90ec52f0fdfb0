"""Overlap of rows equals its plain twin."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from amrbench_plugins.cgdetr.orthogonality import overlap


def test_overlap_equals_the_plain_twin() -> None:
    rows = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0))
    cosines = [
        abs(functional.cosine_similarity(text[i], text[j], dim=0).item()) if i != j else 0.0
        for text in rows
        for i in range(3)
        for j in range(3)
    ]
    assert overlap(rows).item() == pytest.approx(sum(cosines) / len(cosines))


def test_one_row_and_orthogonal_rows_have_no_overlap() -> None:
    assert overlap(torch.eye(3)).item() == 0
    assert overlap(torch.ones(2, 1, 4)).item() == 0
