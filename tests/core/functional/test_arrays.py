"""Functions for arrays of models, against one model after another."""

import torch
from torch.testing import assert_close

from amrbench.functional.arrays import in_array, norms, scale_, shared


def test_a_tensor_of_an_array_is_known_inside_vmap_only():
    x, same = torch.zeros(3, 2), torch.zeros(2)
    inside = []
    torch.vmap(lambda own: inside.append((in_array(own), in_array(same))) or own)(x)
    assert inside == [(True, False)]
    assert not in_array(x)


def test_what_is_shared_is_drawn_once_for_all_models_and_from_its_generator():
    def draw(own):
        generator = torch.Generator().manual_seed(5)
        return own + shared(lambda: torch.rand(4, generator=generator))

    alone = draw(torch.zeros(()))
    together = torch.vmap(draw, randomness="different")(torch.zeros(3))
    assert torch.equal(together, alone.expand(3, -1))
    assert not shared(lambda: torch.ones(2)).requires_grad


def test_norms_and_scales_are_those_of_each_model():
    torch.manual_seed(0)
    tensors = [torch.randn(3, *shape) for shape in ((), (4,), (2, 5))]
    expected = [torch.cat([tensor[k].flatten() for tensor in tensors]).norm() for k in range(3)]
    assert_close(norms(tensors), torch.stack(expected))
    factors = torch.tensor([1.0, -2.0, 0.5])
    twins = [torch.stack([tensor[k] * factors[k] for k in range(3)]) for tensor in tensors]
    scale_(tensors, factors)
    assert all(torch.equal(tensor, twin) for tensor, twin in zip(tensors, twins, strict=True))
