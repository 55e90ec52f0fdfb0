import pytest
import torch

from amrbench.types import Outputs
from amrbench_plugins.readouts.decoder import read_decoder
from amrbench_plugins.readouts.parts import Decoder

MASK = torch.ones(3, 7, dtype=torch.bool)


def tensors(*names):
    """Return random tensors of 2 layers, 3 samples and 4 queries."""
    generator = torch.Generator().manual_seed(0)
    shapes = {"spans": (2, 3, 4, 2), "iou_logits": (2, 3, 4, 1)}
    return {name: torch.rand(shapes.get(name, (2, 3, 4)), generator=generator) for name in names}


def test_the_last_layer_gives_the_moments_with_their_scores():
    given = tensors("spans", "scores")
    proposals = read_decoder(Outputs(given, MASK))
    assert torch.equal(proposals.spans, given["spans"][1])
    assert torch.equal(proposals.scores, given["scores"][1])
    assert {name: own.tolist() for name, own in proposals.evidence.items()} == {
        "class": given["scores"][1].tolist()
    }


def test_the_predicted_iou_is_evidence_and_other_scores_may_rank():
    given = tensors("spans", "scores", "ranking_scores", "iou_logits")
    proposals = read_decoder(Outputs(given, MASK))
    assert torch.equal(proposals.scores, given["ranking_scores"][1])
    assert list(proposals.evidence) == ["class", "iou"]
    assert torch.equal(proposals.evidence["class"], given["scores"][1])
    assert torch.equal(proposals.evidence["iou"], given["iou_logits"][1, ..., 0].sigmoid())


@pytest.mark.parametrize("names", [["spans", "scores"], ["spans", "scores", "iou_logits", "ranking_scores"]])
def test_the_evidence_is_what_the_part_announces(names):
    part = Decoder()
    assert part.fit((0.1,)) == {}
    assert part.requires <= set(names)
    proposals = part.build({})(Outputs(tensors(*names), MASK))
    assert sorted(proposals.evidence) == part.evidence_with(names)
