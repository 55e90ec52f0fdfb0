import pytest
import torch
from torch import nn

from amrbench.registry import Registry
from amrbench.slots.model import ModelPart
from amrbench.testing import check_part, sample
from amrbench.types import Encoded, Prediction
from tests.core.testing.defects import failure


class Net(nn.Module):
    """Scores each recording by its mean; `defect` spoils one thing."""

    def __init__(self, defect):
        super().__init__()
        self.defect = defect
        self.linear = nn.Linear(12, 3)
        self.unused = nn.Linear(2, 2) if defect == "unused" else None

    def encode(self, batch, views=()):
        mask = batch.audio_mask[..., None]
        count = mask.shape[1] if self.defect == "padding" else mask.sum(1)
        means = (self.linear(batch.audio) * mask).sum(1) / count
        if self.defect == "company":
            means = means - means.mean(0)
        if self.defect == "recording":
            means = means + batch.recording[:, None]
        tensors = {
            "missing": {},
            "transposed": {"means": means.T},
            "one more axis": {"means": means[..., None]},
            "no batch": {"means": means.sum(0)},
        }
        return Encoded(means, tensors.get(self.defect, {"means": means}))

    def decode(self, encoded):
        means = encoded.state
        spans = torch.stack([means.sigmoid(), means.sigmoid()], -1)
        if self.defect == "shape":
            spans = spans[..., 0]
        if self.defect == "nan":
            means = means / 0
        return Prediction(spans, means, {"extra": means} if self.defect == "undeclared" else {})


def model_with(defect, axes="B 3"):
    class Bad(ModelPart):
        """A model."""

        use = "bad"

        @property
        def provides(self):
            return {"means": axes}

        def build(self, context):
            if defect == "random":
                return Net(defect)
            with context.drawing():
                return Net(defect)

    return Bad


@pytest.mark.parametrize("axes", ["B 3", "B Q", "B 1+2", "B S+1", "B D"])
def test_a_sound_model_passes(axes):
    registry = Registry.of(model_with("none", axes))
    check_part(sample(registry.find("model", "bad"), registry), registry)


@pytest.mark.parametrize(
    ("defect", "text"),
    [
        ("padding", "model 'bad': extra padding changes its spans or scores by more than 1e-05."),
        ("company", "model 'bad': the rest of the batch changes its spans or scores by more than 1e-05."),
        ("recording", "model 'bad': which queries share a recording changes its spans or scores by more"),
        ("unused", "model 'bad': no gradient reaches unused.weight, unused.bias."),
        ("missing", "model 'bad': `provides` lists means, but it does not return them."),
        ("undeclared", "model 'bad': it returns extra, but `provides` does not list them."),
        ("shape", "model 'bad': spans (4, 3) and scores (4, 3) of 4 queries are not (B, Q, 2) and (B, Q)."),
        ("nan", "model 'bad': spans or scores are not finite for audio (4, 14, 12)."),
        ("random", "model 'bad': build draws from the global random state; use context.drawing()."),
        (
            "one more axis",
            "model 'bad': 'means' has shape (4, 3, 1), but `provides` says 'B 3'.",
        ),
        ("no batch", "model 'bad': 'means' has shape (3,), but `provides` says 'B 3'."),
        (
            "transposed",
            "model 'bad': 'means' has shape (3, 4), but `provides` says 'B 3', where B is 4.",
        ),
    ],
)
def test_a_defect_of_a_model_is_found(defect, text):
    assert failure(model_with(defect)).startswith(text)


@pytest.mark.parametrize(
    ("axes", "text"),
    [
        ("B T", "model 'bad': 'means' has shape (4, 3), but `provides` says 'B T', where T is 14."),
        ("B 2+2", "model 'bad': 'means' has shape (4, 3), but `provides` says 'B 2+2', where 2+2 is 4."),
        ("N B 3", "model 'bad': 'means' has shape (4, 3), but `provides` says 'N B 3'."),
    ],
)
def test_axes_that_a_tensor_does_not_have_are_found(axes, text):
    assert failure(model_with("none", axes)) == text
