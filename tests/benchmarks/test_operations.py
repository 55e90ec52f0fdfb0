"""What is counted while something runs."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import ours
from benchmarks.operations import Operations, operations_on_meta
from benchmarks.problems import on_meta


def test_flops_are_those_that_torch_counts() -> None:
    criterion = ours.criterion_of(ours.shipped_recipe()).to("meta")
    with FlopCounterMode(display=False) as flops, operations_on_meta() as operations:
        criterion(*on_meta(8, 60)).total.backward()
    assert operations.flops == flops.get_total_flops()


def test_views_and_allocated_memory_are_no_kernels() -> None:
    x = torch.ones(2, 6)
    with Operations() as operations:
        torch.empty(3).new_empty(4)
        x.view(3, 4).t().detach()[1:].unsqueeze(0).expand(2, -1, -1)
    assert operations.kernels.total() == 0


def test_every_product_is_kept_with_its_layout() -> None:
    x, w = torch.ones(5, 3), torch.ones(2, 3)
    with Operations() as operations:
        torch.nn.functional.linear(x, w, torch.ones(2))
        x @ w.t()
        x @ w.t()
        torch.baddbmm(torch.ones(1), torch.ones(4, 5, 3), torch.ones(4, 3, 2))
    counts = {product.text(): count for product, count in operations.products.items()}
    assert counts == {"addmm (5, 3) x (3, 2)": 1, "mm (5, 3) x (3, 2)": 2, "baddbmm (4, 5, 3) x (4, 3, 2)": 1}
    assert operations.flops == 3 * 60 + 240
    (twice,) = [product for product, count in operations.products.items() if count == 2]
    assert [operand.stride for operand in twice.operands] == [(3, 1), (1, 3)]


def test_products_in_place_and_into_memory_count() -> None:
    a, b, out = torch.ones(2, 4, 4), torch.ones(2, 4, 4), torch.ones(2, 4, 4)
    with Operations() as operations:
        out.baddbmm_(a, b)
        torch.bmm(a, b, out=out)
    assert sorted(product.name for product in operations.products) == ["baddbmm", "bmm"]


def test_bytes_are_those_of_all_operands_and_an_expanded_tensor_has_its_own_once() -> None:
    x, y = torch.ones(10, 10), torch.ones(10).expand(10, 10)
    with Operations() as operations:
        x + y
    assert operations.bytes == 4 * (100 + 10 + 100)


def test_reading_a_number_is_a_wait_and_its_place_is_told() -> None:
    x = torch.ones(3)
    with Operations() as operations:
        float(x.sum())
        x[x > 0]
    assert [wait.split()[0] for wait in operations.waits] == ["_local_scalar_dense", "index"]
    assert "test_operations.py" in operations.waits[0]
    assert operations.waits[0].endswith("test_reading_a_number_is_a_wait_and_its_place_is_told")


def test_a_copy_to_the_host_is_a_wait_unless_it_does_not_block() -> None:
    with operations_on_meta() as operations:
        x = torch.ones(3, device="meta")
        assert x.cpu().tolist() == [0, 0, 0]
        assert x.to("cpu", non_blocking=True).tolist() == [0, 0, 0]
        assert not x.any() or len(operations.waits) == 2
    assert [wait.split()[0] for wait in operations.waits] == ["_to_copy", "_local_scalar_dense"]


def test_shapes_that_depend_on_numbers_are_refused_on_meta() -> None:
    x = torch.ones(3, device="meta")
    with (
        operations_on_meta(),
        pytest.raises(NotImplementedError, match=r"index in .*the shape of the result depends on numbers"),
    ):
        x[x > 0]
