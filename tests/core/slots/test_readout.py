from typing import ClassVar

import pytest

from amrbench.slots.readout import ReadoutPart


class Plain(ReadoutPart):
    """A read-out without anything."""

    use = "plain"

    def build(self, fitted):
        return lambda outputs: None


class Telling(ReadoutPart):
    """A read-out with evidence."""

    use = "telling"
    evidence: ClassVar = {"rank": "", "class": "scores", "iou": "iou_logits"}

    def build(self, fitted):
        return lambda outputs: None


def test_a_readout_joins_itself_and_learns_nothing_from_widths():
    part = Plain()
    assert part.readouts == (part,)
    assert part.fit((0.1, 0.2)) == {}
    assert part.requires == frozenset()


@pytest.mark.parametrize(
    ("part", "provided", "names"),
    [
        (Plain(), [], []),
        (Plain(), ["spans", "saliency"], ["saliency.inside", "saliency.outside"]),
        (Telling(), [], ["rank"]),
        (Telling(), {"scores": "N B Q"}, ["class", "rank"]),
        (
            Telling(),
            {"saliency", "iou_logits", "scores"},
            ["class", "iou", "rank", "saliency.inside", "saliency.outside"],
        ),
    ],
)
def test_evidence_depends_on_what_a_model_provides(part, provided, names):
    assert part.evidence_with(provided) == names
