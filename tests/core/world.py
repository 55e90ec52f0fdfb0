"""A world so small that a whole run takes a second: parts for every slot, a recipe and a protocol."""

import os
import signal
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
import yaml
from torch import Tensor, nn

from amrbench.files.file_lock import exclusive
from amrbench.functional.targets import as_windows, draw_pairs, label_all_windows, spans_of
from amrbench.part import budgeted
from amrbench.registry import Registry
from amrbench.slots.data import DatasetPart, TargetsPart
from amrbench.slots.features import FeaturesPart
from amrbench.slots.losses import LossPart
from amrbench.slots.matcher import MatcherPart
from amrbench.slots.model import ModelPart
from amrbench.slots.optimizers import OptimizerPart
from amrbench.slots.ranking import RankingPart
from amrbench.slots.soups import SoupPart, SoupResult
from amrbench.types import (
    Batch,
    BuildContext,
    Encoded,
    Losses,
    Outcome,
    Prediction,
    Query,
    Target,
    Tensors,
    TrainingLength,
)

CLASSES = 3
SECONDS = 12
RATE = 2


@dataclass(frozen=True)
class ToyRecording:
    """Silence but for two events; a sample's value is the number of the class."""

    vid: str
    rate: int
    waveform: np.ndarray
    queries: Sequence[Query]


@dataclass(frozen=True)
class ToyDataset:
    """Recordings by number."""

    name: str
    recordings: int

    def splits(self) -> Sequence[str]:
        return ("train", "val", "test")

    def size(self, split: str) -> int:
        return self.recordings

    def recording(self, split: str, index: int) -> ToyRecording:
        rng = np.random.default_rng((len(split), ord(split[0]), len(self.name), index))
        wave = np.zeros(SECONDS * RATE, np.float32)
        vid, queries = f"{self.name}-{split}-{index}", []
        for half, number in enumerate(rng.permutation(CLASSES)[:2] + 1):
            start = 6 * half + int(rng.integers(0, 2))
            end = start + int(rng.integers(2, 5))
            wave[start * RATE : end * RATE] = number
            extra = {"kind": "early" if half == 0 else "late"}
            queries.append(
                Query(f"{vid}-{half}", f"class {number}", vid, SECONDS, ((float(start), float(end)),), extra)
            )
        return ToyRecording(vid, RATE, wave, tuple(queries))

    def fingerprint(self) -> str:
        return f"toy {self.name} {self.recordings}"


class Toy(DatasetPart):
    """Two events in each recording."""

    use = "toy"
    name: str = "target"
    recordings: int = 12

    def build(self) -> ToyDataset:
        return ToyDataset(self.name, self.recordings)


@dataclass(frozen=True)
class OneHot:
    """Names the class that is heard in each second."""

    name: str
    audio_width: int = CLASSES + 1
    text_width: int = CLASSES + 1
    rate: int = RATE
    hop: float = 1.0

    def audio(self, waveform: np.ndarray) -> np.ndarray:
        return np.eye(self.audio_width, dtype=np.float32)[waveform[::RATE].astype(int)]

    def text(self, sentences: Sequence[str]) -> list[np.ndarray]:
        return [np.eye(self.text_width, dtype=np.float32)[[int(each[-1])]] for each in sentences]

    def fingerprint(self) -> str:
        return self.name


class OneHotFeatures(FeaturesPart):
    """Knows the classes."""

    use = "one-hot"

    def build(self) -> OneHot:
        return OneHot("one-hot")


class Wished(FeaturesPart):
    """An encoder that is not at hand."""

    use = "wished"

    def build(self) -> OneHot:
        raise NotImplementedError


@dataclass(frozen=True)
class ToyLabels:
    """See `amrbench.slots.Labels`."""

    spans: np.ndarray
    relevant: np.ndarray
    positives: np.ndarray
    negatives: np.ndarray


class ToyTargets(TargetsPart):
    """All windows."""

    use = "all"

    def build(self) -> Callable[[Query, int, float, np.random.Generator], ToyLabels]:
        def labels(query: Query, frames: int, hop: float, rng: np.random.Generator) -> ToyLabels:
            windows = as_windows(query.windows)
            relevant = label_all_windows(windows, query.duration, frames)
            pairs = draw_pairs(relevant, 2, rng)
            return ToyLabels(spans_of(windows, frames, hop), relevant, pairs.positives, pairs.negatives)

        return labels


class ToyModel(ModelPart):
    """Compares each second with the sentence; one window around the most similar ones."""

    use = "toy"
    views = frozenset({"rolled"})
    width: int = budgeted(16, "width", ge=1, description="width of the projections")
    dropout: float = 0.1

    @property
    def provides(self) -> Mapping[str, str]:
        return {"similarity": "B T", "span": "B Q 2"}

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

    def decode(self, encoded: Encoded) -> Prediction:
        weight = encoded.state.softmax(1)
        places = (torch.arange(weight.shape[1], device=weight.device) + 0.5) / weight.shape[1]
        centre = (weight * places).sum(1)
        spans = torch.stack([centre, self.size.clamp(0.01, 1).expand_as(centre)], -1)[:, None]
        return Prediction(spans, encoded.state.amax(1, keepdim=True), {"span": spans})


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


class Mishap(LossPart):
    """Goes wrong in a chosen way: not a number, or the death of the process once a file lies there."""

    use = "mishap"
    kind: Literal["nan", "kill", "weights"]
    at: str = ""
    after: int = 3

    def build(self, context: BuildContext) -> nn.Module:
        return MishapLoss(self)


class MishapLoss(nn.Module):
    """See `Mishap`."""

    def __init__(self, part: Mishap) -> None:
        super().__init__()
        self.part = part
        self.steps = 0
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, outcome: Outcome) -> dict[str, Tensor]:
        self.steps += 1
        value = 0 * self.weight
        if self.steps > self.part.after:
            if self.part.kind == "kill" and Path(self.part.at).exists():
                Path(self.part.at).unlink()
                os.kill(os.getpid(), signal.SIGKILL)
            if self.part.kind == "nan":
                value = value + float("nan")
            if self.part.kind == "weights":
                with torch.no_grad():
                    self.weight.fill_(float("inf"))
                raise ValueError("matrix contains invalid numeric entries")
        return {"mishap": value}


class First(MatcherPart):
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
        losses.total.backward()
        self.optimizer.step()
        return losses

    def end_epoch(self) -> None:
        pass

    def eval_weights(self) -> nullcontext[None]:
        return nullcontext()


class Plain(SoupPart):
    """No soup."""

    use = "none"

    def build(self):
        return lambda candidates, judge: {}


class Mean(SoupPart):
    """The mean of all weights, if it is at least as good as nothing."""

    use = "mean"

    def build(self):
        def cook(candidates, judge):
            weights = [each.best() for each in candidates]
            mean = {name: torch.stack([each[name] for each in weights]).mean(0) for name in weights[0]}
            assert judge.performance(mean) >= 0
            return {"soup": SoupResult(mean, [each.name for each in candidates])}

        return cook


class Cut(RankingPart):
    """Ends no window after the recording."""

    use = "cut"

    def build(self):
        return lambda rows, query: np.column_stack([rows[:, :2].clip(0, query.duration), rows[:, 2:]])


PARTS = (
    *(Toy, OneHotFeatures, Wished, ToyTargets, ToyModel, Frames, Spans, Mishap),
    *(First, Descent, Plain, Mean, Cut),
)
REGISTRY = Registry.of(*PARTS)

RECIPE = {
    "name": "toy",
    "features": "wished",
    "limits": {"frames": SECONDS},
    "model": {"use": "toy", "width": 32},
    "training": {
        "batch": 8,
        "targets": "all",
        "matcher": "first",
        "losses": ["frames", "spans"],
        "optimizer": "descent",
    },
    "stages": [
        {"name": "pretrain", "data": "pretrain", "epochs": 3, "input_dropout": 0.1},
        {"name": "finetune", "data": "target", "epochs": 4, "input_dropout": 0.1, "seeds": "many"},
    ],
    "soup": "none",
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
    "stand_ins": {"wished": "one-hot"},
    "budget": {"width": 16},
    "seeds": 2,
    "splits": {"train": ["train"], "select": "val", "report": "test"},
    "slices": ["kind"],
}


@contextmanager
def held(lock: Path) -> Iterator[Callable[[], None]]:
    """Hold a lock and offer how to let it go; half a minute later it goes, so that no test waits for ever."""
    with ExitStack() as holding:
        holding.enter_context(exclusive(lock, pytest.fail))
        timer = threading.Timer(30, holding.close)
        timer.start()
        holding.callback(timer.cancel)
        yield holding.close


def write_yaml(path: Path, content: object) -> Path:
    """Write a recipe or protocol."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path
