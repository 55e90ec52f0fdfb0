from types import MappingProxyType

import pytest
import torch
from pydantic import Field, ValidationError

from amrbench.registry import Registry
from amrbench.slots.readout import ReadoutPart
from amrbench.testing import check_part, sample
from amrbench.types import Proposals
from amrbench_plugins.moment_detr import amrbench_parts as models
from amrbench_plugins.readouts.parts import ChangePoints, Pooled, Runs
from tests.plugins.readouts.frames import drawn, outputs_of


class Fixed(ReadoutPart):
    """A window in the middle, as wide as the mean of the training windows."""

    use = "fixed"
    requires = frozenset({"other"})
    evidence = MappingProxyType({"iou": "other", "class": "saliency"})
    level: float = Field(0.5, description="its score")

    def fit(self, widths):
        return {"width": sum(widths) / len(widths)}

    def build(self, fitted):
        def read(outputs):
            spans = torch.tensor([[[0.5, fitted["width"]]]]).expand(len(outputs.mask), 1, 2)
            scores = torch.full(spans.shape[:2], self.level)
            return Proposals(spans, scores, {"iou": scores, "class": scores})

        return read


class Classed(ReadoutPart):
    """Nothing but evidence."""

    use = "classed"
    evidence = MappingProxyType({"class": "saliency"})

    def build(self, fitted):
        return lambda outputs: None


REGISTRY = Registry.of(Runs, ChangePoints, Pooled, Fixed, Classed)


def pooled(*of):
    return Pooled.model_validate({"of": list(of)}, context=REGISTRY)


def test_a_pool_requires_and_gives_what_its_read_outs_do():
    part = pooled("runs", "fixed")
    assert part.requires == {"saliency", "other"}
    assert part.evidence == {"source": ""}
    assert pooled("fixed", "classed").evidence == {"class": "saliency", "source": ""}
    assert [one.use for one in part.readouts] == ["runs", "fixed"]


def test_a_pool_fits_each_read_out():
    part = pooled("runs", {"use": "fixed", "level": 0.75})
    fitted = part.fit((0.25, 0.5))
    assert fitted == {"runs": {}, "fixed": {"width": 0.375}}
    pool = part.build(fitted)(outputs_of(*drawn(0)))
    assert pool.spans[0, -1].tolist() == [0.5, 0.375]
    assert pool.scores[0, -1] == 0.75
    assert pool.evidence["source"][0].tolist() == [0] * 10 + [1]


@pytest.mark.parametrize(
    ("of", "text"),
    [
        (["runs"], "at least 2"),
        (["runs", {"use": "runs", "threshold": 0.3}], "'runs' is listed twice; keep one."),
        (
            ["runs", {"use": "pooled", "of": ["runs", "fixed"]}],
            "'pooled' cannot be inside of 'pooled'; list its read-outs here.",
        ),
    ],
)
def test_pools_that_make_no_sense_are_refused(of, text):
    with pytest.raises(ValidationError, match=text):
        pooled(*of)


@pytest.mark.parametrize(
    ("part", "options"),
    [(ChangePoints, {"filter": 3}), (ChangePoints, {"relative": 0.5}), (Runs, {"threshold": 0})],
)
def test_options_have_bounds(part, options):
    with pytest.raises(ValidationError):
        part.model_validate(options)


@pytest.mark.parametrize("part", [Runs, ChangePoints, Pooled])
def test_the_contract_of_read_outs_is_kept(part):
    registry = Registry.of(Runs, ChangePoints, Pooled, *models())
    check_part(sample(part, registry), registry)


@pytest.mark.parametrize("use", ["runs", "change-points"])
def test_padding_and_the_rest_of_the_batch_change_nothing(use):
    curves = drawn(3)
    together = REGISTRY.find("readout", use)().build({})(outputs_of(*curves))
    for row, curve in enumerate(curves):
        alone = REGISTRY.find("readout", use)().build({})(outputs_of(curve))
        torch.testing.assert_close(together.spans[row], alone.spans[0])
        torch.testing.assert_close(together.scores[row], alone.scores[0])
        assert alone.spans.isfinite().all()
