import numpy as np
import pytest
import torch

from amrbench.types import BuildContext, FeatureWidths, Moments


def test_arrays_of_another_shape_are_a_programming_error() -> None:
    with pytest.raises(ValueError, match=r"windows have shape \(2, 3\), not \(N, 2\)"):
        Moments("a", "v", np.zeros((2, 3)))
    with pytest.raises(ValueError, match=r"scores have shape \(1,\) for 2 windows"):
        Moments("a", "v", np.zeros((2, 2)), np.zeros(1))


def drawn(path: str, seed: int = 0) -> float:
    with BuildContext(FeatureWidths(4, 4), seed=seed).at(path).drawing():
        return torch.rand(1).item()


def test_initial_weights_depend_on_seed_and_path_only() -> None:
    first = drawn("fusion")
    torch.rand(3)
    assert drawn("fusion") == first
    assert len({first, drawn("encoder"), drawn("fusion", seed=1)}) == 3


def test_drawing_restores_the_global_random_state() -> None:
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    drawn("fusion")
    assert torch.equal(torch.rand(1), expected)
