from __future__ import annotations

import shlex

import pytest
from pydantic import Field

from amrbench.config.load import parse_part
from amrbench.part import location
from amrbench.registry import Registry
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


def test_most_encoders_have_no_list_of_sounds() -> None:
    assert Ears().known_sounds() == ()


@pytest.mark.parametrize(
    ("options", "argument"),
    [
        ({}, "ears"),
        ({"weights": "models/ears.pt"}, '"{use: ears, weights: models/ears.pt}"'),
        ({"weights": "/my files/it's.pt"}, """'{"use": "ears", "weights": "/my files/it'"'"'s.pt"}'"""),
        ({"pooled": True}, """'{"use": "ears", "pooled": true}'"""),
        ({"hop": 0.5, "pooled": True}, """'{"use": "ears", "hop": 0.5, "pooled": true}'"""),
        ({"weights": "true"}, """'{"use": "ears", "weights": "true"}'"""),
        ({"weights": "no"}, """'{"use": "ears", "weights": "no"}'"""),
    ],
)
def test_the_argument_of_a_command_is_the_same_encoder(options, argument) -> None:
    part = Ears(**options)
    assert part.argument == argument
    [word] = shlex.split(part.argument)
    parsed = parse_part(word, FeaturesPart, Registry.of(Ears), called="--encoder")
    assert parsed == part
    assert parsed.label == part.label
