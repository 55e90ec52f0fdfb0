"""The three heads of the baseline."""

from __future__ import annotations

import torch
from torch import nn
from torch.testing import assert_close

from amrbench.slots.blocks import Decoded, Memory
from amrbench_plugins.moment_detr.heads import ForegroundHead, SaliencyHead, SpanHead
from amrbench_plugins.moment_detr.layers import Perceptron, start_corrections


def decoded() -> Decoded:
    return Decoded(torch.randn(2, 3, 4, 8), torch.rand(2, 3, 4, 2) * 0.8 + 0.1)


def test_spans_without_a_correction_are_the_anchors() -> None:
    head, states = SpanHead(Perceptron((8, 8, 2), nn.ReLU), eps=1e-3), decoded()
    start_corrections(head.perceptron.last, "zero")
    assert_close(head.of_queries(states)["spans"], states.anchors)


def test_the_score_is_the_probability_of_the_first_class() -> None:
    tensors = ForegroundHead(8).of_queries(decoded())
    moment, none = tensors["logits"].unbind(-1)
    assert_close(tensors["scores"], (moment - none).sigmoid())


def test_saliency_is_a_scaled_product_of_frame_and_token() -> None:
    head = SaliencyHead(4)
    memory = Memory(torch.randn(2, 4), torch.randn(2, 3, 4), torch.zeros(2, 3, 4), torch.ones(2, 3) > 0)
    saliency = head.of_memory(memory)["saliency"]
    for sample in range(2):
        for frame in range(3):
            product = head.of_frames(memory.frames[sample, frame]) @ head.of_token(memory.token[sample])
            assert_close(saliency[sample, frame], product / 2)
