"""The data that travels between stages.

One alphabet for shapes everywhere: B batch, T audio frames, L words, D width, Q queries of the decoder,
H heads, N decoder layers, W windows. Masks are bool and True where real. A span is (centre, width) as
shares of the audio in [0, 1]; a window is (start, end) in seconds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn

    from amrbench.config.recipe import Limits
    from amrbench.training.inference import Ranking

Tensors = Mapping[str, "Tensor"]
"""Tensors by name. A part says which it `provides` and a loss which it `requires`."""


@dataclass(frozen=True)
class Batch:
    """What a model sees of some queries."""

    audio: Tensor
    """(B, T, Da) feature rows, one a hop; zero where padded."""
    audio_mask: Tensor
    """(B, T) True for real rows."""
    text: Tensor
    """(B, L, Dt) token features; zero where padded."""
    text_mask: Tensor
    """(B, L) True for real tokens."""
    recording: Tensor
    """(B,) integer; equal where two queries ask about the same recording."""


@dataclass(frozen=True)
class Target:
    """What is true of some queries; only losses and the matcher may see it."""

    spans: Tensor
    """(B, W, 2) centre and width as shares of the audio."""
    spans_mask: Tensor
    """(B, W) True for real spans."""
    relevant: Tensor
    """(B, T) True for frames inside a window that counts for saliency."""
    positives: Tensor
    """(B, P) frames drawn from the relevant ones."""
    negatives: Tensor
    """(B, P) frames drawn from the others."""


@dataclass(frozen=True)
class Encoded:
    """A batch on its way through a model, before the decoder."""

    state: Any
    """Whatever `decode` of the same model needs; nobody else looks inside."""
    tensors: Tensors
    """What the parts before the decoder provide."""
    views: Mapping[str, Tensors] = field(default_factory=dict)
    """The same for each further view of the batch that was asked for."""


@dataclass(frozen=True)
class Prediction:
    """Moments for some queries, not yet in order."""

    spans: Tensor
    """(B, Q, 2)"""
    scores: Tensor
    """(B, Q) higher is better."""
    tensors: Tensors
    """What the decoder and its heads provide, for the losses."""


@dataclass(frozen=True)
class Outcome:
    """All that a loss may look at."""

    batch: Batch
    target: Target
    tensors: Tensors
    """What the model provides for the batch as it is."""
    views: Mapping[str, Tensors]
    """What the model provides for other views of the batch, e.g. with mismatched texts."""
    matched: Tensor
    """(N, B, W) the decoder query matched to each true span, -1 where there is none."""
    step: int = 0
    """Which step of the stage this is, from 0, however often its losses are asked for."""


@dataclass(frozen=True)
class Losses:
    """The sum that is minimised, and its terms with their weights applied."""

    total: Tensor
    terms: Tensors


@dataclass(frozen=True)
class Widths:
    """Widths of the input features."""

    audio: int
    text: int


@dataclass(frozen=True)
class Context:
    """What `build` may know besides its own options."""

    features: Widths
    seed: int = 0
    input_dropout: float = 0.0
    window_widths: tuple[float, ...] = ()
    """Widths of all training windows as shares of their recordings; for statistical initialisation."""
    place: str = "model"

    def at(self, place: str) -> Context:
        """Return the context for a slot inside this one."""
        return replace(self, place=f"{self.place}.{place}")

    @contextmanager
    def drawing(self) -> Iterator[None]:
        """Draw initial weights from a random state of this place alone.

        Exchanging one part must not reshuffle the weights of the others, or an ablation compares two
        initialisations. The global random state is left as it was.
        """
        import torch

        digest = hashlib.sha256(f"{self.seed}/{self.place}".encode()).digest()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int.from_bytes(digest[:8], "little") % (1 << 63))
            yield


@dataclass(frozen=True)
class Plan:
    """How long a stage trains; schedules and averages are shares of it."""

    epochs: int
    steps_per_epoch: int
    clip: float
    """Largest gradient norm of a step; 0 leaves gradients alone."""

    @property
    def steps(self) -> int:
        """Return the number of optimizer steps of the stage."""
        return self.epochs * self.steps_per_epoch


@dataclass(frozen=True, eq=False)
class ForeignModel:
    """A model with weights of another program, and what it was trained to expect."""

    model: nn.Module
    """A `MomentModel`."""
    audio: str
    """Name of the audio encoder, which is the name of the folder of its features."""
    text: str
    """Name of the text encoder."""
    widths: Widths
    hop: float
    """Seconds between two audio rows."""
    limits: Limits
    ranking: tuple[Ranking, ...]
    """What that program does with raw moments before it writes them."""
