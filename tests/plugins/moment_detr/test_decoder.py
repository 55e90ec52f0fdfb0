"""The DAB decoder: anchors, their correction and the first layer."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from amrbench.functional.spans import inverse_sigmoid
from tests.plugins.moment_detr import small


def test_corrections_start_without_a_bias() -> None:
    assert not small.model().decoder.correction.last.bias.any()


@pytest.mark.parametrize("use", ["dab", "independent"])
def test_corrections_may_start_at_zero_and_change_no_other_weight(use: str) -> None:
    drawn, zero = (
        small.model(decoder={"use": use, "layers": 2, "first_corrections": first}).decoder.state_dict()
        for first in ("drawn", "zero")
    )
    changed = [name for name, weight in drawn.items() if not weight.equal(zero[name])]
    assert changed == ["correction.linears.2.weight"]
    assert not zero["correction.linears.2.weight"].any()


def test_the_contents_of_the_first_layer_alone_get_positions() -> None:
    layers = small.model().decoder.layers
    assert [layer.cross.query_position is None for layer in layers] == [False, True]


def test_the_second_layer_starts_from_corrected_anchors() -> None:
    model, states = small.model(), []
    encoded = model.encode(small.batch())
    model.decoder.layers[0].register_forward_hook(lambda *call: states.append(call[-1]))
    decoded = model.decoder(model.query(encoded.tensors), encoded.state)
    assert decoded.anchors.shape == (2, 3, 10, 2)
    shift = model.decoder.correction(states[0])
    expected = (shift + inverse_sigmoid(decoded.anchors[0], model.decoder.eps)).sigmoid()
    assert_close(decoded.anchors[1], expected)


def test_anchors_pass_no_gradient_to_the_next_layer() -> None:
    model = small.model()
    encoded = model.encode(small.batch())
    decoded = model.decoder(model.query(encoded.tensors), encoded.state)
    (gradient,) = torch.autograd.grad(
        decoded.hidden[1].sum(), [model.decoder.correction.last.weight], allow_unused=True
    )
    assert gradient is None
    decoded.anchors[1].sum().backward()
    assert model.decoder.correction.last.weight.grad.abs().max() > 0
