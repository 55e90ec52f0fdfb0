import pytest
import torch

from amrbench.slots.block_data import Tokens
from amrbench.testing.unchanged import tensors_in, unchanged

TOKENS = Tokens(torch.zeros(1, 2), torch.zeros(1), torch.ones(1))


def test_the_tensors_of_mappings_and_dataclasses_have_dotted_names():
    assert [name for name, _ in tensors_in("", {"a": torch.ones(1), "words": TOKENS, "n": 3})] == [
        "a",
        "words.features",
        "words.positions",
        "words.mask",
    ]


def test_a_tensor_that_is_written_into_is_named():
    with pytest.raises(AssertionError) as error, unchanged("part 'x'", words=TOKENS):
        TOKENS.features.add_(1)
    assert str(error.value) == (
        "part 'x': it writes into words.features, which it is given. Change a copy (clone)."
    )


def test_reading_is_fine():
    with unchanged("part 'x'", words=TOKENS):
        TOKENS.features.sum()
