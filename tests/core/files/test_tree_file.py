import math

import pytest
import torch

from amrbench.errors import CheckpointError, RunError
from amrbench.files.tree_file import read_tree, write_tree


def same(one, two) -> bool:
    if isinstance(one, torch.Tensor):
        return one.dtype == two.dtype and one.shape == two.shape and torch.equal(one, two)
    if isinstance(one, dict):
        return list(one) == list(two) and all(same(value, two[key]) for key, value in one.items())
    if isinstance(one, list | tuple):
        return type(one) is type(two) and len(one) == len(two) and all(map(same, one, two))
    return type(one) is type(two) and one == two


@pytest.mark.parametrize(
    "tree",
    [
        None,
        {},
        [],
        {0: {"step": torch.tensor(3.0), "exp_avg": torch.randn(2, 3)}, 1: {}},
        {"betas": (0.9, 0.999), "lr": 0.1 + 0.2, "params": [0, 1], "fused": True, "foreach": None},
        [math.inf, -math.inf, 1e-320, 2**63, "text", "\u00e9"],
        {"random": torch.get_rng_state(), "none": torch.empty(0, 3), "mask": torch.tensor([True, False])},
    ],
)
def test_a_tree_is_read_back_bit_by_bit(tmp_path, tree):
    write_tree(tmp_path / "tree.safetensors", tree)
    assert same(read_tree(tmp_path / "tree.safetensors"), tree)


def test_views_of_one_storage_are_kept_apart(tmp_path):
    whole = torch.arange(6.0)
    write_tree(tmp_path / "tree", [whole[:3], whole[2:], whole.view(2, 3).T])
    one, two, three = read_tree(tmp_path / "tree")
    assert one.tolist() == [0, 1, 2]
    assert two.tolist() == [2, 3, 4, 5]
    assert three.tolist() == [[0, 3], [1, 4], [2, 5]]


def test_other_objects_are_refused(tmp_path):
    with pytest.raises(TypeError, match="a saved state cannot hold set"):
        write_tree(tmp_path / "tree", {"a": {1, 2}})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [b"", b"\0" * 100, b"\x02\0\0\0\0\0\0\0{}"])
def test_another_file_is_refused(tmp_path, content):
    file = tmp_path / "tree"
    file.write_bytes(content)
    with pytest.raises(CheckpointError) as error:
        read_tree(file)
    assert str(error.value).startswith(f"{file}: not a saved state, or truncated (")


def test_a_folder_that_is_missing_is_named(tmp_path):
    file = tmp_path / "missing" / "tree"
    with pytest.raises(RunError) as error:
        write_tree(file, 1)
    assert str(error.value).startswith(f"{file}: cannot be written (")
