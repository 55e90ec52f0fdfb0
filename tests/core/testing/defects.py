"""Parts with one defect each, and the text of the check that fails."""

import numpy as np
import pytest
import torch
from pydantic import Field
from torch import nn

from amrbench.registry import Registry
from amrbench.slots.blocks import EncoderPart, Head, HeadPart, RefinePart
from amrbench.slots.losses import LossPart
from amrbench.testing import check_part, sample


def failure(part, *others):
    """Return the text of the failed check of a part."""
    registry = Registry.of(part, *others)
    with pytest.raises(AssertionError) as error:
        check_part(sample(part, registry), registry)
    return str(error.value)


def part_of(slot, built):
    """Return a part that builds this."""

    class Bad(slot):
        """A part."""

        use = "bad"

        def build(self, *arguments):
            return built

    return Bad


# ---------------------------------------------------------------- heads


class BumpHead(HeadPart):
    """A head with a number for each frame; the defect spoils one thing."""

    use = "bumps"
    defect: str = Field("none", description="what is wrong")

    @property
    def provides(self):
        return {"bumps": "B T"}

    def build(self, context):
        return None if self.defect == "nothing" else Bumps(context.width, self.defect)


class Bumps(Head, nn.Module):
    """See `BumpHead`."""

    def __init__(self, width, defect):
        super().__init__()
        self.defect = defect
        self.linear = nn.Linear(width, 1)
        self.unused = nn.Linear(width, 1) if defect == "unused" else None
        self.calls = 0

    def of_memory(self, memory):
        self.calls += 1
        bumps = self.linear(memory.frames).squeeze(-1)
        batch, frames = bumps.shape
        spoil = {
            "one more axis": lambda: bumps[..., None],
            "no batch": lambda: bumps.sum(0),
            "first frames": lambda: bumps[:, :5],
            "axis order": lambda: bumps.T,
            "mean over padding": lambda: bumps - bumps.mean(1, keepdim=True),
            "mean over batch": lambda: bumps - bumps.mean(0),
            "batch order": lambda: bumps * torch.arange(1, batch + 1)[:, None],
            "mutation": lambda: bumps + memory.frames.detach().mul_(2).sum(-1),
            "state": lambda: bumps + self.calls,
            "random": lambda: bumps + torch.rand_like(bumps),
            "other random": lambda: bumps + self.training * np.random.default_rng().random(),
            "no gradient": lambda: bumps.detach(),
            "infinite gradient": lambda: (bumps * 0).abs().sqrt() + bumps,
            "nan on padding": lambda: bumps.masked_fill(~memory.mask, torch.nan),
            "dtype": bumps.double,
            "device": lambda: bumps + torch.zeros(frames),
            "no tensor": lambda: 3.0,
            "hidden weights": lambda: bumps + self.hidden(bumps),
        }
        return {"bumps": spoil.get(self.defect, lambda: bumps)()}

    def hidden(self, bumps):
        """Return a number that is drawn with the weights, but is no buffer."""
        return self.linear.__dict__.setdefault("drawn", float(torch.rand(1)))


HEAD_DEFECTS = [
    ("nothing", "head 'bumps': build returns None, not a Head (amrbench.slots.blocks). Return what"),
    ("unused", "head 'bumps' in model 'moment-detr': no gradient reaches heads.bumps.unused.weight"),
    (
        "one more axis",
        "head 'bumps': of_memory: 'bumps' has shape (8, 14, 1), but its axes are 'B T', which are 2 and not "
        "3. Return a tensor (B, T), or declare the axes that it has.",
    ),
    (
        "no batch",
        "head 'bumps': of_memory: 'bumps' has shape (14), but its axes are 'B T', which are 2 and not 1. "
        "Return a tensor (B, T), or declare the axes that it has.",
    ),
    (
        "first frames",
        "head 'bumps': of_memory: 'bumps' has shape (8, 5), but its axes are 'B T': axis 1 is 5, where T is "
        "14. Return a tensor (B, T), or declare the axes that it has.",
    ),
    (
        "axis order",
        "head 'bumps': of_memory: 'bumps' has shape (14, 8), but its axes are 'B T': axis 0 is 14, where B",
    ),
    ("mean over padding", "head 'bumps': extra padding changes 'bumps' (B T): it is "),
    ("mean over batch", "head 'bumps': the rest of the batch changes 'bumps' (B T): it is "),
    ("batch order", "head 'bumps': the order of the queries changes 'bumps' (B T): it is "),
    ("mutation", "head 'bumps': of_memory writes into 'frames', which it is given. Change a copy (clone)."),
    ("state", "head 'bumps' in model 'moment-detr': calling it again changes 'bumps' (B T): it is "),
    ("random", "head 'bumps' in model 'moment-detr': calling it again changes 'bumps' (B T): it is "),
    (
        "other random",
        "head 'bumps' in model 'moment-detr': in training mode, calling it again with the same random state "
        "changes 'bumps' (B T): it is ",
    ),
    ("no gradient", "head 'bumps' in model 'moment-detr': no gradient reaches heads.bumps.linear.weight"),
    ("infinite gradient", "head 'bumps' in model 'moment-detr': the gradient of "),
    (
        "nan on padding",
        "head 'bumps': of_memory: 'bumps' (B T) is not finite. Padding must stay finite too: NaN survives "
        "products with 0.",
    ),
    (
        "dtype",
        "head 'bumps': of_memory: 'bumps' (B T) is torch.float64, where the input is torch.float32. Create "
        "tensors with the dtype of the input",
    ),
    (
        "device",
        "head 'bumps' in model 'moment-detr': on another device than the CPU it fails: Tensor on device cpu "
        "is not on the expected device meta! Create tensors on the device of the input",
    ),
    ("no tensor", "head 'bumps': of_memory returns float 3.0 for 'bumps', not a tensor (B T)."),
]
"""What is wrong with a head, and how the message begins."""


# ---------------------------------------------------------------- other blocks


class Changed(RefinePart):
    """A refinement with a defect."""

    use = "changed"
    defect: str = Field("none", description="what is wrong")

    def build(self, context):
        return ChangedMemory(self.defect)


class ChangedMemory(nn.Module):
    """See `Changed`."""

    def __init__(self, defect):
        super().__init__()
        self.defect = defect

    def forward(self, memory):
        frames = memory.frames
        spoil = {
            "mean over padding": lambda: memory.with_frames(frames - frames.mean(1, keepdim=True)),
            "no gradient": lambda: memory.with_frames(frames.detach()),
            "frames only": lambda: frames,
            "fewer frames": lambda: memory.with_frames(frames[:, 1:]),
            "nothing": lambda: None,
        }
        return spoil.get(self.defect, lambda: memory)()


REFINE_DEFECTS = [
    ("mean over padding", "refine 'changed': extra padding changes 'frames' (B T D): it is "),
    (
        "no gradient",
        "refine 'changed' in model 'moment-detr': what it decodes depends on the audio, but no gradient "
        "reaches it.",
    ),
    ("frames only", "refine 'changed': forward returns Tensor of shape (4, 14, 16), not a Memory."),
    (
        "fewer frames",
        "refine 'changed': forward: 'frames' has shape (4, 13, 16), but its axes are 'B T D': axis 1",
    ),
    ("nothing", "refine 'changed': forward returns None, not a Memory."),
]


class Averaging(EncoderPart):
    """An encoder that adds the mean of all rows, padded ones included."""

    use = "averaging"

    def build(self, context):
        return AveragingEncoder()


class AveragingEncoder(nn.Module):
    """See `Averaging`."""

    def forward(self, tokens, first=None):
        return (tokens.features + tokens.features.mean(1, keepdim=True))[:, :first]


# ---------------------------------------------------------------- losses


class SaliencyLoss(LossPart):
    """A loss of the saliency of frames; the defect spoils one thing."""

    use = "bad"
    requires = frozenset({"saliency"})
    defect: str = Field("none", description="what is wrong")

    def build(self, context):
        return SaliencyCriterion(self.weight, self.defect)


class SaliencyCriterion(nn.Module):
    """See `SaliencyLoss`."""

    def __init__(self, weight, defect):
        super().__init__()
        self.weight = weight
        self.defect = defect
        self.calls = 0

    def forward(self, outcome):
        self.calls += 1
        x, mask = outcome.tensors["saliency"], outcome.batch.audio_mask
        batch, frames = x.shape
        mean = (x * mask).sum() / mask.sum()
        spoil = {
            "sum": lambda: (x * mask).sum(),
            "mean over padding": lambda: (x * mask).mean(),
            "batch order": lambda: (x * mask).sum(1) @ torch.arange(1.0, batch + 1) / batch,
            "batch size": lambda: (x * mask).sum() / batch**2,
            "mutation": lambda: mean + x.detach().mul_(2).sum(),
            "target mutation": lambda: mean + outcome.target.spans.mul_(2).sum(),
            "state": lambda: mean * self.calls,
            "training state": lambda: mean * (self.calls if self.training else 1),
            "random": lambda: mean * torch.rand(()),
            "one query": lambda: (x * mask).sum() / x.new_tensor(batch - 1.0),
            "dtype": mean.double,
            "device": lambda: mean + (x * torch.ones(frames) * mask).sum() / mask.sum(),
            "infinite gradient": lambda: mean + (mean - mean.detach()).abs().sqrt(),
            "float": lambda: 0.5,
        }
        term = spoil.get(self.defect, lambda: mean)()
        terms = {"a": self.weight * term}
        if self.defect == "no gradient of a term":
            terms["b"] = self.weight * mean.detach()
        return {"tensor": term, "nothing": None}.get(self.defect, terms)


LOSS_DEFECTS = [
    ("mean over padding", "loss 'bad': extra padding changes the term 'a': it is "),
    ("batch order", "loss 'bad': the order of the queries changes the term 'a': it is "),
    (
        "batch size",
        "loss 'bad': all queries twice in a batch neither keep nor double the term 'a': it is ",
    ),
    ("one query", "loss 'bad' (a batch of one query): the term 'a' is not finite: "),
    ("mutation", "loss 'bad': it writes into tensors.saliency, which it is given. Change a copy (clone)."),
    ("target mutation", "loss 'bad': it writes into target.spans, which it is given. Change a copy (clone)."),
    ("state", "loss 'bad': calling it again changes the term 'a': it is "),
    (
        "training state",
        "loss 'bad': in training mode, calling it again with the same random state changes the",
    ),
    ("random", "loss 'bad': calling it again changes the term 'a': it is "),
    ("dtype", "loss 'bad': the term 'a' is torch.float64, where the input is torch.float32. Create tensors"),
    ("device", "loss 'bad': on another device than the CPU it fails: Tensor on device"),
    ("infinite gradient", "loss 'bad': a gradient of the term 'a' is not finite."),
    ("no gradient of a term", "loss 'bad': the term 'b' carries no gradient. Remove detach() or no_grad()."),
    ("float", "loss 'bad': the term 'a' is float 0.5, not a tensor."),
    ("tensor", "loss 'bad': it returns Tensor of shape (), not a dict of terms by name."),
    ("nothing", "loss 'bad': it returns None, not a dict of terms by name."),
]
"""What is wrong with a loss, and how the message begins."""
