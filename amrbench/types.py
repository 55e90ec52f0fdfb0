"""The data that travels between stages.

One alphabet for shapes everywhere: B batch, T audio frames, L words, D width, Q queries of the decoder,
H heads, N decoder layers, W windows. Masks are bool and True where real. A span is (centre, width) as
shares of the audio in [0, 1]; a window is (start, end) in seconds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from amrbench.part import Strict

if TYPE_CHECKING:
    from torch import Tensor, nn

Rows = NDArray[np.float32]
"""Feature rows (n, D), samples (n,), or moments (n, 3)."""
Floats = NDArray[np.float64]
Window = tuple[float, float]
"""Start and end in seconds."""
Tensors = Mapping[str, "Tensor"]
"""Tensors by name. A part says which it `provides` and a loss which it `requires`."""
Plain: TypeAlias = "bool | int | float | str | list[Plain] | dict[str, Plain] | None"


@dataclass(frozen=True)
class Query:
    """One sentence asked about one recording.

    Attributes:
        qid: Identifier as it stands in the file; `7` and `"7"` count as the same.
        query: The sentence.
        vid: Identifier of the recording.
        duration: Length of the recording in seconds.
        windows: The ground truth, (start, end) in seconds, as published: in any order, possibly of length
            zero or past the end. Empty where it is not public.
        extra: All other keys of the line, unchanged.
    """

    qid: str | int
    query: str
    vid: str
    duration: float
    windows: tuple[Window, ...]
    extra: Mapping[str, object] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, eq=False)
class Moments:
    """The moments predicted for one query, best first.

    Attributes:
        qid: Identifier of the query; `7` and `"7"` count as the same.
        vid: Identifier of the recording.
        windows: (N, 2) start and end in seconds; N may be 0.
        scores: (N,) one score for each window, higher is better, or None where only the order is known.
        query: The sentence, where the file should repeat it; otherwise empty.
    """

    qid: str | int
    vid: str
    windows: Floats
    scores: Floats | None = None
    query: str = ""

    def __post_init__(self) -> None:
        count = len(self.windows)
        if self.windows.shape != (count, 2):
            raise ValueError(f"windows have shape {self.windows.shape}, not (N, 2)")
        if self.scores is not None and self.scores.shape != (count,):
            raise ValueError(f"scores have shape {self.scores.shape} for {count} windows")


Ranking = Callable[[Rows, Query], Rows]
"""From moments (Q, 3) start, end, score, best first, and their query to a new list."""


class Limits(Strict):
    """How much of a recording and of a sentence a model is given; what is longer is cut."""

    frames: int = Field(300, ge=1, description="feature rows of a recording")
    words: int = Field(32, ge=1, description="tokens of a sentence")


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
class FeatureWidths:
    """Widths of the input features."""

    audio: int
    text: int


@dataclass(frozen=True)
class BuildContext:
    """What `build` may know besides its own options."""

    features: FeatureWidths
    seed: int = 0
    input_dropout: float = 0.0
    window_widths: tuple[float, ...] = ()
    """Widths of all training windows as shares of their recordings; for statistical initialisation."""
    path: str = "model"
    """Of the slot that is built, e.g. "model.query.anchors"; its first weights depend on it."""

    def at(self, path: str) -> BuildContext:
        """Return the context of a slot inside this one."""
        return replace(self, path=f"{self.path}.{path}")

    @contextmanager
    def drawing(self) -> Iterator[None]:
        """Draw initial weights from a random state of this path alone.

        Exchanging one part must not reshuffle the weights of the others, or an ablation compares two
        initialisations. The global random state is left as it was.
        """
        import torch

        digest = hashlib.sha256(f"{self.seed}/{self.path}".encode()).digest()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int.from_bytes(digest[:8], "little") % (1 << 63))
            yield


@dataclass(frozen=True)
class TrainingLength:
    """How long a stage trains; schedules and averages are shares of it."""

    epochs: int
    steps_per_epoch: int
    clip: float
    """Largest gradient norm of a step; 0 leaves gradients alone."""

    @property
    def steps(self) -> int:
        """Return the number of optimizer steps of the stage."""
        return self.epochs * self.steps_per_epoch


@dataclass(frozen=True)
class Checkpoint:
    """What a foreign weights file holds: tensors on the CPU by name, and the options it was made with."""

    path: Path
    weights: dict[str, Tensor]
    options: dict[str, Plain]


@dataclass(frozen=True, eq=False)
class ForeignModel:
    """A model with weights of another program, and what it was trained to expect."""

    model: nn.Module
    """A `MomentModel`."""
    audio: str
    """Name of the audio encoder, which is the name of the folder of its features."""
    text: str
    """Name of the text encoder."""
    widths: FeatureWidths
    hop: float
    """Seconds between two audio rows."""
    limits: Limits
    ranking: tuple[Ranking, ...]
    """What that program does with raw moments before it writes them."""
