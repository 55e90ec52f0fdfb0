import pytest
import torch
from torch import nn

from amrbench.registry import Registry
from amrbench.slots.model import ModelPart
from amrbench.testing import check_part, sample
from amrbench.types import Encoded
from tests.core.testing.defects import failure


class Net(nn.Module):
    """Scores each recording by its mean; `defect` spoils one thing."""

    def __init__(self, defect):
        super().__init__()
        self.defect = defect
        self.linear = nn.Linear(12, 3)
        self.unused = nn.Linear(2, 2) if defect == "unused" else None
        self.calls = 0

    def encode(self, batch, views=()):
        mask = batch.audio_mask[..., None]
        count = mask.shape[1] if self.defect == "padding" else mask.sum(1)
        means = (self.linear(batch.audio) * mask).sum(1) / count
        if self.defect == "company":
            means = means - means.mean(0)
        if self.defect == "mutation":
            batch.audio.add_(1)
        if self.defect == "dtype":
            means = means.double()
        if self.defect == "device":
            means = means + torch.zeros(3)
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
        if self.defect == "no gradient":
            spans, means = spans.detach(), means.detach()
        if self.defect == "state":
            self.calls += 1
            means = means * self.calls
        decoded = {"spans": spans, "scores": means}
        return {**decoded, "extra": means} if self.defect == "undeclared" else decoded


def model_with(defect, axes="B 3"):
    class Bad(ModelPart):
        """A model."""

        use = "bad"

        @property
        def provides(self):
            return {"means": axes, "spans": "B 3 2", "scores": "B 3"}

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
        ("padding", "model 'bad': extra padding changes 'means' (B 3): it is "),
        ("company", "model 'bad': the rest of the batch changes 'means' (B 3): it is "),
        ("recording", "model 'bad': which queries share a recording changes 'means' (B 3): it is "),
        ("mutation", "model 'bad': it writes into batch.audio, which it is given. Change a copy (clone)."),
        ("state", "model 'bad': calling it again changes 'scores' (B 3): it is "),
        ("dtype", "model 'bad': 'means' (B 3) is torch.float64, where the input is torch.float32."),
        ("device", "model 'bad': on another device than the CPU it fails: Tensor on device cpu"),
        ("unused", "model 'bad': no gradient reaches unused.weight, unused.bias."),
        ("missing", "model 'bad': `provides` lists means, but it does not return them."),
        ("undeclared", "model 'bad': it returns extra, but `provides` does not list them."),
        (
            "shape",
            "model 'bad': 'spans' has shape (4, 3), but its axes are 'B 3 2', which are 3 and not 2.",
        ),
        (
            "no gradient",
            "model 'bad': what it decodes depends on the audio, but no gradient reaches it. Remove the "
            "detach() or no_grad() on the way.",
        ),
        ("nan", "model 'bad': 'scores' (B 3) is not finite for audio (4, 14, 12)."),
        ("random", "model 'bad': build draws from the global random state; use context.drawing()."),
        (
            "one more axis",
            "model 'bad': 'means' has shape (4, 3, 1), but its axes are 'B 3', which are 2 and not 3.",
        ),
        ("no batch", "model 'bad': 'means' has shape (3), but its axes are 'B 3', which are 2 and not 1."),
        (
            "transposed",
            "model 'bad': 'means' has shape (3, 4), but its axes are 'B 3': axis 0 is 3, where B is 4.",
        ),
    ],
)
def test_a_defect_of_a_model_is_found(defect, text):
    assert failure(model_with(defect)).startswith(text)


@pytest.mark.parametrize(
    ("axes", "text"),
    [
        (
            "B T",
            "model 'bad': 'means' has shape (4, 3), but its axes are 'B T': axis 1 is 3, where T is 14. "
            "Return a tensor (B, T), or declare the axes that it has.",
        ),
        (
            "B 2+2",
            "model 'bad': 'means' has shape (4, 3), but its axes are 'B 2+2': axis 1 is 3, where 2+2 is 4. "
            "Return a tensor (B, 2+2), or declare the axes that it has.",
        ),
        (
            "N B 3",
            "model 'bad': 'means' has shape (4, 3), but its axes are 'N B 3', which are 3 and not 2. Return "
            "a tensor (N, B, 3), or declare the axes that it has.",
        ),
    ],
)
def test_axes_that_a_tensor_does_not_have_are_found(axes, text):
    assert failure(model_with("none", axes)) == text
