import numpy as np
import pytest
import torch

from amrbench.functional.axes import AxisSizes, difference, real_positions

MASK = torch.tensor([[True, True, True], [True, False, False]])
WORDS = torch.tensor([[True, True], [True, False]])


def faults(*tensors, **sizes):
    known = AxisSizes(sizes)
    return [known.fault(name, shape, axes) for name, shape, axes in tensors]


def test_a_shape_with_its_axes_has_no_fault():
    assert faults(("a", (2, 3, 2), "B T 2"), ("b", (2, 7), "B S+L"), B=2, T=3, L=4, S=3) == ["", ""]


def test_a_letter_keeps_the_size_that_it_had_first():
    assert faults(("a", (2, 8), "B D"), ("b", (8, 2), "B D"), B=2) == [
        "",
        "'b' has shape (8, 2), but its axes are 'B D': axis 0 is 8, where B is 2. Return a tensor (B, D), or "
        "declare the axes that it has.",
    ]
    assert faults(("a", (2, 8), "B D"), ("b", (2, 9), "B D"), B=2)[1].startswith(
        "'b' has shape (2, 9), but its axes are 'B D': axis 1 is 9, where D is 8 as in 'a'."
    )


@pytest.mark.parametrize(
    ("shape", "axes", "text"),
    [
        ((2, 3, 1), "B T", "which are 2 and not 3. Return a tensor (B, T), or declare"),
        ((3,), "B T", "which are 2 and not 1. Return a tensor (B, T), or declare"),
        ((3, 2), "B T", ": axis 0 is 3, where B is 2. Return a tensor (B, T), or declare"),
        ((2, 4), "B S+1", ": axis 1 is 4, where S+1 is 6."),
    ],
)
def test_the_axis_and_the_remedy_are_named(shape, axes, text):
    fault = AxisSizes({"B": 2, "T": 3, "S": 5}).fault("x", shape, axes)
    assert fault.startswith(f"'x' has shape ({', '.join(map(str, shape))}), but its axes are {axes!r}")
    assert text in fault


def test_sums_of_unknown_letters_are_not_compared():
    assert AxisSizes({}).fault("x", (9,), "S+L") == ""
    assert AxisSizes({"L": 3}).size("S+L") is None
    assert AxisSizes({"L": 3, "S": 1}).size("S+L+2") == 6


@pytest.mark.parametrize(
    ("axes", "shape"),
    [("B T", (2, 3)), ("B T 4", (2, 3, 4)), ("N B T", (2, 2, 3)), ("T B", (3, 2)), ("B T S+L", (2, 3, 5))],
)
def test_real_positions_are_those_of_a_plain_loop(axes, shape):
    letters = axes.split()
    real = real_positions(torch.zeros(shape), letters, {"T": MASK, "L": WORDS}).expand(shape)
    for index in np.ndindex(shape):
        at = dict(zip(letters, index, strict=True))
        expected = bool(MASK[at["B"], at["T"]])
        if "S+L" in at:
            word = at["S+L"] - 3  # Three dummies come first.
            expected = expected and (word < 0 or bool(WORDS[at["B"], word]))
        assert bool(real[index]) == expected, index


def test_without_a_batch_a_position_is_real_if_it_is_for_one_sample():
    assert real_positions(torch.zeros(3), ["T"], {"T": MASK}).tolist() == [True, True, True]
    assert real_positions(torch.zeros(2, 3), ["B", "3"], {"T": MASK}).all()


def differing(one, other, axes="B T", masks=None, within=1e-5):
    return difference("x", torch.tensor(one), torch.tensor(other), axes, masks=masks or {}, within=within)


def test_padding_may_differ_and_there_may_be_more_of_it():
    one, other = [[1.0, 2.0, 3.0], [4.0, 0.0, 0.0]], [[1.0, 2.0, 3.0, 9.0], [4.0, 7.0, 7.0, 7.0]]
    assert differing(one, other, masks={"T": MASK}) == ""
    assert differing(one, other).startswith("'x' (B T): its shape is (2, 4) instead of (2, 3)")


@pytest.mark.parametrize(
    ("one", "other", "text"),
    [
        ([[1.0, 2.0]], [[1.0, 2.5]], "'x' (B T): it is 2.5 instead of 2 at B 0, T 1"),
        ([[1.0, 2.0]], [[1.0, float("nan")]], "'x' (B T): it is nan instead of 2 at B 0, T 1"),
        ([[1.0]], [[float("inf")]], "'x' (B T): it is inf instead of 1 at B 0, T 0"),
        ([[True]], [[False]], "'x' (B T): it is 0 instead of 1 at B 0, T 0"),
        ([[1]], [[1.0]], "'x' (B T): it is torch.float32 instead of torch.int64"),
    ],
)
def test_the_largest_difference_is_named_with_its_place(one, other, text):
    assert differing(one, other) == text


def test_large_numbers_are_compared_by_their_size():
    assert differing([[1e6]], [[1e6 + 1]]) == ""
    assert differing([[1e6]], [[1e6 + 100]]) != ""
    assert differing([[0.0]], [[2e-5]]) != ""


def test_infinite_numbers_may_be_equal():
    assert differing([[float("-inf")]], [[float("-inf")]], within=0) == ""


def test_a_tensor_without_axes_and_an_empty_one_are_compared():
    assert difference("x", torch.tensor(1.0), torch.tensor(2.0), "", masks={}, within=0) == (
        "'x' (): it is 2 instead of 1"
    )
    assert difference("x", torch.zeros(0), torch.zeros(0), "Q", masks={}, within=0) == ""
