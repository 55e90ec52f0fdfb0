"""A part for each slot of a recipe, and a recipe and a protocol; a whole run takes a second."""

import os
import signal
import sys
from collections.abc import Callable, Collection, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from amrbench.errors import RunError
from amrbench.functional.targets import as_windows, draw_pairs, label_windows, spans_of
from amrbench.part import budgeted
from amrbench.registry import Registry
from amrbench.slots.data import TargetsPart
from amrbench.slots.losses import LossPart
from amrbench.slots.matcher import MatcherPart
from amrbench.slots.model import ModelPart
from amrbench.slots.optimizers import OptimizerPart
from amrbench.slots.ranking import RankingPart
from amrbench.slots.readout import ReadoutPart
from amrbench.slots.soups import SoupPart, SoupResult
from amrbench.types import (
    Batch,
    BuildContext,
    Encoded,
    Losses,
    Outcome,
    Outputs,
    Proposals,
    Query,
    Target,
    Tensors,
    TrainingLength,
)
from amrbench_plugins.executors.local import Local
from tests.small_world.data import SECONDS, Absent, Events, OneHot


@dataclass(frozen=True)
class Labelled:
    """See `amrbench.slots.data.Labels`."""

    spans: np.ndarray
    relevant: np.ndarray
    positives: np.ndarray
    negatives: np.ndarray


class AllWindows(TargetsPart):
    """All windows."""

    use = "all"

    def build(self) -> Callable[[Query, int, float, np.random.Generator], Labelled]:
        def labels(query: Query, frames: int, hop: float, rng: np.random.Generator) -> Labelled:
            windows = as_windows(query.windows)
            relevant = label_windows(windows, query.duration, frames)
            pairs = draw_pairs(relevant, 2, rng)
            return Labelled(spans_of(windows, frames, hop), relevant, pairs.positives, pairs.negatives)

        return labels


class ToyModel(ModelPart):
    """Compares each second with the sentence; one window around the most similar ones."""

    use = "toy"
    views = frozenset({"rolled"})
    width: int = budgeted(16, "width", ge=1, description="width of the projections")
    dropout: float = 0.1

    @property
    def provides(self) -> Mapping[str, str]:
        return {"similarity": "B T", "span": "B Q 2", "score": "B Q"}

    def build(self, context: BuildContext) -> nn.Module:
        with context.drawing():
            return ToyModule(context, self.width, self.dropout)


class ToyModule(nn.Module):
    """See `ToyModel`."""

    def __init__(self, context: BuildContext, width: int, dropout: float) -> None:
        super().__init__()
        self.audio = nn.Linear(context.features.audio, width)
        self.text = nn.Linear(context.features.text, width)
        self.size = nn.Parameter(torch.tensor(float(np.mean(context.window_widths or [0.3]))))
        self.dropout = nn.Dropout(dropout + context.input_dropout / 10)

    def encode(self, batch: Batch, views: Collection[str] = ()) -> Encoded:
        audio = self.dropout(self.audio(batch.audio))
        text = self.text(batch.text[:, 0])
        similarity = self.similarity(audio, text, batch)
        rolled = {view: {"similarity": self.similarity(audio, text.roll(1, 0), batch)} for view in views}
        return Encoded(state=similarity, tensors={"similarity": similarity}, views=rolled)

    def similarity(self, audio: Tensor, text: Tensor, batch: Batch) -> Tensor:
        return (audio @ text[..., None]).squeeze(-1).masked_fill(~batch.audio_mask, -1e4)

    def decode(self, encoded: Encoded) -> Tensors:
        weight = encoded.state.softmax(1)
        positions = (torch.arange(weight.shape[1], device=weight.device) + 0.5) / weight.shape[1]
        centre = (weight * positions).sum(1)
        spans = torch.stack([centre, self.size.clamp(0.01, 1).expand_as(centre)], -1)[:, None]
        return {"span": spans, "score": encoded.state.amax(1, keepdim=True)}


class Frames(LossPart):
    """Cross-entropy of each second."""

    use = "frames"
    requires = frozenset({"similarity"})

    def build(self, context: BuildContext) -> nn.Module:
        return FramesLoss(self.weight)


class FramesLoss(nn.Module):
    """See `Frames`; the offset is a weight of its own."""

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = weight
        self.offset = nn.Parameter(torch.zeros(()))

    def forward(self, outcome: Outcome) -> dict[str, Tensor]:
        logits = (outcome.tensors["similarity"] + self.offset)[outcome.batch.audio_mask]
        truth = outcome.target.relevant[outcome.batch.audio_mask].float()
        return {"frames": self.weight * nn.functional.binary_cross_entropy_with_logits(logits, truth)}


class Spans(LossPart):
    """Distance of the one span to the matched true one."""

    use = "spans"
    requires = frozenset({"span"})

    def build(self, context: BuildContext) -> nn.Module:
        return SpansLoss(self.weight)


class SpansLoss(nn.Module):
    """See `Spans`."""

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, outcome: Outcome) -> dict[str, Tensor]:
        assert (outcome.matched[0, :, 0] == 0).all()
        away = (outcome.tensors["span"][:, 0] - outcome.target.spans[:, 0]).abs().sum(-1)
        return {"spans": self.weight * away.mean()}


class Failing(LossPart):
    """Fails in a chosen way after some steps; with `at`, only if this file exists, which it deletes."""

    use = "failing"
    kind: str = Field(description="a key of FAILURES")
    at: str = ""
    after: int = 3

    def build(self, context: BuildContext) -> nn.Module:
        return FailingLoss(self)


class FailingLoss(nn.Module):
    """See `Failing`."""

    def __init__(self, part: Failing) -> None:
        super().__init__()
        self.part = part
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, outcome: Outcome) -> dict[str, Tensor]:
        nothing = 0 * self.weight
        if outcome.step < self.part.after or (self.part.at and not Path(self.part.at).exists()):
            return {"failing": nothing}
        if self.part.at:
            Path(self.part.at).unlink()
        return {"failing": nothing + FAILURES[self.part.kind](self.weight)}


def spoil_weights(weight: Tensor) -> Tensor:
    with torch.no_grad():
        weight.fill_(float("inf"))
    raise ValueError("matrix contains invalid numeric entries")


def raise_(error: Exception) -> Tensor:
    raise error


FAILURES: dict[str, Callable[[Tensor], Tensor | float]] = {
    "nan": lambda _: float("nan"),
    "inf": lambda _: float("inf"),
    "gradient": lambda weight: (0 * weight).sqrt(),
    "grow": lambda _: 1e6,
    "weights": spoil_weights,
    "memory": lambda _: torch.empty(2**50).sum(),
    "gpu memory": lambda _: raise_(
        torch.OutOfMemoryError(
            "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.10 GiB of "
            "which 1.20 GiB is free."
        )
    ),
    "predictions": lambda _: raise_(RunError("the model predicts spans or scores that are not finite.")),
    "kill": lambda _: os.kill(os.getpid(), signal.SIGKILL) or 0.0,
    "crash": lambda _: os.kill(os.getpid(), signal.SIGSEGV) or 0.0,
    "end": lambda _: os._exit(3),
    "interrupt": lambda _: os.kill(os.getpid(), signal.SIGINT) or 0.0,
    "terminate": lambda _: os.kill(os.getpid(), signal.SIGTERM) or 0.0,
    "interrupt parent": lambda _: os.kill(os.getppid(), signal.SIGINT) or 0.0,
    "exit": lambda _: sys.exit(0),
}
"""What happens in a step, by the kind of the failure."""


class FirstSpan(MatcherPart):
    """The one query goes to the first span."""

    use = "first"

    def build(self) -> Callable[[Tensors, Target], Tensor]:
        return match_first


def match_first(tensors: Tensors, target: Target) -> Tensor:
    matched = torch.full((1, *target.spans_mask.shape), -1)
    matched[0, :, 0] = 0
    return matched


class Descent(OptimizerPart):
    """Adam without anything else."""

    use = "descent"
    updates_arrays = True
    lr: float = budgeted(0.05, "lr", gt=0, description="learning rate")

    def build(self, module: nn.Module, length: TrainingLength) -> "DescentUpdater":
        return DescentUpdater(list(module.parameters()), self.lr)


class DescentUpdater:
    """See `Descent`."""

    def __init__(self, weights: list[nn.Parameter], rate: float) -> None:
        self.optimizer = torch.optim.Adam(weights, lr=rate)

    def step(self, closure: Callable[[], Losses]) -> Losses:
        self.optimizer.zero_grad()
        losses = closure()
        losses.total.sum().backward()
        self.optimizer.step()
        return losses

    def end_epoch(self) -> None:
        pass

    def state_dict(self) -> dict[str, Any]:
        return self.optimizer.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.optimizer.load_state_dict(state)

    def eval_weights(self) -> nullcontext[None]:
        return nullcontext()


class NoSoup(SoupPart):
    """No soup."""

    use = "none"

    def build(self):
        return lambda candidates, scorer: {}


class MeanSoup(SoupPart):
    """The mean of all weights, if it is at least as good as nothing."""

    use = "mean"

    def build(self):
        def soup(candidates, scorer):
            weights = [candidate.best() for candidate in candidates]
            mean = {name: torch.stack([of_one[name] for of_one in weights]).mean(0) for name in weights[0]}
            assert scorer.performance(mean) >= 0
            return {"soup": SoupResult(mean, [candidate.name for candidate in candidates])}

        return soup


class OneSpan(ReadoutPart):
    """The one span of the model."""

    use = "span"
    requires = frozenset({"span", "score"})

    def build(self, fitted):
        return lambda outputs: Proposals(outputs.tensors["span"], outputs.tensors["score"])


class Similar(ReadoutPart):
    """The second that is most similar to the sentence."""

    use = "second"
    requires = frozenset({"similarity"})

    def fit(self, widths):
        return {"width": float(np.mean(widths))}

    def build(self, fitted):
        def read(outputs: Outputs) -> Proposals:
            score, index = outputs.tensors["similarity"].max(1, keepdim=True)
            centre = (index + 0.5) / outputs.mask.sum(1, keepdim=True)
            return Proposals(torch.stack([centre, torch.full_like(centre, fitted["width"])], -1), score)

        return read


class Cut(RankingPart):
    """Ends no window after the recording."""

    use = "cut"

    def build(self, fitted):
        return lambda own, query: own.with_windows(own.moments[:, :2].clip(0, query.duration))


class MeanWidth(RankingPart):
    """Gives all windows the mean width of the true ones of the selection split."""

    use = "mean-width"
    learns = True

    def fit(self, examples):
        widths = [end - start for _, query in examples for start, end in query.windows]
        return {"width": float(np.mean(widths))}

    def build(self, fitted):
        def widen(own, query):
            half = np.array([[-0.5, 0.5]]) * fitted["width"]
            return own.with_windows(own.moments[:, :2].mean(1, keepdims=True) + half)

        return widen


PARTS = (
    *(Events, OneHot, Absent, AllWindows, ToyModel, Frames, Spans, Failing),
    *(FirstSpan, Descent, NoSoup, MeanSoup, OneSpan, Similar, Cut, MeanWidth),
)
REGISTRY = Registry.of(*PARTS, Local)

RECIPE = {
    "name": "toy",
    "features": "absent",
    "limits": {"frames": SECONDS},
    "model": {"use": "toy", "width": 32},
    "training": {
        "batch": 8,
        "targets": "all",
        "matcher": "first",
        "losses": ["frames", "spans"],
        "optimizer": "descent",
        "readouts": ["span"],
    },
    "stages": [
        {"name": "pretrain", "data": "pretrain", "epochs": 3, "input_dropout": 0.1},
        {"name": "finetune", "data": "target", "epochs": 4, "input_dropout": 0.1, "seeds": "many"},
    ],
    "soup": "none",
    "readout": "span",
    "ranking": ["cut"],
}
PROTOCOL = {
    "name": "tiny",
    "about": "For tests.",
    "data": {
        "pretrain": {"use": "toy", "name": "pre"},
        "midtrain": {"use": "toy", "name": "mid"},
        "target": {"use": "toy"},
    },
    "stand_ins": {"absent": "one-hot"},
    "budget": {"width": 16},
    "seeds": 2,
    "splits": {"train": ["train"], "select": "val", "report": "test"},
    "slices": ["kind"],
}
