from __future__ import annotations

from pydantic import Field

from amrbench.part import location
from amrbench.slots.features import FeatureBackend, FeaturesPart


class Ears(FeaturesPart):
    """An encoder of this test."""

    use = "ears"
    hop: float = Field(1.0, description="seconds between two rows")
    pooled: bool = Field(False, description="whether texts have one row")
    weights: str = location("file of the weights")

    def build(self) -> FeatureBackend:
        raise NotImplementedError


def test_the_label_has_the_options_that_change_the_features() -> None:
    assert Ears().label == "ears"
    assert Ears(weights="/a/b.pt").label == "ears"
    assert Ears(pooled=True, hop=0.5).label == "ears+hop=0.5+pooled=True"


def test_a_part_is_one_encoder_and_may_be_replaced_by_name() -> None:
    part, other = Ears(), Ears(hop=2.0)
    assert part.encoders == (part,)
    assert part.replaced({"ears": other}) is other
    assert part.replaced({"nose": other}) is part
