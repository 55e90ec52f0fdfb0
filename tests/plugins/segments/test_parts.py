"""The parts in a model, their options, and that the losses teach what the read-out reads."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

from amrbench.registry import Registry
from amrbench.testing import check_part
from amrbench.types import BuildContext, FeatureWidths, Outputs
from amrbench_plugins import cgdetr, moment_detr, segments
from amrbench_plugins.segments.parts import SegmentIou, SegmentNll, SegmentPosterior, Segments
from tests.plugins.moment_detr import small
from tests.plugins.segments.twins import frames_of, head, mask_of, memory_of, outcome_of, truth

REGISTRY = Registry.of(*moment_detr.amrbench_parts(), *cgdetr.amrbench_parts(), *segments.amrbench_parts())
CONTEXT = BuildContext(FeatureWidths(3, 3))


@pytest.mark.parametrize("part", [Segments(), SegmentNll(), SegmentNll(subdivisions=0), SegmentIou()])
def test_the_parts_keep_the_contracts_of_their_slots(part):
    model = small.part(REGISTRY, heads=["spans", "foreground", "saliency", "segments"])
    check_part(part, REGISTRY, models=[model])


def test_a_detector_provides_segments_beside_its_decoder():
    part = small.part(REGISTRY, heads=["spans", "foreground", "saliency", "segments"])
    assert part.provides["segments"] == "B T 4"
    model = part.build(BuildContext(small.WIDTHS)).eval()
    tensors = model.encode(small.batch()).tensors
    assert tensors["segments"].shape == (3, 9, 4)


@pytest.mark.parametrize("windows", [[[(3, 9), (14, 15)], [(0, 4)], []]])
def test_what_the_losses_teach_is_read_out(windows):
    mask = mask_of([24, 15, 20], 24)
    relevant = frames_of(windows, mask)
    target = truth(relevant, [[(float(a), b + 1.0) for a, b in listed] for listed in windows], mask)
    memory = memory_of([24, 15, 20], width=16)
    module = head(16, hidden=64)
    losses = [part.build(CONTEXT) for part in (SegmentNll(subdivisions=0.5), SegmentIou())]
    optimizer = torch.optim.Adam(module.parameters(), lr=1e-2)
    for _ in range(120):
        outcome = outcome_of(module.of_memory(memory)["segments"], mask, target)
        total = sum(term for loss in losses for term in loss(outcome).values())
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
    with torch.no_grad():
        proposals = SegmentPosterior().build({})(Outputs(module.of_memory(memory), mask))
    for row, listed in enumerate(windows):
        count = int(mask[row].sum())
        spans, scores = proposals.spans[row].double(), proposals.scores[row]
        low, high = ((spans[:, 0] + side * spans[:, 1] / 2) * count for side in (-1, 1))
        likely = scores > 0.5
        found = {
            (round(a), round(b) - 1) for a, b in zip(low[likely].tolist(), high[likely].tolist(), strict=True)
        }
        assert found == set(listed)


@pytest.mark.parametrize(
    ("slot", "use", "options", "message"),
    [
        ("head", "segments", {"hidden": 0}, "Input should be greater than or equal to 1, not 0."),
        ("head", "segments", {"reach": -1}, "Input should be greater than or equal to 0, not -1."),
        ("loss", "segment-nll", {"subdivisions": 1.5}, "Input should be less than or equal to 1, not 1.5."),
        ("readout", "segment-posterior", {"count": 0}, "Input should be greater than or equal to 1, not 0."),
        ("readout", "segment-posterior", {"longest": 0}, "Input should be greater than 0, not 0."),
    ],
)
def test_bad_options_are_refused(slot, use, options, message):
    with pytest.raises(ValidationError) as error:
        REGISTRY.find(slot, use).model_validate(options, context=REGISTRY)
    assert message in str(error.value)
