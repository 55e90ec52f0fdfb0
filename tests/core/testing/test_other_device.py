import pytest
import torch

from amrbench.testing.other_device import check_device, on_meta
from amrbench.testing.small_data import make_batch

ROWS = on_meta(torch.zeros(3, 4))
REMEDY = "Create tensors on the device of the input (new_zeros, device=...), and constants as buffers."


@pytest.mark.parametrize(
    "call",
    [
        lambda: {"x": ROWS + ROWS.new_zeros(4)},
        lambda: {"x": ROWS * torch.tensor(2.0)},  # A number may be anywhere.
        lambda: {"x": ROWS[ROWS > 0]},  # A shape that numbers decide is not known.
        lambda: {"x": torch.tensor(ROWS.sum().item())},
        lambda: {"x": torch.zeros(2) @ torch.zeros(3)},  # Another error is found elsewhere.
    ],
)
def test_what_cannot_be_told_passes(call):
    check_device(call, "part 'x'")


def test_a_tensor_that_is_made_on_the_cpu_is_found():
    with pytest.raises(AssertionError) as error:
        check_device(lambda: {"x": ROWS + torch.zeros(4)}, "part 'x'")
    assert str(error.value) == (
        "part 'x': on another device than the CPU it fails: Tensor on device cpu is not on the expected "
        f"device meta! {REMEDY}"
    )


def test_a_result_on_the_cpu_is_found():
    with pytest.raises(AssertionError) as error:
        check_device(lambda: {"x": torch.zeros(4)}, "part 'x'")
    assert str(error.value) == f"part 'x': 'x' is on the CPU where its input is on another device. {REMEDY}"


def test_all_tensors_of_a_batch_are_moved():
    batch = on_meta({"batch": make_batch(), "name": "x"})
    assert {tensor.device.type for tensor in vars(batch["batch"]).values()} == {"meta"}
    assert batch["name"] == "x"
